//! Reading our tables, within a snapshot or a write transaction.

use std::fmt;

use highwater_core::Result;
use highwater_core::backend::{BackendRead, LogScan, Table, VisitEntry, VisitRow};
use rusqlite::{CachedStatement, Connection};

use crate::errors::Explain;
use crate::index_table::IndexTable;
use crate::log_table::LogTable;
use crate::values::bytes;

/// One consistent view of the last commit. Other connections may keep writing.
pub struct SqliteSnapshot<'c> {
    tables: Tables<'c>,
}

impl<'c> SqliteSnapshot<'c> {
    pub(crate) fn open(connection: &'c Connection) -> Result<Self> {
        run(connection, "BEGIN DEFERRED", "snapshot")?;
        Ok(SqliteSnapshot { tables: Tables::new(connection) })
    }
}

impl fmt::Debug for SqliteSnapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSnapshot").finish_non_exhaustive()
    }
}

impl Drop for SqliteSnapshot<'_> {
    fn drop(&mut self) {
        // After some errors SQLite itself has ended the transaction. If a rollback fails, closing the connection
        // rolls back.
        if !self.tables.connection.is_autocommit() {
            let _ = run(self.tables.connection, "ROLLBACK", "rollback");
        }
    }
}

/// Implements [`BackendRead`] for a type with [`Tables`] in its field `tables`.
macro_rules! read_through_tables {
    ($reader:ident) => {
        impl BackendRead for $reader<'_> {
            fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
                self.tables.get(table, key)
            }

            fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
                self.tables.range(table, from, until, visit)
            }

            fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
                self.tables.scan(stream, scan, visit)
            }

            fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
                self.tables.row(stream, sequence, payload, visit)
            }

            fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
                self.tables.index(stream, key)
            }
        }
    };
}
pub(crate) use read_through_tables;

read_through_tables!(SqliteSnapshot);

/// Our tables, as the connection's open transaction sees them.
pub(crate) struct Tables<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) log: LogTable<'c>,
    pub(crate) index: IndexTable<'c>,
}

impl<'c> Tables<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Tables { connection, log: LogTable::new(connection), index: IndexTable::new(connection) }
    }

    pub(crate) fn statement(&self, sql: &str) -> Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql).explain_on(self.connection, "prepare")
    }
}

impl BackendRead for Tables<'_> {
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

/// Runs a statement that begins or ends a transaction.
pub(crate) fn run(connection: &Connection, sql: &str, what: &'static str) -> Result<()> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .explain_on(connection, what)
}
