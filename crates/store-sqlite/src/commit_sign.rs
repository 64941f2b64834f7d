//! SQLite's own sign of a commit, read directly: the header of the WAL index, in memory that all
//! processes on the file share (<https://sqlite.org/walformat.html#the_wal_index_header>).
//!
//! Every commit changes the header, and SQLite itself compares it to find out whether a connection's
//! cache is out of date. `PRAGMA data_version` gives the same answer, but costs two locks and a
//! statement.
#![expect(unsafe_code, reason = "SQLite hands out shared memory as a pointer")]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use highwater_core::Result;
use rusqlite::{Connection, ffi};

use crate::database_file;
use crate::errors::Explain;

/// The size of a region of the WAL index in bytes: part of the file format.
const REGION: c_int = 32 * 1024;

/// The header, in words: version, unused, count of changes, page size and flags, frames, pages,
/// two sums of frames, two salts, two sums of the header.
type Header = [u32; 12];

/// A connection that detects other connections' commits cheaply.
pub(crate) struct Watcher {
    connection: Connection,
    /// `None` if there is no WAL index in shared memory: the file is the host's and in another mode.
    sign: Option<CommitSign>,
}

impl Watcher {
    pub(crate) fn new(connection: Connection) -> Self {
        // SAFETY: the sign is stored with its connection, which is closed with it and never leaves WAL mode.
        let sign = unsafe { CommitSign::of(&connection) };
        Watcher { connection, sign }
    }

    /// The same for a connection with exclusive access: no other connection commits, and its WAL index is private.
    pub(crate) fn alone(connection: Connection) -> Self {
        Watcher { connection, sign: None }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// How far the WAL has been copied so far; `None` if there is no WAL index in shared memory.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.sign.as_ref().map(CommitSign::progress)
    }

    /// A number that changes with every commit of another connection, in any process.
    pub(crate) fn version(&mut self) -> Result<u64> {
        match &mut self.sign {
            Some(sign) => Ok(sign.version()),
            None => data_version(&self.connection),
        }
    }
}

/// The same number, from SQLite.
pub(crate) fn data_version(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("PRAGMA data_version").explain("version")?;
    let version: i64 = statement.query_row([], |row| row.get(0)).explain("version")?;
    Ok(version.cast_unsigned())
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("in_shared_memory", &self.sign.is_some()).finish_non_exhaustive()
    }
}

/// How far the WAL was copied into the database: the salts of its generation, the frames that were copied, and those that
/// the newest checkpoint began to copy. It changes before and after a checkpoint writes to the database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress([u32; 4]);

impl Progress {
    /// Whether a checkpoint may be writing now, or was interrupted.
    pub(crate) fn is_open(self) -> bool {
        let Progress([_, _, copied, attempted]) = self;
        copied < attempted
    }
}

/// The words of the WAL index that are read: both copies of the header, and the checkpoint information after them.
type Words = [AtomicU32; 34];

/// A view of one connection's WAL index.
struct CommitSign {
    shared: NonNull<Words>,
    last: Header,
    version: u64,
}

// SAFETY: the memory belongs to the process, not to a thread, and is only read, atomically.
unsafe impl Send for CommitSign {}

impl CommitSign {
    /// The sign of the connection's file; `None` if there is no WAL index in shared memory.
    ///
    /// # Safety
    ///
    /// The connection must stay open, and in WAL mode, for as long as the sign is used. No other connection
    /// can take the file out of WAL mode in the meantime: that needs a lock that an open connection blocks.
    unsafe fn of(connection: &Connection) -> Option<Self> {
        // Reads the file, which opens the WAL.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).ok()?;
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).ok()?;
        if mode != "wal" {
            return None;
        }
        let file = database_file::pointer(connection)?;
        // SAFETY: the file belongs to the open connection; its methods are null or live as long as it does.
        let methods = unsafe { file.as_ref()?.pMethods.as_ref()? };
        if methods.iVersion < 2 {
            return None;
        }
        let map = methods.xShmMap?;
        let mut region: *mut c_void = null_mut();
        // SAFETY: requests the first region as SQLite does, without creating a missing one; it stays
        // mapped until the connection closes or leaves WAL mode.
        let code = unsafe { map(file, 0, REGION, 0, (&raw mut region).cast()) };
        let shared = NonNull::new(region.cast::<Words>()).filter(|shared| shared.is_aligned())?;
        (code == ffi::SQLITE_OK).then_some(CommitSign { shared, last: [0; 12], version: 0 })
    }

    fn progress(&self) -> Progress {
        // SAFETY: mapped for as long as the connection is open, by the promise made to `of`.
        let shared = unsafe { self.shared.as_ref() };
        fence(Ordering::SeqCst);
        let word = |place: usize| shared.get(place).map_or(0, |word| word.load(Ordering::Relaxed));
        let progress = Progress([word(8), word(9), word(24), word(32)]);
        fence(Ordering::SeqCst);
        progress
    }

    fn version(&mut self) -> u64 {
        // SAFETY: mapped for as long as the connection is open, by the promise made to `of`.
        let shared = unsafe { self.shared.as_ref() };
        // Reads are ordered after the event that made the caller look.
        fence(Ordering::SeqCst);
        let header: Header =
            std::array::from_fn(|place| shared.get(place).map_or(0, |word| word.load(Ordering::Relaxed)));
        fence(Ordering::Acquire);
        if header != self.last {
            self.last = header;
            self.version += 1;
        }
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path, mode: &str) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        connection.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER)").unwrap();
        connection
    }

    #[test]
    fn every_commit_of_another_connection_is_seen_and_nothing_else() {
        for mode in ["wal", "delete"] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("watched.db");
            let writer = open(&path, mode);
            let mut watcher = Watcher::new(open(&path, mode));
            assert_eq!(watcher.sign.is_some(), mode == "wal");
            let mut last = watcher.version().unwrap();
            for round in 0..2000 {
                assert_eq!(watcher.version().unwrap(), last, "{mode}: nothing was committed");
                writer.execute("INSERT INTO t VALUES (?1)", [round]).unwrap();
                let now = watcher.version().unwrap();
                assert_ne!(now, last, "{mode}: commit {round} was not seen");
                last = now;
                writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (0); ROLLBACK").unwrap();
                assert_eq!(watcher.version().unwrap(), last, "{mode}: a rollback is no commit");
                let seen: i64 = watcher.connection().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
                assert_eq!(seen, i64::from(round) + 1);
            }
        }
    }

    #[test]
    fn a_checkpoint_that_empties_the_wal_hides_no_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watched.db");
        let writer = open(&path, "wal");
        let mut watcher = Watcher::new(open(&path, "wal"));
        for round in 0..200 {
            writer.execute("INSERT INTO t VALUES (?1)", [round]).unwrap();
            writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            let last = watcher.version().unwrap();
            writer.execute("INSERT INTO t VALUES (?1)", [round]).unwrap();
            assert_ne!(watcher.version().unwrap(), last, "commit {round} was not seen");
        }
    }
}
