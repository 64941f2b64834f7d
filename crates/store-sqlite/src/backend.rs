//! The connections: one that writes, others that read.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_core::backend::{Backend, BackendReader, Decide};
use highwater_core::files::beside;
use highwater_core::{BackupProgress, Capabilities, Compaction, Error, ErrorKind, Result};
use rusqlite::Connection;

use crate::commit_sign::{Watcher, data_version};
use crate::database_file;
use crate::errors::{Explain, error, lacks_shared_memory};
use crate::open_files::Files;
use crate::path::file_at;
use crate::read_only::{self, Unwritten};
use crate::schema::{
    Settings, check_pages, copy_into, is_ours, keep_journal_mode, known_format, open_file, open_reader, prepare_writer,
};
use crate::sharing::{header_says_wal, needs_exclusive};
use crate::snapshot::SqliteSnapshot;
use crate::transaction::SqliteTransaction;
use crate::wal;

/// An SQLite file as a [`Backend`].
pub struct SqliteBackend {
    watcher: Watcher,
    /// The path as the host passed it.
    path: PathBuf,
    files: Arc<Files>,
    settings: Settings,
    outdated: bool,
    read_only: bool,
}

impl SqliteBackend {
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<Self> {
        let file = file_at(path)?;
        match Self::open_as(path, &file, settings) {
            // On a full disk, and on file systems without shared memory, the WAL index that connections share cannot be
            // created, but a private one can.
            Err(error) if lacks_shared_memory(&error) && !settings.shared && !settings.exclusive => {
                Self::open_as(path, &file, Settings { exclusive: true, ..settings }).map_err(|_| error)
            }
            opened => opened,
        }
    }

    fn open_as(path: &Path, file: &Path, mut settings: Settings) -> Result<Self> {
        let connection = open_file(file)?;
        if database_file::is_read_only(&connection) {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "the database cannot be written: check the permissions of the file and its directory, or open it for reading only",
            ));
        }
        let wal = header_says_wal(&connection)?;
        connection.busy_timeout(settings.busy_timeout).explain("open")?;
        let stray = !wal && is_ours(&connection)?;
        settings.exclusive = needs_exclusive(&settings, rusqlite::version_number(), wal || stray)?;
        let outdated = prepare_writer(&connection, &settings, stray)?;
        let file = database_file::path(&connection).unwrap_or_else(|| file.to_owned());
        let watcher = if settings.exclusive { Watcher::alone(connection) } else { Watcher::new(connection) };
        let files = Arc::new(Files::of(&watcher, file, settings.busy_timeout)?);
        Ok(SqliteBackend { watcher, path: path.to_owned(), files, settings, outdated, read_only: false })
    }

    /// Opens an existing file read-only.
    pub(crate) fn open_read_only(path: &Path, mut settings: Settings) -> Result<Self> {
        settings.exclusive = false;
        let file = file_at(path)?;
        let opened = read_only::open(&file, &settings)?;
        let Some(outdated) = known_format(&opened.connection)? else {
            let message = "the database contains no store: open it for writing once to create it";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        // It writes nothing, so no write of ours can be lost.
        let files = Arc::new(Files::unwatched(file, settings.busy_timeout));
        let watcher = Watcher::alone(opened.connection);
        Ok(SqliteBackend { watcher, path: path.to_owned(), files, settings, outdated, read_only: true })
    }

    /// The connection that writes. Between transactions it is free for the host's own statements.
    pub fn connection(&self) -> &Connection {
        self.watcher.connection()
    }

    /// Whether everything goes through one connection that locks the file.
    pub fn is_exclusive(&self) -> bool {
        self.settings.exclusive
    }

    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.files
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
        self.files.seen()?;
        SqliteTransaction::write(&self.watcher, &self.files)
    }

    fn try_begin(&mut self) -> Result<Option<SqliteTransaction<'_>>> {
        self.files.seen()?;
        SqliteTransaction::write_at_once(&self.watcher, &self.files, self.settings.busy_timeout)
    }

    fn reader(&self) -> Result<Option<SqliteReader>> {
        if self.settings.exclusive {
            return Ok(None);
        }
        let source = if self.read_only {
            Source::Unwritten(Unwritten::open(self.files.file(), self.settings)?)
        } else {
            Source::Written(Watcher::new(open_reader(self.files.file(), &self.settings)?))
        };
        Ok(Some(SqliteReader { source, files: Arc::clone(&self.files) }))
    }

    fn others_version(&mut self) -> Result<Option<u64>> {
        data_version(self.connection()).map(Some)
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn is_outdated(&self) -> bool {
        self.outdated
    }

    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        let copy = beside(self.files.file(), suffix);
        let new = beside(&copy, ".new");
        let mut lock = SqliteTransaction::write(&self.watcher, &self.files)?;
        if !wanted(&mut lock)? {
            return Ok(());
        }
        // Left by an interrupted copy.
        let _ = fs::remove_file(&new);
        if self.settings.exclusive {
            // This mode lets no other connection in between transactions either, and SQLite makes no copy within one.
            drop(lock);
            copy_into(self.connection(), &new)?;
        } else {
            copy_into(&open_reader(self.files.file(), &self.settings)?, &new)?;
        }
        fs::rename(&new, &copy).map_err(|source| {
            Error::new(ErrorKind::of_io(&source), "the copy of the store cannot be renamed to its final name")
                .with("copy", copy.display())
                .because(source)
        })
    }

    fn copy_to(&mut self, copy: &Path, progress: &BackupProgress) -> Result<()> {
        self.files.seen()?;
        back_up(self.connection(), copy, progress)
    }

    fn compact(&mut self) -> Result<Compaction> {
        self.files.check(&self.watcher)?;
        self.connection().execute_batch("VACUUM").explain_on(self.connection(), "compact")?;
        let emptied = wal::empty(self.connection())?;
        self.files.check(&self.watcher)?;
        Ok(if emptied { Compaction::Complete } else { Compaction::Held })
    }

    fn check_files(&mut self) -> Result<Option<Vec<String>>> {
        self.files.seen()?;
        check_pages(self.connection()).map(Some)
    }

    fn idle(&mut self) -> Result<bool> {
        if !wal::is_large(self.files.file()) {
            return Ok(false);
        }
        self.files.check(&self.watcher)?;
        wal::empty_at_once(self.connection(), self.settings.busy_timeout).map(|emptied| !emptied)
    }

    fn size(&self) -> Result<Option<u64>> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let size: i64 = self.connection().query_row(sql, [], |row| row.get(0)).explain("size")?;
        Ok(u64::try_from(size).ok())
    }

    fn close(self) -> Result<()> {
        let SqliteBackend { watcher, files, read_only, .. } = self;
        if !read_only {
            // After the last commit there is no caller left to report a moved file to.
            let _ = files.check(&watcher);
        }
        let connection = watcher.into_connection();
        if !read_only {
            files.let_go(&connection);
        }
        connection.close().map_err(|(_, source)| error(source, "close"))
    }
}

