//! A row of the log in memory: its hashes, its earlier lives, its source version.

use std::sync::Arc;

use bytes::Bytes;

use crate::backend::LogRow;
use crate::batch::SourceVersion;
use crate::cursor::Position;
use crate::error::{Error, Result};
use crate::record::Action;
use crate::varint::{MAX_NUMBER, Reader, number_bytes, put_bytes};

/// Earlier lives kept per record. Beyond that the oldest two are merged: a reader may then be asked to remove a record that it does
/// not hold, but never misses a removal.
const MAX_LIVES: usize = 32;

/// Two hashes, a byte, and the longest number.
const MAX_ENCODED_HASHES: usize = 33 + MAX_NUMBER;

/// Set in the first byte of the extra facts when an origin follows.
const HAS_ORIGIN: u8 = 0x10;

/// Set there when it follows which filters the record matched.
const HAS_MATCHED: u8 = 0x20;

/// What identifies a record's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Hashes {
    /// Of the id and the payload's exact bytes: equal means unchanged, without looking further.
    pub(crate) exact: [u8; 16],
    /// Of the payload's meaning, under the rules with this index in the stream's list.
    pub(crate) canonical: [u8; 16],
    pub(crate) algorithm: u8,
    /// Bytes of the payload as it was saved.
    pub(crate) length: u64,
}

impl Hashes {
    /// Writes them into `room`; returns what was written.
    pub(crate) fn encode<'r>(&self, room: &'r mut [u8; MAX_ENCODED_HASHES]) -> &'r [u8] {
        room[..16].copy_from_slice(&self.exact);
        room[16..32].copy_from_slice(&self.canonical);
        room[32] = self.algorithm;
        let (length, bytes) = number_bytes(self.length);
        room[33..33 + MAX_NUMBER].copy_from_slice(&bytes);
        &room[..33 + length]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut rest = Reader(bytes);
        let (exact, canonical, [algorithm]) = (rest.array()?, rest.array()?, rest.array()?);
        Ok(Hashes { exact, canonical, algorithm, length: rest.number()? })
    }
}

/// A life that ended: the record was there from the first position until the second.
pub(crate) type Life = (u128, u128);

/// What few rows have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) version: Option<SourceVersion>,
    /// Who made the last change, where it was not the sync itself.
    pub(crate) origin: Option<Arc<str>>,
    /// Oldest first.
    pub(crate) lives: Vec<Life>,
    /// The tracked filters that an earlier version matched, or a payload that was pruned.
    pub(crate) matched: Vec<Matched>,
}

/// What is known of a record and one tracked filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    /// The filter's index in the stream's list.
    pub(crate) filter: u8,
    /// Whether the payload that was pruned matched.
    pub(crate) pruned: bool,
    /// The position of the first version that did.
    pub(crate) from: u128,
}

impl Extra {
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        if *self == Extra::default() {
            return None;
        }
        let mut out = Vec::new();
        let named = if self.origin.is_some() { HAS_ORIGIN } else { 0 };
        let named = if self.matched.is_empty() { named } else { named | HAS_MATCHED };
        match &self.version {
            None => out.push(named),
            Some(SourceVersion::Number(number)) => {
                out.push(1 | named);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Some(SourceVersion::Text(text)) => {
                out.push(2 | named);
                put_bytes(&mut out, text.as_bytes());
            }
        }
        if let Some(origin) = &self.origin {
            put_bytes(&mut out, origin.as_bytes());
        }
        if let Some(count) = u8::try_from(self.matched.len()).ok().filter(|count| *count > 0) {
            out.push(count);
            for matched in &self.matched {
                out.extend_from_slice(&[matched.filter, u8::from(matched.pruned)]);
                out.extend_from_slice(&matched.from.to_be_bytes());
            }
        }
        for (birth, death) in &self.lives {
            out.extend_from_slice(&birth.to_be_bytes());
            out.extend_from_slice(&death.to_be_bytes());
        }
        Some(out)
    }

