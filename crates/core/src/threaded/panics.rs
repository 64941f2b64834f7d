//! Turns panics inside a store's threads into errors: storage libraries panic over damaged files.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};

/// Runs `work`; a panic in it becomes an error. What `work` had in hand must not be used afterwards
/// (the writer is poisoned then) or be without state of its own (a reader's snapshot).
pub(super) fn catch_panic<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(error_of(&*panic)))
}

#[cold]
fn error_of(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(
        ErrorKind::Corrupt,
        "work on the store panicked, most likely the storage library over a damaged file: restore a backup, or sync into a new file",
    )
    .because(text)
}
