//! The parsing: one copy of each step, whatever is read. Strings with escapes, and numbers that are no short integers, are read by
//! serde_json, and so is a text that turns out not to be JSON, for the error.

use serde::de::{Error as _, Expected, IgnoredAny, Unexpected};
use serde_json::{Error, Result};

/// Nesting beyond which a text is refused: as serde_json does.
const MAX_DEPTH: usize = 127;

/// Digits of an integer that is read without serde_json.
const MAX_DIGITS: usize = 18;

pub(super) enum Text<'de, 'p> {
    Borrowed(&'de str),
    Unescaped(&'p str),
}

pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

pub(super) struct Parser<'de> {
    text: &'de [u8],
    /// What of it was read.
    at: usize,
    depth: usize,
    unescaped: String,
}

impl<'de> Parser<'de> {
    pub(super) fn new(text: &'de [u8]) -> Self {
        Parser { text, at: 0, depth: 0, unescaped: String::new() }
    }

    /// Checks that nothing follows.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.peek().is_some() { Err(self.syntax()) } else { Ok(()) }
    }

    #[inline(never)]
    pub(super) fn null(&mut self) -> Result<bool> {
        if self.peek() == Some(b'n') { self.literal(b"null").map(|()| true) } else { Ok(false) }
    }

    pub(super) fn bool(&mut self, expected: &dyn Expected) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.literal(b"true").map(|()| true),
            Some(b'f') => self.literal(b"false").map(|()| false),
            _ => Err(self.unexpected(expected)),
        }
    }

    #[inline(never)]
    pub(super) fn number(&mut self, expected: &dyn Expected) -> Result<Number> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {}
            _ => return Err(self.unexpected(expected)),
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        let digits = rest.get(..length).unwrap_or_default();
        let number = number(digits).ok_or_else(|| self.syntax())?;
        self.at += length;
        Ok(number)
    }

    #[inline(never)]
    pub(super) fn text(&mut self, expected: &dyn Expected) -> Result<Text<'de, '_>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected(expected));
        }
        let from = self.at + 1;
        let rest = self.text.get(from..).unwrap_or_default();
        let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
        let length = rest.iter().take_while(|byte| is_plain(byte)).count();
        if rest.get(length) != Some(&b'"') {
            return self.unescape().map(Text::Unescaped);
        }
        match std::str::from_utf8(rest.get(..length).unwrap_or_default()) {
            Ok(text) => {
                self.at = from + length + 1;
                Ok(Text::Borrowed(text))
            }
            Err(_) => Err(self.syntax()),
        }
    }

    #[inline(never)]
    pub(super) fn string(&mut self, expected: &dyn Expected) -> Result<String> {
        match self.text(expected)? {
            Text::Borrowed(text) => Ok(text.to_owned()),
            Text::Unescaped(text) => Ok(text.to_owned()),
        }
    }

    /// The name of a member, or a variant that stands alone.
    #[inline(never)]
    pub(super) fn key(&mut self) -> Result<&str> {
        match self.text(&"a string key")? {
            Text::Borrowed(text) => Ok(text),
            Text::Unescaped(text) => Ok(text),
        }
    }

    pub(super) fn key_number(&mut self, expected: &dyn Expected) -> Result<Number> {
        let key = self.key()?;
        number(key.as_bytes()).ok_or_else(|| Error::invalid_type(Unexpected::Str(key), expected))
    }

    /// Begins an object or an array.
    #[inline(never)]
    pub(super) fn begin(&mut self, bracket: u8, expected: &dyn Expected) -> Result<()> {
        if self.peek() != Some(bracket) {
            return Err(self.unexpected(expected));
        }
        self.deepen()
    }

    /// Ends it; what began it has read all that is in it.
    #[inline(never)]
    pub(super) fn end(&mut self, bracket: u8) -> Result<()> {
        if self.peek() != Some(bracket) {
            return Err(match self.peek() {
                Some(b',') => Error::custom("trailing characters"),
                _ => self.syntax(),
            });
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Whether an element follows, rather than the end.
    #[inline(never)]
    pub(super) fn next_element(&mut self, is_first: &mut bool) -> Result<bool> {
        self.next(b']', is_first)
    }

    /// Whether a member follows, rather than the end.
    #[inline(never)]
    pub(super) fn next_member(&mut self, is_first: &mut bool) -> Result<bool> {
        let follows = self.next(b'}', is_first)?;
        if follows && self.peek() != Some(b'"') { Err(self.syntax()) } else { Ok(follows) }
    }

    #[inline(never)]
    pub(super) fn colon(&mut self) -> Result<()> {
        if self.peek() != Some(b':') {
            return Err(self.syntax());
        }
        self.at += 1;
        Ok(())
    }

    /// Begins a variant; whether it is an object's member, which has the content.
    #[inline(never)]
    pub(super) fn begin_variant(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b'"') => Ok(false),
            Some(b'{') => {
                self.deepen()?;
                if self.next_member(&mut true)? { Ok(true) } else { Err(Error::custom("expected value")) }
            }
            _ => Err(self.unexpected(&"a string or an object")),
        }
    }

    /// Passes over a value, and returns its text.
    #[inline(never)]
    pub(super) fn skip(&mut self) -> Result<&'de [u8]> {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                let length = values.byte_offset();
                self.at += length;
                Ok(rest.get(..length).unwrap_or_default())
            }
            _ => Err(self.syntax()),
        }
    }

    /// The error of a value of another type.
    #[cold]
    #[inline(never)]
    pub(super) fn unexpected(&mut self, expected: &dyn Expected) -> Error {
        let found = match self.peek() {
            Some(b'{') => Unexpected::Map,
            Some(b'[') => Unexpected::Seq,
            Some(b'n') => match self.literal(b"null") {
                Ok(()) => Unexpected::Unit,
                Err(error) => return error,
            },
            Some(b't' | b'f') => match self.bool(expected) {
                Ok(value) => Unexpected::Bool(value),
                Err(error) => return error,
            },
            Some(b'"') => {
                return match self.key() {
                    Ok(text) => Error::invalid_type(Unexpected::Str(text), expected),
                    Err(error) => error,
                };
            }
            Some(b'-' | b'0'..=b'9') => match self.number(expected) {
                Ok(Number::Unsigned(number)) => Unexpected::Unsigned(number),
                Ok(Number::Signed(number)) => Unexpected::Signed(number),
                Ok(Number::Float(number)) => Unexpected::Float(number),
                Err(error) => return error,
            },
            _ => return self.syntax(),
        };
        Error::invalid_type(found, expected)
    }

    /// Adds where the parser is to an error that says no place.
    #[cold]
    #[inline(never)]
    pub(super) fn located(&self, error: Error) -> Error {
        if error.line() > 0 {
            return error;
        }
        let (line, column) = self.place(self.at);
        Error::custom(format_args!("{error} at line {line} column {column}"))
    }

    /// An error in the text of a value that serde_json has read, at its place in the whole text.
    #[cold]
    #[inline(never)]
    pub(super) fn moved(&self, error: Error, value: &[u8]) -> Error {
        let shown = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = shown.strip_suffix(&place).unwrap_or(&shown);
        let (line, column) = self.place(self.at - value.len());
        let (line, column) = match error.line() {
            0 | 1 => (line, column + error.column()),
            lines => (line + lines - 1, error.column()),
        };
        Error::custom(format_args!("{message} at line {line} column {column}"))
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let read = self.text.get(..at).unwrap_or_default();
        let line_start = read.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        (1 + read.iter().filter(|byte| **byte == b'\n').count(), read.len() - line_start)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn next(&mut self, end: u8, is_first: &mut bool) -> Result<bool> {
        let found = self.peek();
        if found == Some(end) {
            return Ok(false);
        }
        if !std::mem::take(is_first) {
            if found != Some(b',') {
                return Err(self.syntax());
            }
            self.at += 1;
            if self.peek() == Some(end) {
                return Err(self.syntax());
            }
        }
        Ok(true)
    }

    fn literal(&mut self, literal: &[u8]) -> Result<()> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(literal)) {
            return Err(self.syntax());
        }
        self.at += literal.len();
        Ok(())
    }

    fn deepen(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(Error::custom("recursion limit exceeded"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Reads a string with escapes.
    fn unescape(&mut self) -> Result<&str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut strings = serde_json::Deserializer::from_slice(rest).into_iter::<String>();
        match strings.next() {
            Some(Ok(text)) => {
                self.at += strings.byte_offset();
                self.unescaped = text;
                Ok(&self.unescaped)
            }
            _ => Err(self.syntax()),
        }
    }

    /// The error of a text that is not JSON.
    #[cold]
    #[inline(never)]
    fn syntax(&self) -> Error {
        match serde_json::from_slice::<IgnoredAny>(self.text) {
            Err(error) => error,
            Ok(_) => match std::str::from_utf8(self.text) {
                Ok(_) => Error::custom("invalid JSON"),
                Err(_) => Error::custom("invalid unicode code point"),
            },
        }
    }
}

fn number(text: &[u8]) -> Option<Number> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let is_short = !digits.is_empty() && digits.len() <= MAX_DIGITS && digits.iter().all(u8::is_ascii_digit);
    // `007` is no number, and `-0` is a float.
    if (is_short && digits.first() != Some(&b'0')) || text == b"0" {
        let value = digits.iter().fold(0, |value: i64, digit| value * 10 + i64::from(digit - b'0'));
        return Some(if is_negative { Number::Signed(-value) } else { Number::Unsigned(value.unsigned_abs()) });
    }
    let read: serde_json::Number = serde_json::from_slice(text).ok()?;
    let unsigned = read.as_u64().map(Number::Unsigned);
    unsigned.or_else(|| read.as_i64().map(Number::Signed)).or_else(|| read.as_f64().map(Number::Float))
}