    pub(crate) fn decode(bytes: Option<&[u8]>) -> Result<Self> {
        let Some(bytes) = bytes else { return Ok(Extra::default()) };
        let mut rest = Reader(bytes);
        let text = |rest: &mut Reader<'_>| {
            std::str::from_utf8(rest.bytes()?)
                .map(Arc::<str>::from)
                .map_err(|_| Error::corrupt("a stored source version or origin is not UTF-8"))
        };
        let [kind]: [u8; 1] = rest.array()?;
        let version = match kind & !(HAS_ORIGIN | HAS_MATCHED) {
            0 => None,
            1 => Some(SourceVersion::Number(i64::from_be_bytes(rest.array()?))),
            2 => Some(SourceVersion::Text(text(&mut rest)?)),
            _ => return Err(Error::corrupt("a stored source version has an unknown kind")),
        };
        let origin = if kind & HAS_ORIGIN != 0 { Some(text(&mut rest)?) } else { None };
        let mut matched = Vec::new();
        if kind & HAS_MATCHED != 0 {
            let [count]: [u8; 1] = rest.array()?;
            for _ in 0..count {
                let [filter, pruned] = rest.array()?;
                matched.push(Matched { filter, pruned: pruned != 0, from: u128::from_be_bytes(rest.array()?) });
            }
        }
        let mut lives = Vec::new();
        while !rest.is_empty() {
            lives.push((u128::from_be_bytes(rest.array()?), u128::from_be_bytes(rest.array()?)));
        }
        Ok(Extra { version, origin, lives, matched })
    }

    /// Notes a life that ended. A life concerns readers until they have come to the birth of the next
    /// one: its end may have moved on before they came by.
    pub(crate) fn bury(&mut self, life: Life, horizon: u128) {
        self.lives.push(life);
        let settled = self.lives.iter().skip(1).take_while(|(next_birth, _)| *next_birth <= horizon).count();
        self.lives.drain(..settled);
        while self.lives.len() > MAX_LIVES {
            let (birth, _) = self.lives.remove(0);
            if let Some(oldest) = self.lives.first_mut() {
                oldest.0 = birth;
            }
        }
    }
}

/// A row, owned; its payload is left with the backend unless asked for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) position: Position,
    pub(crate) birth: u128,
    pub(crate) action: Action,
    pub(crate) first_seen_at: i64,
    pub(crate) pruned_at: Option<i64>,
    pub(crate) id: Arc<str>,
    pub(crate) hashes: Hashes,
    pub(crate) extra: Extra,
    /// As stored: a codec's bytes, or JSON text.
    pub(crate) payload: Option<Bytes>,
}

impl Entry {
    pub(crate) fn from_row(row: &LogRow<'_>) -> Result<Self> {
        Ok(Entry {
            sequence: row.sequence,
            position: Position { ulid: row.cursor, epoch: row.epoch },
            birth: row.birth,
            action: row.action,
            first_seen_at: row.first_seen_at,
            pruned_at: row.pruned_at,
            id: row.id.into(),
            hashes: Hashes::decode(row.hashes).map_err(|error| error.with("id", row.id))?,
            extra: Extra::decode(row.extra).map_err(|error| error.with("id", row.id))?,
            payload: row.payload.map(Bytes::copy_from_slice),
        })
    }

    pub(crate) fn is_live(&self) -> bool {
        self.action != Action::Deleted
    }

    /// Calls `write` with the row as a backend takes it.
    pub(crate) fn as_row<T>(&self, write: impl FnOnce(&LogRow<'_>) -> T) -> T {
        let mut room = [0; MAX_ENCODED_HASHES];
        let hashes = self.hashes.encode(&mut room);
        let extra = self.extra.encode();
        write(&LogRow {
            sequence: self.sequence,
            cursor: self.position.ulid,
            epoch: self.position.epoch,
            birth: self.birth,
            action: self.action,
            first_seen_at: self.first_seen_at,
            pruned_at: self.pruned_at,
            id: &self.id,
            hashes,
            extra: extra.as_deref(),
            payload: self.payload.as_deref(),
        })
    }
}

/// Whether a reader that holds everything up to `cursor` holds a record of these lives.
pub(crate) fn held_at(cursor: u128, row: &LogRow<'_>, lives: &[Life]) -> bool {
    let present = row.birth <= cursor && cursor < row.cursor;
    present || lives.iter().any(|(birth, death)| *birth <= cursor && cursor < *death)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_before_filters_were_tracked_read_as_they_did() {
        let lives = vec![(3, 5)];
        let old =
            Extra { version: Some(SourceVersion::Number(7)), origin: Some("hook".into()), lives, matched: Vec::new() };
        let mut bytes = vec![0x11];
        bytes.extend_from_slice(&7_i64.to_be_bytes());
        bytes.extend_from_slice(b"\x04hook");
        bytes.extend_from_slice(&3_u128.to_be_bytes());
        bytes.extend_from_slice(&5_u128.to_be_bytes());
        assert_eq!(Extra::decode(Some(&bytes)).unwrap(), old);
        assert_eq!(old.encode().unwrap(), bytes);
        let matched = vec![Matched { filter: 3, pruned: true, from: 9 }, Matched { filter: 0, pruned: false, from: 1 }];
        let new = Extra { matched, ..old };
        assert_eq!(Extra::decode(new.encode().as_deref()).unwrap(), new);
    }
}
