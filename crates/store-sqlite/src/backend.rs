//! The connections: one that writes, others that read.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use highwater_core::backend::{Backend, BackendReader, Decide};
use highwater_core::{Capabilities, Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::commit_sign::{Watcher, data_version};
use crate::database_file;
use crate::errors::{Explain, error};
use crate::read_only::{self, Unwritten};
use crate::schema::{Settings, copy_into, known_format, open_file, open_reader, prepare_writer};
use crate::sharing::{header_says_wal, needs_exclusive};
use crate::transaction::SqliteTransaction;

/// An SQLite file as a [`Backend`].
pub struct SqliteBackend {
    connection: Connection,
    path: PathBuf,
    settings: Settings,
    outdated: bool,
    read_only: bool,
}

impl SqliteBackend {
    pub(crate) fn open(path: &Path, mut settings: Settings) -> Result<Self> {
        let connection = open_file(path)?;
        if database_file::is_read_only(&connection) {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "the database cannot be written: check the permissions of the file and its directory, or open it for reading only",
            ));
        }
        let version = rusqlite::version_number();
        settings.exclusive = needs_exclusive(&settings, version, header_says_wal(&connection)?)?;
        let outdated = prepare_writer(&connection, &settings)?;
        Ok(SqliteBackend { connection, path: path.to_owned(), settings, outdated, read_only: false })
    }

    /// Opens a file that is there, for reading alone.
    pub(crate) fn open_read_only(path: &Path, mut settings: Settings) -> Result<Self> {
        settings.exclusive = false;
        let opened = read_only::open(path, &settings)?;
        let Some(outdated) = known_format(&opened.connection)? else {
            let message = "the database has no store in it: open it for writing once, and it has";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let (connection, path) = (opened.connection, path.to_owned());
        Ok(SqliteBackend { connection, path, settings, outdated, read_only: true })
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
        if self.read_only {
            return Unwritten::open(&self.path, self.settings).map(|file| Some(SqliteReader(Source::Unwritten(file))));
        }
        open_reader(&self.path, &self.settings)
            .map(|connection| Some(SqliteReader(Source::Written(Watcher::new(connection)))))
    }

    fn others_version(&mut self) -> Result<Option<u64>> {
        data_version(&self.connection).map(Some)
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn is_outdated(&self) -> bool {
        self.outdated
    }

    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        let named = |end: &str| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            name.push(end);
            PathBuf::from(name)
        };
        let (new, copy) = (named(".new"), named(""));
        let mut lock = SqliteTransaction::write(&self.connection)?;
        if !wanted(&mut lock)? {
            return Ok(());
        }
        // Of a copy that was cut short.
        let _ = fs::remove_file(&new);
        if self.settings.exclusive {
            // Nobody else is let in between transactions either, and no copy is made within one.
            drop(lock);
            copy_into(&self.connection, &new)?;
        } else {
            copy_into(&open_reader(&self.path, &self.settings)?, &new)?;
        }
        fs::rename(&new, &copy).map_err(|source| {
            Error::new(ErrorKind::PermissionDenied, "the copy of the store cannot be put into its place")
                .with("copy", copy.display())
                .because(source)
        })
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
pub struct SqliteReader(Source);

#[derive(Debug)]
enum Source {
    Written(Watcher),
    Unwritten(Unwritten),
}

impl BackendReader for SqliteReader {
    type Snapshot<'a> = SqliteTransaction<'a>;

    fn snapshot(&mut self) -> Result<SqliteTransaction<'_>> {
        SqliteTransaction::snapshot(match &mut self.0 {
            Source::Written(watcher) => watcher.connection(),
            Source::Unwritten(file) => file.watcher()?.connection(),
        })
    }

    fn held(&mut self) -> bool {
        match &self.0 {
            Source::Written(_) => true,
            Source::Unwritten(file) => file.is_as_it_was(),
        }
    }

    fn version(&mut self) -> Result<u64> {
        match &mut self.0 {
            Source::Written(watcher) => watcher.version(),
            Source::Unwritten(file) => file.version(),
        }
    }
}
