//! A compact encoding of log rows and keys, for backends that store plain keys and values.

use crate::backend::LogRow;
use crate::error::{Error, Result};
use crate::record::Action;
use crate::varint::{Reader, put_bytes};

const HAS_BIRTH: u8 = 1 << 2;
const HAS_PRUNED: u8 = 1 << 3;
const HAS_EXTRA: u8 = 1 << 4;
const HAS_PAYLOAD: u8 = 1 << 5;

/// Returns the key of a row: the stream, then the sequence number, so that byte order is log order.
pub fn row_key(stream: u32, sequence: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&stream.to_be_bytes());
    key[4..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// Returns the sequence number in a key made by [`row_key`].
///
/// # Errors
///
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a key of another length.
pub fn sequence_of_key(key: &[u8]) -> Result<u64> {
    let key = <[u8; 12]>::try_from(key)
        .map_err(|_| Error::corrupt("a log key has the wrong length: restore a backup, or sync into a new store"))?;
    let [_, _, _, _, sequence @ ..] = key;
    Ok(u64::from_be_bytes(sequence))
}

/// Returns the key of an index entry: the stream, then the id's key.
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

/// Returns the row that [`encode_row`] wrote.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for bytes that it did not write.
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
