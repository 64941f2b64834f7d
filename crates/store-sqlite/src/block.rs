//! A row of `hw_log`: a block of several rows of the core's log, as many as fit into a page of the file.
//!
//! SQLite has a fixed cost per row, about as high as the whole cost of reading a record of 1 KB. So each row of its table holds
//! a block of ours. `directory` has an entry of fixed size for each row, which views can read; `details` has the parts of
//! variable size; `payloads` has the records, as a JSON array or as a codec's bytes, concatenated.

use highwater_core::backend::LogRow;
use highwater_core::{Action, Error, Result};

use rusqlite::types::ToSqlOutput;

use crate::values::{SEQUENCE_BITS, blob, damaged, number, out_of_range, text};

/// The size of an entry of the directory in bytes.
pub(crate) const ENTRY: usize = 44;

/// The most rows of a block. Views rely on it.
pub(crate) const MAX_ROWS: usize = 64;

const HAS_BIRTH: u8 = 1;
const HAS_PRUNED: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_PAYLOAD: u8 = 8;
/// The action is in the bits above the flags.
pub(crate) const ACTION_SHIFT: u32 = 4;

/// Sequence numbers take this many bytes.
const SEQUENCE_BYTES: usize = SEQUENCE_BITS as usize / 8;

/// The offsets of the parts of an entry that views read.
pub(crate) mod place {
    pub(crate) const CURSOR: usize = 0;
    pub(crate) const FIRST_SEEN: usize = 16;
    pub(crate) const FLAGS: usize = 24;
    pub(crate) const DETAILS_END: usize = 34;
    pub(crate) const ID_LENGTH: usize = 42;
}

/// An entry of the directory: the cursor (16), the time of the first sight (8), a byte of flags and action, the sequence
/// number (5), the epoch (4), where its details end (4) and its payload (4), and how long its id is (2).
#[derive(Clone, Copy)]
struct Entry {
    cursor: u128,
    first_seen_at: i64,
    flags: u8,
    sequence: u64,
    epoch: u32,
    details_end: u32,
    payload_end: u32,
    id_length: u16,
}

