//! What sleep, a clock that was set, and a network that is back mean for the schedule.

use std::time::Duration;

use super::Scheduler;
use crate::documents::SyncKey;
use crate::timer::Jump;

/// After a resume and after getting online, runs begin within this time, by chance.
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

    /// Many syncs that became due at once do not begin at once.
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

    /// After the clock was set back, nothing waits longer than its schedule asks.
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

    /// Looks soon at syncs whose API could not be reached.
    pub(super) fn wake_offline(&mut self, which: impl Fn(&SyncKey) -> bool) {
        let now = self.now();
        let keys: Vec<SyncKey> = self.offline.iter().filter(|key| which(key)).cloned().collect();
        let spread = if keys.len() > 1 { SPREAD } else { Duration::ZERO };
        for key in keys {
            if self.due.at(&key).is_some() {
                self.offline.remove(&key);
                let at = now + self.engine.random_below(spread);
                self.due.set(&key, at);
                self.early.insert(key);
            }
        }
    }
}
