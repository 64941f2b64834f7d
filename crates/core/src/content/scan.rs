//! A strict scanner of JSON text (RFC 8259), without allocation where nothing is escaped.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Nesting beyond this is refused, so that no input can exhaust the stack.
pub(super) const MAX_DEPTH: usize = 128;

const UNENDED: &str = "a string does not end, or has a control character";

/// The highest bit of each of eight bytes.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many of eight bytes stand before one that means something in a string: quote, backslash, control character.
#[inline]
fn bytes_before_special(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let quote = zero_in(word ^ (ONES * u64::from(b'"')));
    let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    // The lowest set bit is exact; above it a borrow may have left others.
    let found = quote | backslash | control;
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0 }
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn since(&self, from: usize) -> &'a [u8] {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// The text from here on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes bytes that the caller has looked at.
    #[inline]
    pub(super) fn pass(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is not a space, without consuming it.
    #[inline]
    pub(super) fn next_byte(&mut self) -> Option<u8> {
        self.skip_space();
        self.peek()
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.next_byte() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(what))
    }

    pub(super) fn expect_end(&mut self) -> Result<()> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.error("something follows the end of the value")),
        }
    }

    /// A string, unescaped.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        let from = self.at;
        self.expect(b'"', "a string is missing")?;
        let plain = self.plain()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.at = from;
        let mut unescaped = Vec::new();
        self.copy_string(&mut unescaped)?;
        Ok(Cow::Owned(unescaped))
    }

    /// Passes a string, its escapes checked.
    fn skip_string(&mut self) -> Result<()> {
        self.string().map(drop)
    }

    /// The bytes from here on that mean themselves in a string. They are UTF-8: an escape stands for
    /// whole characters, so that each piece between escapes is whole as well.
    #[inline]
    fn plain(&mut self) -> Result<&'a [u8]> {
        let from = self.at;
        let ascii = self.skip_plain();
        let plain = self.since(from);
        if !ascii && let Err(error) = std::str::from_utf8(plain) {
            return Err(Error::invalid("the record is not UTF-8").with("byte", from + error.valid_up_to()));
        }
        Ok(plain)
    }

    /// Passes bytes that mean themselves in a string, eight at a time; whether they are ASCII, or else
    /// perhaps not.
    #[inline]
    fn skip_plain(&mut self) -> bool {
        let mut high = 0;
        while let Some(chunk) = self.rest().first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            high |= word & HIGH;
            if let Some(bytes) = bytes_before_special(word) {
                self.at += bytes;
                return high == 0;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek().filter(|byte| *byte != b'"' && *byte != b'\\' && *byte >= 0x20) {
            high |= u64::from(byte) & HIGH;
            self.at += 1;
        }
        high == 0
    }

    /// Writes a string to `out`, unescaped: reads and copies in one go.
    pub(super) fn copy_string(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.expect(b'"', "a string is missing")?;
        let (from, start) = (self.at, out.len());
        let mut ascii = true;
        loop {
            ascii &= self.copy_plain(out);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(out)?;
                }
                _ => return Err(self.error(UNENDED)),
            }
        }
        self.at += 1;
        if !ascii && std::str::from_utf8(out.get(start..).unwrap_or_default()).is_err() {
            return Err(Error::invalid("the record is not UTF-8: one of its strings is not").with("byte", from));
        }
        Ok(())
    }

    /// Like [`Self::skip_plain`], and copies what it passes.
    #[inline]
    fn copy_plain(&mut self, out: &mut Vec<u8>) -> bool {
        let mut high = 0;
        while let Some(chunk) = self.rest().first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            // Eight bytes are copied in a single move; those too many are taken back.
            out.extend_from_slice(chunk);
            high |= word & HIGH;
            if let Some(bytes) = bytes_before_special(word) {
                out.truncate(out.len() - 8 + bytes);
                self.at += bytes;
                return high == 0;
            }
            self.at += 8;
        }
        let from = self.at;
        let ascii = self.skip_plain();
        out.extend_from_slice(self.since(from));
        ascii && high == 0
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let byte = self.peek().ok_or_else(|| self.error("a string does not end"))?;
        self.at += 1;
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xD800..0xDC00).contains(&code) && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    }
                }
                let character = char::from_u32(code).ok_or_else(|| self.error("a string has half a surrogate pair"))?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("a string has an unknown escape")),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for digit in digits {
            code =
                code * 16 + char::from(*digit).to_digit(16).ok_or_else(|| self.error("an escape has no hex digits"))?;
        }
        if digits.len() < 4 {
            return Err(self.error("an escape ends too early"));
        }
        self.at += 4;
        Ok(code)
    }

    /// Passes a number without fraction and exponent that is not zero, if one comes next: its sign and digits.
    #[inline]
    pub(super) fn plain_integer(&mut self) -> Option<(u8, &'a [u8])> {
        let (sign, digits) = match self.rest() {
            [b'-', digits @ ..] => (b'-', digits),
            digits => (b'+', digits),
        };
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = !matches!(digits.get(length), Some(b'.' | b'e' | b'E'));
        let digits = digits.get(..length).filter(|digits| whole && !matches!(digits, [] | [b'0', ..]))?;
        self.at += length + usize::from(sign == b'-');
        Some((sign, digits))
    }

    /// A number's text, checked against the grammar.
    pub(super) fn number(&mut self) -> Result<&'a [u8]> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(self.error("a value is missing or is none of JSON's")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.since(from))
    }

    fn digits(&mut self) -> Result<()> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.error("a number lacks a digit"));
        }
        self.skip_digits();
        Ok(())
    }

    #[inline]
    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    pub(super) fn literal(&mut self, literal: &'static str) -> Result<()> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            self.at += literal.len();
            return Ok(());
        }
        Err(self.error("a value is missing or is none of JSON's"))
    }

    /// Passes one value of any kind; returns its text.
    pub(super) fn value(&mut self, depth: usize) -> Result<&'a [u8]> {
        let first = self.next_byte();
        let from = self.at;
        match first {
            Some(b'"') => self.skip_string()?,
            Some(b'{') => self.members(depth, |_, _| Ok(()))?,
            Some(b'[') => self.items(depth, |_, _| Ok(()))?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            _ => drop(self.number()?),
        }
        Ok(self.since(from))
    }

    /// Passes an object; `visit` gets each member's key and value text.
    pub(super) fn members(
        &mut self,
        depth: usize,
        mut visit: impl FnMut(Cow<'a, [u8]>, &'a [u8]) -> Result<()>,
    ) -> Result<()> {
        self.check_depth(depth)?;
        self.expect(b'{', "an object is missing")?;
        if self.next_byte() == Some(b'}') {
            self.bump();
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "a member lacks its colon")?;
            visit(key, self.value(depth + 1)?)?;
            if self.more(b'}')? {
                continue;
            }
            return Ok(());
        }
    }

    /// Passes an array; `visit` gets each element's place and text.
    pub(super) fn items(&mut self, depth: usize, mut visit: impl FnMut(usize, &'a [u8]) -> Result<()>) -> Result<()> {
        self.check_depth(depth)?;
        self.expect(b'[', "an array is missing")?;
        if self.next_byte() == Some(b']') {
            self.bump();
            return Ok(());
        }
        let mut place = 0;
        loop {
            visit(place, self.value(depth + 1)?)?;
            place += 1;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Takes a comma, or the closing bracket: whether more follows.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool> {
        match self.next_byte() {
            Some(b',') => {
                self.bump();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.bump();
                Ok(false)
            }
            _ => Err(self.error("a comma or a closing bracket is missing")),
        }
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH { Err(self.error("the value is nested more than 128 deep")) } else { Ok(()) }
    }

    pub(super) fn error(&self, what: &'static str) -> Error {
        Error::invalid(format!("the record is not valid JSON: {what}")).with("byte", self.at)
    }
}
