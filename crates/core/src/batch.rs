//! What a writer hands to the store: visible at once or not at all.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::record::Json;
use crate::stream::StreamKey;

/// The longest record id, in bytes.
pub const MAX_ID_BYTES: usize = 4096;

/// The largest payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

/// A set of writes that become visible together: records of any number of streams, documents
/// (checkpoints, run bookkeeping) and the fence they were made under.
///
/// ```
/// use highwater_core::{StreamKey, WriteBatch};
/// let mut batch = WriteBatch::new();
/// let issues = batch.on(&StreamKey::new("github-main", "Issue"));
/// issues.upsert(r#"{"id": 1, "title": "Water in the cellar"}"#);
/// issues.delete("7");
/// batch.put_document("checkpoint/github-main/issues", &"2026-11-23T10:00:00Z")?;
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    pub(crate) streams: Vec<StreamBatch>,
    pub(crate) documents: Vec<(String, Option<Bytes>)>,
    pub(crate) fences: Vec<Fence>,
    pub(crate) expectations: Vec<(String, Option<Bytes>)>,
    pub(crate) leases: Vec<Arc<str>>,
    pub(crate) clock_jump: bool,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        WriteBatch::default()
    }

    /// The writes to one stream.
    pub fn on(&mut self, stream: &StreamKey) -> &mut StreamBatch {
        let position = self.streams.iter().position(|batch| batch.stream == *stream).unwrap_or_else(|| {
            self.streams.push(StreamBatch::new(stream.clone()));
            self.streams.len() - 1
        });
        &mut self.streams[position]
    }

    /// Sets a document: a small JSON value under a key, outside of any stream.
    pub fn put_document<T: Serialize + ?Sized>(&mut self, key: impl Into<String>, value: &T) -> Result<&mut Self> {
        let text = serde_json::to_vec(value)
            .map_err(|source| Error::invalid("the document cannot be written as JSON").because(source))?;
        self.documents.push((key.into(), Some(Bytes::from(text))));
        Ok(self)
    }

    /// Removes a document.
    pub fn remove_document(&mut self, key: impl Into<String>) -> &mut Self {
        self.documents.push((key.into(), None));
        self
    }

    /// Refuses the whole batch with [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) unless `token`
    /// is still the latest one given out for `name`.
    pub fn fence(&mut self, fence: Fence) -> &mut Self {
        self.fences.push(fence);
        self
    }

    /// Refuses the whole batch with [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) unless the
    /// document is, byte for byte, what the writer read (`None`: not there).
    pub fn expect_document(&mut self, key: impl Into<String>, value: Option<&Json>) -> &mut Self {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_str().as_bytes()));
        self.expectations.push((key.into(), value));
        self
    }

    /// Gives out the next fencing token of `name` in the same transaction; it is in
    /// [`Commit::leases`]. Earlier holders' writes are refused from then on.
    pub fn take_lease(&mut self, name: impl Into<Arc<str>>) -> &mut Self {
        self.leases.push(name.into());
        self
    }

    /// Accepts a clock that leapt more than a year ahead of the last write.
    pub fn allow_clock_jump(&mut self) -> &mut Self {
        self.clock_jump = true;
        self
    }

    /// How many record operations it holds.
    pub fn len(&self) -> usize {
        self.streams.iter().map(|stream| stream.operations.len()).sum()
    }

    /// Whether it would do nothing at all.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.documents.is_empty() && self.leases.is_empty()
    }
}

/// Proof of a lease: the token of the latest holder of `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub(crate) name: Arc<str>,
    pub(crate) token: u64,
}

impl Fence {
    /// The lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The holder's number: greater than every earlier holder's.
    pub fn token(&self) -> u64 {
        self.token
    }
}

/// Names one run over a stream, so that a resumed run continues its own bookkeeping.
pub type RunId = Ulid;

/// What happens to a record that cannot be stored (no id, no JSON object, too large).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRecords {
    /// The whole batch is refused with an error that names the record. Nothing is written.
    #[default]
    Fail,
    /// The rest is committed; the record is listed in [`StreamCommit::rejected`] and kept as a
    /// quarantine document (without its content where the store has a codec).
    Quarantine,
}

