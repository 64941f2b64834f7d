//! When a sync runs.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::timer::millis;

/// The shortest interval.
const SHORTEST_MS: u64 = 100;

/// When a sync runs: at an interval, counted from the beginning of one run to the beginning of the
/// next, or by a cron expression.
///
/// ```
/// use std::time::Duration;
/// use highwater_engine::Schedule;
/// let nightly = Schedule::cron("30 3 * * *")?;
/// let often: Schedule = Duration::from_secs(300).into();
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Every so many milliseconds.
    EveryMs(u64),
    /// By a cron expression of five fields (or six, with seconds), in UTC.
    Cron(String),
}

impl From<Duration> for Schedule {
    fn from(interval: Duration) -> Self {
        Schedule::EveryMs(millis(interval).max(SHORTEST_MS))
    }
}

impl Schedule {
    /// Every `interval`; at least 100 ms.
    pub fn every(interval: Duration) -> Self {
        interval.into()
    }

    /// By a cron expression, in UTC.
    pub fn cron(expression: impl Into<String>) -> Result<Self> {
        let expression = expression.into();
        cron::check(&expression)?;
        Ok(Schedule::Cron(expression))
    }

    /// The interval, if it is one.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Schedule::EveryMs(every_ms) => Some(Duration::from_millis(*every_ms)),
            Schedule::Cron(_) => None,
        }
    }

    /// When the first run is due.
    pub(crate) fn first(&self, now_ms: u64) -> Result<u64> {
        match self {
            Schedule::EveryMs(_) => Ok(now_ms),
            Schedule::Cron(expression) => cron::next(expression, now_ms),
        }
    }

    /// When the run after the one that began at `started_ms` is due. Slots that passed since are one.
    pub(crate) fn next(&self, started_ms: u64, now_ms: u64) -> Result<u64> {
        let next = match self {
            Schedule::EveryMs(every_ms) => started_ms.saturating_add(*every_ms),
            Schedule::Cron(expression) => cron::next(expression, started_ms)?,
        };
        Ok(next.max(now_ms))
    }

    /// The longest that may lie between two runs, for a clock that was set back.
    pub(crate) fn longest_wait(&self, now_ms: u64) -> Result<u64> {
        match self {
            Schedule::EveryMs(every_ms) => Ok(*every_ms),
            Schedule::Cron(expression) => Ok(cron::next(expression, now_ms)?.saturating_sub(now_ms)),
        }
    }
}

#[cfg(feature = "cron")]
mod cron {
    use chrono::{DateTime, Utc};
    use croner::Cron;

    use super::{Error, ErrorKind, Result};

    pub(super) fn check(expression: &str) -> Result<()> {
        parse(expression).map(drop)
    }

    /// The first slot behind `after_ms`.
    pub(super) fn next(expression: &str, after_ms: u64) -> Result<u64> {
        let never = || {
            Error::new(ErrorKind::Invalid, "the cron expression names no time to come: correct it")
                .with("cron", expression)
        };
        let after = i64::try_from(after_ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis).ok_or_else(never)?;
        let next = parse(expression)?.find_next_occurrence(&after, false).map_err(|_| never())?;
        u64::try_from(next.timestamp_millis()).map_err(|_| never())
    }

    fn parse(expression: &str) -> Result<Cron> {
        expression.parse().map_err(|source: croner::errors::CronError| {
            Error::new(ErrorKind::Invalid, "the cron expression does not read: five fields, such as `30 3 * * *`")
                .with("cron", expression)
                .because(source)
        })
    }
}

#[cfg(not(feature = "cron"))]
mod cron {
    use super::{Error, ErrorKind, Result};

    pub(super) fn check(expression: &str) -> Result<()> {
        next(expression, 0).map(drop)
    }

    pub(super) fn next(expression: &str, _after_ms: u64) -> Result<u64> {
        Err(Error::new(ErrorKind::Unsupported, "this build knows no cron expressions: enable the feature `cron`")
            .with("cron", expression))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_slots_collapse_into_one() {
        let every = Schedule::every(Duration::from_secs(1));
        assert_eq!(every.first(77).unwrap(), 77);
        assert_eq!(every.next(5000, 5100).unwrap(), 6000);
        assert_eq!(every.next(5000, 99_000).unwrap(), 99_000);
        assert_eq!(Schedule::every(Duration::ZERO).interval(), Some(Duration::from_millis(100)));
        assert_eq!(serde_json::to_string(&every).unwrap(), r#"{"every_ms":1000}"#);
    }

    #[cfg(feature = "cron")]
    #[test]
    fn cron_slots_are_those_behind_the_last_beginning() {
        let ms = |text: &str| {
            u64::try_from(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_millis()).unwrap()
        };
        let nightly = Schedule::cron("30 3 * * *").unwrap();
        let noon = ms("2026-11-24T12:00:00Z");
        assert_eq!(nightly.first(noon).unwrap(), ms("2026-11-25T03:30:00Z"));
        let slot = ms("2026-11-25T03:30:00Z");
        assert_eq!(nightly.next(slot, slot + 5).unwrap(), ms("2026-11-26T03:30:00Z"));
        let weeks_later = ms("2026-12-24T12:00:00Z");
        assert_eq!(nightly.next(slot, weeks_later).unwrap(), weeks_later, "slept through: one run, now");
        let error = Schedule::cron("every day").unwrap_err();
        assert_eq!((error.kind(), error.context("cron")), (ErrorKind::Invalid, Some("every day")));
    }
}
