//! Reading and writing our tables within one SQLite transaction.

use std::fmt;

use highwater_core::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow};
use highwater_core::{Action, Error, ErrorKind, Result};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, ToSql};

use crate::errors::Explain;

/// Streams take the upper bits of a row's key, sequence numbers the lower.
const SEQUENCE_BITS: u32 = 40;

const COLUMNS: &str = "key, action, epoch, first_seen_at, cursor, birth, pruned_at, id, hashes, extra";

/// A transaction on a connection: a snapshot, a write transaction of ours, or one of the host's.
pub struct SqliteTransaction<'c> {
    connection: &'c Connection,
    /// Whether it is ours to end.
    open: bool,
}

impl<'c> SqliteTransaction<'c> {
    /// Begins a write transaction: takes the write lock before anything is read.
    pub(crate) fn write(connection: &'c Connection) -> Result<Self> {
        run(connection, "BEGIN IMMEDIATE", "begin")?;
        Ok(SqliteTransaction { connection, open: true })
    }

    /// Opens a snapshot.
    pub(crate) fn snapshot(connection: &'c Connection) -> Result<Self> {
        run(connection, "BEGIN DEFERRED", "snapshot")?;
        Ok(SqliteTransaction { connection, open: true })
    }

    /// Takes part in a transaction that the host began with `BEGIN IMMEDIATE` on its own connection.
    /// Committing and rolling back stays with the host.
    pub fn join(connection: &'c Connection) -> Result<Self> {
        if connection.is_autocommit() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "no transaction is open on this connection: begin one with BEGIN IMMEDIATE",
            ));
        }
        Ok(SqliteTransaction { connection, open: false })
    }

    /// The connection, for the host's own tables. Do not end the transaction on it.
    pub fn connection(&self) -> &'c Connection {
        self.connection
    }

    fn statement(&self, sql: &str) -> Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql).explain("prepare")
    }

    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<()> {
        self.statement(sql)?.execute(values).map(drop).explain("write")
    }
}

impl fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").field("ours", &self.open).finish_non_exhaustive()
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if self.open && !self.connection.is_autocommit() {
            // A rollback that fails leaves nothing behind either: the connection's end undoes it.
            let _ = run(self.connection, "ROLLBACK", "rollback");
        }
    }
}

