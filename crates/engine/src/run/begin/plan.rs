//! What the next run is: the interrupted refresh, everything anew, or what changed.

use std::time::Duration;

use highwater_core::Result;

use crate::control::{Trigger, TriggerMode};
use crate::run::host::OpenRefresh;
use crate::run::report::RunOptions;
use crate::schedule::Schedule;
use crate::sync::SyncStatus;
use crate::timer::millis;

/// Attempts of a full refresh that save no page, after which it starts over.
const FRUITLESS: u32 = 3;

/// An interrupted full refresh older than this starts over: too much may have moved at the source.
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// What the next run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The interrupted full refresh goes on.
    Resume,
    /// Everything, from the beginning.
    Full { reset: bool, clear: bool },
    /// What changed since the checkpoint.
    Incremental,
}

/// Whether a run that the schedule asks for may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(u64),
    /// The schedule has no further slot.
    Never,
}

pub(super) fn due(status: &SyncStatus, schedule: &Schedule, now_ms: u64) -> Result<Due> {
    // A run that began in the future was timed by a clock that was set back since.
    if status.last_started_ms.is_some_and(|started| started > now_ms.saturating_add(1000)) {
        return Ok(Due::Now);
    }
    Ok(match schedule.due(status, now_ms)? {
        None => Due::Never,
        Some(due_ms) if due_ms > now_ms => Due::At(due_ms),
        Some(_) => Due::Now,
    })
}

pub(super) fn plan(
    options: &RunOptions,
    trigger: Option<&Trigger>,
    open: Option<&OpenRefresh>,
    has_checkpoint: bool,
    now_ms: u64,
) -> Plan {
    let asked = trigger.map_or(TriggerMode::Plain, |trigger| trigger.mode);
    if options.full || asked != TriggerMode::Plain {
        return Plan::Full { reset: true, clear: options.clear || asked == TriggerMode::ResetAndClear };
    }
    match open {
        Some(open) if can_resume(open, now_ms) => Plan::Resume,
        Some(_) => Plan::Full { reset: true, clear: false },
        None if has_checkpoint => Plan::Incremental,
        None => Plan::Full { reset: false, clear: false },
    }
}

fn can_resume(open: &OpenRefresh, now_ms: u64) -> bool {
    let fresh = now_ms.saturating_sub(open.saved_ms) <= millis(RESUME_WITHIN);
    // Without a checkpoint it would list again from the beginning under the marks of the first listing.
    open.checkpoint.is_some() && fresh && open.tries < FRUITLESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(saved_ms: u64, tries: u32, checkpoint: &str) -> OpenRefresh {
        let checkpoint = serde_json::from_str(checkpoint).ok();
        OpenRefresh { saved_ms, tries, checkpoint, ..OpenRefresh::default() }
    }

    #[test]
    fn h39_an_interrupted_refresh_goes_on_or_starts_over() {
        let options = RunOptions::default();
        let full = Plan::Full { reset: true, clear: false };
        let now_ms = millis(RESUME_WITHIN) + 1000;
        let of = |open: OpenRefresh, has_checkpoint| plan(&options, None, Some(&open), has_checkpoint, now_ms);
        assert_eq!(of(open(now_ms, 1, "7"), true), Plan::Resume);
        assert_eq!(of(open(now_ms, 1, ""), true), full, "no page was saved");
        assert_eq!(of(open(now_ms, FRUITLESS, "7"), true), full, "it never gets any further");
        assert_eq!(of(open(999, 1, "7"), true), full, "too long ago");
        assert_eq!(plan(&options, None, None, true, now_ms), Plan::Incremental);
        assert_eq!(plan(&options, None, None, false, now_ms), Plan::Full { reset: false, clear: false });
        let reset = Trigger { mode: TriggerMode::Reset, at_ms: 0 };
        assert_eq!(plan(&options, Some(&reset), Some(&open(now_ms, 1, "7")), true, now_ms), full);
        let clear = Trigger { mode: TriggerMode::ResetAndClear, at_ms: 0 };
        let cleared = Plan::Full { reset: true, clear: true };
        assert_eq!(plan(&options, Some(&clear), Some(&open(now_ms, 1, "7")), true, now_ms), cleared);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let status = SyncStatus { last_started_ms: Some(50_000), next_due_ms: Some(60_000), ..SyncStatus::default() };
        let due = |now_ms| due(&status, &Schedule::EveryMs(10_000), now_ms).unwrap();
        assert_eq!(due(55_000), Due::At(60_000));
        assert_eq!(due(60_000), Due::Now);
        assert_eq!(due(1000), Due::Now);
    }
}
