//! The connections: one that writes, others that read.

use std::fmt;
use std::path::{Path, PathBuf};

use highwater_core::backend::{Backend, BackendReader};
use highwater_core::{Capabilities, Result};
use rusqlite::Connection;

use crate::commit_sign::{Watcher, data_version};
use crate::errors::{Explain, error};
use crate::schema::{Settings, open_file, open_reader, prepare_writer};
use crate::sharing::{header_says_wal, needs_exclusive};
use crate::transaction::SqliteTransaction;

/// An SQLite file as a [`Backend`].
pub struct SqliteBackend {
    connection: Connection,
    path: PathBuf,
    settings: Settings,
}

impl SqliteBackend {
    pub(crate) fn open(path: &Path, mut settings: Settings) -> Result<Self> {
        let connection = open_file(path)?;
        let version = rusqlite::version_number();
        settings.exclusive = needs_exclusive(&settings, version, header_says_wal(&connection)?)?;
        prepare_writer(&connection, &settings)?;
        Ok(SqliteBackend { connection, path: path.to_owned(), settings })
    }

    /// The connection that writes. Between transactions it is free for the host's own statements.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether everything goes through one connection that locks the file.
    pub fn is_exclusive(&self) -> bool {
        self.settings.exclusive
    }
}

impl fmt::Debug for SqliteBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBackend")
            .field("path", &self.path)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Backend for SqliteBackend {
    type Write<'a> = SqliteTransaction<'a>;
    type Reader = SqliteReader;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("sqlite").multi_process(!self.settings.exclusive).durable(true).persistent(true).erases(true)
    }

    fn begin(&mut self) -> Result<SqliteTransaction<'_>> {
        SqliteTransaction::write(&self.connection)
    }

    fn reader(&self) -> Result<Option<SqliteReader>> {
        if self.settings.exclusive {
            return Ok(None);
        }
        open_reader(&self.path, &self.settings)
            .map(|connection| Some(SqliteReader { watcher: Watcher::new(connection) }))
    }

    fn others_version(&mut self) -> Result<Option<u64>> {
        data_version(&self.connection).map(Some)
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn compact(&mut self) -> Result<()> {
        self.connection.execute_batch("VACUUM").explain("compact")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).explain("compact")
    }

    fn size(&self) -> Result<Option<u64>> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let size: i64 = self.connection.query_row(sql, [], |row| row.get(0)).explain("size")?;
        Ok(u64::try_from(size).ok())
    }

    fn close(self) -> Result<()> {
        self.connection.close().map_err(|(_, source)| error(source, "close"))
    }
}

/// A connection that reads.
#[derive(Debug)]
pub struct SqliteReader {
    watcher: Watcher,
}

impl BackendReader for SqliteReader {
    type Snapshot<'a> = SqliteTransaction<'a>;

    fn snapshot(&mut self) -> Result<SqliteTransaction<'_>> {
        SqliteTransaction::snapshot(self.watcher.connection())
    }

    fn version(&mut self) -> Result<u64> {
        self.watcher.version()
    }
}
