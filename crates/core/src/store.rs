//! The storage interface that hosts, the engine and templates hold.

mod delegation;

use std::fmt;
use std::pin::Pin;

use crate::batch::{Commit, Document, Fence, WriteBatch};
use crate::capabilities::Capabilities;
use crate::consumer::{ConsumerCommand, ConsumerReply};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::maintenance::{Maintenance, MaintenanceReport, StreamHead, Version};
use crate::page::{Page, PageRequest};
use crate::record::{Json, Record};
use crate::stream::{StreamKey, StreamVersion};
use crate::wakeups::Wakeups;

/// What an asynchronous method of a [`Store`] returns: a boxed future that can move between threads.
pub type StoreFuture<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

/// A store of records with a modification log.
///
/// Hosts, the engine and templates hold a store as `Arc<dyn Store>`. For reading use the conveniences of
/// [`StoreExt`](crate::StoreExt), such as `store.records(&stream)`. Authors of embedded stores implement
/// [`Backend`](crate::backend::Backend) instead, which [`Threaded`](crate::Threaded) makes a store of; implement this trait for a
/// store that is elsewhere, such as behind a network, and [`store_by_delegation!`](crate::store_by_delegation) for one that
/// adds something to another.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use highwater_core::{MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
/// let notes = StreamKey::new("demo", "Note");
///
/// let mut batch = WriteBatch::new();
/// batch.on(&notes).upsert(r#"{"id": "a", "text": "first"}"#);
/// let commit = store.commit(batch).await?;
/// assert_eq!(commit.streams[0].added, 1);
///
/// let page = store.records(&notes).page().await?;
/// assert_eq!(page.next_cursor, commit.streams[0].cursor);
/// store.close().await?;
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
///
/// # Contract
///
/// * **Atomic and ordered.** A [`commit`](Store::commit) becomes durable and visible as a whole or not at all. Positions
///   ascend in the order in which commits become visible, in every process: a reader that continues at a cursor misses
///   nothing.
/// * **One view per call.** What one call returns comes from one consistent view of the store.
/// * **Cancellation.** Dropping the future of a read is harmless. Dropping the future of a `commit` does not undo it. Sending
///   the same batch again is harmless too: a record that has not changed writes nothing.
/// * **No runtime.** No method spawns a task or needs a runtime, and none blocks the calling thread for long.
/// * **Several handles.** Any number of tasks and threads may call at the same time; writers take turns.
///
/// # Errors
///
/// Beside the kinds that a method names, every method can fail with these:
///
/// * [`Closed`](crate::ErrorKind::Closed) after [`close`](Store::close);
/// * [`Poisoned`](crate::ErrorKind::Poisoned) after a commit whose outcome is unknown, or where the store's file was moved or
///   replaced: close the store and open it again;
/// * [`Busy`](crate::ErrorKind::Busy) while another process holds the store for longer than the store waits: try again;
/// * [`Full`](crate::ErrorKind::Full), [`PermissionDenied`](crate::ErrorKind::PermissionDenied) and
///   [`Io`](crate::ErrorKind::Io), as the file system reports them;
/// * [`Corrupt`](crate::ErrorKind::Corrupt) if stored bytes make no sense;
/// * [`WrongKey`](crate::ErrorKind::WrongKey) if a payload cannot be read with the store's codec.
///
/// [`Error::is_retryable`](crate::Error::is_retryable) says whether the same call may succeed later.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Returns what this store can do. It never changes while the store is open.
    fn capabilities(&self) -> Capabilities;

    /// Applies a batch: all of it becomes durable and visible, or nothing does.
    ///
    /// Operations are judged in their order, the last one for an id wins. An operation that changes nothing writes nothing.
    /// Readers that wait are woken afterwards. Large batches are cheaper per record; a batch holds up other writers for as
    /// long as it is applied, so keep it below some ten thousand records.
    ///
    /// # Errors
    ///
    /// Nothing was written after any error but [`Poisoned`](crate::ErrorKind::Poisoned).
    ///
    /// * [`Invalid`](crate::ErrorKind::Invalid) for a record that cannot be stored (unless the batch
    ///   [quarantines](crate::BadRecords::Quarantine) it), and for names and keys that are too long;
    /// * [`Fenced`](crate::ErrorKind::Fenced) if a newer holder has one of the batch's [leases](WriteBatch::fence);
    /// * [`Conflict`](crate::ErrorKind::Conflict) if a [document](WriteBatch::expect_document) is not the expected one, or
    ///   where [`Merging`](crate::Merging) cannot tell what was deleted in the meantime;
    /// * [`AwaitingApproval`](crate::ErrorKind::AwaitingApproval) if a completed run would delete more than its
    ///   [guard](crate::DeleteGuard) allows;
    /// * [`ClockImplausible`](crate::ErrorKind::ClockImplausible) if the clock jumped years ahead;
    /// * the cursor kinds for a cursor in [`Merging`](crate::Merging) that is not one of the stream's.
    fn commit(&self, batch: WriteBatch) -> StoreFuture<'_, Commit>;

    /// Reads a page of modifications, oldest first.
    ///
    /// A page has at most [`limit`](PageRequest::limit) records (100 by default, [`MAX_LIMIT`](crate::MAX_LIMIT) at most) and
    /// about [`max_bytes`](PageRequest::max_bytes) bytes of payload (16 MiB by default), but at least one record if there is one.
    /// A page of a filtered reading may be empty although more follow: continue at its cursor while `has_more` is set.
    /// A stream that was never written to has an empty page: [`never_written`](Page::never_written) says so.
    ///
    /// # Errors
    ///
    /// * [`CursorExpired`](crate::ErrorKind::CursorExpired) if entries behind the cursor were pruned or the stream was
    ///   cleared: the reader clears its copy and starts over;
    /// * [`CursorForeign`](crate::ErrorKind::CursorForeign), [`CursorForked`](crate::ErrorKind::CursorForked) and
    ///   [`CursorFuture`](crate::ErrorKind::CursorFuture) for a cursor that this stream never gave out;
    /// * [`FilterMismatch`](crate::ErrorKind::FilterMismatch) for a cursor of a reading with another content filter;
    /// * [`Invalid`](crate::ErrorKind::Invalid) for a filter that nothing can match.
    fn page(&self, request: PageRequest) -> StoreFuture<'_, Page>;

    /// Reads records by id, in the order of `ids`.
    ///
    /// Deleted records are included until their tombstones are pruned. An unknown id gives `None`. There is no limit to the
    /// ids, but all records are held in memory at once.
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn get<'s>(&'s self, stream: &'s StreamKey, ids: &'s [&'s str]) -> StoreFuture<'s, Vec<Option<Record>>>;

    /// Reads a stream's counters: its end, its horizon, how many records it has.
    ///
    /// A stream that was never written to has zeros: [`never_written`](StreamHead::never_written) says so.
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn head<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, StreamHead>;

    /// Lists the streams that were ever written to, with their counters, by name.
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn streams(&self) -> StoreFuture<'_, Vec<StreamHead>>;

    /// Reads every kept version of a record, newest first, the current one included.
    ///
    /// Superseded versions are kept where the stream's [`History`](crate::History) says so. Empty for an unknown id.
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn versions<'s>(&'s self, stream: &'s StreamKey, id: &'s str) -> StoreFuture<'s, Vec<Version>>;

    /// Reads the live records of a stream as they were at `cursor`, by id: at most `limit`, those whose ids come after
    /// `after_id` (`""`: from the first).
    ///
    /// Needs a stream that keeps its [`History`](crate::History). Each call scans the stream: ask for large pages.
    ///
    /// # Errors
    ///
    /// * [`CursorExpired`](crate::ErrorKind::CursorExpired) if the stream's history does not reach back to `cursor`;
    /// * the other cursor kinds as in [`page`](Store::page).
    fn as_of<'s>(
        &'s self,
        stream: &'s StreamKey,
        cursor: Cursor,
        after_id: &'s str,
        limit: usize,
    ) -> StoreFuture<'s, Vec<Record>>;

    /// Reads a document: a small JSON value under a key of 1 to 512 bytes, outside of any stream. `None` where there is none.
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn document<'s>(&'s self, key: &'s str) -> StoreFuture<'s, Option<Json>>;

    /// Reads the documents whose keys begin with `prefix`, by key: at most `limit` and at most 10,000, those whose keys come
    /// after `after` (`""`: from the first).
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn documents<'s>(&'s self, prefix: &'s str, after: &'s str, limit: usize) -> StoreFuture<'s, Vec<Document>>;

    /// Gives out the next fencing token of the lease `name` (1 to 512 bytes).
    ///
    /// Batches that carry an earlier token in [`fence`](WriteBatch::fence) are refused from then on. A lease has no end: it is
    /// held until the next call for its name. To take one together with writes use [`WriteBatch::take_lease`].
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a name that is empty or too long.
    fn lease<'s>(&'s self, name: &'s str) -> StoreFuture<'s, Fence>;

    /// Executes a command on behalf of the consumer `name` (1 to 255 bytes) of a stream.
    ///
    /// [`StoreExt::consumer`](crate::StoreExt::consumer) has a method for each command.
    ///
    /// # Errors
    ///
    /// * [`NotFound`](crate::ErrorKind::NotFound) for a consumer that never polled and was never sent anywhere by a seek;
    /// * [`LeaseLost`](crate::ErrorKind::LeaseLost) if another reader holds the lease, or has taken it;
    /// * [`BackingOff`](crate::ErrorKind::BackingOff) for a poll while the backoff after a nack lasts;
    /// * [`FilterMismatch`](crate::ErrorKind::FilterMismatch) for another filter than that of the first poll;
    /// * [`CursorExpired`](crate::ErrorKind::CursorExpired) for a poll of a consumer that was evicted, or whose position was
    ///   pruned, and the other cursor kinds for a seek to a cursor that is not one of the stream's;
    /// * [`Invalid`](crate::ErrorKind::Invalid) for a name that is empty or too long.
    fn consumer_command<'s>(
        &'s self,
        stream: &'s StreamKey,
        name: &'s str,
        command: ConsumerCommand,
    ) -> StoreFuture<'s, ConsumerReply>;

    /// Lists the names of a stream's consumers, sorted.
    ///
    /// # Errors
    ///
    /// Those of every method, see [above](Store#errors).
    fn consumers<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, Vec<String>>;

    /// Runs a maintenance task, such as a prune or a verification.
    ///
    /// # Errors
    ///
    /// Each [`Maintenance`] task names its own.
    fn maintain(&self, task: Maintenance) -> StoreFuture<'_, MaintenanceReport>;

    /// Returns the current version of what a stream holds, for callers that keep what they made of a page. `None`, the default, if
    /// the store cannot tell: the caller reads again.
    ///
    /// The version is equal to one that this handle returned earlier only if no page of the stream has changed in between, through
    /// commits, prunes or anything else, in any process. Ask before and after the page is read, keep what was made of it if both
    /// are equal, and use it again for a request that came in before the same version was returned once more. Costs at most the
    /// reading of one small row, on the calling thread; much less while nothing was committed.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{MemoryStore, Store, StreamKey};
    /// let store = MemoryStore::new()?;
    /// // Kept by stores that several processes can open.
    /// assert_eq!(store.stream_version(&StreamKey::new("demo", "Note")), None);
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    fn stream_version(&self, stream: &StreamKey) -> Option<StreamVersion> {
        let _ = stream;
        None
    }

    /// Returns a receiver that wakes whenever something may have been committed, by this process or another, from now on.
    ///
    /// A wake-up carries no data and may be in vain: read the log to learn what is new.
    fn subscribe(&self) -> Wakeups;

    /// Finishes what was submitted, and closes the files. Closing twice is harmless.
    ///
    /// A store that is dropped without it closes its files a little later, and errors are not seen.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](crate::ErrorKind::Poisoned) and the kinds of I/O, where the last writes or the files' end failed.
    fn close(&self) -> StoreFuture<'_, ()>;
}
