//! The canonical encoding: equal for equal content however it is spelled, different otherwise.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::scan::Scanner;
use super::{ContentRules, first_half};
use crate::error::Result;
use crate::mutants::mutant;
use crate::row_codec::put_number;

/// Room in bytes that is kept from one record to the next, at most.
const MAX_KEPT_ROOM: usize = 1 << 20;

/// Exponents beyond this are refused: no API means them.
const MAX_EXPONENT: i64 = 1_000_000_000;

/// What a full reading of a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The hash of its content.
    pub hash: [u8; 16],
    /// The top-level `id`, if it is a string, or an integer (as decimal text).
    pub id: Option<Arc<str>>,
}

/// Reads a record strictly (one JSON object, UTF-8, no key twice in an object, at most 128 deep)
/// and hashes its content.
pub fn canonical(rules: &ContentRules, payload: &[u8]) -> Result<Canonical> {
    Canonicalizer::new(rules).read(payload)
}

/// Reads one record after the other by the same rules.
#[derive(Default)]
pub(crate) struct Canonicalizer {
    ignored: Vec<Vec<String>>,
    fingerprint: u32,
    encoder: Encoder,
}

impl Canonicalizer {
    pub(crate) fn new(rules: &ContentRules) -> Self {
        let ignored = rules
            .ignored()
            .iter()
            .map(|pointer| segments(pointer).into_iter().map(Cow::into_owned).collect())
            .collect();
        Canonicalizer { ignored, fingerprint: rules.fingerprint(), encoder: Encoder::default() }
    }

    /// The fingerprint of the rules.
    pub(crate) fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// See [`canonical`].
    pub(crate) fn read(&mut self, payload: &[u8]) -> Result<Canonical> {
        let ignored: Vec<&[String]> = self.ignored.iter().map(Vec::as_slice).collect();
        let encoder = &mut self.encoder;
        encoder.clear(payload.len());
        let mut scanner = Scanner::new(payload);
        if scanner.next_byte() != Some(b'{') {
            return Err(scanner.error("a record is a JSON object"));
        }
        encoder.object(&mut scanner, 0, &ignored)?;
        scanner.expect_end()?;
        Ok(Canonical { hash: first_half(&blake3::hash(&encoder.out)), id: encoder.id.take() })
    }
}

impl std::fmt::Debug for Canonicalizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canonicalizer").field("ignored", &self.ignored).finish_non_exhaustive()
    }
}

