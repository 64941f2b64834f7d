//! Fetch functions of the caller: each run is a call on a thread of its own.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use highwater_bindings::{Failure, HostRun, HostTemplate, Outcome};
use serde::Deserialize;

use crate::abi::hw_fetch_fn;
use crate::handles::{self, Item};

/// The function of a template, with what it is called with.
#[derive(Clone, Copy)]
struct Fetch {
    function: unsafe extern "C" fn(u64, *mut c_void, *mut *mut c_char) -> i32,
    user_data: *mut c_void,
}

// SAFETY: the header says that the function is called from any thread with this pointer, which Highwater itself never looks through.
unsafe impl Send for Fetch {}
// SAFETY: as above.
unsafe impl Sync for Fetch {}

impl Fetch {
    fn call(self, handle: u64) -> Outcome<()> {
        let mut message: *mut c_char = std::ptr::null_mut();
        // SAFETY: the caller passed this function for these arguments.
        let status = unsafe { (self.function)(handle, self.user_data, &raw mut message) };
        if message.is_null() {
            return if status == 0 {
                Ok(())
            } else {
                Err(Failure::new("invalid", format!("the fetch function returned {status}")))
            };
        }
        // SAFETY: the header says that it is a text of this library, such as the error of hw_run_call, or of hw_string_new.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: as above, and it is freed here only.
        unsafe { crate::text::free(message) };
        if status == 0 { Ok(()) } else { Err(failure_of(&text)) }
    }
}

/// Reads an error that the function passes on; any other text is a message of its own.
fn failure_of(text: &str) -> Failure {
    #[derive(Deserialize)]
    struct Read {
        code: String,
        message: String,
    }
    match serde_json::from_str::<Read>(text) {
        Ok(read) => Failure::new(&read.code, read.message),
        Err(_) => Failure::new("invalid", text),
    }
}

/// Makes a template of a function of the caller.
pub(crate) fn template(info: &str, function: hw_fetch_fn, user_data: *mut c_void) -> Outcome<HostTemplate> {
    let Some(function) = function else {
        return Err(Failure::new("invalid", "the fetch function of a template is NULL: pass a function"));
    };
    let fetch = Fetch { function, user_data };
    let start = move |run: HostRun| {
        // Where no thread can be started, the run is dropped, which fails it.
        let _ = std::thread::Builder::new().name("highwater-fetch".to_owned()).spawn(move || perform(fetch, &run));
    };
    HostTemplate::new(info, Arc::new(start))
}

fn perform(fetch: Fetch, run: &HostRun) {
    let handle = handles::add(Item::Run(run.clone()));
    let outcome = fetch.call(handle);
    // The function may keep the handle; it is closed from here on.
    let _ = handles::remove(handle);
    run.end(outcome);
}

/// Keeps values that only need to be moved between threads together.
pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
