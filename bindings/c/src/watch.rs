//! Following with a callback, on a thread of its own.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use highwater_bindings::{Failure, Following, Outcome, Page};

use crate::abi::hw_page_fn;
use crate::fetch::unpoisoned;
use crate::text;

/// A thread that follows a stream and calls a function. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Watch {
    following: Following,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Clone, Copy)]
struct Callback {
    function: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> i32,
    user_data: *mut c_void,
}

// SAFETY: the header says that the function is called on another thread with this pointer, which Highwater itself never looks through.
unsafe impl Send for Callback {}

impl Callback {
    /// Returns whether to go on.
    fn call(self, page: Option<String>, failure: Option<&Failure>) -> bool {
        let page = page.map_or(std::ptr::null_mut(), text::give);
        let error = failure.map_or(std::ptr::null_mut(), |failure| text::give(failure.to_json()));
        // SAFETY: the caller passed this function for these arguments. Both texts live until it returns.
        let status = unsafe { (self.function)(self.user_data, page, error) };
        // SAFETY: both are ours, and freed here only.
        unsafe {
            text::free(page);
            text::free(error);
        }
        status == 0
    }
}

impl Watch {
    pub(crate) fn start(following: Following, function: hw_page_fn, user_data: *mut c_void) -> Outcome<Self> {
        let Some(function) = function else {
            return Err(Failure::new("invalid", "the callback is NULL: pass a function"));
        };
        let (callback, reading) = (Callback { function, user_data }, following.clone());
        let thread = thread::Builder::new()
            .name("highwater-watch".to_owned())
            .spawn(move || watch(&reading, callback))
            .map_err(|error| Failure::new("internal", format!("no thread can be started: {error}")))?;
        Ok(Watch { following, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Ends it and waits for its last call, unless this is that call.
    pub(crate) fn close(&self) {
        self.following.close();
        let thread = unpoisoned(&self.thread).take();
        if let Some(thread) = thread.filter(|handle| handle.thread().id() != thread::current().id()) {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Calls the function for each page until it or an error ends it; then once more, without a page.
fn watch(following: &Following, callback: Callback) {
    loop {
        match following.next(None).and_then(|page| page.map(|page| to_json(&page)).transpose()) {
            Ok(None) => {}
            Ok(page) => {
                if !callback.call(page, None) {
                    callback.call(None, None);
                    return;
                }
            }
            Err(failure) => {
                let ended = matches!(failure.code(), "closed" | "cancelled");
                callback.call(None, (!ended).then_some(&failure));
                return;
            }
        }
    }
}

pub(crate) fn to_json(page: &Page) -> Outcome<String> {
    serde_json::to_string(page)
        .map_err(|error| Failure::new("internal", format!("the page cannot be written: {error}")))
}
