//! Converts SQLite's errors.

use std::error::Error as StdError;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::Connection;
use rusqlite::ffi::{
    self, ErrorCode, SQLITE_BUSY_SNAPSHOT, SQLITE_IOERR_CHECKRESERVEDLOCK, SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DATA,
    SQLITE_IOERR_LOCK, SQLITE_IOERR_NOMEM, SQLITE_IOERR_RDLOCK, SQLITE_IOERR_SHMLOCK, SQLITE_IOERR_SHMMAP,
    SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_UNLOCK, SQLITE_READONLY_DBMOVED,
};

use crate::database_file;

/// Converts SQLite's result into ours, naming the operation.
pub(crate) trait Explain<T>: Sized {
    fn explain(self, what: &'static str) -> Result<T>;

    /// The same for opening a connection, after which there is no connection to ask for details.
    fn explain_open(self) -> Result<T>;

    /// Also asks the connection, if SQLite's error alone does not say why something failed.
    fn explain_on(self, connection: &Connection, what: &'static str) -> Result<T>;
}

impl<T> Explain<T> for rusqlite::Result<T> {
    fn explain(self, what: &'static str) -> Result<T> {
        self.map_err(|source| error(source, what))
    }

    fn explain_open(self) -> Result<T> {
        self.map_err(|source| {
            // Read first: any other call may change it.
            let told = std::io::Error::last_os_error();
            let could_not = source.sqlite_error_code() == Some(ErrorCode::CannotOpen);
            let error = error(source, "open");
            if could_not { with_system_error(error, &told) } else { error }
        })
    }

    fn explain_on(self, connection: &Connection, what: &'static str) -> Result<T> {
        self.map_err(|source| {
            let undecided =
                matches!(source.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen));
            let error = error(source, what);
            let known = |kind| !matches!(kind, ErrorKind::Io | ErrorKind::PermissionDenied);
            if !undecided || known(error.kind()) {
                return error;
            }
            match database_file::system_error(connection) {
                Some(told) => with_system_error(error, &told),
                None => error,
            }
        })
    }
}

/// The system's reason for an error that SQLite reports under a generic code.
fn with_system_error(error: Error, told: &std::io::Error) -> Error {
    let kind = ErrorKind::of_io(told);
    if kind == error.kind() {
        return error.with("system", told);
    }
    let message = match kind {
        ErrorKind::Full => FULL,
        ErrorKind::Invalid => "the file's name is too long with the suffix that SQLite appends: shorten it",
        ErrorKind::PermissionDenied => READ_ONLY,
        ErrorKind::Io => IO,
        // If a file could not be created, SQLite's last attempt was to open it for reading.
        _ => return error,
    };
    let operation = error.operation();
    Error::new(kind, message).during(operation).with("system", told).because(error)
}

/// Whether the failure is that the WAL index, which connections share, cannot be created in that place.
pub(crate) fn lacks_shared_memory(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(next) = cause {
        if let Some(source) = next.downcast_ref::<rusqlite::Error>() {
            let extended = source.sqlite_error().map(|error| error.extended_code);
            return matches!(extended, Some(SQLITE_IOERR_SHMSIZE | SQLITE_IOERR_SHMMAP | SQLITE_IOERR_SHMOPEN))
                || error.kind() == ErrorKind::Full;
        }
        cause = next.source();
    }
    false
}

const FULL: &str = "the disk is full, or the database has reached its page limit: free some space and try again";
const READ_ONLY: &str = "the database cannot be written: check the permissions of the file and its directory";
const IO: &str = "the database file could not be opened, read or written: check its disk or network share";

pub(crate) fn error(source: rusqlite::Error, what: &'static str) -> Error {
    let extended = source.sqlite_error().map(|error: &ffi::Error| error.extended_code);
    let (kind, message) = match (source.sqlite_error_code(), extended) {
        // Waiting would not help.
        (_, Some(SQLITE_BUSY_SNAPSHOT)) => (
            ErrorKind::Busy,
            "others committed since this transaction began to read: roll it back, and begin it with BEGIN IMMEDIATE",
        ),
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed), _) => (
            ErrorKind::Busy,
            "another process or connection holds the database: end its transaction or wait longer (busy_timeout), then try again",
        ),
        // The WAL index cannot grow.
        (Some(ErrorCode::DiskFull), _) | (_, Some(SQLITE_IOERR_SHMSIZE)) => (ErrorKind::Full, FULL),
        (_, Some(SQLITE_READONLY_DBMOVED)) => (
            ErrorKind::Poisoned,
            "the database file was removed, renamed or replaced while it was open: close the store, put the right file in place, and open it again",
        ),
        (Some(ErrorCode::ReadOnly), _) => (ErrorKind::PermissionDenied, READ_ONLY),
        (Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied | ErrorCode::CannotOpen), _) => {
            (
                ErrorKind::PermissionDenied,
                "the database cannot be opened: check the permissions of the file and its directory",
            )
        }
        (Some(ErrorCode::NotADatabase), _) => {
            (ErrorKind::Incompatible, "the file is not an SQLite database (or is encrypted): choose another path")
        }
        (Some(ErrorCode::DatabaseCorrupt), _)
        | (_, Some(SQLITE_IOERR_SHORT_READ | SQLITE_IOERR_CORRUPTFS | SQLITE_IOERR_DATA)) => {
            (ErrorKind::Corrupt, "the database file is damaged: restore a backup, or remove the file and sync again")
        }
        (Some(ErrorCode::TooBig | ErrorCode::OutOfMemory), _) | (_, Some(SQLITE_IOERR_NOMEM)) => {
            (ErrorKind::Full, "a value is too large for SQLite")
        }
        (
            _,
            Some(
                SQLITE_IOERR_LOCK
                | SQLITE_IOERR_RDLOCK
                | SQLITE_IOERR_UNLOCK
                | SQLITE_IOERR_CHECKRESERVEDLOCK
                | SQLITE_IOERR_SHMLOCK,
            ),
        ) => (
            ErrorKind::Io,
            "the file system does not support locks, like some network shares: keep the database on a local disk",
        ),
        (Some(ErrorCode::SystemIoFailure), _) => (ErrorKind::Io, IO),
        _ if source.to_string().contains("no such table: hw_") => (
            ErrorKind::Incompatible,
            "the database lacks Highwater's tables: it is not the store's file, or they were removed from it",
        ),
        _ => (ErrorKind::Internal, "SQLite refused an operation"),
    };
    Error::new(kind, message).during(what).because(source)
}

