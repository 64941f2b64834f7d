//! Formats of dates and times: `strptime` and `strftime` as in Python, plus the language's own directives.
//!
//! The whole-format directives are `%s`, `%s_as_float`, `%ms` and `%epoch_microseconds`; `%_ms` within a format is
//! milliseconds.

mod iso;
mod strftime;
mod strptime;

use chrono::{DateTime, FixedOffset, Timelike, Utc};
use highwater_core::{Error, ErrorKind, Result};

pub(super) use strftime::{Clock, strftime};

use super::number::{float_text, parse_float, parse_int};

/// Reads `text` by `format`. Without an offset in the format the instant is in UTC.
///
/// # Errors
/// [`ErrorKind::Invalid`] if `text` does not match `format`, or the instant is outside of the years 1 to 9999.
///
/// ```
/// use highwater_interpolation::datetime;
/// let instant = datetime::parse("1704164645000", "%ms")?;
/// assert_eq!(datetime::format(instant, "%Y-%m-%dT%H:%M:%SZ")?, "2024-01-02T03:04:05Z");
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn parse(text: &str, format: &str) -> Result<DateTime<FixedOffset>> {
    let microseconds = |scale: i64| parse_int(text).and_then(|value| i64::try_from(value).ok()?.checked_mul(scale));
    let parsed = match format {
        "%s" => microseconds(1_000_000).and_then(from_microseconds),
        "%ms" => microseconds(1_000).and_then(from_microseconds),
        "%epoch_microseconds" => microseconds(1).and_then(from_microseconds),
        "%s_as_float" => parse_float(text)
            .map(|seconds| (seconds * 1e6).round_ties_even())
            .filter(|microseconds| microseconds.abs() < 1e18)
            .and_then(|microseconds| from_microseconds(microseconds as i64)),
        _ if format.contains("%_ms") => strptime::strptime(text, &format.replace("%_ms", "%f")),
        _ => strptime::strptime(text, format),
    };
    parsed.ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("the time {text:?} does not match the format {format:?}"))
    })
}

/// Returns the first directive of `format` that [`parse`] does not know, such as `%q`; `None` where it knows all of them.
pub fn unknown_directive(format: &str) -> Option<String> {
    strptime::unknown_directive(&format.replace("%_ms", "%f"))
}

/// Reads an ISO 8601 date or datetime. Without an offset it is in UTC; the result always is.
///
/// # Errors
/// [`ErrorKind::Invalid`] if `text` is neither.
pub fn parse_iso(text: &str) -> Result<DateTime<FixedOffset>> {
    iso::parse(text).ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            format!("{text:?} is not an ISO 8601 date or time: write one such as 2024-01-31"),
        )
    })
}

/// Writes `instant` by `format`. What is not a directive stays as it is.
///
/// # Errors
/// [`ErrorKind::Invalid`] if a field of the format is wider than [`limits::FIELD_WIDTH`](crate::limits::FIELD_WIDTH).
pub fn format(instant: DateTime<FixedOffset>, format: &str) -> Result<String> {
    let timestamp = timestamp(instant);
    Ok(match format {
        "%s" => (timestamp as i64).to_string(),
        "%s_as_float" => float_text(timestamp),
        "%ms" => ((timestamp * 1e3) as i64).to_string(),
        "%epoch_microseconds" => ((timestamp * 1e6) as i64).to_string(),
        _ if format.contains("%_ms") => {
            // The reference implementation replaces the microseconds wherever their digits stand.
            let microseconds = instant.nanosecond() / 1_000;
            strftime(&Clock::from(instant), &format.replace("%_ms", "%f"))?
                .replace(&format!("{microseconds:06}"), &format!("{:03}", microseconds / 1_000))
        }
        _ => strftime(&Clock::from(instant), format)?,
    })
}

/// Unix seconds as a float, as `datetime.timestamp()`.
pub(super) fn timestamp(instant: DateTime<FixedOffset>) -> f64 {
    instant.timestamp_micros() as f64 / 1e6
}

pub(super) fn from_microseconds(microseconds: i64) -> Option<DateTime<FixedOffset>> {
    let instant = DateTime::<Utc>::from_timestamp_micros(microseconds)?.fixed_offset();
    in_range(instant)
}

/// `isoformat`, with the offset; fractions only where there are some, unless `precision` says how many digits.
pub(super) fn iso_text(instant: DateTime<FixedOffset>, separator: char, precision: Option<usize>) -> String {
    let microseconds = instant.nanosecond() / 1_000;
    let mut text = instant.format("%Y-%m-%d").to_string();
    text.push(separator);
    text.push_str(&instant.format("%H:%M:%S").to_string());
    match precision {
        None if microseconds > 0 => text.push_str(&format!(".{microseconds:06}")),
        Some(3) => text.push_str(&format!(".{:03}", microseconds / 1_000)),
        Some(6) => text.push_str(&format!(".{microseconds:06}")),
        _ => {}
    }
    let offset = instant.offset().local_minus_utc();
    let size = offset.abs();
    text.push_str(&format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, size / 3600, size / 60 % 60));
    text
}

/// Only Python's years, 1 to 9999.
fn in_range(instant: DateTime<FixedOffset>) -> Option<DateTime<FixedOffset>> {
    use chrono::Datelike;
    (1..=9999).contains(&instant.year()).then_some(instant)
}