impl BackendRead for SqliteTransaction<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let sql = match table {
            Table::State => "SELECT value FROM hw_state WHERE key = ?1",
            Table::History => "SELECT value FROM hw_history WHERE key = ?1",
        };
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query([key]).explain("read")?;
        match rows.next().explain("read")? {
            Some(row) => Ok(Some(bytes(row, 0)?.to_vec())),
            None => Ok(None),
        }
    }

    fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        let sql = match table {
            Table::State => "SELECT key, value FROM hw_state WHERE key >= ?1 AND key < ?2 ORDER BY key",
            Table::History => "SELECT key, value FROM hw_history WHERE key >= ?1 AND key < ?2 ORDER BY key",
        };
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query([from, until]).explain("read")?;
        while let Some(row) = rows.next().explain("read")? {
            if visit(bytes(row, 0)?, bytes(row, 1)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        let payload = if scan.payload { ", payload" } else { "" };
        let deleted = scan.only == Some(Action::Deleted);
        let source = if deleted { "hw_log INDEXED BY hw_log_deleted" } else { "hw_log" };
        let only = if deleted { "action = 2 AND " } else { "" };
        let sql = format!("SELECT {COLUMNS}{payload} FROM {source} WHERE {only}key >= ?1 AND key < ?2 ORDER BY key");
        let mut statement = self.statement(&sql)?;
        let range = [row_key(stream, scan.from)?, row_key(stream + 1, 0)?];
        let mut rows = statement.query(range).explain("read")?;
        while let Some(row) = rows.next().explain("read")? {
            if visit(&log_row(row, scan.payload)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        let columns = if payload { ", payload" } else { "" };
        let mut statement = self.statement(&format!("SELECT {COLUMNS}{columns} FROM hw_log WHERE key = ?1"))?;
        let mut rows = statement.query([row_key(stream, sequence)?]).explain("read")?;
        match rows.next().explain("read")? {
            Some(row) => {
                let _ = visit(&log_row(row, payload)?)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
        let mut statement = self.statement("SELECT sequence FROM hw_index WHERE stream = ?1 AND id = ?2")?;
        let mut rows = statement.query((stream, key)).explain("read")?;
        match rows.next().explain("read")? {
            Some(row) => Ok(Some(unsigned(integer(row, 0)?)?)),
            None => Ok(None),
        }
    }
}

impl BackendWrite for SqliteTransaction<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        let sql = match table {
            Table::State => "INSERT OR REPLACE INTO hw_state VALUES (?1, ?2)",
            Table::History => "INSERT OR REPLACE INTO hw_history VALUES (?1, ?2)",
        };
        self.execute(sql, &[&key, &value])
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<()> {
        let sql = match table {
            Table::State => "DELETE FROM hw_state WHERE key = ?1",
            Table::History => "DELETE FROM hw_history WHERE key = ?1",
        };
        self.execute(sql, &[&key])
    }

    fn put_row(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()> {
        let mut statement =
            self.statement("INSERT OR REPLACE INTO hw_log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
        let cursor = row.cursor.to_be_bytes();
        let birth = (row.birth != row.cursor).then(|| row.birth.to_be_bytes());
        let values: [ToSqlOutput<'_>; 11] = [
            number(row_key(stream, row.sequence)?),
            number(i64::from(row.action.code())),
            number(i64::from(row.epoch)),
            number(row.first_seen_at),
            blob(&cursor),
            birth.as_ref().map_or(NULL, |birth| blob(birth)),
            row.pruned_at.map_or(NULL, number),
            text(row.id.as_bytes()),
            blob(row.hashes),
            row.extra.map_or(NULL, blob),
            // JSON as text, so that SQLite's JSON functions read it; a codec's bytes as a blob.
            row.payload
                .map_or(NULL, |payload| if payload.first() == Some(&b'{') { text(payload) } else { blob(payload) }),
        ];
        for (place, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(place + 1, value).explain("write")?;
        }
        statement.raw_execute().map(drop).explain("write")
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.execute("DELETE FROM hw_log WHERE key = ?1", &[&row_key(stream, sequence)?])
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        let sequence = i64::try_from(sequence).map_err(|_| out_of_range())?;
        self.execute("INSERT OR REPLACE INTO hw_index VALUES (?1, ?2, ?3)", &[&stream, &key, &sequence])
    }

    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.execute("DELETE FROM hw_index WHERE stream = ?1 AND id = ?2", &[&stream, &key])
    }

    fn commit(mut self) -> Result<()> {
        if self.open {
            run(self.connection, "COMMIT", "commit")?;
            self.open = false;
        }
        Ok(())
    }
}

fn run(connection: &Connection, sql: &str, what: &'static str) -> Result<()> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).explain(what)
}

fn log_row<'r>(row: &'r Row<'_>, payload: bool) -> Result<LogRow<'r>> {
    let cursor = wide(bytes(row, 4)?)?;
    let id = match value(row, 7)? {
        ValueRef::Text(id) => std::str::from_utf8(id).map_err(|_| damaged("an id that is not UTF-8"))?,
        _ => return Err(damaged("an id that is no text")),
    };
    let code = u8::try_from(integer(row, 1)?).map_err(|_| out_of_range())?;
    Ok(LogRow {
        sequence: unsigned(integer(row, 0)?)? & ((1 << SEQUENCE_BITS) - 1),
        cursor,
        epoch: u32::try_from(integer(row, 2)?).map_err(|_| out_of_range())?,
        birth: optional_bytes(row, 5)?.map_or(Ok(cursor), wide)?,
        action: Action::from_code(code).ok_or_else(|| damaged("an unknown action"))?,
        first_seen_at: integer(row, 3)?,
        pruned_at: match value(row, 6)? {
            ValueRef::Integer(at) => Some(at),
            _ => None,
        },
        id,
        hashes: bytes(row, 8)?,
        extra: optional_bytes(row, 9)?,
        payload: if payload { optional_bytes(row, 10)? } else { None },
    })
}

fn row_key(stream: u32, sequence: u64) -> Result<i64> {
    if sequence >> SEQUENCE_BITS != 0 || stream >= 1 << (63 - SEQUENCE_BITS) {
        return Err(out_of_range());
    }
    i64::try_from(u64::from(stream) << SEQUENCE_BITS | sequence).map_err(|_| out_of_range())
}

const NULL: ToSqlOutput<'static> = ToSqlOutput::Owned(Value::Null);

fn number<'a>(number: i64) -> ToSqlOutput<'a> {
    ToSqlOutput::Owned(Value::Integer(number))
}

fn blob(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(bytes))
}

fn text(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(bytes))
}

fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>> {
    row.get_ref(column).explain("read")
}

fn integer(row: &Row<'_>, column: usize) -> Result<i64> {
    match value(row, column)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(damaged("a column that is no number")),
    }
}

fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8]> {
    optional_bytes(row, column)?.ok_or_else(|| damaged("a column without a value"))
}

fn optional_bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r [u8]>> {
    match value(row, column)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        _ => Err(damaged("a column that holds no bytes")),
    }
}

fn wide(bytes: &[u8]) -> Result<u128> {
    bytes.try_into().map(u128::from_be_bytes).map_err(|_| damaged("a position that is not 16 bytes long"))
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| out_of_range())
}

fn out_of_range() -> Error {
    damaged("a number that is out of range")
}

fn damaged(what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("a table of the store has {what}: restore a backup, or sync into a new file"),
    )
}
