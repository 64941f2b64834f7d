//! Decides the kind of the next run: the interrupted refresh, a full refresh, or an incremental run.

use std::time::Duration;

use highwater_core::Timestamp;

use crate::documents::{OpenRefresh, SyncStatus, Trigger, TriggerMode};
use crate::run::RunOptions;

/// Attempts of a full refresh that save no page, after which it starts over.
const FRUITLESS: u32 = 3;

/// An interrupted full refresh older than this starts over: too much may have changed at the source.
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// A run that began further in the future than this was timed by another clock.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// The kind of the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The interrupted full refresh continues.
    Resume,
    /// Everything, from the beginning.
    Full { reset: bool, clear: bool },
    /// The changes since the checkpoint.
    Incremental,
}

/// Whether a scheduled run may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Timestamp),
    /// The schedule has no further slot.
    Never,
}

/// What the time of the next run means now; `next` is `None` if the schedule has no further slot.
pub(super) fn due(status: &SyncStatus, next: Option<Timestamp>, now: Timestamp) -> Due {
    // A run that began in the future was timed by a clock that has been set back since.
    if status.last_started_at.is_some_and(|started| started > now + CLOCK_SLACK) {
        return Due::Now;
    }
    match next {
        None => Due::Never,
        Some(due) if due > now => Due::At(due),
        Some(_) => Due::Now,
    }
}

pub(super) fn plan(
    options: &RunOptions,
    trigger: Option<&Trigger>,
    open: Option<&OpenRefresh>,
    has_checkpoint: bool,
    now: Timestamp,
) -> Plan {
    let asked = trigger.map_or(TriggerMode::Plain, |trigger| trigger.mode);
    if options.full || asked != TriggerMode::Plain {
        return Plan::Full { reset: true, clear: options.clear || asked == TriggerMode::ResetAndClear };
    }
    match open {
        Some(open) if can_resume(open, now) => Plan::Resume,
        Some(_) => Plan::Full { reset: true, clear: false },
        None if has_checkpoint => Plan::Incremental,
        None => Plan::Full { reset: false, clear: false },
    }
}

fn can_resume(open: &OpenRefresh, now: Timestamp) -> bool {
    let fresh = now.duration_since(open.saved_at) <= RESUME_WITHIN;
    // Without a checkpoint it would list again from the beginning under the marks of the first listing.
    open.checkpoint.is_some() && fresh && open.tries < FRUITLESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Schedule;

    fn open(saved_at: Timestamp, tries: u32, checkpoint: &str) -> OpenRefresh {
        let checkpoint = serde_json::from_str(checkpoint).ok();
        OpenRefresh { saved_at, tries, checkpoint, ..OpenRefresh::default() }
    }

    #[test]
    fn h39_an_interrupted_refresh_goes_on_or_starts_over() {
        let options = RunOptions::default();
        let full = Plan::Full { reset: true, clear: false };
        let start = Timestamp::from_unix_ms(1000);
        let now = start + RESUME_WITHIN;
        let of = |open: OpenRefresh, has_checkpoint| plan(&options, None, Some(&open), has_checkpoint, now);
        assert_eq!(of(open(now, 1, "7"), true), Plan::Resume);
        assert_eq!(of(open(now, 1, ""), true), full, "no page was saved");
        assert_eq!(of(open(now, FRUITLESS, "7"), true), full, "it never gets any further");
        assert_eq!(of(open(start - Duration::from_millis(1), 1, "7"), true), full, "too long ago");
        assert_eq!(plan(&options, None, None, true, now), Plan::Incremental);
        assert_eq!(plan(&options, None, None, false, now), Plan::Full { reset: false, clear: false });
        let reset = Trigger { mode: TriggerMode::Reset, at: start };
        assert_eq!(plan(&options, Some(&reset), Some(&open(now, 1, "7")), true, now), full);
        let clear = Trigger { mode: TriggerMode::ResetAndClear, at: start };
        let cleared = Plan::Full { reset: true, clear: true };
        assert_eq!(plan(&options, Some(&clear), Some(&open(now, 1, "7")), true, now), cleared);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let at = Timestamp::from_unix_ms;
        let status =
            SyncStatus { last_started_at: Some(at(50_000)), next_due_at: Some(at(60_000)), ..SyncStatus::default() };
        let every = Schedule::every(Duration::from_secs(10));
        let due = |now| due(&status, every.due(&status, at(now)).unwrap(), at(now));
        assert_eq!(due(55_000), Due::At(at(60_000)));
        assert_eq!(due(60_000), Due::Now);
        assert_eq!(due(1000), Due::Now);
    }
}
