//! Where the parts of a text lie, told by its brackets and strings alone.
//!
//! A page may be large, and each of its records is read strictly before it is stored: here only what parts them is
//! looked at. What lies within a part may yet turn out to be no JSON.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::error::{Error, Result};

/// Bytes that are looked at together: one bit of a word for each.
const BLOCK: usize = 64;

/// One bit for each of eight bytes, over and over.
const BITS: [u8; BLOCK] = {
    let mut bits = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        bits[place] = 1 << (place % 8);
        place += 1;
    }
    bits
};

/// Calls `visit` with each element of a JSON array, as it is written.
///
/// # Errors
///
/// `Invalid` if the text is not an array. Elements before the fault have been visited by then.
pub fn elements<'a>(array: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Result<()> {
    let mut outline = Outline { text: array, at: 0 };
    outline.items(|_, element| visit(element))?;
    outline.skip_space();
    if outline.peek().is_some() { Err(outline.error("something follows the end of the array")) } else { Ok(()) }
}

/// The text of the value at a JSON pointer (RFC 6901); `None` where there is none.
///
/// # Errors
///
/// `Invalid` if the part of the text that is read is not JSON, or the pointer is not a JSON pointer.
pub fn pointer<'a>(text: &'a [u8], pointer: &str) -> Result<Option<&'a [u8]>> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Ok(None); // no pointer, so it points at nothing
    }
    let mut value = None;
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        let mut outline = Outline { text: value.unwrap_or(text), at: 0 };
        outline.skip_space();
        let mut found = None;
        match outline.peek() {
            Some(b'{') => outline.members(|key, value| {
                if is_named(key, &segment) {
                    found = Some(value);
                }
            })?,
            Some(b'[') => {
                // An index is written without sign and leading zeros.
                let wanted = segment.parse().ok().filter(|place: &usize| place.to_string() == segment);
                outline.items(|place, value| {
                    if wanted == Some(place) {
                        found = Some(value);
                    }
                })?;
            }
            _ => drop(outline.value()?),
        }
        match found {
            Some(inner) => value = Some(inner),
            None => return Ok(None),
        }
    }
    match value {
        Some(value) => Ok(Some(value)),
        None => Outline { text, at: 0 }.value().map(Some),
    }
}

/// Whether a key, with its quotes, reads so.
fn is_named(key: &[u8], name: &str) -> bool {
    let within = key.get(1..key.len().saturating_sub(1)).unwrap_or_default();
    if within.contains(&b'\\') {
        return serde_json::from_slice::<Cow<'_, str>>(key).is_ok_and(|key| key == name);
    }
    within == name.as_bytes()
}

