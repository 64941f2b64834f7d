//! Removal of secrets from texts, in whatever form they are written there.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::secret::Secret;
use highwater_core::Error;

/// What replaces a secret in a text.
pub const REDACTED: &str = "[secret]";

/// The length of the shortest secret that is removed, in characters. One or two letters are in every sentence.
const SHORTEST: usize = 3;

/// The length from which secrets are found encoded and broken by whitespace too. Shorter ones are found plain and escaped.
const ENCODED: usize = 6;

/// How many characters of a secret's beginning are removed too, because the text was cut within the secret.
const CUT: usize = 10;

/// The same at the end of the text.
const CUT_AT_END: usize = 8;

/// A line of a secret of several lines, such as a private key in PEM, is a secret of its own from this length on.
const LINE: usize = 16;

/// How much whitespace in a row may break a secret.
const GAP: usize = 8;

/// Removes secrets from texts.
///
/// Finds a secret as it is, percent-encoded, escaped as in JSON or HTML, in hexadecimal and in base64 (both alphabets, also
/// within a longer text that was encoded), each of them also broken by whitespace or cut short. The longest match wins, so
/// that nothing is left of a secret that begins with another one. Secrets of one or two characters are not removed. The lines
/// of a secret of several lines, such as a private key, are found alone, joined and in any order.
///
/// ```
/// use highwater_template::redact::Redactor;
/// use highwater_template::Secret;
/// let redactor = Redactor::new([&Secret::new("hunter2/9")]);
/// assert_eq!(redactor.redact("no hunter2/9, no hunter2%2f9, no aHVudGVyMi85"), "no [secret], no [secret], no [secret]");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redactor(Arc<[Pattern]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Base64,
    Hex,
}

#[derive(PartialEq, Eq)]
struct Pattern {
    text: Zeroizing<Vec<char>>,
    form: Form,
}

impl Redactor {
    /// Makes a redactor of these secrets.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut add = |text: Vec<char>, form| {
            let pattern = Pattern { text: Zeroizing::new(text), form };
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        };
        for text in secrets.into_iter().flat_map(|secret| texts(secret.expose().trim())) {
            let length = text.chars().count();
            if length < SHORTEST {
                continue;
            }
            add(text.chars().collect(), Form::Plain);
            if length < ENCODED {
                continue;
            }
            for before in 0..3 {
                add(base64_within(text.as_bytes(), before), Form::Base64);
            }
            let hex = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
            add(hex.filter_map(|digit| char::from_digit(digit.into(), 16)).collect(), Form::Hex);
        }
        Redactor(patterns.into())
    }

    /// Returns `text` with each secret replaced by [`REDACTED`].
    pub fn redact(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let (mut at, mut copied) = (0, 0);
        while let Some(first) = text[at..].chars().next() {
            match self.longest(text, at, first) {
                Some(end) => {
                    redacted.push_str(&text[copied..at]);
                    redacted.push_str(REDACTED);
                    (at, copied) = (end, end);
                }
                None => at += first.len_utf8(),
            }
        }
        redacted.push_str(&text[copied..]);
        redacted
    }

    /// Returns `error` with each secret replaced by [`REDACTED`], in its message, its context and its causes.
    #[must_use]
    pub fn redact_error(&self, error: Error) -> Error {
        if self.0.is_empty() { error } else { error.map_texts(&|text| self.redact(text)) }
    }

    /// Returns the end of the longest secret that begins at `at`.
    fn longest(&self, text: &str, at: usize, first: char) -> Option<usize> {
        let escaped = matches!(first, '%' | '+' | '\\' | '&');
        let begins = self.0.iter().filter(|pattern| escaped || pattern.takes(0, first));
        begins.filter_map(|pattern| pattern.end(text, at)).max()
    }
}

/// Returns a secret's text, and each long line of it. The lines of a key in JSON end with an escape.
fn texts(secret: &str) -> impl Iterator<Item = &str> {
    let lines = secret.split(['\n', '\r']).flat_map(|line| line.split("\\n")).map(str::trim);
    // What stands around a key in PEM is not secret.
    let lines = lines.filter(move |line| line.len() >= LINE && *line != secret && !line.starts_with("-----"));
    std::iter::once(secret).chain(lines)
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Pattern {
    /// Returns whether the pattern's character at `index` may be written as `found`.
    fn takes(&self, index: usize, found: char) -> bool {
        let wanted = self.text.get(index).copied();
        match self.form {
            Form::Plain => wanted == Some(found),
            Form::Hex => wanted == Some(found.to_ascii_lowercase()),
            Form::Base64 => {
                let found = match found {
                    '-' => '+',
                    '_' => '/',
                    other => other,
                };
                wanted == Some(found)
            }
        }
    }

    /// Returns the pattern's end in `text`, if it begins at `at`, whole or cut short.
    fn end(&self, text: &str, at: usize) -> Option<usize> {
        let mut positions = vec![at];
        for index in 0..self.text.len() {
            let mut next: Vec<usize> = Vec::new();
            if index > 0 && self.text.len() >= ENCODED {
                skip_whitespace(text, &mut positions);
            }
            for position in &positions {
                let units = units(text, *position);
                next.extend(units.filter(|(found, _)| self.takes(index, *found)).map(|(_, end)| end));
            }
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                let end = positions.first().copied().filter(|_| index > 0)?;
                let ends = text[end..].trim_end_matches(['.', '…', '"', '\'', ')', '\\']).is_empty();
                return (index >= CUT || ends && index >= CUT_AT_END).then_some(end);
            }
            positions = next;
        }
        let end = positions.last().copied()?;
        Some(if self.form == Form::Base64 { behind_base64(text, end) } else { end })
    }
}

