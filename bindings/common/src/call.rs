//! Calls that report their end to a function.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use highwater::ErrorKind;
use tokio::task::AbortHandle;

use crate::failure::{Failure, Outcome};

/// A call in progress. Dropping it changes nothing: the call goes on.
#[derive(Debug)]
pub struct Call {
    task: Option<AbortHandle>,
}

impl Call {
    pub(crate) fn new(task: AbortHandle) -> Self {
        Call { task: Some(task) }
    }

    /// A call that has ended already.
    pub(crate) fn ended() -> Self {
        Call { task: None }
    }

    /// Cancels the call, unless it has ended. Its function is called with an error of the code `cancelled`; what it had committed until
    /// then stays.
    pub fn cancel(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A function that is called exactly once: with the outcome, or when it is dropped without one.
pub(crate) struct Done<T, F: FnOnce(Outcome<T>)> {
    report: Option<F>,
    of: std::marker::PhantomData<fn(T)>,
}

impl<T, F: FnOnce(Outcome<T>)> Done<T, F> {
    pub(crate) fn new(report: F) -> Self {
        Done { report: Some(report), of: std::marker::PhantomData }
    }

    pub(crate) fn call(mut self, outcome: Outcome<T>) {
        if let Some(report) = self.report.take() {
            report(outcome);
        }
    }
}

impl<T, F: FnOnce(Outcome<T>)> Drop for Done<T, F> {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            report(Err(Failure::of(ErrorKind::Cancelled, "the call was cancelled, or the engine was closed")));
        }
    }
}

/// Awaits work, and returns a panic of it as a failure.
pub(crate) async fn guarded<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// Returns the failure for a panic.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::of(ErrorKind::Internal, format!("Highwater panicked: {}", text.unwrap_or("no message")))
}
