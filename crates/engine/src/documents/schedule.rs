//! Schedules of syncs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater_core::{Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::sync::SyncStatus;
use crate::cron::Cron;
use crate::mutants::mutant;
use crate::timer::{duration_ms, millis};

/// The shortest interval.
const SHORTEST: Duration = Duration::from_millis(100);

/// When a sync runs: at an interval, counted from the beginning of one run to the beginning of the
/// next, or by a cron expression.
///
/// ```
/// use std::time::Duration;
/// use highwater_engine::Schedule;
/// let nightly = Schedule::cron("30 3 * * *")?;
/// let often: Schedule = Duration::from_secs(300).into();
/// assert!(Schedule::cron("0 0 30 2 *").is_err(), "February has no 30th");
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// At this interval, at least 100 ms. Stored in whole milliseconds.
    #[serde(rename = "every_ms", with = "duration_ms")]
    Every(Duration),
    /// By a cron expression, in UTC: see [`Schedule::cron`].
    Cron(String),
}

impl From<Duration> for Schedule {
    fn from(interval: Duration) -> Self {
        Schedule::Every(Duration::from_millis(millis(interval)).max(SHORTEST))
    }
}

impl Schedule {
    /// Returns a schedule that runs every `interval`, at least 100 ms.
    pub fn every(interval: Duration) -> Self {
        interval.into()
    }

    /// Parses a cron expression, in UTC: `minute hour day-of-month month day-of-week`. With six fields, the first is the second;
    /// with seven, the last is the year as well. After the last slot of its years a sync no longer runs
    /// ([`Phase::Ended`](crate::Phase::Ended)).
    ///
    /// If both day fields are restricted, a day that matches *either* is a slot, and `*/2` is a restriction:
    /// `0 0 */2 * 1` runs on every odd day of the month and on every Monday. With a `+` before the day of the week
    /// (`0 0 */2 * +1`) a day has to match both.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for an expression that cannot be parsed, including time zones (`CRON_TZ=`), `5/15` and ranges that end
    /// before they begin (`22-4`), and for one that no time ever matches (`0 0 30 2 *`).
    pub fn cron(expression: impl Into<String>) -> Result<Self> {
        let expression = expression.into();
        check(&expression)?;
        Ok(Schedule::Cron(expression))
    }

    /// Returns the interval, if it is one.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Schedule::Every(interval) => Some(*interval),
            Schedule::Cron(_) => None,
        }
    }

    /// When the first run of a sync that is enabled now is due.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the schedule has no future slot.
    pub(crate) fn first(&self, now: Timestamp) -> Result<Timestamp> {
        self.upcoming(now)?.ok_or_else(|| {
            let error = Error::new(ErrorKind::Invalid, "every slot of the cron expression is in the past: correct it");
            match self {
                Schedule::Cron(expression) => error.with("cron", expression),
                Schedule::Every(_) => error,
            }
        })
    }

    /// When a sync that never ran is due; `None` after the last slot.
    fn upcoming(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        match self {
            Schedule::Every(_) => Ok(Some(now)),
            Schedule::Cron(expression) => next_slot(expression, now),
        }
    }

    /// When a sync with this status is due; `None`: never. A status without a due time is not due at once: its schedule has
    /// ended, or it was written by a build that could not parse the schedule.
    pub(crate) fn due(&self, status: &SyncStatus, now: Timestamp) -> Result<Option<Timestamp>> {
        let due = match (status.next_due_at, status.last_started_at) {
            (Some(due), _) => Some(due),
            (None, Some(started)) => self.next(started, now)?,
            (None, None) => self.upcoming(now)?,
        };
        if status.last_started_at.is_some_and(|started| started > now) {
            // That run began by a clock that was set back since.
            let latest = self.longest_wait(now)?.map(|wait| now + wait);
            return Ok(due.into_iter().chain(latest).min());
        }
        Ok(if mutant!("never-due-is-now") { due.or(Some(now)) } else { due })
    }

    /// When the run after the one that began at `started` is due; `None` after the schedule's last slot. Missed slots collapse
    /// into one.
    pub(crate) fn next(&self, started: Timestamp, now: Timestamp) -> Result<Option<Timestamp>> {
        let next = match self {
            Schedule::Every(interval) => Some(started + (*interval).max(SHORTEST)),
            Schedule::Cron(expression) => next_slot(expression, started)?,
        };
        Ok(next.map(|next| next.max(now)))
    }

    /// The longest time between two runs, for a clock that was set back; `None` without a future slot.
    pub(crate) fn longest_wait(&self, now: Timestamp) -> Result<Option<Duration>> {
        match self {
            Schedule::Every(interval) => Ok(Some((*interval).max(SHORTEST))),
            Schedule::Cron(expression) => Ok(next_slot(expression, now)?.map(|next| next.duration_since(now))),
        }
    }
}

