//! `strftime` as Python on Linux does it, glibc's flags included.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, Timelike};
use highwater_core::{Error, ErrorKind, Result};

use crate::limits;

/// A wall clock's reading, with its offset where it has one.
pub(crate) struct Clock {
    local: NaiveDateTime,
    offset: Option<i32>,
}

impl From<DateTime<FixedOffset>> for Clock {
    fn from(instant: DateTime<FixedOffset>) -> Self {
        Clock { local: instant.naive_local(), offset: Some(instant.offset().local_minus_utc()) }
    }
}

impl From<NaiveDate> for Clock {
    fn from(date: NaiveDate) -> Self {
        Clock { local: date.and_time(chrono::NaiveTime::MIN), offset: None }
    }
}

pub(crate) fn strftime(clock: &Clock, format: &str) -> Result<String> {
    let mut output = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        output.push_str(rest.get(..at).unwrap_or(""));
        let directive = rest.get(at..).unwrap_or("");
        let body = directive.get(1..).unwrap_or("");
        let flags = body.len() - body.trim_start_matches(['-', '_', '0', '^', '#', '+']).len();
        let sized = body.get(flags..).unwrap_or("");
        let digits = sized.len() - sized.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let modified = sized.get(digits..).unwrap_or("");
        let modifier = usize::from(modified.starts_with(['E', 'O']));
        let Some(kind) = modified.get(modifier..).and_then(|rest| rest.chars().next()) else {
            output.push_str(directive);
            return Ok(output);
        };
        let length = 1 + flags + digits + modifier + kind.len_utf8();
        rest = directive.get(length..).unwrap_or("");
        let width: usize = sized.get(..digits).unwrap_or("").parse().unwrap_or(if digits > 0 { usize::MAX } else { 0 });
        if width > limits::FIELD_WIDTH {
            return Err(Error::new(ErrorKind::Invalid, "a width in a time format is too large"));
        }
        match field(clock, kind) {
            Some(value) => put(&mut output, value, body.get(..flags).unwrap_or(""), width),
            None => output.push_str(directive.get(..length).unwrap_or("")),
        }
    }
    output.push_str(rest);
    Ok(output)
}

enum Field {
    /// A number, its least width and what fills it.
    Number(i64, usize, char),
    Text(String),
}

fn put(output: &mut String, field: Field, flags: &str, width: usize) {
    let flag = flags.chars().rev().find(|flag| matches!(flag, '-' | '_' | '0' | '+'));
    match field {
        Field::Number(value, least, fill) => {
            let (least, fill) = match flag {
                Some('-') => (0, fill),
                Some('_') => (least, ' '),
                Some('0' | '+') => (least, '0'),
                _ => (least, fill),
            };
            let digits = value.to_string();
            let pad = least.max(width).saturating_sub(digits.len());
            output.extend(std::iter::repeat_n(fill, pad));
            output.push_str(&digits);
        }
        Field::Text(text) => {
            let fill = if flag == Some('0') { '0' } else { ' ' };
            output.extend(std::iter::repeat_n(fill, width.saturating_sub(text.chars().count())));
            if flags.contains('^') {
                output.push_str(&text.to_uppercase());
            } else if flags.contains('#') {
                let upper = text.chars().any(char::is_lowercase) && !matches!(text.as_str(), "AM" | "PM" | "UTC");
                output.push_str(&if upper { text.to_uppercase() } else { text.to_lowercase() });
            } else {
                output.push_str(&text);
            }
        }
    }
}

fn field(clock: &Clock, kind: char) -> Option<Field> {
    let local = &clock.local;
    let two = |value: u32| Field::Number(value.into(), 2, '0');
    let text = |pattern: &str| Field::Text(local.format(pattern).to_string());
    let whole = |format: &str| strftime(clock, format).ok().map(Field::Text);
    let hour = match local.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let sunday = local.weekday().num_days_from_sunday();
    let monday = local.weekday().num_days_from_monday();
    Some(match kind {
        'a' => text("%a"),
        'A' => text("%A"),
        'b' | 'h' => text("%b"),
        'B' => text("%B"),
        'p' => text("%p"),
        'P' => Field::Text(local.format("%p").to_string().to_lowercase()),
        'w' => Field::Number(sunday.into(), 1, '0'),
        'u' => Field::Number(i64::from(monday) + 1, 1, '0'),
        'd' => two(local.day()),
        'e' => Field::Number(local.day().into(), 2, ' '),
        'm' => two(local.month()),
        'y' => two(local.year().rem_euclid(100).unsigned_abs()),
        'Y' => Field::Number(local.year().into(), 0, '0'),
        'C' => two(local.year().div_euclid(100).unsigned_abs()),
        'G' => Field::Number(local.iso_week().year().into(), 0, '0'),
        'g' => two(local.iso_week().year().rem_euclid(100).unsigned_abs()),
        'V' => two(local.iso_week().week()),
        'H' => two(local.hour()),
        'k' => Field::Number(local.hour().into(), 2, ' '),
        'I' => two(hour),
        'l' => Field::Number(hour.into(), 2, ' '),
        'M' => two(local.minute()),
        'S' => two(local.second()),
        'f' => Field::Text(format!("{:06}", local.nanosecond() / 1_000)),
        'j' => Field::Number(local.ordinal().into(), 3, '0'),
        'U' => two((local.ordinal0() + 7 - sunday) / 7),
        'W' => two((local.ordinal0() + 7 - monday) / 7),
        's' => Field::Number(local.and_utc().timestamp(), 1, '0'),
        'z' => Field::Text(clock.offset.map(offset_text).unwrap_or_default()),
        'Z' => Field::Text(clock.offset.map(zone_name).unwrap_or_default()),
        'n' => Field::Text("\n".to_owned()),
        't' => Field::Text("\t".to_owned()),
        '%' => Field::Text("%".to_owned()),
        'c' => whole("%a %b %e %H:%M:%S %Y")?,
        'x' | 'D' => whole("%m/%d/%y")?,
        'X' | 'T' => whole("%H:%M:%S")?,
        'F' => whole("%Y-%m-%d")?,
        'R' => whole("%H:%M")?,
        'r' => whole("%I:%M:%S %p")?,
        _ => return None,
    })
}

fn offset_text(seconds: i32) -> String {
    let size = seconds.abs();
    let mut text = format!("{}{:02}{:02}", if seconds < 0 { '-' } else { '+' }, size / 3600, size / 60 % 60);
    if size % 60 != 0 {
        let _ = write!(text, "{:02}", size % 60);
    }
    text
}

fn zone_name(seconds: i32) -> String {
    if seconds == 0 {
        return "UTC".to_owned();
    }
    let size = seconds.abs();
    let mut text = format!("UTC{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, size / 3600, size / 60 % 60);
    if size % 60 != 0 {
        let _ = write!(text, ":{:02}", size % 60);
    }
    text
}
