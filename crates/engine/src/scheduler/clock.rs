//! The schedule's reaction to sleep, a changed clock, and a network that is back.

use std::time::Duration;

use highwater_core::Timestamp;

use super::Scheduler;
use crate::documents::SyncKey;
use crate::timer::Jump;

/// After a wake-up and after getting online, runs start at a random moment within this time.
const SPREAD: Duration = Duration::from_secs(2);

impl Scheduler {
    pub(super) fn look_at_clock(&mut self) {
        match self.watch.look(&*self.engine.parts().environment) {
            None => {}
            Some(Jump::Ahead(by)) => {
                tracing::info!(target: "highwater::schedule", seconds = by.as_secs(), "the machine slept, or the clock was set ahead");
                self.wake_offline(|_| true);
                self.spread_overdue();
            }
            Some(Jump::Back(by)) => {
                tracing::info!(target: "highwater::schedule", seconds = by.as_secs(), "the clock was set back");
                self.bring_nearer();
            }
        }
    }

    /// Spreads syncs that became due at the same time.
    pub(super) fn spread_overdue(&mut self) {
        let now = self.now();
        let mut overdue = Vec::new();
        while let Some(key) = self.due.pop(now) {
            overdue.push(key);
        }
        let spread = if overdue.len() > 1 { SPREAD } else { Duration::ZERO };
        for key in overdue {
            let at = now + self.engine.random_below(spread);
            self.due.set(&key, at);
        }
    }

    /// After the clock was set back, no sync waits longer than its schedule says.
    fn bring_nearer(&mut self) {
        let now = self.now();
        for (key, settings) in &self.schedules {
            let Ok(Some(wait)) = settings.schedule.longest_wait(now) else { continue };
            let latest = now + wait;
            if self.due.at(key).is_some_and(|at| at > latest) {
                self.due.set(key, latest);
            }
        }
    }

    /// Retries offline syncs soon.
    pub(super) fn wake_offline(&mut self, which: impl Fn(&SyncKey) -> bool) {
        let now = self.now();
        let keys: Vec<SyncKey> = self.offline.iter().filter(|key| which(key)).cloned().collect();
        let spread = if keys.len() > 1 { SPREAD } else { Duration::ZERO };
        for key in keys {
            let soon = |at: Timestamp| self.early.contains(&key) && at <= now + SPREAD;
            // One that is looked at soon already is not put off.
            if self.due.at(&key).is_some_and(|at| !soon(at)) {
                let at = now + self.engine.random_below(spread);
                self.due.set(&key, at);
                self.early.insert(key);
            }
        }
    }
}
