//! What the objects of earlier records looked like: those of a stream nearly always have the same members,
//! in the same places. A known key is compared rather than read, and a known object is not sorted again.

use std::cmp::Ordering;

use super::scan::Scanner;
use crate::error::Result;
use crate::varint::put_number;

/// Kinds of objects, and their members together, that are remembered at most.
const MAX_KINDS: usize = 256;
const MAX_KNOWN: usize = 2048;

/// Members that may be absent before a known one and it is still found.
const MAX_ABSENT: usize = 16;

/// Orders remembered, and members of each, at most.
const ORDERS: usize = 64;
const MAX_KEPT_ORDER: usize = 1024;

/// One member of an object in the output: where its key's text and its end are.
#[derive(Clone, Copy)]
pub(super) struct Member {
    /// The key's first eight bytes as a number: it decides most comparisons.
    pub(super) prefix: u64,
    pub(super) start: usize,
    pub(super) key: usize,
    pub(super) key_end: usize,
    pub(super) end: usize,
}

impl Member {
    /// The first eight bytes of a key; shorter ones end in zeros.
    pub(super) fn prefix_of(key: &[u8]) -> u64 {
        match key.first_chunk() {
            Some(first) => u64::from_be_bytes(*first),
            None => key.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) << (8 * (8 - key.len()) % 64),
        }
    }

    fn name<'o>(&self, out: &'o [u8]) -> &'o [u8] {
        out.get(self.key..self.key_end).unwrap_or_default()
    }
}

/// A kind of object: those that stand in the same place of a stream's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(usize);

impl Kind {
    /// The records themselves.
    pub(super) const RECORD: Kind = Kind(0);
    /// Nothing is known or to be learnt.
    pub(super) const UNKNOWN: Kind = Kind(usize::MAX);
}

#[derive(Default)]
struct Shape {
    members: Vec<Known>,
    /// How they have to be put in order; empty if they stand in it.
    order: Vec<u32>,
    /// Objects that looked otherwise.
    misses: u32,
}

/// A member that is to be expected.
pub(super) struct Known {
    /// The first 16 bytes of `"key":`, and which bits of them count.
    head: u128,
    mask: u128,
    /// All of it.
    text: Vec<u8>,
    /// The key as it is encoded: its first 16 bytes, and all of it.
    encoded_head: [u8; 16],
    encoded: Vec<u8>,
    prefix: u64,
    key_length: usize,
    inner: Kind,
}

impl Known {
    fn new(key: &[u8]) -> Self {
        let text = [b"\"", key, b"\":"].concat();
        let mut encoded = vec![b'"'];
        put_number(&mut encoded, key.len() as u64);
        encoded.extend_from_slice(key);
        let mask = u128::MAX >> (128 - 8 * text.len().min(16));
        Known {
            head: u128::from_le_bytes(head(&text)) & mask,
            mask,
            text,
            encoded_head: head(&encoded),
            encoded,
            prefix: Member::prefix_of(key),
            key_length: key.len(),
            inner: Kind::UNKNOWN,
        }
    }

    /// Whether it comes next.
    #[inline]
    pub(super) fn stands_at(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<16>() {
            Some(first) if self.text.len() <= 16 => u128::from_le_bytes(*first) & self.mask == self.head,
            _ => rest.starts_with(&self.text),
        }
    }

    /// Bytes of the key with its quotes and colon.
    #[inline]
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    #[inline]
    pub(super) fn prefix(&self) -> u64 {
        self.prefix
    }

    /// Writes it; where its key's text begins.
    #[inline]
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> usize {
        let length = self.encoded.len();
        if length <= 16 {
            // A copy of a fixed length is a single move.
            out.extend_from_slice(&self.encoded_head);
            out.truncate(out.len() - 16 + length);
        } else {
            out.extend_from_slice(&self.encoded);
        }
        out.len() - self.key_length
    }

    fn is(&self, key: &[u8]) -> bool {
        self.encoded.ends_with(key) && self.key_length == key.len()
    }
}

fn head(bytes: &[u8]) -> [u8; 16] {
    let mut head = [0; 16];
    head.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    head
}

/// The kinds of objects that were seen.
#[derive(Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    /// Members of all of them.
    known: usize,
}