impl Entry {
    fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (cursor, rest) = bytes.split_first_chunk()?;
        let (first_seen_at, rest) = rest.split_first_chunk()?;
        let (&flags, rest) = rest.split_first()?;
        let (sequence, rest) = rest.split_first_chunk::<SEQUENCE_BYTES>()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (details_end, rest) = rest.split_first_chunk()?;
        let (payload_end, rest) = rest.split_first_chunk()?;
        Some(Entry {
            cursor: u128::from_be_bytes(*cursor),
            first_seen_at: i64::from_be_bytes(*first_seen_at),
            flags,
            sequence: whole(sequence),
            epoch: u32::from_be_bytes(*epoch),
            details_end: u32::from_be_bytes(*details_end),
            payload_end: u32::from_be_bytes(*payload_end),
            id_length: u16::from_be_bytes(*rest.first_chunk()?),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let sequence = self.sequence.to_be_bytes();
        out.extend_from_slice(&self.cursor.to_be_bytes());
        out.extend_from_slice(&self.first_seen_at.to_be_bytes());
        out.push(self.flags);
        out.extend_from_slice(sequence.get(sequence.len() - SEQUENCE_BYTES..).unwrap_or_default());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.details_end.to_be_bytes());
        out.extend_from_slice(&self.payload_end.to_be_bytes());
        out.extend_from_slice(&self.id_length.to_be_bytes());
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A borrowed block.
#[derive(Clone, Copy)]
pub(crate) struct Block<'b> {
    directory: &'b [[u8; ENTRY]],
    details: &'b [u8],
    payloads: Payloads<'b>,
}

/// The payloads of a block.
#[derive(Clone, Copy)]
pub(crate) enum Payloads<'b> {
    /// A JSON array; it may lack its closing bracket while rows are still added.
    Text(&'b [u8]),
    /// A codec's bytes.
    Bytes(&'b [u8]),
    /// Not loaded.
    Unread,
}

impl<'b> Block<'b> {
    pub(crate) fn new(directory: &'b [u8], details: &'b [u8], payloads: Payloads<'b>) -> Result<Self> {
        match directory.as_chunks() {
            ([], _) => Err(damaged("a block without rows")),
            (directory, []) => Ok(Block { directory, details, payloads }),
            _ => Err(damaged("a block whose directory ends too early")),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.directory.len()
    }

    /// The index of the first row with this sequence number or a later one.
    pub(crate) fn place_of(&self, sequence: u64) -> usize {
        self.directory.partition_point(|entry| sequence_of(entry) < sequence)
    }

    pub(crate) fn sequence(&self, place: usize) -> Option<u64> {
        self.directory.get(place).map(sequence_of)
    }

    /// The row at an index below [`len`](Self::len).
    pub(crate) fn row(&self, place: usize) -> Result<LogRow<'b>> {
        self.rows(place).next().unwrap_or_else(|| Err(unreadable()))
    }

    /// The rows from an index on.
    pub(crate) fn rows(self, place: usize) -> impl Iterator<Item = Result<LogRow<'b>>> {
        let before = place.checked_sub(1).and_then(|before| Entry::read(self.directory.get(before)?));
        let mut starts = before.map_or((0, 0), |before| (before.details_end as usize, before.payload_end as usize));
        self.directory.get(place..).unwrap_or_default().iter().map(move |entry| {
            let entry = Entry::read(entry).ok_or_else(unreadable)?;
            let row = self.read(&entry, starts).ok_or_else(unreadable)?;
            starts = (entry.details_end as usize, entry.payload_end as usize);
            Ok(row)
        })
    }

    fn read(&self, entry: &Entry, (details_start, payload_start): (usize, usize)) -> Option<LogRow<'b>> {
        let details = self.details.get(details_start..entry.details_end as usize)?;
        let (id, mut rest) = details.split_at_checked(usize::from(entry.id_length))?;
        let mut birth = entry.cursor;
        if entry.has(HAS_BIRTH) {
            let (bytes, tail) = rest.split_first_chunk()?;
            (birth, rest) = (u128::from_be_bytes(*bytes), tail);
        }
        let mut pruned_at = None;
        if entry.has(HAS_PRUNED) {
            let (bytes, tail) = rest.split_first_chunk()?;
            (pruned_at, rest) = (Some(i64::from_be_bytes(*bytes)), tail);
        }
        let (&hashes, rest) = rest.split_first()?;
        let (hashes, rest) = rest.split_at_checked(usize::from(hashes))?;
        let end = entry.payload_end as usize;
        let payload = match self.payloads {
            // After the bracket or the comma.
            Payloads::Text(text) => text.get(payload_start + 1..end)?,
            Payloads::Bytes(bytes) => bytes.get(payload_start..end)?,
            Payloads::Unread => &[],
        };
        let read = entry.has(HAS_PAYLOAD) && !matches!(self.payloads, Payloads::Unread);
        Some(LogRow {
            sequence: entry.sequence,
            cursor: entry.cursor,
            epoch: entry.epoch,
            birth,
            action: Action::from_code(entry.flags >> ACTION_SHIFT)?,
            first_seen_at: entry.first_seen_at,
            pruned_at,
            id: std::str::from_utf8(id).ok()?,
            hashes,
            extra: entry.has(HAS_EXTRA).then_some(rest),
            payload: read.then_some(payload),
        })
    }
}

fn unreadable() -> Error {
    damaged("a block whose rows do not read")
}

fn whole(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn sequence_of(entry: &[u8; ENTRY]) -> u64 {
    entry.get(25..25 + SEQUENCE_BYTES).map_or(0, whole)
}

/// A block under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockBuilder {
    directory: Vec<u8>,
    details: Vec<u8>,
    payloads: Vec<u8>,
    bytes: bool,
    deleted: u32,
}

impl BlockBuilder {
    /// The rows of a block, with `instead` in place of the row with the sequence number `except`.
    pub(crate) fn copy(&mut self, block: &Block<'_>, except: Option<u64>, instead: Option<&LogRow<'_>>) -> Result<()> {
        self.clear();
        let mut rows = Vec::with_capacity(block.len() + 1);
        for row in block.rows(0) {
            let row = row?;
            if Some(row.sequence) != except {
                rows.push(row);
            }
        }
        if let Some(row) = instead {
            rows.insert(rows.partition_point(|other| other.sequence < row.sequence), *row);
        }
        self.bytes = rows.iter().any(|row| row.payload.is_some_and(|payload| !is_plain(payload)));
        rows.iter().try_for_each(|row| self.add(row))
    }

