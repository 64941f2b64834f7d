//! Converts sled's errors.

use std::io;

use highwater_core::{Error, ErrorKind, Result};

/// Converts sled's result into ours, naming the operation.
pub(crate) trait Explain<T> {
    fn explain(self, what: &'static str) -> Result<T>;
}

impl<T> Explain<T> for sled::Result<T> {
    fn explain(self, what: &'static str) -> Result<T> {
        self.map_err(|error| translate(error).during(what))
    }
}

/// Does the same for I/O results of the operating system.
pub(crate) trait ExplainIo<T> {
    fn explain_io(self, what: &'static str) -> Result<T>;
}

impl<T> ExplainIo<T> for io::Result<T> {
    fn explain_io(self, what: &'static str) -> Result<T> {
        self.map_err(|source| translate(sled::Error::Io(source)).during(what))
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
            "another process has the store open, and sled supports only one: close it there, or use SQLite",
        ),
        sled::Error::Io(error) => explained(error),
        _ => (ErrorKind::Internal, "sled refused an operation"),
    };
    Error::new(kind, message).because(source)
}

/// The kind and the message for an I/O error.
fn explained(source: &io::Error) -> (ErrorKind, &'static str) {
    let kind = match source.kind() {
        io::ErrorKind::AlreadyExists => ErrorKind::Incompatible,
        _ => ErrorKind::of_io(source),
    };
    let message = match kind {
        ErrorKind::PermissionDenied => {
            "the directory cannot be written: check the permissions of it and of its parent directory"
        }
        ErrorKind::Full => "the disk is full: free some space and try again",
        ErrorKind::Incompatible => "the path is a file, but a sled store is a directory: choose another path",
        ErrorKind::NotFound => "the directory no longer exists",
        ErrorKind::Corrupt => {
            "the store's files are truncated: restore a backup, or remove the directory and sync again"
        }
        ErrorKind::Busy => "another process is using the store's files; try again",
        ErrorKind::Invalid => "the path cannot be used: it is too long, or contains a zero byte",
        _ => "reading or writing the store's files failed: check their disk or network share",
    };
    (kind, message)
}

/// sled reports a held lock only in its message.
fn is_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}