/// Adds the positions after whitespace, because a line may be broken within a secret. The first position stays the first.
fn skip_whitespace(text: &str, positions: &mut Vec<usize>) {
    let (mut from, mut rounds) = (0, 0);
    while from < positions.len() && rounds < GAP {
        let until = positions.len();
        for index in from..until {
            let behind: Vec<usize> =
                units(text, positions[index]).filter(|(found, _)| found.is_whitespace()).map(|(_, end)| end).collect();
            for end in behind {
                if !positions.contains(&end) {
                    positions.push(end);
                }
            }
        }
        (from, rounds) = (until, rounds + 1);
    }
}

/// Returns the end of the encoded text: after the last character, which depends on what follows the secret, and padding.
fn behind_base64(text: &str, end: usize) -> usize {
    let mut end = end;
    for (allowed, most) in [(true, 1), (false, 2)] {
        for _ in 0..most {
            let next = units(text, end).find(|(found, _)| match allowed {
                true => found.is_ascii_alphanumeric() || matches!(found, '+' | '/' | '-' | '_'),
                false => *found == '=',
            });
            let Some((_, behind)) = next else { break };
            end = behind;
        }
    }
    end
}

/// Returns the characters at a position, each with its end: the one that is written there, and those that an escape there
/// may stand for.
fn units(text: &str, at: usize) -> impl Iterator<Item = (char, usize)> {
    let rest = &text[at..];
    let raw = rest.chars().next().map(|found| (found, at + found.len_utf8()));
    let decoded = match raw.map(|(found, _)| found) {
        Some('%') => [percent(rest, "%"), percent(rest, "%25"), None],
        Some('+') => [Some((' ', 1)), None, None],
        // A backslash that was escaped once or twice.
        Some('\\') => [
            backslash(rest),
            rest.starts_with(r"\\").then_some(('\\', 2)),
            rest.starts_with(r"\\\\").then_some(('\\', 4)),
        ],
        Some('&') => [entity(rest), None, None],
        _ => [None; 3],
    };
    raw.into_iter().chain(decoded.into_iter().flatten().map(move |(found, length)| (found, at + length)))
}

/// Decodes a character in percent-encoding, whose percent signs may have been encoded again.
fn percent(text: &str, sign: &str) -> Option<(char, usize)> {
    let byte = |at: usize| {
        let digits = text.get(at..)?.strip_prefix(sign)?;
        Some((u8::try_from(hex(digits, 2)?).ok()?, sign.len() + 2))
    };
    let (first, mut end) = byte(0)?;
    let mut bytes = vec![first];
    let following = match first {
        0..=0x7f => 0,
        0xc0..=0xdf => 1,
        0xe0..=0xef => 2,
        _ => 3,
    };
    for _ in 0..following {
        let (next, length) = byte(end)?;
        bytes.push(next);
        end += length;
    }
    let decoded = std::str::from_utf8(&bytes).ok()?;
    Some((decoded.chars().next()?, end))
}

/// Decodes a character after backslashes: of JSON, of JSON within JSON, and of Rust's escapes.
fn backslash(text: &str) -> Option<(char, usize)> {
    let rest = text.trim_start_matches('\\');
    let slashes = text.len() - rest.len();
    let first = rest.chars().next()?;
    let plain = match first {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '"' | '\'' | '/' => first,
        'x' => return Some((char::from_u32(hex(&rest[1..], 2)?)?, slashes + 3)),
        'u' => return unicode(&rest[1..]).map(|(found, length)| (found, slashes + 1 + length)),
        _ => return None,
    };
    Some((plain, slashes + 1))
}

/// Decodes what follows `\u`: four digits, twice four, or digits in braces.
fn unicode(text: &str) -> Option<(char, usize)> {
    if let Some(braced) = text.strip_prefix('{') {
        let length = braced.find('}').filter(|length| *length <= 6)?;
        return Some((char::from_u32(hex(braced, length)?)?, length + 2));
    }
    let first = hex(text, 4)?;
    if let Some(found) = char::from_u32(first) {
        return Some((found, 4));
    }
    let behind = text.get(4..)?;
    let digits = behind.trim_start_matches('\\').strip_prefix('u')?;
    let second = hex(digits, 4).filter(|second| (0xdc00..0xe000).contains(second))?;
    let found = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
    Some((found, text.len() - digits.len() + 4))
}

/// Decodes a character reference of HTML.
fn entity(text: &str) -> Option<(char, usize)> {
    let length = text.bytes().take(10).position(|byte| byte == b';')?;
    let name = &text[1..length];
    let found = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => hex(digits, digits.len())?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((found, length + 1))
}

/// Reads the first `length` characters as a hexadecimal number.
fn hex(text: &str, length: usize) -> Option<u32> {
    let digits = text.get(..length).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

/// Returns the characters that `text` alone determines in the base64 of a longer text that has `before` bytes (modulo 3)
/// before it.
fn base64_within(text: &[u8], before: usize) -> Vec<char> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.len() * 8;
    // The first whole six bits begin here.
    let skipped = [0, 4, 2][before % 3];
    let bit = |at: usize| text.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    let whole = (bits - skipped) / 6;
    let sextet =
        |index: usize| (0..6).fold(0, |value, offset| value << 1 | usize::from(bit(skipped + index * 6 + offset)));
    (0..whole).filter_map(|index| ALPHABET.get(sextet(index)).map(|byte| char::from(*byte))).collect()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
