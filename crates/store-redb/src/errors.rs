//! Converts redb's errors.

use std::io;

use highwater_core::{Error, ErrorKind, Result};

/// Converts redb's result into ours, naming the operation.
pub(crate) trait Explain<T> {
    fn explain(self, what: &'static str) -> Result<T>;
}

impl<T, E: Into<redb::Error>> Explain<T> for Result<T, E> {
    fn explain(self, what: &'static str) -> Result<T> {
        self.map_err(|error| translate(error.into()).during(what))
    }
}

/// Does the same for I/O results of the operating system.
pub(crate) trait ExplainIo<T> {
    fn explain_io(self, what: &'static str) -> Result<T>;
}

impl<T> ExplainIo<T> for io::Result<T> {
    fn explain_io(self, what: &'static str) -> Result<T> {
        self.map_err(|source| translate(redb::Error::Io(source)).during(what))
    }
}

pub(crate) fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the store's file is damaged: restore a backup, or remove the file and sync again")
}

fn translate(source: redb::Error) -> Error {
    let (kind, message) = match &source {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            (ErrorKind::Locked, "another process has the store open and does not share it: close it there first")
        }
        redb::Error::UpgradeRequired(_) => {
            (ErrorKind::Incompatible, "the file was written by another version of redb: use a new path, or upgrade")
        }
        redb::Error::Corrupted(_) => {
            (ErrorKind::Corrupt, "the store's file is damaged: restore a backup, or remove the file and sync again")
        }
        redb::Error::RepairAborted => (
            ErrorKind::PermissionDenied,
            "the store was not closed cleanly, and can only be repaired when it is opened for writing: do so once",
        ),
        redb::Error::PreviousIo => (ErrorKind::Poisoned, "an earlier write failed: close the store and open it again"),
        redb::Error::DatabaseClosed => (ErrorKind::Closed, "the store was closed; open it again"),
        redb::Error::WouldBlock => (ErrorKind::Busy, "another process is writing; try again"),
        redb::Error::ValueTooLarge(_) => (ErrorKind::Full, "a value is too large for redb"),
        redb::Error::Io(source) => explained(source),
        _ => (ErrorKind::Internal, "redb refused an operation"),
    };
    Error::new(kind, message).because(source)
}

/// The kind and the message for an I/O error.
fn explained(source: &io::Error) -> (ErrorKind, &'static str) {
    if source.kind() == io::ErrorKind::InvalidData {
        return (ErrorKind::Incompatible, "the file is not a redb database: choose another path");
    }
    let kind = ErrorKind::of_io(source);
    let message = match kind {
        ErrorKind::PermissionDenied => "the file cannot be written: check the permissions of it and its directory",
        ErrorKind::NotFound => "the directory of the file does not exist: create it first",
        ErrorKind::Incompatible => {
            "the path is a directory, or leads through a file, but a redb store is a file: choose another path"
        }
        ErrorKind::Full => "the disk is full: free some space and try again",
        ErrorKind::Corrupt => "the store's file is truncated: restore a backup, or remove the file and sync again",
        ErrorKind::Busy => "another process is writing; try again",
        ErrorKind::Invalid => {
            "the path cannot be used: it is empty, contains a zero byte, or is too long with the suffix that is added while the file is created"
        }
        _ => "reading or writing the store's file failed: check its disk or network share",
    };
    (kind, message)
}
