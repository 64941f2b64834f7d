//! Reading and writing our tables within one SQLite transaction.

use std::fmt;

use highwater_core::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow};
use highwater_core::{Action, Error, ErrorKind, Result};
use rusqlite::ffi::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, ToSql};

use crate::errors::Explain;
use crate::row::{NULL, blob, log_row, number, row_key, text, write_facts};

/// The statements on the log's rows. Columns as [`log_row`] reads them.
mod sql {
    macro_rules! columns {
        () => {
            "id, facts"
        };
    }
    pub(super) const ROW: &str = concat!("SELECT ", columns!(), " FROM hw_log WHERE key = ?1");
    pub(super) const ROW_PAYLOAD: &str = concat!("SELECT ", columns!(), ", payload FROM hw_log WHERE key = ?1");
    pub(super) const SCAN: &str =
        concat!("SELECT ", columns!(), " FROM hw_log WHERE key >= ?1 AND key < ?2 ORDER BY key");
    pub(super) const SCAN_PAYLOAD: &str =
        concat!("SELECT ", columns!(), ", payload FROM hw_log WHERE key >= ?1 AND key < ?2 ORDER BY key");
    pub(super) const SCAN_DELETED: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM hw_log INDEXED BY hw_log_deleted WHERE action = 2 AND key >= ?1 AND key < ?2 ORDER BY key"
    );
    pub(super) const SCAN_DELETED_PAYLOAD: &str = concat!(
        "SELECT ",
        columns!(),
        ", payload FROM hw_log INDEXED BY hw_log_deleted WHERE action = 2 AND key >= ?1 AND key < ?2 ORDER BY key"
    );
    pub(super) const PUT_ROW: &str = "INSERT INTO hw_log VALUES (?1, ?2, ?3, ?4, ?5)";
    pub(super) const PUT_INDEX: &str = "INSERT OR REPLACE INTO hw_index VALUES (?1, ?2, ?3)";
    pub(super) const INDEX: &str = "SELECT sequence FROM hw_index WHERE stream = ?1 AND id = ?2";
}

/// A transaction on a connection: a snapshot, a write transaction of ours, or one of the host's.
pub struct SqliteTransaction<'c> {
    connection: &'c Connection,
    /// Whether it is ours to end.
    open: bool,
    /// The statements of every row, at hand from their first use to the end of the transaction:
    /// given back to the cache, they would lose the memory of what is bound to them each time.
    put_row: Option<CachedStatement<'c>>,
    row: [Option<CachedStatement<'c>>; 2],
    index: Option<CachedStatement<'c>>,
    put_index: Option<CachedStatement<'c>>,
    facts: Vec<u8>,
}

impl<'c> SqliteTransaction<'c> {
    fn new(connection: &'c Connection, open: bool) -> Self {
        SqliteTransaction {
            connection,
            open,
            put_row: None,
            row: [None, None],
            index: None,
            put_index: None,
            facts: Vec::new(),
        }
    }

    /// Begins a write transaction: takes the write lock before anything is read.
    pub(crate) fn write(connection: &'c Connection) -> Result<Self> {
        run(connection, "BEGIN IMMEDIATE", "begin")?;
        Ok(SqliteTransaction::new(connection, true))
    }

    /// Opens a snapshot.
    pub(crate) fn snapshot(connection: &'c Connection) -> Result<Self> {
        run(connection, "BEGIN DEFERRED", "snapshot")?;
        Ok(SqliteTransaction::new(connection, true))
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
        Ok(SqliteTransaction::new(connection, false))
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
        let sql = match (scan.only == Some(Action::Deleted), scan.payload) {
            (false, false) => sql::SCAN,
            (false, true) => sql::SCAN_PAYLOAD,
            (true, false) => sql::SCAN_DELETED,
            (true, true) => sql::SCAN_DELETED_PAYLOAD,
        };
        let mut statement = self.statement(sql)?;
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
        let sql = if payload { sql::ROW_PAYLOAD } else { sql::ROW };
        let [plain, whole] = &mut self.row;
        let statement = at_hand(self.connection, if payload { whole } else { plain }, sql)?;
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
        let statement = at_hand(self.connection, &mut self.index, sql::INDEX)?;
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
        write_facts(row, &mut self.facts)?;
        let statement = at_hand(self.connection, &mut self.put_row, sql::PUT_ROW)?;
        let values: [ToSqlOutput<'_>; 5] = [
            number(row_key(stream, row.sequence)?),
            number(i64::from(row.action.code())),
            text(row.id.as_bytes()),
            blob(&self.facts),
            // JSON as text, so that SQLite's JSON functions read it; a codec's bytes as a blob.
            row.payload
                .map_or(NULL, |payload| if payload.first() == Some(&b'{') { text(payload) } else { blob(payload) }),
        ];
        for (place, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(place + 1, value).explain("write")?;
        }
        match statement.raw_execute() {
            Ok(_) => Ok(()),
            // Seldom: a row is replaced. OR REPLACE would pay for that on every row, with a copy of
            // each page in a journal of the statement.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.remove_row(stream, row.sequence)?;
                let statement = at_hand(self.connection, &mut self.put_row, sql::PUT_ROW)?;
                statement.raw_execute().map(drop).explain("write")
            }
            Err(error) => Err(error).explain("write"),
        }
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.execute("DELETE FROM hw_log WHERE key = ?1", &[&row_key(stream, sequence)?])
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        let statement = at_hand(self.connection, &mut self.put_index, sql::PUT_INDEX)?;
        let sequence = i64::try_from(sequence).map_err(|_| out_of_range())?;
        for (place, value) in [number(i64::from(stream)), blob(key), number(sequence)].iter().enumerate() {
            statement.raw_bind_parameter(place + 1, value).explain("write")?;
        }
        statement.raw_execute().map(drop).explain("write")
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

/// A statement that stays at hand.
fn at_hand<'s, 'c>(
    connection: &'c Connection,
    place: &'s mut Option<CachedStatement<'c>>,
    sql: &str,
) -> Result<&'s mut CachedStatement<'c>> {
    match place {
        Some(statement) => Ok(statement),
        None => Ok(place.insert(connection.prepare_cached(sql).explain("prepare")?)),
    }
}

pub(crate) fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>> {
    row.get_ref(column).explain("read")
}

pub(crate) fn integer(row: &Row<'_>, column: usize) -> Result<i64> {
    match value(row, column)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(damaged("a column that is no number")),
    }
}

pub(crate) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8]> {
    optional_bytes(row, column)?.ok_or_else(|| damaged("a column without a value"))
}

pub(crate) fn optional_bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r [u8]>> {
    match value(row, column)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        _ => Err(damaged("a column that holds no bytes")),
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
