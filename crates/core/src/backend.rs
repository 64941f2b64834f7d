//! What the author of an embedded store implements: bytes in, bytes out, one writer, no rules.
//!
//! The core has the rules of the modification log. A [`Backend`] gives them three kinds of storage, all in one
//! transaction:
//!
//! * the **log**: rows of a stream under an ascending sequence number;
//! * the **index**: record id to sequence number, which the core writes late and in sorted slices;
//! * **tables** of plain keys and values for everything else.
//!
//! [`Threaded`](crate::Threaded) turns a backend into a [`Store`](crate::Store).

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use crate::backup::BackupProgress;
use crate::capabilities::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::maintenance::Compaction;
use crate::record::Action;

/// A table of keys and values, apart from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Small facts: high water, epochs, streams, checkpoints, consumers, marks, documents.
    State,
    /// Superseded versions of streams that keep history.
    History,
}

/// One row of a stream's log, borrowed from wherever it is stored.
///
/// The core makes every value, and must get it back unchanged. The fields are all there will be: facts that a later version
/// adds travel in `extra`, so that a store which keeps these fields keeps everything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogRow<'a> {
    /// The row's number in the stream's log: from 1, ascending, never used twice, below 2^40.
    pub sequence: u64,
    /// The position in the modification log: a ULID. Ascends with `sequence`.
    pub cursor: u128,
    /// The write epoch in which the position was minted.
    pub epoch: u32,
    /// The position at which the record's current life began.
    pub birth: u128,
    /// The last thing that happened to the record.
    pub action: Action,
    /// When the record was first seen, in Unix milliseconds.
    pub first_seen_at: i64,
    /// When the payload was pruned, in Unix milliseconds.
    pub pruned_at: Option<i64>,
    /// The record's id: at most [`MAX_ID_BYTES`](crate::MAX_ID_BYTES) bytes.
    pub id: &'a str,
    /// Content hashes, opaque to the backend: at most 64 bytes.
    pub hashes: &'a [u8],
    /// Further facts, opaque to the backend; seldom present.
    pub extra: Option<&'a [u8]>,
    /// The record: JSON text that begins with `{`, or a codec's bytes that do not. At most 64 MiB and a codec's overhead.
    pub payload: Option<&'a [u8]>,
}

impl fmt::Debug for LogRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRow")
            .field("sequence", &self.sequence)
            .field("cursor", &format_args!("{:032x}", self.cursor))
            .field("epoch", &self.epoch)
            .field("action", &self.action)
            .field("id", &self.id)
            .field("payload_bytes", &self.payload.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

/// Which rows of a log a reader wants, and how much of each.
#[derive(Clone, Copy, Debug)]
pub struct LogScan {
    /// The first sequence number, inclusive.
    pub from: u64,
    /// Where set, the backend may leave out rows with other actions. It need not: the core filters again.
    pub only: Option<Action>,
    /// Whether `payload` is wanted. Where it is not, give `None` and do not read it.
    pub payload: bool,
}

/// Receives the rows of a scan until it breaks.
pub type VisitRow<'v> = dyn FnMut(&LogRow<'_>) -> Result<ControlFlow<()>> + 'v;

/// Receives the entries of a table until it breaks.
pub type VisitEntry<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'v;

/// Decides from what it reads whether something is done.
pub type Decide<'v> = dyn FnMut(&mut dyn BackendRead) -> Result<bool> + 'v;

/// One consistent view: a snapshot, or a write transaction, which sees its own writes.
///
/// # Errors
///
/// Every method of this module's traits fails with the [`ErrorKind`] of its cause. For an [`std::io::Error`] that is
/// [`ErrorKind::of_io`]; a storage library's own error is [`Corrupt`](ErrorKind::Corrupt) if stored bytes make no sense,
/// [`Busy`](ErrorKind::Busy) if another process holds a lock, [`Full`](ErrorKind::Full) if there is no space, and
/// [`Io`](ErrorKind::Io) if nothing says more. An error that a `visit` closure returns is passed on as it is.
pub trait BackendRead {
    /// Returns the value of `key` (at most 1 KiB), or `None`.
    ///
    /// # Errors
    ///
    /// See [the trait](BackendRead#errors).
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Visits the entries with `from <= key < until`, ascending by bytes, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// See [the trait](BackendRead#errors).
    fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()>;

