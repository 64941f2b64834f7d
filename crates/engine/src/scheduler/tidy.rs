//! Housekeeping: removes old runs and credentials of removed connections, and ends the records of interrupted calls.

use std::time::Duration;

use highwater_core::Timestamp;

use super::Scheduler;

/// How often to check for interrupted calls.
const CALLS: Duration = Duration::from_secs(60);

/// The longest and the shortest time between two checks for credentials that are to be removed.
const REMOVALS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));

/// How often old runs are removed.
const SWEEP: Duration = Duration::from_secs(24 * 3600);

impl Scheduler {
    pub(super) async fn sweep(&mut self) {
        let now = self.now();
        // A clock that was set back delays nothing.
        if self.next_calls <= now || self.next_calls > now + CALLS {
            self.settle_calls(now).await;
        }
        if self.next_removals <= now || self.next_removals > now + REMOVALS.0 {
            self.begin_removals();
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

    /// Removes credentials of removed connections. A credential store or a provider that takes its time delays no run.
    pub(super) fn begin_removals(&mut self) {
        self.next_removals = self.now() + REMOVALS.0;
        if !self.removing.is_empty() {
            return;
        }
        let engine = self.engine.clone();
        let work = async move {
            let next = engine.finish_removals().await;
            let now = engine.parts().environment.now();
            let (latest, earliest) = (now + REMOVALS.0, now + REMOVALS.1);
            match next {
                Ok(next) => next.map_or(latest, |next| next.clamp(earliest, latest)),
                Err(error) => {
                    tracing::warn!(target: "highwater::schedule", "removals of credentials could not be looked for: {error}");
                    latest
                }
            }
        };
        self.removing.spawn_on(work, &self.handle);
    }

    pub(super) fn after_removals(&mut self, next: Option<Timestamp>) {
        self.next_removals = next.unwrap_or_else(|| self.now() + REMOVALS.0);
    }
}
