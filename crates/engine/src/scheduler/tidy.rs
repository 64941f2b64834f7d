//! Housekeeping: removes old runs, and ends the records of interrupted calls.

use std::time::Duration;

use highwater_core::Timestamp;

use super::Scheduler;

/// How often to check for interrupted calls.
const CALLS: Duration = Duration::from_secs(60);

/// How often old runs are removed.
const SWEEP: Duration = Duration::from_secs(24 * 3600);

impl Scheduler {
    pub(super) async fn sweep(&mut self) {
        let now = self.now();
        // A clock that was set back delays nothing.
        if self.next_calls <= now || self.next_calls > now + CALLS {
            self.settle_calls(now).await;
        }
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        if let Err(error) = self.engine.sweep_logs().await {
            tracing::warn!(target: "highwater::schedule", "old runs could not be removed: {error}");
        }
    }

    /// Records the outcome of interrupted actions and requests as unknown.
    pub(super) async fn settle_calls(&mut self, now: Timestamp) {
        let latest = now + CALLS;
        self.next_calls = match self.engine.settle_calls().await {
            Ok(next) => next.map_or(latest, |next| next.clamp(now, latest)),
            Err(error) => {
                tracing::warn!(target: "highwater::schedule", "interrupted calls could not be recorded: {error}");
                latest
            }
        };
    }
}
