//! sled's errors in Highwater's words.

use std::io;

use highwater_core::{Error, ErrorKind, Result};

/// Turns sled's outcome into ours, naming what was being done.
pub(crate) trait Explain<T> {
    fn explain(self, what: &'static str) -> Result<T>;
}

impl<T> Explain<T> for sled::Result<T> {
    fn explain(self, what: &'static str) -> Result<T> {
        self.map_err(|error| translate(error).during(what))
    }
}

pub(crate) fn damaged() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the store's files are damaged: restore a backup, or remove the directory and sync again",
    )
}

fn translate(source: sled::Error) -> Error {
    let (kind, message) = match &source {
        sled::Error::Corruption { .. } => (
            ErrorKind::Corrupt,
            "the store's files are damaged: restore a backup, or remove the directory and sync again",
        ),
        sled::Error::Unsupported(_) => {
            (ErrorKind::Incompatible, "the directory was written by another version of sled")
        }
        sled::Error::Io(error) if is_lock(error) => (
            ErrorKind::Locked,
            "another process has the store open: sled serves one process; close it there, or use SQLite",
        ),
        sled::Error::Io(error) => match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
                ErrorKind::PermissionDenied,
                "the directory cannot be written: check the permissions of it and of the one above",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::Full, "the disk is full: make room and try again")
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                (ErrorKind::Incompatible, "the path is a file, a sled store is a directory: choose another path")
            }
            _ => (ErrorKind::Internal, "reading or writing the store's files failed"),
        },
        _ => (ErrorKind::Internal, "sled refused an operation"),
    };
    Error::new(kind, message).because(source)
}

/// sled tells of a held lock in words only.
fn is_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}
