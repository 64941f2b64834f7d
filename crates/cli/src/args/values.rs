//! Parses values on the command line: durations, cursors, times, pairs.

use std::time::Duration;

use highwater::cursor::Action;
use highwater::{Cursor, Timestamp};

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write settings as key=value".to_owned()),
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a whole number of at least 1".to_owned())
}

pub(crate) fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|_| "not a cursor: pass one as a command printed it".to_owned())
}

pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write a time as 2026-11-23T10:00:00Z".to_owned())
}

pub(crate) fn action(text: &str) -> Result<Action, String> {
    match text.to_ascii_lowercase().as_str() {
        "added" => Ok(Action::Added),
        "updated" => Ok(Action::Updated),
        "deleted" => Ok(Action::Deleted),
        _ => Err("an action is added, updated or deleted".to_owned()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| "write a time as 30s, 5m, 2h or 500ms".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err("write a time as 30s, 5m, 2h or 500ms".to_owned()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("-1s").is_err() && duration("x").is_err() && duration("1d").is_err());
    }
}
