//! The span of time that an incremental run reads.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::records::time::parse_date;
use highwater_core::{Error, Result, Timestamp};

/// The span of time that an incremental run reads: from a little before the last change that the last run saw, to the time at
/// which this run began.
///
/// * The overlap reads again what the API may have shown late. Unchanged records cost nothing.
/// * The lower bound is inclusive and only ever rounded down, whatever the resolution of the API's filter.
/// * The checkpoint is a time that the API wrote, in its own text: no clock of ours decides what was read.
/// * What changed after the run began is saved but does not move the checkpoint: the run may not have seen other records of
///   that time, and it has to end.
///
/// ```
/// use std::time::Duration;
/// use highwater_template::{Timestamp, Window};
/// let started_at: Timestamp = "2026-11-24T06:00:00Z".parse()?;
/// let mut window = Window::new(Some("2026-11-23T10:00:00.7Z"), Duration::from_secs(120), started_at)?;
/// assert_eq!(window.since_rfc3339().as_deref(), Some("2026-11-23T09:58:00Z"));
/// window.observe("2026-11-23T10:05:30.25Z")?;
/// assert_eq!(window.checkpoint(), Some("2026-11-23T10:05:30.25Z"));
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Window {
    since: Option<DateTime<Utc>>,
    until: Timestamp,
    newest: Option<(DateTime<Utc>, String)>,
}

impl Window {
    /// Makes the window that begins `overlap` before `last`, the checkpoint of the last run, and ends at `started_at`
    /// ([`SyncContext::started_at`](super::SyncContext::started_at)).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`](crate::ErrorKind::Remote) if `last` is not a time that
    /// [`parse_time`](super::records::parse_time) reads.
    pub fn new(last: Option<&str>, overlap: Duration, started_at: Timestamp) -> Result<Self> {
        let newest = last.map(|text| Ok::<_, Error>((parse_date(text)?, text.to_owned()))).transpose()?;
        let since = newest.as_ref().map(|(at, _)| *at - overlap);
        Ok(Window { since, until: started_at, newest })
    }

    /// Returns the inclusive lower bound in milliseconds, rounded down; `None` where everything is to be read. A bound before
    /// 1970 becomes the Unix epoch.
    pub fn since(&self) -> Option<Timestamp> {
        self.since.map(|since| SystemTime::from(since).into())
    }

    /// Returns the inclusive lower bound as RFC 3339 text in whole seconds, rounded down.
    pub fn since_rfc3339(&self) -> Option<String> {
        self.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// Returns the inclusive lower bound as RFC 3339 text with milliseconds, rounded down.
    pub fn since_rfc3339_millis(&self) -> Option<String> {
        self.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    /// Returns the upper bound: when the run began.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Returns whether the window ends before a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`](crate::ErrorKind::Remote) if `at` is not a time that
    /// [`parse_time`](super::records::parse_time) reads.
    pub fn ends_before(&self, at: &str) -> Result<bool> {
        Ok(self.excludes(parse_date(at)?))
    }

    /// Takes note of a time in a record that is saved. The latest one in the window becomes the checkpoint.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`](crate::ErrorKind::Remote) if `at` is not a time that
    /// [`parse_time`](super::records::parse_time) reads. [Set the record aside](super::SyncContext::read_each) then: one
    /// record is no reason to end the run.
    pub fn observe(&mut self, at: &str) -> Result<()> {
        let parsed = parse_date(at)?;
        if !self.excludes(parsed) && self.newest.as_ref().is_none_or(|(newest, _)| parsed > *newest) {
            self.newest = Some((parsed, at.to_owned()));
        }
        Ok(())
    }

    /// Returns the latest time that was observed in the window, as the API wrote it: the next run's checkpoint.
    pub fn checkpoint(&self) -> Option<&str> {
        self.newest.as_ref().map(|(_, text)| text.as_str())
    }

    fn excludes(&self, at: DateTime<Utc>) -> bool {
        at > DateTime::<Utc>::from(SystemTime::from(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_core::ErrorKind;

    const STARTED_AT: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000); // 2026-11-18T11:06:40Z

    #[test]
    fn h44_the_lower_bound_is_rounded_down_whatever_the_resolution() {
        for (last, seconds, millis) in [
            ("2026-11-18T10:00:00.999999999Z", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.999Z"),
            ("2026-11-18T10:00:00Z", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.000Z"),
            ("2026-11-18T12:00:00.5+0200", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.500Z"),
            ("2026-11-18T12:00:00.5+02:00", "2026-11-18T10:00:00Z", "2026-11-18T10:00:00.500Z"),
        ] {
            let window = Window::new(Some(last), Duration::ZERO, STARTED_AT).unwrap();
            assert_eq!(window.since_rfc3339().as_deref(), Some(seconds));
            assert_eq!(window.since_rfc3339_millis().as_deref(), Some(millis));
            assert_eq!(window.checkpoint(), Some(last), "never reprinted");
        }
        assert_eq!(Window::new(None, Duration::ZERO, Timestamp::UNIX_EPOCH).unwrap().since(), None);
        assert_eq!(
            Window::new(Some("yesterday"), Duration::ZERO, Timestamp::UNIX_EPOCH).unwrap_err().kind(),
            ErrorKind::Remote
        );
    }

    #[test]
    fn h44_a_checkpoint_at_the_ends_of_time_is_no_trouble() {
        for (last, since) in [
            ("1970-01-01T00:00:00Z", "1969-12-31T23:58:00Z"),
            ("0001-01-01T00:00:00Z", "0000-12-31T23:58:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:57:59Z"),
        ] {
            let mut window = Window::new(Some(last), Duration::from_secs(120), STARTED_AT).unwrap();
            assert_eq!(window.since_rfc3339().as_deref(), Some(since));
            window.observe("9999-12-31T23:59:59Z").unwrap();
            assert_eq!(window.checkpoint(), Some(last), "what is to come does not move it");
        }
    }

    #[test]
    fn h47_what_changes_during_the_run_is_for_the_next() {
        let mut window = Window::new(Some("2026-11-18T10:00:00Z"), Duration::from_secs(60), STARTED_AT).unwrap();
        window.observe("2026-11-18T11:06:41Z").unwrap();
        assert_eq!(window.checkpoint(), Some("2026-11-18T10:00:00Z"));
        window.observe("2026-11-18T11:06:40Z").unwrap();
        window.observe("2026-11-18T09:00:00Z").unwrap();
        assert_eq!(window.checkpoint(), Some("2026-11-18T11:06:40Z"));
        assert!(window.ends_before("2026-11-18T11:06:40.001Z").unwrap());
    }
}
