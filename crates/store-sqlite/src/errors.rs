//! SQLite's errors in Highwater's words.

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::ffi::ErrorCode;

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
    let (kind, message) = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Busy, "another process or connection holds the database; try again")
        }
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
        _ => (ErrorKind::Internal, "SQLite refused an operation"),
    };
    Error::new(kind, message).during(what).because(source)
}