impl Shapes {
    /// The member to be expected at a place.
    #[inline]
    pub(super) fn at(&self, kind: Kind, place: usize) -> Option<&Known> {
        self.shapes.get(kind.0)?.members.get(place)
    }

    /// Members of an object of this kind.
    #[inline]
    pub(super) fn len(&self, kind: Kind) -> usize {
        self.shapes.get(kind.0).map_or(0, |shape| shape.members.len())
    }

    /// How the members of an object of this kind are put in order; empty if they stand in it.
    #[inline]
    pub(super) fn order(&self, kind: Kind) -> &[u32] {
        self.shapes.get(kind.0).map_or(&[], |shape| &shape.order)
    }

    /// Where a key stands at or soon behind a place.
    pub(super) fn find(&self, kind: Kind, from: usize, key: &[u8]) -> Option<usize> {
        let members = self.shapes.get(kind.0)?.members.get(from..)?;
        members.iter().take(MAX_ABSENT).position(|known| known.is(key)).map(|place| from + place)
    }

    /// The kind of the object that is a member's value, or of those in the array that it is.
    pub(super) fn inner(&mut self, kind: Kind, place: usize) -> Kind {
        let new = Kind(self.shapes.len());
        let Some(known) = self.shapes.get_mut(kind.0).and_then(|shape| shape.members.get_mut(place)) else {
            return Kind::UNKNOWN;
        };
        if known.inner == Kind::UNKNOWN && new.0 < MAX_KINDS {
            known.inner = new;
            self.shapes.push(Shape::default());
            return new;
        }
        known.inner
    }

    /// Learns from an object that was not as expected, unless it merely lacks members (a `strange` one has none
    /// of them): from the first, the second, the fourth of its kind and so on, so that objects that never
    /// look alike cost little.
    pub(super) fn learn(&mut self, kind: Kind, out: &[u8], members: &[Member], order: &[u32], strange: bool) {
        if kind == Kind::RECORD && self.shapes.is_empty() {
            self.shapes.push(Shape::default());
        }
        let Some(shape) = self.shapes.get_mut(kind.0) else {
            return;
        };
        if members.len() < shape.members.len() && !strange {
            return;
        }
        shape.misses = shape.misses.saturating_add(1);
        let known = self.known - shape.members.len() + members.len();
        // A key with an escape is spelled otherwise than it reads.
        let plain = |member: &Member| member.name(out).iter().all(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20));
        if !shape.misses.is_power_of_two() || known > MAX_KNOWN || !members.iter().all(plain) {
            return;
        }
        self.known = known;
        let before = std::mem::take(&mut shape.members);
        shape.members.extend(members.iter().map(|member| {
            let mut new = Known::new(member.name(out));
            let same = before.iter().find(|known| known.is(member.name(out)));
            new.inner = same.map_or(Kind::UNKNOWN, |known| known.inner);
            new
        }));
        shape.order.clear();
        shape.order.extend_from_slice(order);
    }
}

/// How the members of earlier objects had to be put in order, for those that are not as expected.
#[derive(Default)]
pub(super) struct Orders(Vec<Vec<u32>>);

impl Orders {
    /// How the members of an object are put in order of key; empty if they stand in it.
    pub(super) fn of(&mut self, out: &[u8], members: &[Member], scanner: &Scanner<'_>) -> Result<&[u32]> {
        let compare = |a: &Member, b: &Member| a.prefix.cmp(&b.prefix).then_with(|| a.name(out).cmp(b.name(out)));
        if members.windows(2).all(|pair| matches!(pair, [a, b] if compare(a, b).is_lt())) {
            return Ok(&[]);
        }
        let order = self.like(members);
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
                let name = String::from_utf8_lossy(member.name(out)).into_owned();
                return Err(scanner.error("an object has the same key twice").with("key", name));
            }
        }
        Ok(order)
    }

    /// The order of the last object that looked like this one. It may not fit.
    fn like(&mut self, members: &[Member]) -> &mut Vec<u32> {
        let first = members.first().map_or(0, |member| member.prefix);
        let mixed = (first ^ members.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if self.0.is_empty() {
            self.0.resize_with(ORDERS, Vec::new);
        }
        let order = &mut self.0[(mixed >> 32) as usize % ORDERS];
        if order.capacity() > MAX_KEPT_ORDER {
            *order = Vec::new();
        }
        order
    }
}

#[cfg(test)]
mod tests;
