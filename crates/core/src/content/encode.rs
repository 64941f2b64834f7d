//! Writes the canonical encoding of one record after the other.

use super::number;
use super::scan::Scanner;
use super::shapes::{Kind, Member, Orders, Shapes};
use crate::error::Result;
use crate::mutants::mutant;
use crate::varint::{number_bytes, put_number};

/// Room in bytes that is kept from one record to the next, at most.
const MAX_KEPT_ROOM: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Encoder {
    out: Vec<u8>,
    /// Members of the objects that are open, the innermost last.
    members: Vec<Member>,
    shapes: Shapes,
    orders: Orders,
    spare: Vec<u8>,
    /// Where in the text the value of the top-level `id` stands.
    id: Option<(usize, usize)>,
}

impl Encoder {
    /// The encoding of a record, and the text of its top-level `id`.
    pub(super) fn record<'t>(&mut self, text: &'t [u8], ignored: &[&[String]]) -> Result<(&[u8], Option<&'t [u8]>)> {
        self.clear(text.len());
        let mut scanner = Scanner::new(text);
        if scanner.next_byte() != Some(b'{') {
            return Err(scanner.error("a record is a JSON object"));
        }
        self.object(&mut scanner, 0, ignored, Kind::RECORD)?;
        scanner.expect_end()?;
        Ok((&self.out, self.id.and_then(|(from, to)| text.get(from..to))))
    }

    /// The encoding of any value.
    pub(super) fn any_value(mut self, text: &[u8]) -> Result<Vec<u8>> {
        let mut scanner = Scanner::new(text);
        self.value(&mut scanner, 1, &[], Kind::UNKNOWN)?;
        scanner.expect_end()?;
        Ok(self.out)
    }

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

    fn value(&mut self, scanner: &mut Scanner<'_>, depth: usize, ignored: &[&[String]], kind: Kind) -> Result<()> {
        match scanner.next_byte() {
            Some(b'{') => self.object(scanner, depth, ignored, kind),
            Some(b'[') => self.array(scanner, depth, ignored, kind),
            Some(b'"') => self.string_value(scanner),
            Some(b't') => scanner.literal("true").map(|()| self.out.push(b't')),
            Some(b'f') => scanner.literal("false").map(|()| self.out.push(b'f')),
            Some(b'n') => scanner.literal("null").map(|()| self.out.push(b'n')),
            _ if mutant!("hash-number-text") => {
                self.out.push(b'#');
                scanner.number().map(|text| self.string(text))
            }
            _ => number::encode(scanner, &mut self.out),
        }
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, depth: usize, ignored: &[&[String]], kind: Kind) -> Result<()> {
        scanner.check_depth(depth)?;
        scanner.expect(b'{', "an object is missing")?;
        self.out.push(b'{');
        let (first, body) = (self.members.len(), self.out.len());
        // The place of the next member in the known shape, and whether all members so far were as there.
        let (mut next, mut as_known) = (0, true);
        let mut more = scanner.next_byte() != Some(b'}');
        if !more {
            scanner.bump();
        }
        while more {
            scanner.skip_space();
            let start = self.out.len();
            let (key, prefix, place) = self.key(scanner, kind, next)?;
            as_known &= place == Some(next);
            next = place.map_or(next, |place| place + 1);
            let key_end = self.out.len();
            let name = self.out.get(key..key_end).unwrap_or_default();
            let deeper = if ignored.is_empty() { Vec::new() } else { step(ignored, name) };
            let is_id = depth == 0 && name == b"id";
            scanner.skip_space();
            let from = scanner.at();
            let inner = match (place, scanner.peek()) {
                (Some(place), Some(b'{' | b'[')) => self.shapes.inner(kind, place),
                _ => Kind::UNKNOWN,
            };
            self.value(scanner, depth + 1, &deeper, inner)?;
            if is_id {
                self.id = Some((from, scanner.at()));
            }
            if deeper.iter().any(|rest| rest.is_empty()) {
                // The key stays: that the member is there at all is content, its value is not.
                self.out.truncate(key_end);
                self.out.push(b'-');
            }
            self.members.push(Member { prefix, start, key, key_end, end: self.out.len() });
            more = scanner.more(b'}')?;
        }
        let members = self.members.get(first..).unwrap_or_default();
        if as_known && next == self.shapes.len(kind) {
            put_in_order(&mut self.out, &mut self.spare, members, body, self.shapes.order(kind));
        } else {
            let order = self.orders.of(&self.out, members, scanner)?;
            self.shapes.learn(kind, &self.out, members, order, next == 0);
            put_in_order(&mut self.out, &mut self.spare, members, body, order);
        }
        self.members.truncate(first);
        self.out.push(b'}');
        Ok(())
    }

    /// Reads a key and its colon: where it lies in the output, how it begins, and its place in the known
    /// shape. Most often it is the same one as in the last object of this kind.
    #[inline]
    fn key(&mut self, scanner: &mut Scanner<'_>, kind: Kind, next: usize) -> Result<(usize, u64, Option<usize>)> {
        if let Some(known) = self.shapes.at(kind, next)
            && known.stands_at(scanner.rest())
        {
            scanner.pass(known.length());
            return Ok((known.encode(&mut self.out), known.prefix(), Some(next)));
        }
        let key = scanner.string()?;
        scanner.expect(b':', "a member lacks its colon")?;
        self.string(&key);
        Ok((self.out.len() - key.len(), Member::prefix_of(&key), self.shapes.find(kind, next, &key)))
    }

    fn array(&mut self, scanner: &mut Scanner<'_>, depth: usize, ignored: &[&[String]], kind: Kind) -> Result<()> {
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
            self.value(scanner, depth + 1, &deeper, kind)?;
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

    /// A string of the text, read and written in one go.
    fn string_value(&mut self, scanner: &mut Scanner<'_>) -> Result<()> {
        self.out.extend_from_slice(&[b'"', 0]);
        let start = self.out.len();
        scanner.copy_string(&mut self.out)?;
        let length = self.out.len() - start;
        if let Some(place) = self.out.get_mut(start - 1).filter(|_| length < 0x80) {
            *place = length as u8;
            return Ok(());
        }
        // A length of more bytes than the one there is room for.
        let (count, bytes) = number_bytes(length as u64);
        self.out.splice(start - 1..start, bytes.into_iter().take(count));
        Ok(())
    }
}

/// Puts the members behind `body` in this order; none is needed where they stand in it.
fn put_in_order(out: &mut Vec<u8>, spare: &mut Vec<u8>, members: &[Member], body: usize, order: &[u32]) {
    if order.is_empty() {
        return;
    }
    spare.clear();
    for member in order.iter().filter_map(|place| members.get(*place as usize)) {
        spare.extend_from_slice(out.get(member.start..member.end).unwrap_or_default());
    }
    out.truncate(body);
    out.extend_from_slice(spare);
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
