//! Housekeeping: old runs go, calls that were cut off are told as such.

use super::Scheduler;

/// How often calls that were cut off are looked for.
const CALLS_MS: u64 = 60_000;

/// How often old runs are swept out.
const SWEEP_MS: u64 = 24 * 3600 * 1000;

impl Scheduler {
    pub(super) async fn sweep(&mut self) {
        let now_ms = self.now_ms();
        // A clock that was set back holds nothing up.
        if self.next_calls_ms <= now_ms || self.next_calls_ms > now_ms.saturating_add(CALLS_MS) {
            self.settle_calls(now_ms).await;
        }
        if now_ms < self.next_sweep_ms {
            return;
        }
        self.next_sweep_ms = now_ms.saturating_add(SWEEP_MS);
        if let Err(error) = self.engine.sweep_logs().await {
            tracing::warn!(target: "highwater::schedule", "sweeping old runs: {error}");
        }
    }

    /// Says of actions and requests that were cut off that nobody knows what came of them.
    pub(super) async fn settle_calls(&mut self, now_ms: u64) {
        let latest_ms = now_ms.saturating_add(CALLS_MS);
        self.next_calls_ms = match self.engine.settle_calls().await {
            Ok(next_ms) => next_ms.map_or(latest_ms, |next_ms| next_ms.clamp(now_ms, latest_ms)),
            Err(error) => {
                tracing::warn!(target: "highwater::schedule", "settling calls that were cut off: {error}");
                latest_ms
            }
        };
    }
}
