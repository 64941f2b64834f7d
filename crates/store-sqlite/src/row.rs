//! A row of `hw_log`, between SQLite's columns and the core's.
//!
//! What people query has a column of its own. All but the id and the payload is packed into one,
//! `facts`: a column costs about as much to read as a hundred bytes of payload.

use highwater_core::backend::LogRow;
use highwater_core::{Action, Result};
use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::transaction::{bytes, damaged, optional_bytes, out_of_range, value};

/// Streams take the upper bits of a row's key, sequence numbers the lower.
const SEQUENCE_BITS: u32 = 40;

const HAS_BIRTH: u8 = 1;
const HAS_PRUNED: u8 = 2;
const HAS_EXTRA: u8 = 4;
/// The action stands above the flags.
const ACTION_SHIFT: u32 = 4;

/// Sequence numbers take this many bytes.
const SEQUENCE_BYTES: usize = SEQUENCE_BITS as usize / 8;

pub(crate) const NULL: ToSqlOutput<'static> = ToSqlOutput::Owned(Value::Null);

/// The key of a row.
pub(crate) fn row_key(stream: u32, sequence: u64) -> Result<i64> {
    if sequence >> SEQUENCE_BITS != 0 || stream >= 1 << (63 - SEQUENCE_BITS) {
        return Err(out_of_range());
    }
    i64::try_from(u64::from(stream) << SEQUENCE_BITS | sequence).map_err(|_| out_of_range())
}

/// Reads the columns `id, facts` and, where wanted, `payload`.
pub(crate) fn log_row<'r>(row: &'r Row<'_>, payload: bool) -> Result<LogRow<'r>> {
    let id = match value(row, 0)? {
        ValueRef::Text(id) => std::str::from_utf8(id).map_err(|_| damaged("an id that is not UTF-8"))?,
        _ => return Err(damaged("an id that is no text")),
    };
    let facts = Facts::read(bytes(row, 1)?).ok_or_else(short)?;
    Ok(LogRow {
        sequence: facts.sequence,
        cursor: facts.cursor,
        epoch: facts.epoch,
        birth: facts.birth.unwrap_or(facts.cursor),
        action: Action::from_code(facts.action).ok_or_else(|| damaged("an unknown action"))?,
        first_seen_at: facts.first_seen_at,
        pruned_at: facts.pruned_at,
        id,
        hashes: facts.hashes,
        extra: facts.extra,
        payload: if payload { optional_bytes(row, 2)? } else { None },
    })
}

/// The column `facts`: the cursor, the time of the first sight, a byte of action and flags, the sequence
/// number, the epoch, the birth and the time of pruning where they are, the length of the hashes and
/// the hashes, and whatever follows as extra. Views read the first two.
struct Facts<'r> {
    cursor: u128,
    first_seen_at: i64,
    action: u8,
    sequence: u64,
    epoch: u32,
    birth: Option<u128>,
    pruned_at: Option<i64>,
    hashes: &'r [u8],
    extra: Option<&'r [u8]>,
}

impl<'r> Facts<'r> {
    fn read(bytes: &'r [u8]) -> Option<Self> {
        let (cursor, rest) = bytes.split_first_chunk()?;
        let (first_seen_at, rest) = rest.split_first_chunk()?;
        let (&flags, rest) = rest.split_first()?;
        let (sequence, rest) = rest.split_first_chunk::<SEQUENCE_BYTES>()?;
        let (epoch, mut rest) = rest.split_first_chunk()?;
        let (mut birth, mut pruned_at) = (None, None);
        if flags & HAS_BIRTH != 0 {
            let (bytes, tail) = rest.split_first_chunk()?;
            (birth, rest) = (Some(u128::from_be_bytes(*bytes)), tail);
        }
        if flags & HAS_PRUNED != 0 {
            let (bytes, tail) = rest.split_first_chunk()?;
            (pruned_at, rest) = (Some(i64::from_be_bytes(*bytes)), tail);
        }
        let (&length, rest) = rest.split_first()?;
        let (hashes, rest) = rest.split_at_checked(usize::from(length))?;
        let extra = (flags & HAS_EXTRA != 0).then_some(rest);
        Some(Facts {
            cursor: u128::from_be_bytes(*cursor),
            first_seen_at: i64::from_be_bytes(*first_seen_at),
            action: flags >> ACTION_SHIFT,
            sequence: sequence.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            epoch: u32::from_be_bytes(*epoch),
            birth,
            pruned_at,
            hashes,
            extra,
        })
    }
}

/// Writes the column `facts` of a row into `out`.
pub(crate) fn write_facts(row: &LogRow<'_>, out: &mut Vec<u8>) -> Result<()> {
    let birth = Some(row.birth).filter(|birth| *birth != row.cursor);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.clear();
    out.extend_from_slice(&row.cursor.to_be_bytes());
    out.extend_from_slice(&row.first_seen_at.to_be_bytes());
    out.push(
        flag(birth.is_some(), HAS_BIRTH)
            | flag(row.pruned_at.is_some(), HAS_PRUNED)
            | flag(row.extra.is_some(), HAS_EXTRA)
            | row.action.code() << ACTION_SHIFT,
    );
    let sequence = row.sequence.to_be_bytes();
    out.extend_from_slice(sequence.get(sequence.len() - SEQUENCE_BYTES..).unwrap_or_default());
    out.extend_from_slice(&row.epoch.to_be_bytes());
    out.extend(birth.into_iter().flat_map(u128::to_be_bytes));
    out.extend(row.pruned_at.into_iter().flat_map(i64::to_be_bytes));
    out.push(u8::try_from(row.hashes.len()).map_err(|_| out_of_range())?);
    out.extend_from_slice(row.hashes);
    out.extend_from_slice(row.extra.unwrap_or_default());
    Ok(())
}

pub(crate) fn number<'a>(number: i64) -> ToSqlOutput<'a> {
    ToSqlOutput::Owned(Value::Integer(number))
}

pub(crate) fn blob(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(bytes))
}

pub(crate) fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

fn short() -> highwater_core::Error {
    damaged("a row whose facts end too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_as_they_were_and_never_panic() {
        for case in 0..8_u8 {
            let row = LogRow {
                sequence: (1 << SEQUENCE_BITS) - 2,
                cursor: 7,
                epoch: 5,
                birth: if case & 1 != 0 { 3 } else { 7 },
                action: Action::from_code(case % 3).unwrap(),
                first_seen_at: 9,
                pruned_at: (case & 2 != 0).then_some(-4),
                id: "a",
                hashes: &[1, 2, 3],
                extra: (case & 4 != 0).then_some(&[8, 9][..]),
                payload: None,
            };
            let mut bytes = Vec::new();
            write_facts(&row, &mut bytes).unwrap();
            let facts = Facts::read(&bytes).unwrap();
            assert_eq!((facts.cursor, facts.first_seen_at, facts.epoch), (7, 9, 5));
            assert_eq!((facts.action, facts.sequence), (row.action.code(), row.sequence));
            assert_eq!((facts.birth.unwrap_or(7), facts.pruned_at), (row.birth, row.pruned_at));
            assert_eq!((facts.hashes, facts.extra), (row.hashes, row.extra));
            for end in 0..bytes.len() - row.extra.map_or(0, <[u8]>::len) {
                assert!(Facts::read(&bytes[..end]).is_none());
            }
        }
    }
}
