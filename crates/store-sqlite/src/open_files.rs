//! The store's open files: whether they are still the ones at their paths, and what to save if they are not.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater_core::files::{OpenFiles, beside};
use highwater_core::{Error, ErrorKind, Result};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::commit_sign::Watcher;
use crate::errors::Explain;
use crate::overwritten::Contents;
use crate::wal;

/// The database file, and the files beside it in WAL mode.
#[derive(Debug)]
pub(crate) struct Files {
    file: PathBuf,
    database: OpenFiles,
    beside: OpenFiles,
    contents: Contents,
    overwritten: AtomicBool,
    busy_timeout: Duration,
}

impl Files {
    /// The files of a connection that has read at least once.
    pub(crate) fn of(watcher: &Watcher, file: PathBuf, busy_timeout: Duration) -> Result<Self> {
        let connection = watcher.connection();
        let mut files = Files::unwatched(file, busy_timeout);
        files.database.watch(&files.file)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).explain_on(connection, "open")?;
        if mode == "wal" {
            files.beside.watch(&beside(&files.file, "-wal"))?;
            let index = beside(&files.file, "-shm");
            // A connection with exclusive access keeps it in memory.
            if index.exists() {
                files.beside.watch(&index)?;
            }
        }
        files.contents.are_ours(watcher, &files.file);
        Ok(files)
    }

    /// The file of a read-only store.
    pub(crate) fn unwatched(file: PathBuf, busy_timeout: Duration) -> Self {
        Files {
            file,
            database: OpenFiles::default(),
            beside: OpenFiles::default(),
            contents: Contents::default(),
            overwritten: AtomicBool::new(false),
            busy_timeout,
        }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Checks that all files are still in place; if not, saves what can be saved.
    pub(crate) fn check(&self, watcher: &Watcher) -> Result<()> {
        let looked = self.look().and_then(|()| {
            if self.contents.are_ours(watcher, &self.file) {
                return Ok(());
            }
            self.overwritten.store(true, Ordering::Release);
            self.seen()
        });
        looked.inspect_err(|_| self.let_go(watcher.connection()))
    }

    /// The same check without a connection that could save anything.
    pub(crate) fn look(&self) -> Result<()> {
        self.seen()?;
        self.database.check()?;
        self.beside.check()
    }

    /// The result of an earlier check.
    pub(crate) fn seen(&self) -> Result<()> {
        if self.overwritten.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "the store's file was overwritten while it was open, and the last commits are not in it: close the store, put the right file in place, and open it again",
            )
            .with("file", self.file.display()));
        }
        self.database.seen()?;
        self.beside.seen()
    }

    /// Copies the WAL into the database before the connection is closed. With other connections open, the WAL would keep its
    /// size; for a database that was moved it would stay at the path, and SQLite would apply it to the file that is there now.
    pub(crate) fn let_go(&self, connection: &Connection) {
        if self.overwritten.load(Ordering::Acquire) {
            // The WAL belongs to the previous contents, and would be applied to the new ones.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            let wal = beside(&self.file, "-wal");
            let _ = std::fs::rename(&wal, beside(&wal, "-old"));
        } else if self.beside.check().is_ok() {
            // The connection still has its database open, wherever that is now.
            let _ = wal::empty_at_once(connection, self.busy_timeout);
        } else if beside(&self.file, "-wal").exists() {
            // Another program's, which may have written to the database through it: our WAL no longer fits.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}
