//! A compact encoding of log rows and keys, for backends that store plain keys and values.

use crate::backend::LogRow;
use crate::error::{Error, Result};
use crate::record::Action;

const HAS_BIRTH: u8 = 1 << 2;
const HAS_PRUNED: u8 = 1 << 3;
const HAS_EXTRA: u8 = 1 << 4;
const HAS_PAYLOAD: u8 = 1 << 5;

/// The key of a row: the stream, then the sequence number, so that byte order is log order.
pub fn row_key(stream: u32, sequence: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&stream.to_be_bytes());
    key[4..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// The sequence number in a key made by [`row_key`].
pub fn sequence_of_key(key: &[u8]) -> Result<u64> {
    let key = <[u8; 12]>::try_from(key)
        .map_err(|_| Error::corrupt("a log key has the wrong length: restore a backup, or sync into a new store"))?;
    let [_, _, _, _, sequence @ ..] = key;
    Ok(u64::from_be_bytes(sequence))
}

/// The key of an index entry: the stream, then the id's key.
pub fn index_key(stream: u32, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + key.len());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// Appends the row's encoding, all but its sequence number, to `out`.
pub fn encode_row(row: &LogRow<'_>, out: &mut Vec<u8>) {
    let mut flags = row.action.code();
    if row.birth != row.cursor {
        flags |= HAS_BIRTH;
    }
    if row.pruned_at.is_some() {
        flags |= HAS_PRUNED;
    }
    if row.extra.is_some() {
        flags |= HAS_EXTRA;
    }
    if row.payload.is_some() {
        flags |= HAS_PAYLOAD;
    }
    out.push(flags);
    out.extend_from_slice(&row.cursor.to_be_bytes());
    out.extend_from_slice(&row.epoch.to_be_bytes());
    out.extend_from_slice(&row.first_seen_at.to_be_bytes());
    if row.birth != row.cursor {
        out.extend_from_slice(&row.birth.to_be_bytes());
    }
    if let Some(pruned_at) = row.pruned_at {
        out.extend_from_slice(&pruned_at.to_be_bytes());
    }
    put_bytes(out, row.hashes);
    put_bytes(out, row.id.as_bytes());
    if let Some(extra) = row.extra {
        put_bytes(out, extra);
    }
    if let Some(payload) = row.payload {
        out.extend_from_slice(payload);
    }
}

/// The row that [`encode_row`] wrote.
pub fn decode_row(sequence: u64, bytes: &[u8]) -> Result<LogRow<'_>> {
    let mut rest = Reader(bytes);
    let [flags] = rest.array()?;
    let cursor = u128::from_be_bytes(rest.array()?);
    let epoch = u32::from_be_bytes(rest.array()?);
    let first_seen_at = i64::from_be_bytes(rest.array()?);
    let birth = if flags & HAS_BIRTH != 0 { u128::from_be_bytes(rest.array()?) } else { cursor };
    let pruned_at = if flags & HAS_PRUNED != 0 { Some(i64::from_be_bytes(rest.array()?)) } else { None };
    let hashes = rest.bytes()?;
    let id = std::str::from_utf8(rest.bytes()?).map_err(|_| Error::corrupt("a stored id is not UTF-8"))?;
    let extra = if flags & HAS_EXTRA != 0 { Some(rest.bytes()?) } else { None };
    let action = Action::from_code(flags & 3).ok_or_else(|| Error::corrupt("a stored action is unknown"))?;
    Ok(LogRow {
        sequence,
        cursor,
        epoch,
        birth,
        action,
        first_seen_at,
        pruned_at,
        id,
        hashes,
        extra,
        payload: (flags & HAS_PAYLOAD != 0).then_some(rest.0),
    })
}

/// Appends `bytes` behind their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The longest encoding of a number, in bytes.
pub(crate) const MAX_NUMBER: usize = 10;

/// Appends a number in as few bytes as it needs, seven bits each.
#[inline]
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 {
        return out.push(number as u8);
    }
    let (length, bytes) = number_bytes(number);
    out.extend_from_slice(&bytes[..length]);
}

/// A number in as few bytes as it needs, and how many they are.
#[inline]
pub(crate) fn number_bytes(mut number: u64) -> (usize, [u8; MAX_NUMBER]) {
    let (mut bytes, mut last) = ([0; MAX_NUMBER], 0);
    while number >= 0x80 {
        bytes[last] = (number as u8) | 0x80;
        number >>= 7;
        last += 1;
    }
    bytes[last] = number as u8;
    (last + 1, bytes)
}

/// Reads what the functions above wrote.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk().ok_or_else(too_short)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(too_short())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| too_short())?;
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = tail;
        Ok(head)
    }
}

fn too_short() -> Error {
    Error::corrupt("a stored value ends too early; run `highwater doctor` to see what is affected")
}
