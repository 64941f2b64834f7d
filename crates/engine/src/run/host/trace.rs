//! What a run spends its time on, for its trace.

use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Result, Timestamp, WriteBatch};

use super::Host;
use crate::documents::RunPhaseKind;

impl Host<'_> {
    /// The time since some moment, by a clock that nobody sets where there is one.
    pub(crate) fn elapsed(&self) -> Duration {
        let environment = &self.engine.parts().environment;
        environment.elapsed().unwrap_or_else(|| environment.now().duration_since(Timestamp::UNIX_EPOCH))
    }

    /// Adds the time since `begun` to a phase.
    pub(crate) fn spend(&self, phase: RunPhaseKind, count: u64, begun: Duration) {
        let took = self.elapsed().saturating_sub(begun);
        lock(&self.trace).spend(phase, count, took);
    }

    /// How many deletes the end of the run found, whether they may go or not.
    pub(crate) fn deletes_found(&self) -> u64 {
        let held: u64 = lock(&self.report).held.iter().map(|held| held.deletes).sum();
        held.max(lock(&self.settlement).models.iter().map(|settled| settled.deletes).sum())
    }

    /// Adds a request that began at `begun`, when the run had been held back for `waited`.
    pub(super) fn fetched_since(&self, begun: Duration, waited: Duration) {
        let took = self.elapsed().saturating_sub(begun);
        let mut trace = lock(&self.trace);
        let held = trace.waited().saturating_sub(waited);
        trace.spend(RunPhaseKind::Fetch, 1, took.saturating_sub(held));
    }

    /// Stores the trace with `batch`, if it has something new.
    pub(crate) fn put_trace(&self, batch: &mut WriteBatch) -> Result<()> {
        lock(&self.trace).put(self.run, batch)
    }

    /// Removes what `batch` would store of it.
    pub(crate) fn forget_trace(&self, batch: &mut WriteBatch) {
        lock(&self.trace).forget(self.run, batch);
    }
}