    /// Visits the rows of `stream` from `scan.from` on, ascending by sequence number, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// See [the trait](BackendRead#errors).
    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()>;

    /// Visits the row at exactly `sequence`, and returns whether there is one. `payload` is as in [`LogScan`].
    ///
    /// # Errors
    ///
    /// See [the trait](BackendRead#errors).
    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool>;

    /// Returns the sequence number that the index has for `key` (1 to 64 bytes), or `None`.
    ///
    /// # Errors
    ///
    /// See [the trait](BackendRead#errors).
    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>>;
}

/// One write transaction. Dropped without [`commit`](BackendWrite::commit), it leaves no trace.
///
/// Errors have the kinds that [`BackendRead`](BackendRead#errors) names.
pub trait BackendWrite: BackendRead {
    /// Sets `key` to `value`.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;

    /// Removes `key`, if it is there.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<()>;

    /// Writes a row. Replaces the one with the same sequence number.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn put_row(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()>;

    /// Removes a row, if it is there.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()>;

    /// Sets the index entry of `key`. The core calls it in ascending order of keys within a slice.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()>;

    /// Removes the index entry of `key`, if it is there.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()>;

    /// Brings what the backend keeps beside the core's bytes to its current format, in this transaction.
    ///
    /// Called where [`Backend::is_outdated`] says so, or where the core's own format is an earlier one. Does nothing by default.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn upgrade(&mut self) -> Result<()> {
        Ok(())
    }

    /// Makes everything visible at once.
    ///
    /// Returns only when it is durable, so that a crash cannot take back what a reader has seen, unless the backend's settings
    /// say otherwise.
    ///
    /// # Errors
    ///
    /// [`Busy`](ErrorKind::Busy), [`Locked`](ErrorKind::Locked), [`Full`](ErrorKind::Full) and
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) say that nothing was written: the same may be tried again. After every
    /// other error the core takes the outcome as unknown, and refuses further work until the store is opened again.
    fn commit(self) -> Result<()>
    where
        Self: Sized;
}

/// Opens snapshots. Each reading thread has one.
pub trait BackendReader: Send + 'static {
    /// A consistent view of the last commit.
    type Snapshot<'a>: BackendRead
    where
        Self: 'a;

    /// Opens a snapshot. It lives no longer than one page.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn snapshot(&mut self) -> Result<Self::Snapshot<'_>>;

    /// Returns whether the last snapshot, which is dropped by now, was one view throughout.
    ///
    /// The core asks after each reading, and discards what was read, errors too, where it was not. `true` by default: a backend
    /// whose snapshots hold need not override it.
    fn held(&mut self) -> bool {
        true
    }

    /// Returns a number that differs from the last call's if any handle or process has committed since.
    ///
    /// Must be cheap: it is called for each poll. A backend with a single process may always return 0, because the core knows about its
    /// own commits.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn version(&mut self) -> Result<u64>;

    /// Copies the whole store, as one snapshot, into the empty file `copy`, so that it opens as a store of its own.
    ///
    /// Called on a thread of its own with a reader of its own; writers must not wait for it. `progress` says whether the copy is
    /// cancelled: give up soon then, with any error. The core makes the file durable, and removes it after an error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the backend cannot, as by default.
    fn copy_to(&mut self, copy: &Path, progress: &BackupProgress) -> Result<()> {
        let _ = (copy, progress);
        Err(cannot_copy())
    }
}

