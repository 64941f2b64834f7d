//! Readers of single values. Each takes a text that is not empty, and says in words what it expects.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use highwater_core::Timestamp;

use crate::error::{ApiError, Place, shown};

/// Why a text is refused: a word that never changes, and the rest of a sentence that begins with the parameter's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    fault: &'static str,
    why: String,
}

impl Refused {
    /// The text is not what the parameter takes: `expected` is what it takes.
    pub(crate) fn expected(expected: impl Display, text: &str) -> Self {
        Refused { fault: "invalid", why: format!("must be {expected}, not `{}`", shown(text)) }
    }

    pub(crate) fn too_long(bytes: usize, most: usize) -> Self {
        Refused { fault: "too_long", why: format!("has {bytes} bytes, at most {most} are allowed") }
    }
}

/// Reads one value of a parameter.
pub(crate) fn read<T>(
    place: Place,
    name: &str,
    text: &str,
    reader: impl FnOnce(&str) -> Result<T, Refused>,
) -> Result<T, ApiError> {
    if text.is_empty() {
        return Err(ApiError::parameter(place, name, "empty", "is empty: give a value, or leave it out"));
    }
    reader(text).map_err(|refused| ApiError::parameter(place, name, refused.fault, refused.why))
}

/// Reads a text of at most `most` bytes, without control characters.
pub(crate) fn text(most: usize) -> impl Fn(&str) -> Result<String, Refused> {
    move |text| {
        if text.len() > most {
            return Err(Refused::too_long(text.len(), most));
        }
        if text.chars().any(char::is_control) {
            return Err(Refused::expected("a text without control characters", text));
        }
        Ok(text.to_owned())
    }
}

/// Reads a whole number.
pub(crate) fn number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, Refused>
where
    N: FromStr + PartialOrd + Display,
{
    move |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 20;
        let number = text.parse().ok().filter(|number| plain && range.contains(number));
        number
            .ok_or_else(|| Refused::expected(format!("a whole number from {} to {}", range.start(), range.end()), text))
    }
}

/// Reads a time of RFC 3339.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, Refused> {
    // A plus sign that was not encoded arrives as a space.
    let wrong = || Refused::expected("a time such as 2026-11-30T12:00:00Z", text);
    if text.len() > 64 { Err(wrong()) } else { text.parse().map_err(|_| wrong()) }
}

/// Reads a length of time: a whole number and `ms`, `s`, `m` or `h`; a bare number is seconds.
pub(crate) fn duration(most: Duration) -> impl Fn(&str) -> Result<Duration, Refused> {
    move |text| {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "ms" => Some(1),
            "s" | "" => Some(1000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let time = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        let time = time.map(Duration::from_millis).filter(|time| *time <= most);
        time.ok_or_else(|| Refused::expected(format!("a time such as 30s, at most {}s", most.as_secs()), text))
    }
}

/// Reads one of some words, as they are written.
pub(crate) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T, Refused> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(|(_, value)| *value).ok_or_else(|| Refused::expected(format!("one of {}", known()), text))
    }
}

/// Reads values with commas between them.
pub(crate) fn list<T>(
    reader: impl Fn(&str) -> Result<T, Refused>,
    most: usize,
) -> impl Fn(&str) -> Result<Vec<T>, Refused> {
    move |text| {
        if text.split(',').count() > most {
            return Err(Refused { fault: "too_long", why: format!("has more than {most} values") });
        }
        text.split(',').map(|part| reader(part.trim())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_lengths_are_read_exactly() {
        for (text, number_is) in
            [("1", Some(1)), ("100", Some(100)), ("0", None), ("101", None), ("+5", None), ("1e1", None)]
        {
            assert_eq!(number(1..=100_u32)(text).ok(), number_is, "{text}");
        }
        let most = Duration::from_secs(60);
        for (text, ms) in [
            ("30s", Some(30_000)),
            ("250ms", Some(250)),
            ("1m", Some(60_000)),
            ("5", Some(5_000)),
            ("0", Some(0)),
            ("61s", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(most)(text).ok(), ms.map(Duration::from_millis), "{text}");
        }
        assert!(timestamp("2026-11-30T12:00:00Z").is_ok() && timestamp("yesterday").is_err());
    }
}
