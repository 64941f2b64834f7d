//! Text operations that filters and methods share.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::data::{Budget, Data};
use super::numbers::{Number, number};
use super::{Fault, Outcome};

/// What `urllib.parse.quote` leaves as it is, besides the slash.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
const UNRESERVED_AND_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

/// `urllib.parse.quote`: everything but unreserved characters and `/` percent-encoded.
pub(super) fn quote(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED_AND_SLASH).to_string()
}

/// `urllib.parse.quote_plus`: everything but unreserved characters percent-encoded, and spaces as `+`.
pub(super) fn quote_plus(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string().replace("%20", "+")
}

pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

/// Each word's first letter upper, the rest lower; a word starts where `starts` says so of the character before.
pub(super) fn title(text: &str, starts: fn(char) -> bool) -> String {
    let mut output = String::with_capacity(text.len());
    let mut fresh = true;
    for c in text.chars() {
        if fresh {
            output.extend(c.to_uppercase());
        } else {
            output.extend(c.to_lowercase());
        }
        fresh = starts(c);
    }
    output
}

/// `center`, `ljust` and `rjust`.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Right,
    Center,
}

pub(super) fn padded(text: &str, width: i128, fill: char, align: Align, budget: &Budget) -> Outcome<String> {
    let length = text.chars().count();
    let missing = usize::try_from(width.max(0)).unwrap_or(usize::MAX).saturating_sub(length);
    budget.spend_bytes(missing.saturating_mul(fill.len_utf8()))?;
    let left = match align {
        Align::Left => 0,
        Align::Right => missing,
        // As CPython: the odd place goes left only where the width is odd.
        Align::Center => missing / 2 + (missing & (missing + length) & 1),
    };
    let pad = |count: usize| std::iter::repeat_n(fill, count);
    Ok(pad(left).chain(text.chars()).chain(pad(missing - left)).collect())
}

/// `str.splitlines`.
pub(super) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    while !rest.is_empty() {
        let Some((at, end)) = rest.char_indices().find(|(_, c)| is_end(*c)) else {
            lines.push(rest);
            break;
        };
        let mut length = at + end.len_utf8();
        if end == '\r' && rest.get(length..).is_some_and(|rest| rest.starts_with('\n')) {
            length += 1;
        }
        lines.push(rest.get(..if keep_ends { length } else { at }).unwrap_or(""));
        rest = rest.get(length..).unwrap_or("");
    }
    lines
}

/// `'%s' % value`.
pub(super) fn percent_format<'a>(format: &str, value: &Data<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    let arguments = match value {
        Data::Tuple(items) => items.to_vec(),
        Data::Undefined(what) => return Err(Fault::undefined(what)),
        other => vec![other.clone()],
    };
    let mapping = value.entries(budget)?;
    let mut arguments = arguments.into_iter();
    let mut used_mapping = false;
    let mut output = String::new();
    let mut rest = format;
    let type_error = |message: &str| Fault::Type(message.to_owned());
    while let Some(at) = rest.find('%') {
        output.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let mut key = None;
        if let Some(named) = rest.strip_prefix('(') {
            let (name, tail) = named.split_once(')').ok_or_else(|| Fault::Other("incomplete format key".to_owned()))?;
            (key, rest) = (Some(name), tail);
        }
        let flags = rest.len() - rest.trim_start_matches(['-', '+', ' ', '0', '#']).len();
        let (flags, tail) = rest.split_at(flags);
        let digits = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (width, tail) = tail.split_at(digits);
        let (precision, tail) = match tail.strip_prefix('.') {
            Some(tail) => {
                let digits = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let (precision, tail) = tail.split_at(digits);
                (Some(precision.parse::<usize>().unwrap_or(0)), tail)
            }
            None => (None, tail),
        };
        let kind = tail.chars().next().ok_or_else(|| Fault::Other("incomplete format".to_owned()))?;
        rest = tail.get(kind.len_utf8()..).unwrap_or("");
        if kind == '%' {
            output.push('%');
            continue;
        }
        let argument = match (key, &mapping) {
            (Some(key), Some(entries)) => {
                used_mapping = true;
                super::operators::find(entries, &Data::text(key), budget)?
                    .cloned()
                    .ok_or_else(|| Fault::Other(format!("no key '{key}'")))?
            }
            (Some(_), None) => return Err(type_error("format requires a mapping")),
            (None, _) => arguments.next().ok_or_else(|| type_error("not enough arguments for format string"))?,
        };
        let shown = converted(kind, &argument, precision.map(|precision| precision.min(1_000)), flags, budget)?;
        let width: i128 = width.parse().unwrap_or(0);
        let zero = flags.contains('0') && !flags.contains('-') && !matches!(kind, 's' | 'r' | 'a' | 'c');
        let padded = if zero {
            zero_filled(&shown, width, budget)?
        } else {
            let align = if flags.contains('-') { Align::Left } else { Align::Right };
            padded(&shown, width, ' ', align, budget)?
        };
        budget.spend_bytes(padded.len())?;
        output.push_str(&padded);
    }
    output.push_str(rest);
    if arguments.next().is_some() && !used_mapping && mapping.is_none() {
        return Err(type_error("not all arguments converted during string formatting"));
    }
    budget.spend_bytes(output.len())?;
    Ok(Data::text(output))
}

fn converted(
    kind: char,
    argument: &Data<'_>,
    precision: Option<usize>,
    flags: &str,
    budget: &Budget,
) -> Outcome<String> {
    let found = number(argument);
    let wrong = || Fault::Type(format!("%{kind} format: a number is required, not {}", argument.type_name()));
    let text = match kind {
        's' | 'r' | 'a' => {
            let mut text = String::new();
            if kind == 's' {
                argument.write(&mut text, budget)?;
            } else {
                argument.write_repr(&mut text, budget)?;
            }
            return Ok(precision.map_or(text.clone(), |precision| text.chars().take(precision).collect()));
        }
        'd' | 'i' | 'u' => match found.ok_or_else(wrong)? {
            Number::Int(value) => value.to_string(),
            Number::Float(value) => super::numbers::whole(value)?.to_string(),
        },
        'x' | 'X' | 'o' => match found {
            Some(Number::Int(value)) => {
                let size = value.unsigned_abs();
                let digits = match kind {
                    'x' => format!("{size:x}"),
                    'X' => format!("{size:X}"),
                    _ => format!("{size:o}"),
                };
                format!("{}{digits}", if value < 0 { "-" } else { "" })
            }
            _ => return Err(wrong()),
        },
        'f' | 'F' => format!("{:.*}", precision.unwrap_or(6), found.ok_or_else(wrong)?.float()),
        'e' | 'E' => {
            let text = format!("{:.*e}", precision.unwrap_or(6), found.ok_or_else(wrong)?.float());
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}{kind}{sign}{:02}", exponent.abs())
        }
        _ => return Err(Fault::Other(format!("unsupported format character '{kind}'"))),
    };
    let positive = !text.starts_with('-');
    Ok(match (flags.contains('+'), flags.contains(' ')) {
        (true, _) if positive => format!("+{text}"),
        (false, true) if positive => format!(" {text}"),
        _ => text,
    })
}

/// `zfill`: zeros after the sign.
pub(super) fn zero_filled(text: &str, width: i128, budget: &Budget) -> Outcome<String> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-' | b'+') => text.split_at(1),
        _ => ("", text),
    };
    let rest = width.saturating_sub(i128::from(!sign.is_empty()));
    Ok(format!("{sign}{}", padded(digits, rest, '0', Align::Right, budget)?))
}
