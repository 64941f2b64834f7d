//! The tables, and the settings of a connection.

use std::fs;
use std::path::Path;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::errors::Explain;
use crate::wal;

/// The version of the tables below.
const FORMAT: i64 = 4;

/// The earliest version of the tables that is still read, and migrated when a store is opened for writing.
const EARLIEST: i64 = 3;

pub(crate) const TABLES: &str = "
CREATE TABLE hw_log (
    key INTEGER PRIMARY KEY,
    deleted INTEGER NOT NULL,
    directory BLOB NOT NULL,
    details BLOB NOT NULL,
    payloads NOT NULL
);
CREATE INDEX hw_log_deleted ON hw_log (key) WHERE deleted > 0;
CREATE TABLE hw_index (stream INTEGER NOT NULL, id BLOB NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (stream, id)) WITHOUT ROWID;
CREATE TABLE hw_state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE hw_history (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE hw_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// The page cache of a reading connection: the inner pages of the log and the index of a million records.
pub(crate) const READER_CACHE_KIB: u32 = 4096;

/// The settings of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) busy_timeout: Duration,
    pub(crate) cache_kib: u32,
    pub(crate) exclusive: bool,
    /// Whether the host insists on sharing the file.
    pub(crate) shared: bool,
}

/// Opens the file for the writer; nothing is read yet.
pub(crate) fn open_file(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).explain_open()
}

/// Opens one more connection, for reading.
pub(crate) fn open_reader(file: &Path, settings: &Settings) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).explain_open()?;
    configure(&connection, settings, READER_CACHE_KIB)?;
    Ok(connection)
}

/// Whether the file contains only our own tables, so that we may choose its settings. Reads the file.
pub(crate) fn is_ours(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'hw_meta') AND NOT EXISTS (
        SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'hw_*' AND name NOT GLOB 'sqlite_*')";
    connection.query_row(sql, [], |row| row.get(0)).explain_on(connection, "open")
}

/// Sets up the writer's connection, and creates missing tables. Returns whether they have an earlier format.
/// `stray`: the file is ours and has lost its journal mode.
pub(crate) fn prepare_writer(connection: &Connection, settings: &Settings, stray: bool) -> Result<bool> {
    connection.busy_timeout(settings.busy_timeout).explain_on(connection, "open")?;
    if settings.exclusive {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE").explain_on(connection, "open")?;
    }
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .explain_on(connection, "open")?;
    if tables == 0 {
        check_schema(connection)?;
        // We choose the settings of a new file; the host's file keeps its own.
        connection.pragma_update(None, "page_size", 8192).explain_on(connection, "open")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).explain_on(connection, "open")?;
    }
    if stray {
        back_to_wal(connection)?;
    }
    configure(connection, settings, settings.cache_kib)?;
    connection
        .pragma_update_and_check(None, "journal_size_limit", wal::KEPT_BYTES, |_| Ok(()))
        .explain_on(connection, "open")?;
    match known_format(connection)? {
        Some(outdated) => Ok(outdated),
        None => create_tables(connection).map(|()| false),
    }
}

/// Whether the tables have an earlier format; `None` if there are none.
pub(crate) fn known_format(connection: &Connection) -> Result<Option<bool>> {
    match format(connection)? {
        Some(format @ EARLIEST..=FORMAT) => Ok(Some(format < FORMAT)),
        Some(other) if other > FORMAT => Err(Error::new(
            ErrorKind::Incompatible,
            "the database was written by a newer version of Highwater: upgrade the program that opens it",
        )
        .with("format", other)
        .with("known", FORMAT)),
        Some(other) => Err(Error::new(
            ErrorKind::Incompatible,
            "the database was written by a pre-release version of Highwater: sync into a new file",
        )
        .with("format", other)
        .with("known", FORMAT)),
        None => check_schema(connection).map(|()| None),
    }
}

/// Refuses a file whose schema is damaged: one that lost our tables looks like one that never had any, and would be made a
/// new store over what is left of the old one. Reads the pages of the schema alone.
fn check_schema(connection: &Connection) -> Result<()> {
    let problem: String = connection
        .query_row("PRAGMA quick_check(sqlite_schema)", [], |row| row.get(0))
        .explain_on(connection, "open")?;
    if problem == "ok" {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, "the database's schema is damaged: restore a backup, or sync into a new file")
        .during("open")
        .with("problem", problem.replace('\n', " ")))
}

/// Has SQLite check every page, and returns what it found, a problem to a line.
pub(crate) fn check_pages(connection: &Connection) -> Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA quick_check").explain_on(connection, "check")?;
    let found = check.query_map([], |row| row.get::<_, String>(0)).explain_on(connection, "check")?;
    let mut problems = Vec::new();
    for text in found {
        // One row may name many problems, under a heading.
        let text = text.explain_on(connection, "check")?;
        problems.extend(text.lines().filter(|line| *line != "ok" && !line.starts_with("***")).map(str::to_owned));
    }
    Ok(problems)
}

