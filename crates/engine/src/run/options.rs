//! Options of a run.

use crate::cancel::CancelToken;
use crate::documents::DeletePolicy;

/// Options of a single run.
///
/// ```
/// use highwater_engine::RunOptions;
/// use highwater_engine::runs::CancelToken;
/// let token = CancelToken::new();
/// let options = RunOptions::default().full(true).cancel(token.clone());
/// assert!(options.full);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// Whether to read everything again, ignoring the checkpoint, and detect deletes.
    pub full: bool,
    /// Whether to clear the streams first. Only with `full`.
    pub clear: bool,
    /// Whether deletes beyond the guard are approved in advance.
    pub approve_deletes: bool,
    /// The delete policy, in place of the one in the sync's settings.
    pub deletes: Option<DeletePolicy>,
    /// The token that cancels the run.
    pub cancel: CancelToken,
    /// Whether the schedule requests the run, so that it only begins if it is due.
    pub(crate) scheduled: bool,
    /// Even before it is due: the network is back.
    pub(crate) early: bool,
}

impl RunOptions {
    /// Sets whether to read everything again, which also detects deletes.
    #[must_use]
    pub fn full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Sets whether to clear the streams and read everything again.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = clear;
        self.full |= clear;
        self
    }

    /// Sets whether deletes beyond the guard are approved in advance.
    #[must_use]
    pub fn approve_deletes(mut self, approve: bool) -> Self {
        self.approve_deletes = approve;
        self
    }

    /// Sets the delete policy for this run.
    #[must_use]
    pub fn deletes(mut self, policy: DeletePolicy) -> Self {
        self.deletes = Some(policy);
        self
    }

    /// Cancels the run when `token` is cancelled.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = token;
        self
    }

    pub(crate) fn scheduled(mut self, early: bool) -> Self {
        self.scheduled = true;
        self.early = early;
        self
    }
}
