//! The span of time that an incremental run reads.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::error::{Error, ErrorKind, Result};

/// From a little before what the last run saw, up to when this one began.
///
/// * The overlap reads again what the API may have shown late; unchanged records cost nothing (H45).
/// * The lower bound is meant for an inclusive filter, and is rounded down only (H43, H44).
/// * The checkpoint is the API's own text of a time that was seen, never a clock of ours (H44, H46).
/// * What was changed after the run began is saved, but does not move the checkpoint: records beside
///   it may not have been seen yet, and the run has an end (H47).
///
/// ```
/// use std::time::Duration;
/// use highwater_core::template::Window;
/// let mut window = Window::new(Some("2026-11-23T10:00:00.7Z"), Duration::from_secs(120), 1_795_500_000_000)?;
/// assert_eq!(window.since().as_deref(), Some("2026-11-23T09:58:00Z"));
/// window.saw("2026-11-23T10:05:30.25Z")?;
/// assert_eq!(window.checkpoint(), Some("2026-11-23T10:05:30.25Z"));
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Window {
    since: Option<DateTime<Utc>>,
    ceiling: DateTime<Utc>,
    newest: Option<(DateTime<Utc>, String)>,
}

impl Window {
    /// The window behind `last`, the checkpoint of the last run, for a run that began at `started_ms`
    /// ([`SyncContext::started_ms`](super::SyncContext::started_ms)).
    pub fn new(last: Option<&str>, overlap: Duration, started_ms: u64) -> Result<Self> {
        let newest = last.map(|text| Ok::<_, Error>((time(text)?, text.to_owned()))).transpose()?;
        let since = newest.as_ref().map(|(at, _)| *at - overlap);
        let ceiling = i64::try_from(started_ms).ok().and_then(DateTime::from_timestamp_millis);
        Ok(Window { since, ceiling: ceiling.unwrap_or(DateTime::<Utc>::MAX_UTC), newest })
    }

    /// The inclusive lower bound in whole seconds, rounded down; `None` where everything is to be read.
    pub fn since(&self) -> Option<String> {
        self.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// The same as a time.
    pub fn since_time(&self) -> Option<DateTime<Utc>> {
        self.since
    }

    /// The same for an API that reads milliseconds.
    pub fn since_millis(&self) -> Option<String> {
        self.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    /// The upper bound: when the run began.
    pub fn ceiling(&self) -> DateTime<Utc> {
        self.ceiling
    }

    /// Whether a time lies behind the upper bound.
    pub fn is_beyond(&self, at: &str) -> Result<bool> {
        Ok(time(at)? > self.ceiling)
    }

    /// Notes a time of a record that was saved.
    pub fn saw(&mut self, at: &str) -> Result<()> {
        let parsed = time(at)?;
        if parsed <= self.ceiling && self.newest.as_ref().is_none_or(|(newest, _)| parsed > *newest) {
            self.newest = Some((parsed, at.to_owned()));
        }
        Ok(())
    }

    /// The latest time seen within the window, as the API wrote it: the next run's checkpoint.
    pub fn checkpoint(&self) -> Option<&str> {
        self.newest.as_ref().map(|(_, text)| text.as_str())
    }
}

fn time(text: &str) -> Result<DateTime<Utc>> {
    // Jira writes `+0000` where RFC 3339 wants `+00:00`.
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed
        .or_else(|error| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").map_err(|_| error))
        .map(|time| time.with_timezone(&Utc))
        .map_err(|source| {
            Error::new(ErrorKind::Remote, "the API sent a time that is not RFC 3339").with("time", text).because(source)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED_MS: u64 = 1_795_000_000_000; // 2026-11-18T11:06:40Z

    #[test]
    fn h44_the_lower_bound_is_rounded_down_whatever_the_resolution() {
        for (last, seconds, millis) in [
            ("2026-11-18T10:00:00.999999999Z", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.999Z"),
            ("2026-11-18T10:00:00Z", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.000Z"),
            ("2026-11-18T12:00:00.5+0200", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.500Z"),
            ("2026-11-18T12:00:00.5+02:00", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.500Z"),
        ] {
            let window = Window::new(Some(last), Duration::ZERO, STARTED_MS).unwrap();
            assert_eq!(window.since().as_deref(), Some(seconds));
            assert_eq!(window.since_millis().as_deref(), Some(millis));
            assert_eq!(window.checkpoint(), Some(last), "never reprinted");
        }
        assert_eq!(Window::new(None, Duration::ZERO, 0).unwrap().since(), None);
        assert_eq!(Window::new(Some("yesterday"), Duration::ZERO, 0).unwrap_err().kind(), ErrorKind::Remote);
    }

    #[test]
    fn h47_what_changes_during_the_run_is_for_the_next() {
        let mut window = Window::new(Some("2026-11-18T10:00:00Z"), Duration::from_secs(60), STARTED_MS).unwrap();
        window.saw("2026-11-18T11:06:41Z").unwrap();
        assert_eq!(window.checkpoint(), Some("2026-11-18T10:00:00Z"));
        window.saw("2026-11-18T11:06:40Z").unwrap();
        window.saw("2026-11-18T09:00:00Z").unwrap();
        assert_eq!(window.checkpoint(), Some("2026-11-18T11:06:40Z"));
        assert!(window.is_beyond("2026-11-18T11:06:40.001Z").unwrap());
    }
}
