//! The functions of the header. Each is safe to call as the header's first lines say: a pointer is NULL or what its name says.
#![allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]

use std::ffi::{c_char, c_void};
use std::time::Duration;

use highwater_bindings::{Engine, Failure, verify_webhook};

use crate::fetch;
use crate::handles::{self, Item};
use crate::text::{free, give, guarded, put, read, read_bytes, read_or_empty};
use crate::watch::{Watch, to_json};

/// The version of these functions. It grows when one of them changes; new functions do not change it.
pub const HW_ABI_VERSION: u32 = 1;

/// The function did what it says.
pub const HW_OK: i32 = 0;

/// The function failed: `*error` says why.
pub const HW_FAILED: i32 = -1;

/// A number that stands for an engine, a following or a run.
pub type hw_handle = u64;

/// Fetches in a run, called on a thread of its own. Give commands with `hw_run_call`, and return 0 once everything was read.
///
/// To fail, return another number. `*error` may then be a text that says why: the error of `hw_run_call` as it came, or one of
/// `hw_string_new`. It is freed by the library. Return soon once `hw_run_is_stopped`. `user_data` is that of the template, and has to
/// stay usable until the function has returned for the last time, which is after `hw_close`, at the latest when the process ends.
pub type hw_fetch_fn =
    Option<unsafe extern "C" fn(run: hw_handle, user_data: *mut c_void, error: *mut *mut c_char) -> i32>;

/// Is called with each page that `hw_watch` reads, on one thread, one call after the other. Return 0 to go on.
///
/// The last call has no page: its `error` is NULL if the watch was closed or the function ended it. Both texts belong to the library
/// and are valid until the function returns.
pub type hw_page_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, page: *const c_char, error: *const c_char) -> i32>;

/// A template whose fetch is a function.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hw_template {
    /// What it is, as JSON: see docs/bindings.md.
    pub info: *const c_char,
    /// The function.
    pub fetch: hw_fetch_fn,
    /// What the function is called with.
    pub user_data: *mut c_void,
}

/// Returns `HW_ABI_VERSION` of the library, to compare with that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn hw_abi_version() -> u32 {
    HW_ABI_VERSION
}

/// Opens a store with an engine. `options` is JSON, such as `{"path": "app.db"}`. `templates` may be NULL if `count` is 0; they are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_open(
    options: *const c_char,
    templates: *const hw_template,
    count: usize,
    engine: *mut hw_handle,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(engine, 0);
        guarded(error, || {
            let options = read("options", options)?;
            if engine.is_null() || (templates.is_null() && count > 0) {
                return Err(Failure::new("invalid", "engine or templates is NULL: pass a place for the handle"));
            }
            let mut read_templates = Vec::new();
            for index in 0..count {
                let template = *templates.add(index);
                let info = read("the info of a template", template.info)?;
                read_templates.push(fetch::template(&info, template.fetch, template.user_data)?);
            }
            put(engine, handles::add(Item::Engine(Engine::open(&options, read_templates)?)));
            Ok(())
        })
    }
}

/// Runs an operation and blocks until it ends. `arguments` is a JSON object, or NULL for an empty one. `*result` is JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_call(
    engine: hw_handle,
    operation: *const c_char,
    arguments: *const c_char,
    result: *mut *mut c_char,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(result, std::ptr::null_mut());
        guarded(error, || {
            let (operation, arguments) = (read("operation", operation)?, read_or_empty("arguments", arguments)?);
            let answer = handles::engine(engine)?.call(&operation, &arguments)?;
            if !result.is_null() {
                put(result, give(answer));
            }
            Ok(())
        })
    }
}

/// Follows a stream. `arguments` are those of the operation `records`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_follow(
    engine: hw_handle,
    arguments: *const c_char,
    following: *mut hw_handle,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(following, 0);
        guarded(error, || {
            let arguments = read("arguments", arguments)?;
            if following.is_null() {
                return Err(Failure::new("invalid", "following is NULL: pass a place for the handle"));
            }
            put(following, handles::add(Item::Following(handles::engine(engine)?.follow(&arguments)?)));
            Ok(())
        })
    }
}

/// Blocks until there is a page that is not empty, at most for `timeout_ms` milliseconds, or for as long as it takes if that is negative.
/// `*page` is JSON, or NULL if the time is over. `hw_follow_close` on another thread ends the wait with an error of the code `closed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_follow_next(
    following: hw_handle,
    timeout_ms: i64,
    page: *mut *mut c_char,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(page, std::ptr::null_mut());
        guarded(error, || {
            if page.is_null() {
                return Err(Failure::new("invalid", "page is NULL: pass a place for the page"));
            }
            let limit = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
            if let Some(next) = handles::following(following)?.next(limit)? {
                put(page, give(to_json(&next)?));
            }
            Ok(())
        })
    }
}