/// A connection that reads.
#[derive(Debug)]
pub struct SqliteReader {
    source: Source,
    files: Arc<Files>,
}

#[derive(Debug)]
enum Source {
    Written(Watcher),
    Unwritten(Unwritten),
}

impl BackendReader for SqliteReader {
    type Snapshot<'a> = SqliteSnapshot<'a>;

    fn snapshot(&mut self) -> Result<SqliteSnapshot<'_>> {
        self.files.seen()?;
        SqliteSnapshot::open(match &mut self.source {
            Source::Written(watcher) => watcher.connection(),
            Source::Unwritten(file) => file.watcher()?.connection(),
        })
    }

    fn held(&mut self) -> bool {
        match &self.source {
            Source::Written(_) => true,
            Source::Unwritten(file) => file.is_as_it_was(),
        }
    }

    fn copy_to(&mut self, copy: &Path, progress: &BackupProgress) -> Result<()> {
        self.files.seen()?;
        let connection = match &mut self.source {
            Source::Written(watcher) => watcher.connection(),
            Source::Unwritten(file) => {
                let connection = file.watcher()?.connection();
                // The copy is written; this connection, which does nothing else, writes no other file.
                connection.pragma_update(None, "query_only", false).explain("copy")?;
                connection
            }
        };
        back_up(connection, copy, progress)?;
        if self.held() { Ok(()) } else { Err(changed_meanwhile()) }
    }

    fn version(&mut self) -> Result<u64> {
        self.files.seen()?;
        match &mut self.source {
            Source::Written(watcher) => watcher.version(),
            Source::Unwritten(file) => file.version(),
        }
    }
}

/// Copies the database without its free pages, which may hold what was removed.
fn back_up(connection: &Connection, copy: &Path, progress: &BackupProgress) -> Result<()> {
    let interrupt = connection.get_interrupt_handle();
    progress.on_cancel(move || interrupt.interrupt());
    copy_into(connection, copy)?;
    keep_journal_mode(connection, copy)
}

fn changed_meanwhile() -> Error {
    Error::new(ErrorKind::Busy, "the database changed while it was copied, and is open as unchanging: try again")
}
