//! What an embedded storage author writes: bytes in, bytes out, one writer, no rules.
//!
//! The rules of the modification log live in this crate; a [`Backend`] gives them three kinds of
//! storage, all in one transaction:
//!
//! * the **log**: rows of a stream under an ascending sequence number;
//! * the **index**: record id to sequence number, written late and in sorted slices by the core;
//! * **tables** of plain keys and values for everything else.
//!
//! [`Threaded`](crate::Threaded) turns a backend into a [`Store`](crate::Store).

use std::fmt;
use std::ops::ControlFlow;

use crate::capabilities::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::maintenance::Compaction;
use crate::record::Action;

/// A set of keys and values apart from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Small facts: high water, epochs, streams, checkpoints, consumers, marks, documents.
    State,
    /// Superseded versions of streams that keep history.
    History,
}

/// One row of a stream's log, borrowed from wherever it lies.
///
/// Everything here is given by the core and must come back unchanged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogRow<'a> {
    /// Place in the stream's log: from 1, ascending, never used twice. Below 2^40.
    pub sequence: u64,
    /// The position in the modification log: a ULID. Ascends with `sequence`.
    pub cursor: u128,
    /// The write epoch in which the cursor was minted.
    pub epoch: u32,
    /// The cursor at which the record's present life began.
    pub birth: u128,
    /// The last thing that happened to the record.
    pub action: Action,
    /// When the record was first seen: Unix milliseconds.
    pub first_seen_at: i64,
    /// When the payload was pruned: Unix milliseconds.
    pub pruned_at: Option<i64>,
    /// The record's id.
    pub id: &'a str,
    /// Content hashes, opaque to the backend: at most 64 bytes.
    pub hashes: &'a [u8],
    /// Rarely present facts, opaque to the backend.
    pub extra: Option<&'a [u8]>,
    /// The record: JSON text that begins with `{`, or a codec's bytes that do not.
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

/// Which rows of a log, and how much of each, a reader wants.
#[derive(Clone, Copy, Debug)]
pub struct LogScan {
    /// The first sequence number, inclusive.
    pub from: u64,
    /// When set, rows of other actions may be left out (or given: the core filters again).
    pub only: Option<Action>,
    /// Whether `payload` is wanted; without it the backend should give `None` and not read it.
    pub payload: bool,
}

/// Receives the rows of a scan until it breaks.
pub type VisitRow<'v> = dyn FnMut(&LogRow<'_>) -> Result<ControlFlow<()>> + 'v;
/// Receives the entries of a table until it breaks.
pub type VisitEntry<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'v;

/// Decides, by what it reads, whether something is to be done.
pub type Decide<'v> = dyn FnMut(&mut dyn BackendRead) -> Result<bool> + 'v;

/// One consistent view: a snapshot, or a write transaction that sees its own writes.
pub trait BackendRead {
    /// The value of `key`.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Entries with `from <= key < until`, ascending by bytes.
    fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()>;
    /// Rows of `stream` from `scan.from`, ascending by sequence.
    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()>;
    /// The row at exactly `sequence`; whether there was one. With `payload` as in [`LogScan`].
    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool>;
    /// The sequence number the index has for `key` (1 to 64 bytes).
    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>>;
}

/// One write transaction. Dropped without [`commit`](BackendWrite::commit), it leaves no trace.
pub trait BackendWrite: BackendRead {
    /// Sets `key`.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;
    /// Removes `key`, if there.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<()>;
    /// Writes a row, replacing the one with the same sequence number.
    fn put_row(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()>;
    /// Removes a row, if there.
    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()>;
    /// Sets the index entry of `key`. Called in ascending key order within a slice.
    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()>;
    /// Removes the index entry of `key`, if there.
    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()>;
    /// Brings what the backend itself keeps beside the core's bytes to its current format, in this transaction. Called
    /// where [`Backend::is_outdated`] says so, or the core's own format is an earlier one.
    fn upgrade(&mut self) -> Result<()> {
        Ok(())
    }
    /// Makes everything visible at once. Returns only when it is durable, so that nothing a
    /// reader has seen can be taken back by a crash (unless the backend's settings say otherwise).
    fn commit(self) -> Result<()>
    where
        Self: Sized;
}

/// Opens snapshots; one per reading thread.
pub trait BackendReader: Send + 'static {
    /// A consistent view of the last commit.
    type Snapshot<'a>: BackendRead
    where
        Self: 'a;
    /// Opens a snapshot. It lives no longer than one page.
    fn snapshot(&mut self) -> Result<Self::Snapshot<'_>>;
    /// Whether the last snapshot, which is dropped by now, was one view throughout. Asked after every reading; what was read
    /// is thrown away where it was not, errors too. A backend whose snapshots hold need not answer.
    fn held(&mut self) -> bool {
        true
    }
    /// A number that differs from the last call's when any handle or process has committed since.
    /// Must be cheap. A backend with a single process may always answer 0: the core knows of its
    /// own commits.
    fn version(&mut self) -> Result<u64>;
}

/// An embedded store of bytes with one writer at a time.
pub trait Backend: Send + 'static {
    /// A write transaction.
    type Write<'a>: BackendWrite
    where
        Self: 'a;
    /// A source of snapshots.
    type Reader: BackendReader;

    /// What this backend can do.
    fn capabilities(&self) -> Capabilities;
    /// Takes the write lock, also against other processes, and only then begins to read.
    fn begin(&mut self) -> Result<Self::Write<'_>>;
    /// Begins a write transaction without waiting: `None` while somebody else has the write lock. A backend that other
    /// processes write as well should say so, for readings rely on it to wait for nobody; by default it is
    /// [`begin`](Backend::begin).
    fn try_begin(&mut self) -> Result<Option<Self::Write<'_>>> {
        self.begin().map(Some)
    }
    /// A reader for one more thread, or `None` when everything must go through the writer.
    fn reader(&self) -> Result<Option<Self::Reader>>;
    /// A number that differs from the last call's when any *other* handle or process has committed
    /// since, whatever this one did meanwhile; `None` where that cannot be told. A backend with a
    /// single process need not answer. Asked between transactions, after each commit.
    fn others_version(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }
    /// Where the files are, for messages: an error about them names this place.
    fn location(&self) -> Option<String> {
        None
    }
    /// Whether the files were of an earlier format of the backend's own when they were opened. They can be read as they
    /// are; [`BackendWrite::upgrade`] brings them forward.
    fn is_outdated(&self) -> bool {
        false
    }
    /// Takes the write lock and, if `wanted` says so under it, writes a whole copy of the store beside it, under its own
    /// name with `suffix` added: what the store was before a migration. Replaces an earlier copy of that name, and leaves
    /// none that is not whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the backend cannot, as by default.
    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        let _ = (suffix, wanted);
        Err(Error::new(ErrorKind::Unsupported, "the store cannot copy itself: copy its files before it is opened"))
    }
    /// Gives space back to the file system, as far as the backend can.
    fn compact(&mut self) -> Result<Compaction>;
    /// Does what is better done while nobody waits, such as giving back the space of a log that grew large. Called
    /// outside any transaction when the writing thread has had nothing to do for half a second after a commit; a store
    /// without threads ([`Inline`](crate::Inline)) does not call it. Returns whether it should be called again later,
    /// because something was in the way.
    fn idle(&mut self) -> Result<bool> {
        Ok(false)
    }
    /// The size on disk in bytes, where it is known.
    fn size(&self) -> Result<Option<u64>>;
    /// Closes the files. Called once, last.
    fn close(self) -> Result<()>;
}