fn check(expression: &str) -> Result<()> {
    match next_slot(expression, Timestamp::UNIX_EPOCH)? {
        Some(_) => Ok(()),
        None => {
            let message = "no time ever matches the cron expression: correct it";
            Err(Error::new(ErrorKind::Invalid, message).with("cron", expression))
        }
    }
}

/// The first slot after `after`, if there is one.
fn next_slot(expression: &str, after: Timestamp) -> Result<Option<Timestamp>> {
    let cron = parse(expression)?;
    let after = i64::try_from(after.unix_ms()).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    let next = after.and_then(|after| cron.next(after));
    Ok(next.and_then(|next| u64::try_from(next.timestamp_millis()).ok()).map(Timestamp::from_unix_ms))
}

fn parse(expression: &str) -> Result<Cron> {
    let invalid = |message| Error::new(ErrorKind::Invalid, message).with("cron", expression);
    if expression.contains('=') {
        return Err(invalid(
            "a cron expression is in UTC and cannot set a time zone: remove the setting in front of it",
        ));
    }
    Cron::parse(expression).map_err(|part| {
        let message = "the cron expression cannot be read: it has five fields, such as `30 3 * * *`, or six with the second in \
                       front, or seven with the year at the end";
        invalid(message).with("part", part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_slots_collapse_into_one() {
        let every = Schedule::every(Duration::from_secs(1));
        let at = Timestamp::from_unix_ms;
        assert_eq!(every.first(at(77)).unwrap(), at(77));
        assert_eq!(every.next(at(5000), at(5100)).unwrap(), Some(at(6000)));
        assert_eq!(every.next(at(5000), at(99_000)).unwrap(), Some(at(99_000)));
        assert_eq!(Schedule::every(Duration::ZERO).interval(), Some(Duration::from_millis(100)));
        assert_eq!(serde_json::to_string(&every).unwrap(), r#"{"every_ms":1000}"#);
    }

    #[test]
    fn cron_slots_are_those_behind_the_last_beginning() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let nightly = Schedule::cron("30 3 * * *").unwrap();
        let noon = at("2026-11-24T12:00:00Z");
        assert_eq!(nightly.first(noon).unwrap(), at("2026-11-25T03:30:00Z"));
        let slot = at("2026-11-25T03:30:00Z");
        assert_eq!(nightly.next(slot, slot + Duration::from_millis(5)).unwrap(), Some(at("2026-11-26T03:30:00Z")));
        let weeks_later = at("2026-12-24T12:00:00Z");
        assert_eq!(nightly.next(slot, weeks_later).unwrap(), Some(weeks_later), "slept through: one run, now");
        let error = Schedule::cron("every day").unwrap_err();
        assert_eq!((error.kind(), error.context("cron")), (ErrorKind::Invalid, Some("every day")));
    }
    /// The slots of an expression behind a Sunday, as `day hour:minute:second`, or why there are none.
    fn slots(expression: &str, count: usize) -> std::result::Result<Vec<String>, String> {
        let schedule = Schedule::cron(expression).map_err(|error| error.to_string())?;
        let mut at: Timestamp = "2026-11-29T00:00:00Z".parse().unwrap();
        let slot = |_| {
            at = schedule.next(at, Timestamp::UNIX_EPOCH).unwrap()?;
            let time = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::from(at));
            Some(time.format("%d %H:%M:%S").to_string())
        };
        Ok((0..count).map_while(slot).collect())
    }

    /// The table of `docs/engine.md`.
    #[test]
    fn what_a_cron_expression_may_say() {
        for (expression, expected) in [
            ("30 3 * * *", ["29 03:30:00", "30 03:30:00", "01 03:30:00"]),
            ("15 30 3 * * *", ["29 03:30:15", "30 03:30:15", "01 03:30:15"]),
            ("0 30 3 * * * 2026-2027", ["29 03:30:00", "30 03:30:00", "01 03:30:00"]),
            ("*/20 0 * * *", ["29 00:20:00", "29 00:40:00", "30 00:00:00"]),
            ("5-59/25 0 * * *", ["29 00:05:00", "29 00:30:00", "29 00:55:00"]),
            ("0 22-23,0-1 * * *", ["29 01:00:00", "29 22:00:00", "29 23:00:00"]),
            ("0 12 * * MON-WED", ["30 12:00:00", "01 12:00:00", "02 12:00:00"]),
            ("0 12 * * 6-7", ["29 12:00:00", "05 12:00:00", "06 12:00:00"]),
            ("0 0 L * *", ["30 00:00:00", "31 00:00:00", "31 00:00:00"]),
            ("0 0 * * MON#1", ["07 00:00:00", "04 00:00:00", "01 00:00:00"]),
            ("0 0 * jan,Dec fril", ["25 00:00:00", "29 00:00:00", "31 00:00:00"]),
            ("0 0 LW * *", ["30 00:00:00", "31 00:00:00", "29 00:00:00"]),
            ("0 0 15W * *", ["15 00:00:00", "15 00:00:00", "15 00:00:00"]),
            // Either day field, then both.
            ("0 0 */2 * 1", ["30 00:00:00", "01 00:00:00", "03 00:00:00"]),
            ("0 0 */2 * +1", ["07 00:00:00", "21 00:00:00", "11 00:00:00"]),
            ("0 0 1 * ?", ["01 00:00:00", "01 00:00:00", "01 00:00:00"]),
            ("@daily", ["30 00:00:00", "01 00:00:00", "02 00:00:00"]),
        ] {
            assert_eq!(slots(expression, 3).unwrap(), expected, "{expression}");
        }
        assert_eq!(slots("0 0 12 29 11 * 2026", 3).unwrap(), ["29 12:00:00"], "the year's last slot");
        assert_eq!(slots("0 0 0 1 1 * 2020", 3).unwrap().len(), 0);
        for (expression, why) in [
            ("", "cannot be read"),
            ("every day", "cannot be read"),
            ("* * * *", "cannot be read"),
            ("0 0 0 1 1 * 2026 x", "cannot be read"),
            ("60 * * * *", "cannot be read"),
            ("5/15 * * * *", "cannot be read"),
            ("/15 * * * *", "cannot be read"),
            ("*/0 * * * *", "cannot be read"),
            ("0 22-4 * * *", "cannot be read"),
            ("0 0 * * FRI-MON", "cannot be read"),
            ("0 0 * * MONTUE", "cannot be read"),
            ("0 0 1 JANFEB *", "cannot be read"),
            ("0 0 1 1JAN *", "cannot be read"),
            ("0,,5 * * * *", "cannot be read"),
            (", * * * *", "cannot be read"),
            ("@reboot", "cannot be read"),
            ("@every 5m", "cannot be read"),
            ("H * * * *", "cannot be read"),
            ("CRON_TZ=Europe/Berlin 0 3 * * *", "time zone"),
            ("TZ=UTC 0 3 * * *", "time zone"),
            ("0 0 30 2 *", "no time ever matches"),
            ("0 0 31 4,6,9,11 *", "no time ever matches"),
            ("0 0 0 1 1 * 1969", "no time ever matches"),
            ("0 0 0 29 2 * 2027", "no time ever matches"),
        ] {
            let error = slots(expression, 1).expect_err(expression);
            assert!(error.contains(why), "{expression}: {error}");
        }
    }
}
