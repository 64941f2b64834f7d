//! Connections for a store that is open for reading only.
//!
//! A database with a WAL cannot be read by means of its file alone: SQLite wants the WAL's index beside it
//! (<https://sqlite.org/wal.html#read_only_databases>). What is chosen here:
//!
//! * There is a WAL: a plain read-only connection. It reads the index that is there, or builds one; a WAL with commits
//!   in it, whose index is gone and cannot be made, is refused: its last commits would be missing.
//! * There is none and we may write: a connection that SQLite lets make the WAL's files and remove them at its end, and
//!   that refuses every write.
//! * There is none and we may not: the file is taken for one that does not change (`immutable`), for as long as it looks
//!   as it did. It is looked at before and after each snapshot: a writer makes its WAL before it changes the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use highwater_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags};

use crate::commit_sign::Watcher;
use crate::database_file;
use crate::errors::Explain;
use crate::path::beside;
use crate::schema::{READER_CACHE_KIB, Settings, configure};
use crate::sharing::header_says_wal;

/// A connection that reads, and how the file looked if it is taken for one that does not change.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) connection: Connection,
    pub(crate) look: Option<Look>,
}

/// How a file looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    bytes: u64,
    modified: Option<SystemTime>,
    wal: Option<u64>,
}

impl Look {
    /// Looks without opening: that would give up the locks of this process on the file.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        let unseen = |source: io::Error| {
            let kind = if source.kind() == io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::PermissionDenied
            };
            Error::new(kind, "there is no database at the path that may be read").because(source)
        };
        let file = fs::metadata(path).map_err(unseen)?;
        let wal = fs::metadata(beside(path, "-wal")).ok().map(|wal| wal.len());
        Ok(Look { bytes: file.len(), modified: file.modified().ok(), wal })
    }
}

/// A file that is read by a connection of the right kind, whatever becomes of it.
#[derive(Debug)]
pub(crate) struct Unwritten {
    path: PathBuf,
    settings: Settings,
    watcher: Watcher,
    look: Option<Look>,
    /// How often it was opened anew.
    openings: u64,
}

impl Unwritten {
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<Self> {
        let ReadOnly { connection, look } = open(path, &settings)?;
        Ok(Unwritten { path: path.to_owned(), settings, watcher: Watcher::new(connection), look, openings: 0 })
    }

    /// The connection. A file that was taken for one that does not change, and did, is opened anew.
    pub(crate) fn watcher(&mut self) -> Result<&mut Watcher> {
        if !self.is_as_it_was() {
            let ReadOnly { connection, look } = open(&self.path, &self.settings)?;
            (self.watcher, self.look) = (Watcher::new(connection), look);
            self.openings += 1;
        }
        Ok(&mut self.watcher)
    }

    /// Whether a file that is taken for one that does not change still looks as it did.
    pub(crate) fn is_as_it_was(&self) -> bool {
        self.look.is_none_or(|look| Look::at(&self.path).ok() == Some(look))
    }

    /// A number that is another one after any commit.
    pub(crate) fn version(&mut self) -> Result<u64> {
        let version = self.watcher()?.version()?;
        Ok(version.wrapping_add(self.openings << 32))
    }
}

/// Opens the file, which must be there.
pub(crate) fn open(path: &Path, settings: &Settings) -> Result<ReadOnly> {
    let look = Look::at(path)?;
    let shared = |flags: OpenFlags| {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).explain("open")?;
        if database_file::is_read_only(&connection) && look.wal.is_none() && header_says_wal(&connection)? {
            return Ok(None);
        }
        match first_read(&connection, settings) {
            Ok(()) => Ok(Some(ReadOnly { connection, look: None })),
            // Neither the WAL nor its index can be made beside the file.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
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
            "the database was not closed, its last commits lie in its WAL, and the WAL's index is gone and cannot be made: open it for writing once, or copy it and its -wal to a folder that may be written",
        )),
        (None, _) => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(unchanging(path), flags).explain("open")?;
            first_read(&connection, settings)?;
            Ok(ReadOnly { connection, look: Some(look) })
        }
    }
}

/// Sets the connection up and reads the file's schema, which opens the WAL where there is one.
fn first_read(connection: &Connection, settings: &Settings) -> Result<()> {
    configure(connection, settings, READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true).explain("open")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).explain("open")
}

/// The file as a URI that says it does not change.
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