fn cannot_copy() -> Error {
    Error::new(ErrorKind::Unsupported, "this store cannot be backed up while it is open: close it, then copy its files")
}

/// An embedded store of bytes with one writer at a time.
///
/// `docs/write-a-store.md` shows a whole one; the kit `highwater-conformance` tests it.
pub trait Backend: Send + 'static {
    /// A write transaction.
    type Write<'a>: BackendWrite
    where
        Self: 'a;
    /// A source of snapshots.
    type Reader: BackendReader;

    /// Returns what this backend can do.
    fn capabilities(&self) -> Capabilities;

    /// Takes the write lock, also against other processes, and only then begins to read.
    ///
    /// # Errors
    ///
    /// [`Busy`](ErrorKind::Busy) if another process keeps the lock for longer than the backend waits; otherwise see
    /// [`BackendRead`](BackendRead#errors).
    fn begin(&mut self) -> Result<Self::Write<'_>>;

    /// Begins a write transaction without waiting. Returns `None` while another process or connection has the write lock.
    ///
    /// A backend that other processes write should implement it, because reads rely on it to avoid waiting. Defaults to
    /// [`begin`](Backend::begin).
    ///
    /// # Errors
    ///
    /// As for [`begin`](Backend::begin).
    fn try_begin(&mut self) -> Result<Option<Self::Write<'_>>> {
        self.begin().map(Some)
    }

    /// Returns a reader for one more thread, or `None` where everything must go through the writer.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn reader(&self) -> Result<Option<Self::Reader>>;

    /// Returns a number that differs from the last call's if any *other* handle or process has committed since, whatever this
    /// one did in the meantime; `None`, the default, if that is unknown.
    ///
    /// Called between transactions, after each commit. A backend with a single process need not implement it.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn others_version(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Returns where the files are. Errors about them name it.
    fn location(&self) -> Option<String> {
        None
    }

    /// Returns whether the files had an earlier format of the backend's own when they were opened.
    ///
    /// Such files can be read as they are; [`BackendWrite::upgrade`] brings them up to date. `false` by default.
    fn is_outdated(&self) -> bool {
        false
    }

    /// Takes the write lock and, if `wanted` says so under it, writes a whole copy of the store beside it, under its own name
    /// with `suffix` added: the store as it was before a migration.
    ///
    /// Replaces an earlier copy of that name. An interrupted copy must not keep the name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the backend cannot, as by default.
    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        let _ = (suffix, wanted);
        Err(Error::new(ErrorKind::Unsupported, "the store cannot copy itself: copy its files before it is opened"))
    }

    /// Does what [`BackendReader::copy_to`] does, on the writing thread, for a backend that has no
    /// [readers](Backend::reader).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the backend cannot, as by default.
    fn copy_to(&mut self, copy: &Path, progress: &BackupProgress) -> Result<()> {
        let _ = (copy, progress);
        Err(cannot_copy())
    }

    /// Gives free space back to the file system, as far as the backend can.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn compact(&mut self) -> Result<Compaction>;

    /// Checks every page of the files, and returns what is wrong with them, a problem to a line; `None`, the default, where the
    /// storage library has no such check.
    ///
    /// For damage that the library reads over, such as a page that has lost some of its rows.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn check_files(&mut self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// Does work that is best done while the store is idle, such as releasing the space of a log that grew large. Returns whether to
    /// call it again later, because something was in the way.
    ///
    /// Called outside any transaction, when the writing thread has had nothing to do for half a second after a commit. A store
    /// without threads ([`Inline`](crate::Inline)) does not call it. Does nothing by default.
    ///
    /// # Errors
    ///
    /// Errors are dropped: the next commit meets what lasts.
    fn idle(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Returns the size on disk in bytes, where it is known.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn size(&self) -> Result<Option<u64>>;

    /// Closes the files. Called once, last.
    ///
    /// # Errors
    ///
    /// See [`BackendRead`](BackendRead#errors).
    fn close(self) -> Result<()>;
}