/// Who wins when a record was written by somebody else meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merging {
    /// The later write.
    #[default]
    Override,
    /// The stored record, if it was modified after this position.
    IgnoreIfModifiedAfter(Cursor),
    /// The stored record, if another [origin](StreamBatch::origin) modified it after this position. For
    /// what was fetched since: a page must not undo what a webhook brought while it was on its way.
    KeepOthersAfter(Cursor),
}

impl Merging {
    pub(crate) fn cursor(&self) -> Option<&Cursor> {
        match self {
            Merging::Override => None,
            Merging::IgnoreIfModifiedAfter(cursor) | Merging::KeepOthersAfter(cursor) => Some(cursor),
        }
    }
}

/// How a source orders the versions of a record. An older version never replaces a newer one; of
/// equal versions the later arrival wins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceVersion {
    /// Compared as a number.
    Number(i64),
    /// Compared byte by byte: a timestamp in one fixed format, say.
    Text(Arc<str>),
}

/// How many deletes a completed run may imply before somebody has to approve it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeleteGuard {
    /// Up to this many deletes always pass.
    pub count: u64,
    /// Up to this share of the stream's live records always passes: 0.2 is a fifth.
    pub fraction: f64,
    /// Whether a run that saw nothing at all may empty the stream.
    pub confirm_empty: bool,
}

impl Default for DeleteGuard {
    /// 20 records or a fifth, and no emptying.
    fn default() -> Self {
        DeleteGuard { count: 20, fraction: 0.2, confirm_empty: false }
    }
}

impl DeleteGuard {
    /// Whether a run that did not see `missing` of a stream's `live` records has to be approved.
    pub fn holds_back(&self, missing: u64, live: u64) -> bool {
        let nothing_seen = missing > 0 && missing == live;
        let within = missing <= self.count || missing as f64 <= self.fraction * live as f64;
        (nothing_seen && !self.confirm_empty) || !within
    }

    /// No guard: the host has approved.
    pub const APPROVED: DeleteGuard = DeleteGuard { count: u64::MAX, fraction: 1.0, confirm_empty: true };
}

/// What a batch does to the run over its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunStep {
    /// Opens the run, or continues it if it is already the open one.
    Begin,
    /// Deletes what the run did not see.
    Complete(DeleteGuard),
    /// Forgets the run; deletes nothing.
    Abort,
    /// Tells what the run has not seen, at most so many ids.
    ListUnseen(usize),
}

/// The writes to one stream. Order matters: a batch is a sequence, the last write of an id wins.
#[derive(Clone)]
pub struct StreamBatch {
    pub(crate) stream: StreamKey,
    pub(crate) operations: Vec<Operation>,
    pub(crate) bad_records: BadRecords,
    pub(crate) merging: Merging,
    pub(crate) origin: Option<Arc<str>>,
    pub(crate) run: Option<RunId>,
    pub(crate) run_steps: Vec<RunStep>,
    pub(crate) clear: bool,
    pub(crate) accounts: Vec<String>,
}

impl fmt::Debug for StreamBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBatch")
            .field("stream", &self.stream)
            .field("operations", &self.operations.len())
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Taken from the payload when `None`.
    pub(crate) id: Option<Arc<str>>,
    pub(crate) version: Option<SourceVersion>,
    pub(crate) kind: OperationKind,
}

#[derive(Clone, Debug)]
pub(crate) enum OperationKind {
    Upsert(Bytes),
    Patch(Bytes),
    Delete,
    Seen,
}

impl StreamBatch {
    fn new(stream: StreamKey) -> Self {
        StreamBatch {
            stream,
            operations: Vec::new(),
            bad_records: BadRecords::default(),
            merging: Merging::default(),
            origin: None,
            run: None,
            run_steps: Vec::new(),
            clear: false,
            accounts: Vec::new(),
        }
    }

