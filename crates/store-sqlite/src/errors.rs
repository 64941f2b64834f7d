//! SQLite's errors in Highwater's words.

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::ffi::{ErrorCode, SQLITE_BUSY_SNAPSHOT};

/// Turns SQLite's outcome into ours, naming what was being done.
pub(crate) trait Explain<T> {
    fn explain(self, what: &'static str) -> Result<T>;
}

impl<T> Explain<T> for rusqlite::Result<T> {
    fn explain(self, what: &'static str) -> Result<T> {
        self.map_err(|source| error(source, what))
    }
}

pub(crate) fn error(source: rusqlite::Error, what: &'static str) -> Error {
    let code = source.sqlite_error_code();
    let extended = source.sqlite_error().map(|error| error.extended_code);
    let (kind, message) = match code {
        // Waiting would not help.
        _ if extended == Some(SQLITE_BUSY_SNAPSHOT) => (
            ErrorKind::Busy,
            "others committed since this transaction began to read: roll it back, and begin it with BEGIN IMMEDIATE",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Busy,
            "another process or connection holds the database: end its transaction or wait longer (busy_timeout), then try again",
        ),
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Full, "the disk, or the database's page limit, is full: make room and try again")
        }
        Some(ErrorCode::ReadOnly) => (
            ErrorKind::PermissionDenied,
            "the database cannot be written: check the permissions of the file and its directory",
        ),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied | ErrorCode::CannotOpen) => (
            ErrorKind::PermissionDenied,
            "the database cannot be opened: check the permissions of the file and its directory",
        ),
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Incompatible, "the file is not an SQLite database (or is encrypted): choose another path")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            (ErrorKind::Corrupt, "the database file is damaged: restore a backup, or remove the file and sync again")
        }
        Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => (ErrorKind::Full, "a value is too large for SQLite"),
        Some(ErrorCode::SystemIoFailure) => (ErrorKind::Internal, "reading or writing the database file failed"),
        _ if source.to_string().contains("no such table: hw_") => (
            ErrorKind::Incompatible,
            "the database lacks tables of Highwater: it is not the store's file, or they were removed from it",
        ),
        _ => (ErrorKind::Internal, "SQLite refused an operation"),
    };
    Error::new(kind, message).during(what).because(source)
}