/// Takes the file back to the journal mode it was made with: a tool set another, or it was restored from a dump. Under a
/// Restores the journal mode that the file was created with, after a tool changed it or it was restored from a dump. With a
/// rollback journal, every read elsewhere would block commits.
fn back_to_wal(connection: &Connection) -> Result<()> {
    let set = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).explain_on(connection, "open");
    set.map_err(|error| match error.kind() {
        ErrorKind::Busy => Error::new(
            ErrorKind::Busy,
            "another program changed the file's journal mode, and it cannot be set back while a connection is in a transaction: end that, then try again",
        )
        .during("open")
        .because(error),
        _ => error,
    })
}

/// Migrates the tables to the current format, within the connection's transaction.
pub(crate) fn upgrade(connection: &Connection) -> Result<()> {
    connection
        .execute("UPDATE hw_meta SET value = ?1 WHERE name = 'format'", [FORMAT])
        .map(drop)
        .explain_on(connection, "open")
}

/// Writes a copy of the database into a new file.
pub(crate) fn copy_into(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |error: Error| error.during("copy").with("copy", path.display());
    let unwritten = |source: std::io::Error| {
        let kind = ErrorKind::of_io(&source);
        failed(Error::new(kind, "the copy of the database could not be made durable").because(source))
    };
    // Absolute, so that no name is mistaken for a URI.
    let whole = std::path::absolute(path).map_err(unwritten)?;
    let Some(name) = whole.to_str() else {
        let message = "a copy's path must be UTF-8: give the store's folder another name";
        return Err(failed(Error::new(ErrorKind::Invalid, message)));
    };
    connection.execute("VACUUM INTO ?1", [name]).explain_on(connection, "copy").map_err(failed)?;
    // SQLite does not sync it.
    fs::File::options().write(true).open(&whole).and_then(|file| file.sync_all()).map_err(unwritten)
}

/// Gives a copy the journal mode of its original: SQLite leaves it with a rollback journal.
pub(crate) fn keep_journal_mode(original: &Connection, copy: &Path) -> Result<()> {
    let mode: String = original.query_row("PRAGMA journal_mode", [], |row| row.get(0)).explain_on(original, "copy")?;
    if mode.eq_ignore_ascii_case("wal") {
        let copy = open_file(copy)?;
        copy.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).explain_on(&copy, "copy")?;
    }
    Ok(())
}

pub(crate) fn configure(connection: &Connection, settings: &Settings, cache_kib: u32) -> Result<()> {
    connection.busy_timeout(settings.busy_timeout).explain_on(connection, "open")?;
    connection.set_prepared_statement_cache_capacity(64);
    // A statement then keeps its plan when it is bound again.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).explain_on(connection, "open")?;
    connection.pragma_update(None, "synchronous", "FULL").explain_on(connection, "open")?;
    connection.pragma_update(None, "temp_store", "MEMORY").explain_on(connection, "open")?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib)).explain_on(connection, "open")?;
    connection
        .pragma_update_and_check(None, "wal_autocheckpoint", wal::CHECKPOINT_PAGES, |_| Ok(()))
        .explain_on(connection, "open")
}

fn format(connection: &Connection) -> Result<Option<i64>> {
    let known: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'hw_meta')", [], |row| row.get(0))
        .explain_on(connection, "open")?;
    if !known {
        let left: Option<String> = connection
            .query_row("SELECT name FROM sqlite_schema WHERE name IN ('hw_log', 'hw_state')", [], |row| row.get(0))
            .optional()
            .explain_on(connection, "open")?;
        return match left {
            None => Ok(None),
            Some(table) => Err(Error::new(
                ErrorKind::Corrupt,
                "the database has Highwater's tables but no hw_meta: restore a backup, or sync into a new file",
            )
            .with("table", table)),
        };
    }
    let format = connection
        .query_row("SELECT value FROM hw_meta WHERE name = 'format'", [], |row| row.get(0))
        .optional()
        .explain_on(connection, "open")?;
    format.map(Some).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "hw_meta has no valid format number: restore a backup, or sync into a new file")
    })
}

fn create_tables(connection: &Connection) -> Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE").explain_on(connection, "open")?;
    // Another process may have been first.
    let outcome = match format(connection) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => connection
            .execute_batch(TABLES)
            .and_then(|()| connection.execute("INSERT INTO hw_meta VALUES ('format', ?1)", [FORMAT]).map(drop))
            .explain_on(connection, "open"),
        Err(error) => Err(error),
    };
    connection.execute_batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).explain_on(connection, "open")?;
    outcome
}
