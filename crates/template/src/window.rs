//! The span of time that an incremental run reads.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

use highwater_core::{Error, ErrorKind, Result};

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
/// use highwater_template::Window;
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
        let newest = last.map(|text| Ok::<_, Error>((read_time(text)?, text.to_owned()))).transpose()?;
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
        Ok(read_time(at)? > self.ceiling)
    }

    /// Notes a time of a record that is saved, in any form that [`read_time`] reads. A record whose time cannot be read is no
    /// reason to end the run: [set it aside](super::SyncContext::read_each).
    pub fn saw(&mut self, at: &str) -> Result<()> {
        let parsed = read_time(at)?;
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

/// Reads a time in any form that can be told from the others:
///
/// * RFC 3339, also with `+0000` for `+00:00`, a space for `T`, without separators (`20261118T100000Z`), or without a zone:
///   that is UTC;
/// * a date alone: midnight UTC;
/// * RFC 2822;
/// * Unix time in seconds (9 to 11 digits, and a fraction), milliseconds (12 to 14), microseconds (15 to 17) or nanoseconds
///   (18 or 19).
///
/// # Errors
/// [`ErrorKind::Remote`] for any other text.
///
/// ```
/// use highwater_template::read_time;
/// let expected = read_time("2026-11-18T10:00:00Z")?;
/// for text in ["2026-11-18T12:00:00.000+0200", "2026-11-18 10:00:00", "Wed, 18 Nov 2026 10:00:00 GMT", "1794996000"] {
///     assert_eq!(read_time(text)?, expected, "{text}");
/// }
/// assert!(read_time("18/11/2026").is_err());
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn read_time(text: &str) -> Result<DateTime<Utc>> {
    let text = text.trim();
    let with_zone = || {
        let parsed = DateTime::parse_from_rfc3339(text);
        // Jira writes `+0000`.
        parsed.or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z")).ok()
    };
    let without_zone = || {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y%m%dT%H%M%SZ"];
        forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).map(|time| time.and_utc())
    };
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|time| time.and_utc());
    let mail = || DateTime::parse_from_rfc2822(text).ok().map(|time| time.with_timezone(&Utc));
    with_zone()
        .map(|time| time.with_timezone(&Utc))
        .or_else(without_zone)
        .or_else(date)
        .or_else(|| since_1970(text))
        .or_else(mail)
        .ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Error::new(ErrorKind::Remote, "the API sent a time in an unknown form").with("time", shown)
        })
}

/// Unix time, in the unit that its length tells: shorter numbers may be dates without separators.
fn since_1970(text: &str) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match (whole.len(), fraction.is_empty()) {
        (9..=11, _) => DateTime::from_timestamp(number, format!("{fraction:0<9}").parse().ok()?),
        (12..=14, true) => DateTime::from_timestamp_millis(number),
        (15..=17, true) => DateTime::from_timestamp_micros(number),
        (18 | 19, true) => Some(DateTime::from_timestamp_nanos(number)),
        _ => None,
    }
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
    fn times_are_read_in_every_form_that_is_not_ambiguous() {
        let expected = DateTime::parse_from_rfc3339("2026-11-18T10:00:00Z").unwrap();
        for text in [
            "2026-11-18T10:00:00Z",
            "2026-11-18t10:00:00z",
            "2026-11-18 10:00:00Z",
            "2026-11-18T10:00:00.000+00:00",
            "2026-11-18T12:00:00.000+0200",
            "2026-11-18T10:00:00",
            "2026-11-18 10:00:00.000",
            "20261118T100000Z",
            " 2026-11-18T10:00:00Z\n",
            "Wed, 18 Nov 2026 10:00:00 +0000",
            "Wed, 18 Nov 2026 10:00:00 GMT",
            "1794996000",
            "1794996000.000000",
            "1794996000000",
            "1794996000000000",
            "1794996000000000000",
        ] {
            assert_eq!(read_time(text).unwrap(), expected, "{text}");
        }
        assert_eq!(read_time("2026-11-18").unwrap().to_rfc3339(), "2026-11-18T00:00:00+00:00");
        assert_eq!(read_time("1794996000.25").unwrap().timestamp_subsec_millis(), 250);
        // More digits than nanoseconds have.
        for fraction in ["12345678", "123456789", "1234567890123"] {
            let text = format!("2026-11-18T10:00:00.{fraction}Z");
            assert_eq!(read_time(&text).unwrap().timestamp_subsec_micros(), 123_456, "{text}");
        }
        for text in [
            "",
            "null",
            "yesterday",
            "0",
            "20261118",
            "2026",
            "11/18/2026",
            "18.11.2026",
            "10:00:00",
            "-1794996000",
            "1e9",
            "17949960000000000000",
            "2026-13-01",
            "2026-02-30T10:00:00Z",
            "0000-00-00 00:00:00",
            "20662",
            "1794996000.",
            "1794996000000.5",
        ] {
            let read = read_time(text);
            // A fraction that is left out is none.
            assert!(read.is_err() || text == "1794996000.", "{text}: {read:?}");
        }
    }

    #[test]
    fn h44_a_checkpoint_at_the_ends_of_time_is_no_trouble() {
        for (last, since) in [
            ("1970-01-01T00:00:00Z", "1969-12-31T23:58:00Z"),
            ("0001-01-01T00:00:00Z", "0000-12-31T23:58:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:57:59Z"),
        ] {
            let mut window = Window::new(Some(last), Duration::from_secs(120), STARTED_MS).unwrap();
            assert_eq!(window.since().as_deref(), Some(since));
            window.saw("9999-12-31T23:59:59Z").unwrap();
            assert_eq!(window.checkpoint(), Some(last), "what is to come does not move it");
        }
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
