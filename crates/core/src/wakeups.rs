//! Hints that something may have changed.

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// The count that stands for a closed store.
const CLOSED: u64 = u64::MAX;

/// Wakes after commits, from [`Store::subscribe`](crate::Store::subscribe).
///
/// A wake-up carries no data: read the log to learn what is new. Wake-ups that no reader waited for are merged into one; none is
/// lost.
#[derive(Clone, Debug)]
pub struct Wakeups {
    receiver: watch::Receiver<u64>,
    seen: u64,
}

impl Wakeups {
    pub(crate) fn channel() -> (watch::Sender<u64>, Wakeups) {
        let (sender, receiver) = watch::channel(0);
        (sender, Wakeups { receiver, seen: 0 })
    }

    /// A receiver that looks at what comes from now on.
    pub(crate) fn starting_now(&self) -> Self {
        let mut receiver = self.receiver.clone();
        let seen = *receiver.borrow_and_update();
        Wakeups { receiver, seen }
    }

    /// Waits until something was committed since the last call, or since `subscribe`. May be dropped while it waits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] once the store is closed.
    pub async fn changed(&mut self) -> Result<()> {
        let woken = self.receiver.changed().await;
        self.seen = *self.receiver.borrow_and_update();
        if woken.is_ok() && self.seen != CLOSED {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Closed, "the store was closed"))
        }
    }

    /// Returns whether something was committed since the last call of [`changed`](Wakeups::changed).
    pub fn has_changed(&self) -> bool {
        self.receiver.has_changed().unwrap_or(true)
    }

    /// Returns the number of the last wake-up that [`changed`](Wakeups::changed) returned for, or of the last one before
    /// `subscribe`. Numbers ascend, and all receivers of a handle share them: what one read after wake-up 7 is new enough for
    /// every other that has seen 7 or less, so that many followers of one stream can share a reading.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

pub(crate) fn wake(sender: &watch::Sender<u64>) {
    sender.send_if_modified(|count| {
        let open = *count != CLOSED;
        *count += u64::from(open);
        open
    });
}

/// Wakes everybody for the last time.
pub(crate) fn wake_closed(sender: &watch::Sender<u64>) {
    sender.send_replace(CLOSED);
}
