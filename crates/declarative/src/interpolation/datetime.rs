//! Datetime formats of the declarative language: `strptime` and `strftime` as in Python, plus the language's own directives.
//!
//! The whole-format directives are `%s`, `%s_as_float`, `%ms` and `%epoch_microseconds`; `%_ms` within a format is
//! milliseconds.

use chrono::{DateTime, FixedOffset};
use highwater_core::{Error, ErrorKind, Result};

/// Reads `text` by `format`; without an offset in the format the instant is UTC.
pub fn parse(text: &str, format: &str) -> Result<DateTime<FixedOffset>> {
    Err(Error::new(ErrorKind::Unsupported, format!("datetimes are not there yet: {text} {format}")))
}

/// Reads an ISO 8601 date or datetime; without an offset it is UTC. The result is in UTC.
pub fn parse_iso(text: &str) -> Result<DateTime<FixedOffset>> {
    Err(Error::new(ErrorKind::Unsupported, format!("datetimes are not there yet: {text}")))
}

/// Writes `instant` by `format`.
pub fn format(instant: DateTime<FixedOffset>, format: &str) -> Result<String> {
    Ok(format!("{instant} {format}"))
}
