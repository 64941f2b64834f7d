//! Times in the many forms in which APIs write them.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use highwater_core::{Error, ErrorKind, Result, Timestamp};

/// Parses a time in any form that is not ambiguous:
///
/// * RFC 3339, also with `+0000` for `+00:00`, a space for `T`, without separators (`20261118T100000Z`), or without a zone,
///   which is then UTC;
/// * a date alone: midnight UTC;
/// * RFC 2822;
/// * Unix time in seconds (9 to 11 digits, and a fraction), milliseconds (12 to 14), microseconds (15 to 17) or nanoseconds
///   (18 or 19).
///
/// Fractions of a millisecond are cut off, and times before 1970 become the Unix epoch.
///
/// ```
/// use highwater_template::records::parse_time;
/// let expected = parse_time("2026-11-18T10:00:00Z")?;
/// for text in ["2026-11-18T12:00:00.000+0200", "2026-11-18 10:00:00", "Wed, 18 Nov 2026 10:00:00 GMT", "1794996000"] {
///     assert_eq!(parse_time(text)?, expected, "{text}");
/// }
/// assert!(parse_time("18/11/2026").is_err());
/// # Ok::<(), highwater_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Remote`] for any other text.
pub fn parse_time(text: &str) -> Result<Timestamp> {
    Ok(SystemTime::from(parse_date(text)?).into())
}

/// Parses a time as [`parse_time`] does, to the nanosecond and at any date.
pub(crate) fn parse_date(text: &str) -> Result<DateTime<Utc>> {
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

/// Parses Unix time in the unit that follows from its length. Shorter numbers may be dates without separators.
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
            assert_eq!(parse_date(text).unwrap(), expected, "{text}");
            assert_eq!(parse_time(text).unwrap().unix_ms(), 1_794_996_000_000, "{text}");
        }
        assert_eq!(parse_date("2026-11-18").unwrap().to_rfc3339(), "2026-11-18T00:00:00+00:00");
        assert_eq!(parse_date("1794996000.25").unwrap().timestamp_subsec_millis(), 250);
        // More digits than nanoseconds have.
        for fraction in ["12345678", "123456789", "1234567890123"] {
            let text = format!("2026-11-18T10:00:00.{fraction}Z");
            assert_eq!(parse_date(&text).unwrap().timestamp_subsec_micros(), 123_456, "{text}");
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
            let read = parse_time(text);
            // A fraction that is left out is none.
            assert!(read.is_err() || text == "1794996000.", "{text}: {read:?}");
        }
    }
}
