//! What is asked of a run.

use crate::cancel::CancelToken;
use crate::documents::DeletePolicy;

/// How a run is to be.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// Reads everything again, whatever the checkpoint says, and notices deletes.
    pub full: bool,
    /// Empties the streams first. With `full` alone.
    pub clear: bool,
    /// The host has looked at the deletes that a guard held back, and wants them.
    pub approve_deletes: bool,
    /// When deletes are allowed, in place of what the sync's settings say.
    pub deletes: Option<DeletePolicy>,
    /// Stops the run.
    pub cancel: CancelToken,
    /// Whether the schedule asks, rather than somebody: then only if it is due.
    pub(crate) scheduled: bool,
    /// Even before it is due: the network is back.
    pub(crate) early: bool,
}

impl RunOptions {
    /// Reads everything again.
    #[must_use]
    pub fn full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Empties the streams and reads everything again.
    #[must_use]
    pub fn clear(mut self, clear: bool) -> Self {
        self.clear = clear;
        self.full |= clear;
        self
    }

    /// Approves deletes beyond the guard.
    #[must_use]
    pub fn approve_deletes(mut self, approve: bool) -> Self {
        self.approve_deletes = approve;
        self
    }

    /// Deletes by this policy.
    #[must_use]
    pub fn deletes(mut self, policy: DeletePolicy) -> Self {
        self.deletes = Some(policy);
        self
    }

    /// Stops when `token` is cancelled.
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
