//! Requests to the writer that have no reply yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

/// Counts the requests that the writer has not replied to.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenRequests(Arc<AtomicUsize>);

/// Where the reply to one request goes.
#[derive(Debug)]
pub(super) struct Reply<T> {
    sender: oneshot::Sender<T>,
    open: Open,
}

/// Keeps one request counted for as long as it lives.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl OpenRequests {
    /// Counts a request; its caller waits for the receiver.
    pub(super) fn open<T>(&self) -> (Reply<T>, oneshot::Receiver<T>) {
        self.0.fetch_add(1, Ordering::AcqRel);
        self.new_request()
    }

    /// Counts a request if the writer has nothing else to do; `None` where it has.
    pub(super) fn open_if_idle<T>(&self) -> Option<(Reply<T>, oneshot::Receiver<T>)> {
        self.0.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).ok()?;
        Some(self.new_request())
    }

    fn new_request<T>(&self) -> (Reply<T>, oneshot::Receiver<T>) {
        let (sender, answered) = oneshot::channel();
        (Reply { sender, open: Open(Arc::clone(&self.0)) }, answered)
    }
}

impl<T> Reply<T> {
    /// Sends the reply. The request no longer counts by then: a caller that has the reply finds the writer idle.
    pub(super) fn send(self, value: T) {
        drop(self.open);
        // A caller that no longer waits does not undo what was done.
        let _ = self.sender.send(value);
    }
}