    /// Saves a record: a JSON object whose `id` is a string or an integer.
    pub fn upsert(&mut self, payload: impl Into<Bytes>) -> &mut Self {
        self.push(None, OperationKind::Upsert(payload.into()))
    }

    /// Saves a record under an id of the caller's choice.
    pub fn upsert_as(&mut self, id: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> &mut Self {
        self.push(Some(id.into()), OperationKind::Upsert(payload.into()))
    }

    /// Saves a typed record.
    pub fn upsert_record<T: Serialize>(&mut self, record: &T) -> Result<&mut Self> {
        let text = serde_json::to_vec(record)
            .map_err(|source| Error::invalid("the record cannot be written as JSON").because(source))?;
        Ok(self.upsert(text))
    }

    /// Merges `patch`, a JSON object, into the stored record: objects member by member, arrays and
    /// everything else replaced. A record that is not there, or deleted, is added as it is.
    pub fn patch(&mut self, id: impl Into<Arc<str>>, patch: impl Into<Bytes>) -> &mut Self {
        self.push(Some(id.into()), OperationKind::Patch(patch.into()))
    }

    /// Deletes a record. One that is unknown or already deleted is counted as missing.
    pub fn delete(&mut self, id: impl Into<Arc<str>>) -> &mut Self {
        self.push(Some(id.into()), OperationKind::Delete)
    }

    /// Counts a record as seen by the batch's run, without a write: it is known to exist, or its
    /// absence is not believed yet. Unknown and deleted ones are counted as missing.
    pub fn seen(&mut self, id: impl Into<Arc<str>>) -> &mut Self {
        self.push(Some(id.into()), OperationKind::Seen)
    }

    /// Gives the operation added last the source's own version of the record.
    pub fn at_version(&mut self, version: SourceVersion) -> &mut Self {
        if let Some(operation) = self.operations.last_mut() {
            operation.version = Some(version);
        }
        self
    }

    /// What to do with records that cannot be stored.
    pub fn bad_records(&mut self, policy: BadRecords) -> &mut Self {
        self.bad_records = policy;
        self
    }

    /// Who wins against somebody else's write.
    pub fn merging(&mut self, strategy: Merging) -> &mut Self {
        self.merging = strategy;
        self
    }

    /// Names whoever makes these changes, where it is not the sync itself: a webhook, an action.
    pub fn origin(&mut self, origin: impl Into<Arc<str>>) -> &mut Self {
        self.origin = Some(origin.into());
        self
    }

    /// Opens a run that will see every record of the source, or continues it after a restart.
    pub fn begin_run(&mut self, run: RunId) -> &mut Self {
        self.run = Some(run);
        self.run_steps.push(RunStep::Begin);
        self
    }

    /// Counts this batch's records as seen by the run.
    pub fn in_run(&mut self, run: RunId) -> &mut Self {
        self.run = Some(run);
        self
    }

    /// Ends a run that has seen every record there is: what it did not see, and nobody else wrote
    /// meanwhile, is deleted, unless the guard holds it back.
    pub fn complete_run(&mut self, run: RunId, guard: DeleteGuard) -> &mut Self {
        self.run = Some(run);
        self.run_steps.push(RunStep::Complete(guard));
        self
    }

    /// Gives a run up: nothing is deleted.
    pub fn abort_run(&mut self, run: RunId) -> &mut Self {
        self.run = Some(run);
        self.run_steps.push(RunStep::Abort);
        self
    }

    /// Asks what the run has not seen so far: what completing it now would delete. The answer, at
    /// most `limit` ids in order of the log, is in [`StreamCommit::unseen`].
    pub fn list_unseen(&mut self, run: RunId, limit: usize) -> &mut Self {
        self.run = Some(run);
        self.run_steps.push(RunStep::ListUnseen(limit));
        self
    }

    /// Empties the stream before anything else of the batch, as [`Maintenance::Clear`](crate::Maintenance::Clear)
    /// does by itself: under the batch's fences, and with the rest of it or not at all.
    pub fn clear(&mut self) -> &mut Self {
        self.clear = true;
        self
    }

    /// Keeps an [`Account`] of what this batch does to the stream in the document `key`, in the same transaction:
    /// whatever crashes, the account has what the log has. Batches that name the same document add up in it; removing
    /// the document closes it.
    pub fn account(&mut self, key: impl Into<String>) -> &mut Self {
        self.accounts.push(key.into());
        self
    }

    /// How many record operations it holds.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it holds no record operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn push(&mut self, id: Option<Arc<str>>, kind: OperationKind) -> &mut Self {
        self.operations.push(Operation { id, version: None, kind });
        self
    }
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// A new record, or one that came back.
    Added,
    /// Its content changed.
    Updated,
    /// The same content: nothing was written.
    Unchanged,
    /// It was deleted.
    Deleted,
    /// There was nothing to delete.
    Missing,
    /// The stored version is newer.
    Stale,
    /// The merging strategy kept the stored record.
    Kept,
    /// The record could not be stored; see [`StreamCommit::rejected`].
    Rejected,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Commit {
    /// One entry per stream of the batch, in its order.
    pub streams: Vec<StreamCommit>,
    /// The leases that the batch took, in its order.
    pub leases: Vec<Fence>,
}

/// What a commit did to one stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamCommit {
    /// The stream.
    pub stream: StreamKey,
    /// What became of each operation, in order.
    pub outcomes: Vec<Outcome>,
    /// Records added.
    pub added: u64,
    /// Records updated.
    pub updated: u64,
    /// Records found unchanged.
    pub unchanged: u64,
    /// Records deleted, those of a completed run included.
    pub deleted: u64,
    /// Ids that came more than once in the batch; the last one won.
    pub repeated: Vec<Arc<str>>,
    /// Records that could not be stored, under [`BadRecords::Quarantine`].
    pub rejected: Vec<Rejected>,
    /// What the run had not seen, if the batch asked.
    pub unseen: Option<Unseen>,
    /// The stream's greatest position after this commit: wait for it to read your own writes.
    pub cursor: Cursor,
}