/// Follows a stream on a thread of its own, which calls `callback` with each page.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_watch(
    engine: hw_handle,
    arguments: *const c_char,
    callback: hw_page_fn,
    user_data: *mut c_void,
    watch: *mut hw_handle,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(watch, 0);
        guarded(error, || {
            let arguments = read("arguments", arguments)?;
            if watch.is_null() {
                return Err(Failure::new("invalid", "watch is NULL: pass a place for the handle"));
            }
            let following = handles::engine(engine)?.follow(&arguments)?;
            put(watch, handles::add(Item::Watch(Watch::start(following, callback, user_data)?)));
            Ok(())
        })
    }
}

/// Ends what `hw_follow` or `hw_watch` began. The last call of a watch's callback has returned when this returns, unless it is made
/// by the callback itself. Closing again does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_follow_close(following: hw_handle, error: *mut *mut c_char) -> i32 {
    // SAFETY: the caller promises what the header says of the pointer.
    unsafe {
        guarded(error, || {
            match handles::remove(following)? {
                Some(Item::Following(following)) => following.close(),
                Some(Item::Watch(watch)) => watch.close(),
                Some(other) => return Err(put_back(following, other)),
                None => {}
            }
            Ok(())
        })
    }
}

/// Stops all runs, waits up to ten seconds for them, and closes the store. Whoever waits for this engine gets an error of the code
/// `closed` or `cancelled`. With `HW_FAILED` the engine is closed all the same. Closing again does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_close(engine: hw_handle, error: *mut *mut c_char) -> i32 {
    // SAFETY: the caller promises what the header says of the pointer.
    unsafe {
        guarded(error, || match handles::remove(engine)? {
            Some(Item::Engine(engine)) => engine.close(),
            Some(other) => Err(put_back(engine, other)),
            None => Ok(()),
        })
    }
}

/// A handle that was passed to the wrong function stays open.
fn put_back(handle: hw_handle, item: Item) -> Failure {
    handles::restore(handle, item);
    Failure::new("invalid", "this is a handle of another kind: close it by the function for its kind")
}

/// Returns what a run begins with, as JSON, or NULL if the run is over.
#[unsafe(no_mangle)]
pub extern "C" fn hw_run_setup(run: hw_handle) -> *mut c_char {
    handles::run(run).map_or(std::ptr::null_mut(), |run| give(run.setup().to_owned()))
}

/// Gives a command in a run and blocks until it is answered. `arguments` is a JSON object, or NULL for an empty one. `*result` is JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_run_call(
    run: hw_handle,
    command: *const c_char,
    arguments: *const c_char,
    result: *mut *mut c_char,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(result, std::ptr::null_mut());
        guarded(error, || {
            let (command, arguments) = (read("command", command)?, read_or_empty("arguments", arguments)?);
            let answer = handles::run(run)?.call(&command, &arguments)?;
            if !result.is_null() {
                put(result, give(answer));
            }
            Ok(())
        })
    }
}

/// Returns whether a run is over: the function should return soon.
#[unsafe(no_mangle)]
pub extern "C" fn hw_run_is_stopped(run: hw_handle) -> bool {
    handles::run(run).map_or(true, |run| run.is_stopped())
}

/// Verifies a provider's webhook. `arguments` is JSON: see docs/bindings.md. `*result` is JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_verify_webhook(
    arguments: *const c_char,
    body: *const u8,
    length: usize,
    result: *mut *mut c_char,
    error: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller promises what the header says of each pointer.
    unsafe {
        put(result, std::ptr::null_mut());
        guarded(error, || {
            let verified = verify_webhook(&read("arguments", arguments)?, &read_bytes("body", body, length)?)?;
            if !result.is_null() {
                put(result, give(verified));
            }
            Ok(())
        })
    }
}

/// Copies a text, for the error of a fetch function. NULL stays NULL; bytes that are not UTF-8 are replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_string_new(text: *const c_char) -> *mut c_char {
    if text.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: it is not null, and the caller promises the rest.
    give(unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Frees a text that came out of this library. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_string_free(text: *mut c_char) {
    // SAFETY: the caller promises it.
    unsafe { free(text) }
}