/// Whether two JSON texts have the same value. Texts that are no JSON equal nothing.
pub fn canonical_eq(a: &[u8], b: &[u8]) -> bool {
    match (encode(a), encode(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn encode(text: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = Encoder::default();
    let mut scanner = Scanner::new(text);
    encoder.value(&mut scanner, 1, &[])?;
    scanner.expect_end()?;
    Ok(encoder.out)
}

/// The steps of a JSON pointer.
pub(super) fn segments(pointer: &str) -> Vec<Cow<'_, str>> {
    pointer
        .split('/')
        .skip(1)
        .map(|segment| {
            if segment.contains('~') {
                Cow::Owned(segment.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(segment)
            }
        })
        .collect()
}

/// One member of an object in the output: where its key's text and its end are.
#[derive(Clone, Copy)]
struct Member {
    /// The key's first eight bytes as a number: it decides most comparisons.
    prefix: u64,
    start: usize,
    key: usize,
    key_end: usize,
    end: usize,
}

#[derive(Default)]
struct Encoder {
    out: Vec<u8>,
    /// Members of the objects that are open, the innermost last.
    members: Vec<Member>,
    orders: Orders,
    spare: Vec<u8>,
    /// A string that had escapes.
    text: Vec<u8>,
    id: Option<Arc<str>>,
}

/// Kinds of objects whose order is remembered, and members of each, at most.
const KINDS: usize = 64;
const MAX_KEPT_ORDER: usize = 1024;

/// How the members of earlier objects had to be put in order: the records of a stream nearly always
/// have the same members, in the same places.
#[derive(Default)]
struct Orders(Vec<Vec<u32>>);

impl Orders {
    /// The order of the last object that looked like this one. It may not fit.
    fn of(&mut self, members: &[Member]) -> &mut Vec<u32> {
        let first = members.first().map_or(0, |member| member.prefix);
        let mixed = (first ^ members.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if self.0.is_empty() {
            self.0.resize_with(KINDS, Vec::new);
        }
        &mut self.0[(mixed >> 32) as usize % KINDS]
    }
}

impl Encoder {
    /// Makes ready for the next record, of this size. Room that only a huge one needed is given back.
    fn clear(&mut self, size: usize) {
        if self.out.capacity() > MAX_KEPT_ROOM {
            *self = Encoder::default();
        }
        self.out.clear();
        self.out.reserve(size + 64);
        self.members.clear();
        self.id = None;
    }

    fn value(&mut self, scanner: &mut Scanner<'_>, depth: usize, ignored: &[&[String]]) -> Result<()> {
        match scanner.next_byte() {
            Some(b'{') => self.object(scanner, depth, ignored),
            Some(b'[') => self.array(scanner, depth, ignored),
            Some(b'"') => {
                let mut room = std::mem::take(&mut self.text);
                let plain = scanner.string_in(&mut room)?;
                self.string(plain.unwrap_or(&room));
                self.text = room;
                Ok(())
            }
            Some(b't') => scanner.literal("true").map(|()| self.out.push(b't')),
            Some(b'f') => scanner.literal("false").map(|()| self.out.push(b'f')),
            Some(b'n') => scanner.literal("null").map(|()| self.out.push(b'n')),
            _ => {
                let number = scanner.number()?;
                self.number(scanner, number)
            }
        }
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, depth: usize, ignored: &[&[String]]) -> Result<()> {
        scanner.check_depth(depth)?;
        scanner.expect(b'{', "an object is missing")?;
        self.out.push(b'{');
        let first = self.members.len();
        let body = self.out.len();
        let mut more = scanner.next_byte() != Some(b'}');
        if !more {
            scanner.bump();
        }
        while more {
            let key = scanner.string()?;
            scanner.expect(b':', "a member lacks its colon")?;
            let start = self.out.len();
            self.string(&key);
            let (key_end, key_start) = (self.out.len(), self.out.len() - key.len());
            let deeper = if ignored.is_empty() { Vec::new() } else { step(ignored, &key) };
            let value = self.out.len();
            scanner.skip_space();
            let from = scanner.at();
            self.value(scanner, depth + 1, &deeper)?;
            if depth == 0 && *key == *b"id" {
                self.id = id_of(scanner.since(from));
            }
            if deeper.iter().any(|rest| rest.is_empty()) {
                // The key stays: that the member is there at all is content, its value is not.
                self.out.truncate(value);
                self.out.push(b'-');
            }
            self.members.push(Member { prefix: prefix(&key), start, key: key_start, key_end, end: self.out.len() });
            more = scanner.more(b'}')?;
        }
        self.sort(first, body, scanner)?;
        self.members.truncate(first);
        self.out.push(b'}');
        Ok(())
    }

    /// Puts the members of the object that was just read in order of key.
    fn sort(&mut self, first: usize, body: usize, scanner: &Scanner<'_>) -> Result<()> {
        let out = &self.out;
        let key = |member: &Member| out.get(member.key..member.key_end).unwrap_or_default();
        let members = self.members.get(first..).unwrap_or_default();
        let compare = |a: &Member, b: &Member| a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b)));
        if members.windows(2).all(|pair| matches!(pair, [a, b] if compare(a, b).is_lt())) {
            return Ok(());
        }
        let order = self.orders.of(members);
        let at = |place: &u32| members.get(*place as usize);
        let ascends = |order: &[u32]| {
            order.windows(2).all(|pair| match pair {
                [a, b] => matches!((at(a), at(b)), (Some(a), Some(b)) if compare(a, b).is_lt()),
                _ => false,
            })
        };
        if order.len() != members.len() || !ascends(order) {
            order.clear();
            order.extend(0..u32::try_from(members.len()).unwrap_or(u32::MAX));
            order.sort_unstable_by(|a, b| at(a).zip(at(b)).map_or(Ordering::Equal, |(a, b)| compare(a, b)));
            let twice = order.windows(2).find_map(|pair| match pair {
                [a, b] => at(a).zip(at(b)).filter(|(a, b)| compare(a, b).is_eq()),
                _ => None,
            });
            if let Some((member, _)) = twice {
                let name = String::from_utf8_lossy(key(member)).into_owned();
                return Err(scanner.error("an object has the same key twice").with("key", name));
            }
        }
        self.spare.clear();
        for member in order.iter().filter_map(at) {
            self.spare.extend_from_slice(out.get(member.start..member.end).unwrap_or_default());
        }
        if order.len() > MAX_KEPT_ORDER {
            *order = Vec::new();
        }
        self.out.truncate(body);
        self.out.extend_from_slice(&self.spare);
        Ok(())
    }

    fn array(&mut self, scanner: &mut Scanner<'_>, depth: usize, ignored: &[&[String]]) -> Result<()> {
        scanner.check_depth(depth)?;
        scanner.expect(b'[', "an array is missing")?;
        self.out.push(b'[');
        let mut more = scanner.next_byte() != Some(b']');
        if !more {
            scanner.bump();
        }
        let mut place = 0_usize;
        while more {
            let deeper = if ignored.is_empty() { Vec::new() } else { step(ignored, place.to_string().as_bytes()) };
            let start = self.out.len();
            self.value(scanner, depth + 1, &deeper)?;
            if deeper.iter().any(|rest| rest.is_empty()) {
                self.out.truncate(start);
                self.out.push(b'-');
            }
            place += 1;
            more = scanner.more(b']')?;
        }
        self.out.push(b']');
        Ok(())
    }

    #[inline]
    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        put_number(&mut self.out, text.len() as u64);
        self.out.extend_from_slice(text);
    }

    /// A number by its value: sign, digits without zeros at either end, power of ten.
    fn number(&mut self, scanner: &Scanner<'_>, text: &[u8]) -> Result<()> {
        if mutant!("hash-number-text") {
            self.out.push(b'#');
            self.string(text);
            return Ok(());
        }
        let (sign, rest) = match text.strip_prefix(b"-") {
            Some(rest) => (b'-', rest),
            None => (b'+', text),
        };
        // Most numbers are plain integers, whose text is short of the answer by their last zeros.
        if rest.iter().all(u8::is_ascii_digit) && rest != b"0" {
            let zeros = rest.iter().rev().take_while(|digit| **digit == b'0').count();
            let digits = rest.get(..rest.len() - zeros).unwrap_or_default();
            self.out.push(sign);
            put_number(&mut self.out, digits.len() as u64);
            self.out.extend_from_slice(digits);
            put_number(&mut self.out, (zeros as u64) << 1);
            return Ok(());
        }
        let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(place) => (rest.get(..place).unwrap_or_default(), exponent(rest.get(place + 1..).unwrap_or_default())),
            None => (rest, Some(0)),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(place) => mantissa.split_at(place),
            None => (mantissa, &[][..]),
        };
        let fraction = fraction.get(1..).unwrap_or_default();
        let digits = || whole.iter().chain(fraction).copied();
        let leading = digits().take_while(|digit| *digit == b'0').count();
        let length = whole.len() + fraction.len();
        if leading == length {
            self.out.push(b'0');
            return Ok(());
        }
        let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
        let power = exponent
            .and_then(|exponent| exponent.checked_add(trailing as i64)?.checked_sub(fraction.len() as i64))
            .ok_or_else(|| scanner.error("a number's exponent is too large"))?;
        self.out.push(sign);
        put_number(&mut self.out, (length - leading - trailing) as u64);
        self.out.extend(digits().skip(leading).take(length - leading - trailing));
        put_number(&mut self.out, ((power << 1) ^ (power >> 63)) as u64);
        Ok(())
    }
}

/// The first eight bytes of a key; shorter ones end in zeros.
fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => key.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) << (8 * (8 - key.len()) % 64),
    }
}

/// What is left of the ignored pointers behind `key`.
fn step<'p>(ignored: &[&'p [String]], key: &[u8]) -> Vec<&'p [String]> {
    ignored
        .iter()
        .filter_map(|pointer| pointer.split_first())
        .filter(|(first, _)| first.as_bytes() == key)
        .map(|(_, rest)| rest)
        .collect()
}

fn exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().ok().filter(|exponent| exponent.abs() <= MAX_EXPONENT)
}

/// The id that a value is.
fn id_of(value: &[u8]) -> Option<Arc<str>> {
    let mut scanner = Scanner::new(value);
    if value.first() == Some(&b'"') {
        return std::str::from_utf8(&scanner.string().ok()?).ok().map(Arc::from);
    }
    let integer = value.iter().enumerate().all(|(place, byte)| byte.is_ascii_digit() || (place == 0 && *byte == b'-'));
    let text = std::str::from_utf8(value).ok().filter(|_| integer)?;
    Some(if text == "-0" { "0" } else { text }.into())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
