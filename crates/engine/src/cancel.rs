//! Cancelling a run.

use std::sync::Arc;

use tokio::sync::watch;

/// Cancels the runs that it was passed to. Clones share one state.
///
/// ```
/// let token = highwater_engine::CancelToken::new();
/// token.cancel();
/// assert!(token.is_cancelled());
/// ```
#[derive(Clone, Debug)]
pub struct CancelToken(Arc<watch::Sender<bool>>);

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken(Arc::new(watch::channel(false).0))
    }
}

impl CancelToken {
    /// Returns a token that is not cancelled.
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Cancels.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether the token was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the token is cancelled.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = receiver.wait_for(|cancelled| *cancelled).await;
    }
}
