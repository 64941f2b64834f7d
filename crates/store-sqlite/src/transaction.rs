//! Reading and writing our tables within one SQLite transaction.

use std::fmt;
use std::time::Duration;

use highwater_core::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow};
use highwater_core::{Error, ErrorKind, Result};
use rusqlite::{CachedStatement, Connection, ToSql};

use crate::commit_sign::Watcher;
use crate::errors::Explain;
use crate::index_table::IndexTable;
use crate::log_table::LogTable;
use crate::open_files::Files;
use crate::schema::upgrade;
use crate::values::bytes;

/// A transaction on a connection: a snapshot, a write transaction of ours, or one of the host's.
pub struct SqliteTransaction<'c> {
    connection: &'c Connection,
    part: Part,
    /// Looked at before a commit is acknowledged.
    files: Option<(&'c Files, &'c Watcher)>,
    /// How long the connection is to wait for locks once this has ended, where it does not now.
    patience: Option<Duration>,
    log: LogTable<'c>,
    index: IndexTable<'c>,
}

/// What of the connection's transaction is ours to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// A savepoint in the host's: what fails leaves nothing there, whatever the host does next.
    Savepoint,
    Ended,
}

impl<'c> SqliteTransaction<'c> {
    fn new(connection: &'c Connection, part: Part, files: Option<(&'c Files, &'c Watcher)>) -> Self {
        SqliteTransaction {
            connection,
            part,
            files,
            patience: None,
            log: LogTable::new(connection),
            index: IndexTable::new(connection),
        }
    }

    /// Begins a write transaction: takes the write lock before anything is read.
    pub(crate) fn write(watcher: &'c Watcher, files: &'c Files) -> Result<Self> {
        let connection = watcher.connection();
        run(connection, "BEGIN IMMEDIATE", "begin")?;
        Ok(SqliteTransaction::new(connection, Part::Whole, Some((files, watcher))))
    }

    /// The same without waiting for anybody, in the transaction as well: `None` while somebody else has the lock. Other
    /// transactions wait for `busy_timeout`.
    pub(crate) fn write_at_once(
        watcher: &'c Watcher,
        files: &'c Files,
        busy_timeout: Duration,
    ) -> Result<Option<Self>> {
        let connection = watcher.connection();
        connection.busy_timeout(Duration::ZERO).explain("begin")?;
        match SqliteTransaction::write(watcher, files) {
            Ok(mut transaction) => {
                transaction.patience = Some(busy_timeout);
                Ok(Some(transaction))
            }
            Err(error) => {
                connection.busy_timeout(busy_timeout).explain("begin")?;
                if error.kind() == ErrorKind::Busy { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Opens a snapshot.
    pub(crate) fn snapshot(connection: &'c Connection) -> Result<Self> {
        run(connection, "BEGIN DEFERRED", "snapshot")?;
        Ok(SqliteTransaction::new(connection, Part::Whole, None))
    }

    /// Takes part in a transaction that the host began with `BEGIN IMMEDIATE` on its own connection.
    /// Committing and rolling back stays with the host; until [`commit`](BackendWrite::commit) the part that is done here
    /// lies in a savepoint, and is undone when this is dropped.
    pub fn join(connection: &'c Connection) -> Result<Self> {
        if connection.is_autocommit() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "no transaction is open on this connection: begin one with BEGIN IMMEDIATE",
            ));
        }
        run(connection, "SAVEPOINT hw_join", "join")?;
        Ok(SqliteTransaction::new(connection, Part::Savepoint, None))
    }

    /// The connection, for the host's own tables. Do not end the transaction on it. Records that were written in this
    /// transaction are in ours once it is committed, or what joined it has returned.
    pub fn connection(&self) -> &'c Connection {
        self.connection
    }

    fn statement(&self, sql: &str) -> Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql).explain_on(self.connection, "prepare")
    }

    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<()> {
        self.statement(sql)?.execute(values).map(drop).explain_on(self.connection, "write")
    }
}

impl fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").field("part", &self.part).finish_non_exhaustive()
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        let undo: &[&str] = match self.part {
            // After some errors SQLite itself has ended the transaction.
            _ if self.connection.is_autocommit() => &[],
            Part::Whole => &["ROLLBACK"],
            Part::Savepoint => &["ROLLBACK TO hw_join", "RELEASE hw_join"],
            Part::Ended => &[],
        };
        for sql in undo {
            // One that fails leaves nothing behind either: the connection's end undoes it.
            let _ = run(self.connection, sql, "rollback");
        }
        if let Some(patience) = self.patience {
            // Fails for no connection that is open.
            let _ = self.connection.busy_timeout(patience);
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
        let mut rows = statement.query([key]).explain_on(self.connection, "read")?;
        match rows.next().explain_on(self.connection, "read")? {
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
        let mut rows = statement.query([from, until]).explain_on(self.connection, "read")?;
        while let Some(row) = rows.next().explain_on(self.connection, "read")? {
            if visit(bytes(row, 0)?, bytes(row, 1)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        self.log.scan(stream, scan, visit)
    }

    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        self.log.row(stream, sequence, payload, visit)
    }

    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
        self.index.find(stream, key)
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
        self.log.put(stream, row)
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.log.remove(stream, sequence)
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        self.index.put(stream, key, sequence)
    }

    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.index.remove(stream, key)
    }

    fn upgrade(&mut self) -> Result<()> {
        upgrade(self.connection)
    }

    fn commit(mut self) -> Result<()> {
        self.log.flush()?;
        self.index.flush()?;
        match self.part {
            Part::Whole => run(self.connection, "COMMIT", "commit")?,
            Part::Savepoint => run(self.connection, "RELEASE hw_join", "commit")?,
            Part::Ended => {}
        }
        self.part = Part::Ended;
        self.files.map_or(Ok(()), |(files, watcher)| files.check(watcher))
    }
}

fn run(connection: &Connection, sql: &str, what: &'static str) -> Result<()> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .explain_on(connection, what)
}