/// What batches did to a stream, as the document of a [`StreamBatch::account`] has it.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// use highwater_core::{Account, MemoryStore, Store, StreamKey, WriteBatch};
/// let store = MemoryStore::new()?;
/// for page in [r#"{"id": "a"}"#, r#"{"id": "b"}"#] {
///     let mut batch = WriteBatch::new();
///     batch.on(&StreamKey::new("demo", "Note")).account("account/notes").upsert(page);
///     store.commit(batch).await?;
/// }
/// let account: Account = store.document("account/notes").await?.unwrap().to()?;
/// assert_eq!((account.added, account.from.is_start()), (2, true));
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// Where the stream ended before the first of them.
    pub from: Cursor,
    /// Where it ended after the last: a reader that begins at `from` and gets there has seen all they did.
    pub to: Cursor,
    /// Records added.
    pub added: u64,
    /// Records updated.
    pub updated: u64,
    /// Records found unchanged.
    pub unchanged: u64,
    /// Records deleted, those of a completed run included.
    pub deleted: u64,
}

impl Account {
    pub(crate) fn open(from: Cursor) -> Self {
        Account { from, to: from, added: 0, updated: 0, unchanged: 0, deleted: 0 }
    }

    pub(crate) fn add(&mut self, commit: &StreamCommit) {
        self.to = commit.cursor;
        self.added += commit.added;
        self.updated += commit.updated;
        self.unchanged += commit.unchanged;
        self.deleted += commit.deleted;
    }
}

/// What an open run has not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unseen {
    /// How many live records completing the run would delete.
    pub missing: u64,
    /// Live records of the stream.
    pub live: u64,
    /// Records that came without an id: what is missing is not certain.
    pub unidentified: u64,
    /// The missing records' ids, up to the limit.
    pub ids: Vec<Arc<str>>,
}

/// A record that could not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// Its place in the batch.
    pub index: usize,
    /// Why, in one line.
    pub reason: String,
}

/// A document with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Json,
}

impl Document {
    pub(crate) fn new(key: String, value: Json) -> Self {
        Document { key, value }
    }
}
