//! Housekeeping: old runs go, calls that were cut off are told as such.

use std::time::Duration;

use highwater_core::Timestamp;

use super::Scheduler;

/// How often calls that were cut off are looked for.
const CALLS: Duration = Duration::from_secs(60);

/// How often old runs are swept out.
const SWEEP: Duration = Duration::from_secs(24 * 3600);

impl Scheduler {
    pub(super) async fn sweep(&mut self) {
        let now = self.now();
        // A clock that was set back holds nothing up.
        if self.next_calls <= now || self.next_calls > now + CALLS {
            self.settle_calls(now).await;
        }
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        if let Err(error) = self.engine.sweep_logs().await {
            tracing::warn!(target: "highwater::schedule", "sweeping old runs: {error}");
        }
    }

    /// Says of actions and requests that were cut off that nobody knows what came of them.
    pub(super) async fn settle_calls(&mut self, now: Timestamp) {
        let latest = now + CALLS;
        self.next_calls = match self.engine.settle_calls().await {
            Ok(next) => next.map_or(latest, |next| next.clamp(now, latest)),
            Err(error) => {
                tracing::warn!(target: "highwater::schedule", "settling calls that were cut off: {error}");
                latest
            }
        };
    }
}
