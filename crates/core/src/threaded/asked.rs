//! What was asked of the writer and is not answered yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

/// Counts the questions whose answers the writer still owes.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicUsize>);

/// The way an answer goes back.
#[derive(Debug)]
pub(super) struct Answer<T> {
    sender: oneshot::Sender<T>,
    owed: Owed,
}

/// One question, for as long as it lives.
#[derive(Debug)]
struct Owed(Arc<AtomicUsize>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Asked {
    /// Counts a question; whoever asks waits for the receiver.
    pub(super) fn one<T>(&self) -> (Answer<T>, oneshot::Receiver<T>) {
        self.0.fetch_add(1, Ordering::AcqRel);
        self.owed()
    }

    /// The same, only where the writer has nothing else to do; `None` where it has.
    pub(super) fn alone<T>(&self) -> Option<(Answer<T>, oneshot::Receiver<T>)> {
        self.0.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire).ok()?;
        Some(self.owed())
    }

    fn owed<T>(&self) -> (Answer<T>, oneshot::Receiver<T>) {
        let (sender, answered) = oneshot::channel();
        (Answer { sender, owed: Owed(Arc::clone(&self.0)) }, answered)
    }
}

impl<T> Answer<T> {
    /// Answers. The question is off the count by then: whoever has the answer finds the writer free.
    pub(super) fn send(self, value: T) {
        drop(self.owed);
        // Nobody waits any more: what was done stays done.
        let _ = self.sender.send(value);
    }
}
