//! Hints that something may have changed.

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// Wakes after commits. A hint without data: look at the log to learn what is new. Wakes that
/// nobody waited for are merged into one, none is lost.
#[derive(Clone, Debug)]
pub struct Wakeups(watch::Receiver<u64>);

impl Wakeups {
    pub(crate) fn channel() -> (watch::Sender<u64>, Wakeups) {
        let (sender, receiver) = watch::channel(0);
        (sender, Wakeups(receiver))
    }

    /// Waits until something was committed since the last call, or since `subscribe`.
    /// Cancel-safe. Fails with [`ErrorKind::Closed`] once the store is closed.
    pub async fn changed(&mut self) -> Result<()> {
        self.0.changed().await.map_err(|_| Error::new(ErrorKind::Closed, "the store was closed"))
    }

    /// Whether something was committed since the last call of [`changed`](Wakeups::changed).
    pub fn has_changed(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }
}