/// A place in a text.
struct Outline<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Outline<'a> {
    /// Passes an array; `visit` gets each element's place and text.
    fn items(&mut self, mut visit: impl FnMut(usize, &'a [u8])) -> Result<()> {
        let mut more = self.open(b'[', b']', "an array is missing")?;
        let mut place = 0;
        while more {
            visit(place, self.value()?);
            place += 1;
            more = self.more(b']')?;
        }
        Ok(())
    }

    /// Passes an object; `visit` gets each member's key, with its quotes, and the text of its value.
    fn members(&mut self, mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Result<()> {
        let mut more = self.open(b'{', b'}', "an object is missing")?;
        while more {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key is missing"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.error("a member lacks its colon"));
            }
            self.at += 1;
            visit(key, self.value()?);
            more = self.more(b'}')?;
        }
        Ok(())
    }

    /// Passes one value of any kind; returns its text.
    fn value(&mut self) -> Result<&'a [u8]> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{' | b'[') => self.nested(),
            _ => self.scalar(),
        }
    }

    /// A number, `true`, `false` or `null`. A page of plain words must not pass for one.
    fn scalar(&mut self) -> Result<&'a [u8]> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let text = self.since(from);
        if serde_json::from_slice::<IgnoredAny>(text).is_err() {
            self.at = from;
            return Err(self.error("a value is missing or is none of JSON's"));
        }
        Ok(text)
    }

    /// A string with its quotes.
    fn string(&mut self) -> Result<&'a [u8]> {
        let from = self.at;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(plain) = plain_bytes(rest) else {
                return Err(self.error("a string does not end"));
            };
            let ends = rest.get(plain) == Some(&b'"');
            self.at += plain + if ends { 1 } else { 2 };
            if ends {
                return Ok(self.since(from));
            }
        }
    }

    /// An object or an array, to the bracket that closes it.
    fn nested(&mut self) -> Result<&'a [u8]> {
        let from = self.at;
        let mut open = Open::default();
        let (mut in_string, mut escaped) = (false, 0);
        let mut last = [b' '; BLOCK];
        while let Some(rest) = self.text.get(self.at..).filter(|rest| !rest.is_empty()) {
            let block = rest.first_chunk().unwrap_or_else(|| {
                last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                &last
            });
            let mut signs = signs(block) & !escaped;
            escaped = 0;
            while signs != 0 {
                let place = signs.trailing_zeros() as usize;
                signs &= signs - 1;
                let closed = match block[place] {
                    b'"' => {
                        in_string = !in_string;
                        continue;
                    }
                    b'\\' => {
                        let next = 2 << place;
                        signs &= !next;
                        escaped = u64::from(next == 0); // the first of the next block
                        continue;
                    }
                    bracket @ (b'{' | b'[') if !in_string => open.push(bracket == b'{').then_some(false),
                    bracket @ (b'}' | b']') if !in_string => open.pop(bracket == b'}'),
                    _ => continue,
                };
                match closed {
                    Some(false) => {}
                    Some(true) => {
                        self.at += place + 1;
                        return Ok(self.since(from));
                    }
                    None => {
                        self.at += place;
                        return Err(self.error("brackets do not match, or nest more than 128 deep"));
                    }
                }
            }
            self.at += BLOCK;
        }
        self.at = self.text.len();
        Err(self.error("an object or an array does not end"))
    }

    /// Takes an opening bracket: whether something stands before the closing one.
    fn open(&mut self, open: u8, close: u8, what: &'static str) -> Result<bool> {
        self.skip_space();
        if self.peek() != Some(open) {
            return Err(self.error(what));
        }
        self.at += 1;
        self.skip_space();
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Takes a comma, or the closing bracket: whether more follows.
    fn more(&mut self, close: u8) -> Result<bool> {
        self.skip_space();
        let more = match self.peek() {
            Some(b',') => true,
            Some(byte) if byte == close => false,
            _ => return Err(self.error("a comma or a closing bracket is missing")),
        };
        self.at += 1;
        Ok(more)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn since(&self, from: usize) -> &'a [u8] {
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn error(&self, what: &'static str) -> Error {
        Error::invalid(format!("the text is not valid JSON: {what}")).with("byte", self.at)
    }
}

/// The bytes of a block that may be quotes, backslashes or brackets, a bit for each; a few letters are among them.
///
/// Written so that the compiler compares sixteen bytes at a time.
#[inline]
fn signs(block: &[u8; BLOCK]) -> u64 {
    let mut bits = BITS;
    for (bit, byte) in bits.iter_mut().zip(block) {
        // Three bits that brackets and the backslash have in common.
        let is_sign = *byte == b'"' || byte & 0x58 == 0x58;
        *bit = if is_sign { *bit } else { 0 };
    }
    let mut signs = 0;
    for (place, eight) in bits.as_chunks::<8>().0.iter().enumerate() {
        // The sum of eight bytes, which have no bit in common.
        let sum = u64::from_le_bytes(*eight).wrapping_mul(0x0101_0101_0101_0101) >> 56;
        signs |= sum << (8 * place);
    }
    signs
}

/// How many bytes stand before a quote or a backslash; `None` if there is none of them.
#[inline]
fn plain_bytes(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (eights, rest) = text.as_chunks::<8>();
    for (place, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
        // The lowest set bit is exact; above it a borrow may have left others.
        let found = zero_in(word ^ (ONES * u64::from(b'"'))) | zero_in(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(8 * place + (found.trailing_zeros() / 8) as usize);
        }
    }
    let before = text.len() - rest.len();
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|place| before + place)
}

/// The brackets that are open, the innermost in the lowest bit: set for a curly one.
#[derive(Default)]
struct Open {
    curly: u128,
    count: u32,
}

impl Open {
    /// Whether there was room.
    fn push(&mut self, curly: bool) -> bool {
        let room = self.count < u128::BITS;
        self.curly = self.curly << 1 | u128::from(curly);
        self.count += u32::from(room);
        room
    }

    /// Whether it was the outermost; `None` if it does not match.
    fn pop(&mut self, curly: bool) -> Option<bool> {
        if self.count == 0 || (self.curly & 1 == 1) != curly {
            return None;
        }
        self.curly >>= 1;
        self.count -= 1;
        Some(self.count == 0)
    }
}

#[cfg(test)]
mod tests;