    pub(crate) fn clear(&mut self) {
        self.directory.clear();
        self.details.clear();
        self.payloads.clear();
        (self.bytes, self.deleted) = (false, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.directory.is_empty()
    }

    /// Whether one more row fits into this block of `room` bytes.
    pub(crate) fn takes(&self, row: &LogRow<'_>, room: usize) -> bool {
        let more = ENTRY + row.id.len() + 25 + row.hashes.len() + row.extra.map_or(0, <[u8]>::len);
        let payload = row.payload.map_or(4, <[u8]>::len) + 1;
        let size = self.directory.len() + self.details.len() + self.payloads.len() + more + payload;
        self.is_empty()
            || (size < room
                && self.directory.len() < MAX_ROWS * ENTRY
                && row.payload.is_none_or(|payload| is_plain(payload) != self.bytes))
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: &LogRow<'_>) -> Result<()> {
        if self.is_empty() {
            self.bytes = row.payload.is_some_and(|payload| !is_plain(payload));
        }
        self.add(row)
    }

    fn add(&mut self, row: &LogRow<'_>) -> Result<()> {
        let birth = Some(row.birth).filter(|birth| *birth != row.cursor);
        self.details.extend_from_slice(row.id.as_bytes());
        self.details.extend(birth.into_iter().flat_map(u128::to_be_bytes));
        self.details.extend(row.pruned_at.into_iter().flat_map(i64::to_be_bytes));
        self.details.push(u8::try_from(row.hashes.len()).map_err(|_| out_of_range())?);
        self.details.extend_from_slice(row.hashes);
        self.details.extend_from_slice(row.extra.unwrap_or_default());
        if !self.bytes {
            self.payloads.push(if self.directory.is_empty() { b'[' } else { b',' });
        }
        self.payloads.extend_from_slice(match row.payload {
            Some(payload) => payload,
            None if self.bytes => &[],
            None => b"null",
        });
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let entry = Entry {
            cursor: row.cursor,
            first_seen_at: row.first_seen_at,
            flags: flag(birth.is_some(), HAS_BIRTH)
                | flag(row.pruned_at.is_some(), HAS_PRUNED)
                | flag(row.extra.is_some(), HAS_EXTRA)
                | flag(row.payload.is_some(), HAS_PAYLOAD)
                | row.action.code() << ACTION_SHIFT,
            sequence: row.sequence,
            epoch: row.epoch,
            details_end: end(&self.details)?,
            payload_end: end(&self.payloads)?,
            id_length: u16::try_from(row.id.len()).map_err(|_| out_of_range())?,
        };
        entry.write(&mut self.directory);
        self.deleted += u32::from(row.action == Action::Deleted);
        Ok(())
    }

    /// The block as built so far; it must not be empty.
    pub(crate) fn block(&self) -> Result<Block<'_>> {
        let payloads = if self.bytes { Payloads::Bytes(&self.payloads) } else { Payloads::Text(&self.payloads) };
        Block::new(&self.directory, &self.details, payloads)
    }

    /// Sequence number of the last row.
    pub(crate) fn last(&self) -> Option<u64> {
        self.directory.last_chunk().map(sequence_of)
    }

    /// The values of the columns after the key. No more rows can be added.
    pub(crate) fn columns(&mut self) -> [ToSqlOutput<'_>; 4] {
        if !self.bytes {
            self.payloads.push(b']');
        }
        // JSON as text, so that SQLite's JSON functions read it.
        let payloads = if self.bytes { blob(&self.payloads) } else { text(&self.payloads) };
        [number(i64::from(self.deleted)), blob(&self.directory), blob(&self.details), payloads]
    }
}

/// Whether a payload is JSON text, rather than a codec's bytes.
pub(crate) fn is_plain(payload: &[u8]) -> bool {
    payload.first() == Some(&b'{')
}

fn end(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| out_of_range())
}

#[cfg(test)]
mod tests;