#[cfg(test)]
mod tests {
    use std::ffi::c_int;

    use super::*;

    fn kind(extended: c_int) -> ErrorKind {
        error(rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None), "test").kind()
    }

    #[test]
    fn every_extended_code_has_the_kind_of_its_cause() {
        let io = 10;
        let wanted = |number: c_int| match io | number << 8 {
            SQLITE_IOERR_SHMSIZE | SQLITE_IOERR_NOMEM => ErrorKind::Full,
            SQLITE_IOERR_SHORT_READ | SQLITE_IOERR_CORRUPTFS | SQLITE_IOERR_DATA => ErrorKind::Corrupt,
            _ => ErrorKind::Io,
        };
        for number in 0..=34 {
            assert_eq!(kind(io | number << 8), wanted(number), "I/O error {number}");
        }
        // SQLITE_FULL, SQLITE_PROTOCOL, SQLITE_BUSY_TIMEOUT, SQLITE_READONLY_DIRECTORY, SQLITE_CANTOPEN_SYMLINK.
        assert_eq!((kind(13), kind(15), kind(773)), (ErrorKind::Full, ErrorKind::Busy, ErrorKind::Busy));
        assert_eq!((kind(1544), kind(1550)), (ErrorKind::PermissionDenied, ErrorKind::PermissionDenied));
        assert_eq!(kind(SQLITE_READONLY_DBMOVED), ErrorKind::Poisoned);
        assert_eq!(kind(1), ErrorKind::Internal);
    }

    #[test]
    fn shared_memory_that_cannot_be_is_known_from_its_code() {
        let of = |extended| error(rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None), "open");
        assert!(lacks_shared_memory(&of(13)));
        for code in [SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN] {
            assert!(lacks_shared_memory(&of(code)), "{code}");
            assert!(
                lacks_shared_memory(&with_system_error(of(code), &std::io::Error::from_raw_os_error(95))),
                "{code}"
            );
        }
        assert!(!lacks_shared_memory(&of(5)) && !lacks_shared_memory(&of(SQLITE_IOERR_SHORT_READ)));
    }

    #[test]
    fn the_system_says_why_a_file_could_not_be_used() {
        for (code, wanted) in [
            (28, ErrorKind::Full),
            (13, ErrorKind::PermissionDenied),
            (5, ErrorKind::Io),
            (2, ErrorKind::PermissionDenied),
        ] {
            let cause = error(rusqlite::Error::SqliteFailure(ffi::Error::new(14), None), "open");
            let error = with_system_error(cause, &std::io::Error::from_raw_os_error(code));
            assert_eq!((error.kind(), error.operation()), (wanted, "open"), "{error}");
        }
    }
}
