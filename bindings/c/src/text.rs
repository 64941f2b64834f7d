//! Texts from and to the caller: the only module that looks through its pointers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::panic::AssertUnwindSafe;

use highwater_bindings::{Failure, Outcome};

use crate::abi::{HW_FAILED, HW_OK};

/// Copies a text of the caller.
///
/// # Safety
///
/// `text` is null, or a string with a NUL at its end that nobody changes meanwhile.
pub(crate) unsafe fn read(name: &str, text: *const c_char) -> Outcome<String> {
    if text.is_null() {
        return Err(Failure::new("invalid", format!("{name} is NULL: pass a text")));
    }
    // SAFETY: it is not null, and the caller promises the rest.
    let bytes = unsafe { CStr::from_ptr(text) };
    let text = bytes.to_str().map_err(|_| Failure::new("invalid", format!("{name} is not UTF-8: pass it as UTF-8")))?;
    Ok(text.to_owned())
}

/// Copies a text of the caller; null is an empty one.
///
/// # Safety
///
/// As [`read`].
pub(crate) unsafe fn read_or_empty(name: &str, text: *const c_char) -> Outcome<String> {
    // SAFETY: passed on.
    if text.is_null() { Ok(String::new()) } else { unsafe { read(name, text) } }
}

/// Copies bytes of the caller.
///
/// # Safety
///
/// `bytes` is null and `length` 0, or there are `length` bytes that nobody changes meanwhile.
pub(crate) unsafe fn read_bytes(name: &str, bytes: *const u8, length: usize) -> Outcome<Vec<u8>> {
    if bytes.is_null() {
        let failure = Failure::new("invalid", format!("{name} is NULL, but its length is not 0"));
        return if length == 0 { Ok(Vec::new()) } else { Err(failure) };
    }
    if isize::try_from(length).is_err() {
        return Err(Failure::new("invalid", format!("{name} is longer than all memory")));
    }
    // SAFETY: it is not null and not too long, and the caller promises the rest.
    Ok(unsafe { std::slice::from_raw_parts(bytes, length) }.to_vec())
}

/// Makes a text for the caller, which [`free`] takes back.
pub(crate) fn give(text: String) -> *mut c_char {
    // JSON has no NUL; anything else ends before its first one.
    let text = CString::new(text).unwrap_or_else(|error| {
        let end = error.nul_position();
        let mut bytes = error.into_vec();
        bytes.truncate(end);
        CString::new(bytes).unwrap_or_default()
    });
    text.into_raw()
}

/// Frees a text of [`give`].
///
/// # Safety
///
/// `text` is null or comes from [`give`], and was not freed before.
pub(crate) unsafe fn free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it is one of `give`, and this is the only time that it is freed.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// Stores a value where the caller wants it; nowhere if the place is null.
///
/// # Safety
///
/// `place` is null or may be written to.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: it is not null, and the caller promises the rest. It may be uninitialised, so nothing is dropped.
        unsafe { place.write(value) };
    }
}

/// Runs the body of a function: nothing that panics reaches the caller, and `error` is set.
///
/// # Safety
///
/// `error` is null or may be written to.
pub(crate) unsafe fn guarded(error: *mut *mut c_char, body: impl FnOnce() -> Outcome<()>) -> i32 {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Failure::new("internal", "Highwater panicked")));
    match outcome {
        Ok(()) => {
            // SAFETY: passed on.
            unsafe { put(error, std::ptr::null_mut()) };
            HW_OK
        }
        Err(failure) => {
            if !error.is_null() {
                // SAFETY: passed on.
                unsafe { put(error, give(failure.to_json())) };
            }
            HW_FAILED
        }
    }
}
