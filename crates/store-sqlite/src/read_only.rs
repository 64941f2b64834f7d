//! Connections for a store that is open read-only.
//!
//! A database with a WAL cannot be read from its file alone: SQLite needs the WAL's index beside it
//! (<https://sqlite.org/wal.html#read_only_databases>). The cases:
//!
//! * There is a WAL: a plain read-only connection. It reads the existing index, or builds one; a WAL with commits whose
//!   index is missing and cannot be created is refused, because its last commits would be missing.
//! * There is none and the folder is writable: a connection for which SQLite may create the WAL's files, and remove them at
//!   its end, and which refuses every write.
//! * There is none and the folder is not writable: the file is opened as unchanging (`immutable`), for as long as it looks
//!   the same. This is checked before and after each snapshot: a writer creates its WAL before it changes the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags};

use crate::commit_sign::Watcher;
use crate::database_file;
use crate::errors::{Explain, lacks_shared_memory};
use crate::schema::{READER_CACHE_KIB, Settings, configure};
use crate::sharing::header_says_wal;

/// A reading connection, and how the file looked if it was opened as unchanging.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) connection: Connection,
    pub(crate) look: Option<Look>,
}

/// The visible state of a file: its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    bytes: u64,
    modified: Option<SystemTime>,
    wal: Option<u64>,
}

impl Look {
    /// Reads the metadata without opening the file: closing it would release this process's locks on it.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        let unseen = |source: io::Error| {
            let kind = if source.kind() == io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::PermissionDenied
            };
            Error::new(kind, "the path has no readable database").because(source)
        };
        let file = fs::metadata(path).map_err(unseen)?;
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let wal = fs::metadata(PathBuf::from(wal)).ok().map(|wal| wal.len());
        Ok(Look { bytes: file.len(), modified: file.modified().ok(), wal })
    }
}

/// A file that is read through a connection of the right kind, even as the file changes.
#[derive(Debug)]
pub(crate) struct Unwritten {
    path: PathBuf,
    settings: Settings,
    watcher: Watcher,
    look: Option<Look>,
    /// How often it was reopened.
    openings: u64,
}

impl Unwritten {
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<Self> {
        let ReadOnly { connection, look } = open(path, &settings)?;
        Ok(Unwritten { path: path.to_owned(), settings, watcher: Watcher::new(connection), look, openings: 0 })
    }

    /// The connection. A file that was opened as unchanging, but changed, is reopened.
    pub(crate) fn watcher(&mut self) -> Result<&mut Watcher> {
        if !self.is_as_it_was() {
            let ReadOnly { connection, look } = open(&self.path, &self.settings)?;
            (self.watcher, self.look) = (Watcher::new(connection), look);
            self.openings += 1;
        }
        Ok(&mut self.watcher)
    }

    /// Whether a file that was opened as unchanging still looks the same.
    pub(crate) fn is_as_it_was(&self) -> bool {
        self.look.is_none_or(|look| Look::at(&self.path).ok() == Some(look))
    }

    /// A number that changes with every commit.
    pub(crate) fn version(&mut self) -> Result<u64> {
        let version = self.watcher()?.version()?;
        Ok(version.wrapping_add(self.openings << 32))
    }
}

/// Opens the file, which must exist.
pub(crate) fn open(path: &Path, settings: &Settings) -> Result<ReadOnly> {
    let look = Look::at(path)?;
    let shared = |flags: OpenFlags| {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).explain("open")?;
        if database_file::is_read_only(&connection) && look.wal.is_none() && header_says_wal(&connection)? {
            return Ok(None);
        }
        match first_read(&connection, settings) {
            Ok(()) => Ok(Some(ReadOnly { connection, look: None })),
            // The WAL and its index cannot be created beside the file, or there is no space for them.
            Err(error) if error.kind() == ErrorKind::PermissionDenied || lacks_shared_memory(&error) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let opened = match look.wal {
        Some(_) => shared(OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        None => shared(OpenFlags::SQLITE_OPEN_READ_WRITE)?,
    };
    match (opened, look.wal) {
        (Some(opened), _) => Ok(opened),
        (None, Some(bytes)) if bytes > 0 => Err(Error::new(
            ErrorKind::PermissionDenied,
            "the database was not closed, its last commits are in its WAL, and the WAL's index is missing and cannot be created: open it for writing once, or copy it and its -wal to a writable folder",
        )),
        (None, _) => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(unchanging(path), flags).explain("open")?;
            first_read(&connection, settings)?;
            Ok(ReadOnly { connection, look: Some(look) })
        }
    }
}

/// Sets up the connection and reads the file's schema, which opens the WAL if there is one.
fn first_read(connection: &Connection, settings: &Settings) -> Result<()> {
    configure(connection, settings, READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true).explain("open")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).explain("open")
}

/// The file as a URI with `immutable=1`.
fn unchanging(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    let bytes = path.as_os_str().as_encoded_bytes();
    if cfg!(windows) && path.is_absolute() {
        uri.push('/');
    }
    for byte in bytes {
        match byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b':' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}
