//! Values between SQLite's columns and ours.

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::errors::Explain;

/// The upper bits of a block's key are the stream, the lower ones the sequence number of its last row.
pub(crate) const SEQUENCE_BITS: u32 = 40;

/// The key of a row.
pub(crate) fn row_key(stream: u32, sequence: u64) -> Result<i64> {
    if sequence >> SEQUENCE_BITS != 0 || stream >= 1 << (63 - SEQUENCE_BITS) {
        return Err(out_of_range());
    }
    i64::try_from(u64::from(stream) << SEQUENCE_BITS | sequence).map_err(|_| out_of_range())
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

pub(crate) fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>> {
    row.get_ref(column).explain("read")
}

pub(crate) fn integer(row: &Row<'_>, column: usize) -> Result<i64> {
    match value(row, column)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(damaged("a column that is not a number")),
    }
}

pub(crate) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8]> {
    optional_bytes(row, column)?.ok_or_else(|| damaged("a column without a value"))
}

pub(crate) fn optional_bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r [u8]>> {
    match value(row, column)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        _ => Err(damaged("a column that does not hold bytes")),
    }
}

pub(crate) fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| out_of_range())
}

pub(crate) fn out_of_range() -> Error {
    damaged("a number that is out of range")
}

pub(crate) fn damaged(what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("a table of the store has {what}: restore a backup, or sync into a new file"),
    )
}
