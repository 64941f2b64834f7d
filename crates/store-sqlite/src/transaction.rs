//! Write transactions.

use std::fmt;
use std::time::Duration;

use highwater_core::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow};
use highwater_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, ToSql};

use crate::commit_sign::Watcher;
use crate::errors::Explain;
use crate::open_files::Files;
use crate::schema::upgrade;
use crate::snapshot::{Tables, read_through_tables, run};

/// A write transaction on a connection: our own, or a host's that we joined.
pub struct SqliteTransaction<'c> {
    part: Part,
    /// Checked before a commit is acknowledged.
    files: Option<(&'c Files, &'c Watcher)>,
    /// The busy timeout to restore at the end, if the connection does not wait now.
    patience: Option<Duration>,
    tables: Tables<'c>,
}

/// The part of the connection's transaction that we must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// A savepoint in the host's transaction: a failure leaves nothing there, whatever the host does next.
    Savepoint,
    Ended,
}

impl<'c> SqliteTransaction<'c> {
    fn new(connection: &'c Connection, part: Part, files: Option<(&'c Files, &'c Watcher)>) -> Self {
        SqliteTransaction { tables: Tables::new(connection), part, files, patience: None }
    }

    /// Begins a write transaction: takes the write lock before anything is read.
    pub(crate) fn write(watcher: &'c Watcher, files: &'c Files) -> Result<Self> {
        let connection = watcher.connection();
        run(connection, "BEGIN IMMEDIATE", "begin")?;
        Ok(SqliteTransaction::new(connection, Part::Whole, Some((files, watcher))))
    }

    /// The same without waiting for locks, now and in the transaction: `None` while another connection has the lock. Other
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

    /// Joins a transaction that the host began with `BEGIN IMMEDIATE` on its own connection.
    ///
    /// The host commits or rolls back. Until [`commit`](BackendWrite::commit) our part is in a savepoint, which is rolled back
    /// when this is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if no transaction is open on the connection.
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

    /// Returns the connection, for the host's own tables. Do not end the transaction on it. Records that were written in this
    /// transaction are in our tables once it is committed, or once the closure that joined it has returned.
    pub fn connection(&self) -> &'c Connection {
        self.tables.connection
    }

    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<()> {
        self.tables.statement(sql)?.execute(values).map(drop).explain_on(self.tables.connection, "write")
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
            _ if self.tables.connection.is_autocommit() => &[],
            Part::Whole => &["ROLLBACK"],
            Part::Savepoint => &["ROLLBACK TO hw_join", "RELEASE hw_join"],
            Part::Ended => &[],
        };
        for sql in undo {
            // If it fails, closing the connection rolls back.
            let _ = run(self.tables.connection, sql, "rollback");
        }
        if let Some(patience) = self.patience {
            // Cannot fail on an open connection.
            let _ = self.tables.connection.busy_timeout(patience);
        }
    }
}

read_through_tables!(SqliteTransaction);

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
        self.tables.log.put(stream, row)
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.tables.log.remove(stream, sequence)
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        self.tables.index.put(stream, key, sequence)
    }

    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.tables.index.remove(stream, key)
    }

    fn upgrade(&mut self) -> Result<()> {
        upgrade(self.tables.connection)
    }

    fn commit(mut self) -> Result<()> {
        self.tables.log.flush()?;
        self.tables.index.flush()?;
        match self.part {
            Part::Whole => run(self.tables.connection, "COMMIT", "commit")?,
            Part::Savepoint => run(self.tables.connection, "RELEASE hw_join", "commit")?,
            Part::Ended => {}
        }
        self.part = Part::Ended;
        self.files.map_or(Ok(()), |(files, watcher)| files.check(watcher))
    }
}
