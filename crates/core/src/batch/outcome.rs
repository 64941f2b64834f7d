//! What a commit did.

use serde::{Deserialize, Serialize};

use super::Fence;
use crate::cursor::Cursor;
use crate::record::{Json, RecordId};
use crate::stream::StreamKey;

/// What one operation of a batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteOutcome {
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
    /// What each operation did, in order.
    pub outcomes: Vec<WriteOutcome>,
    /// Records added.
    pub added: u64,
    /// Records updated.
    pub updated: u64,
    /// Records found unchanged.
    pub unchanged: u64,
    /// Records deleted, those of a completed run included.
    pub deleted: u64,
    /// Live records that the batch's clear removed. They leave no tombstone, and are not counted as deleted.
    pub cleared: u64,
    /// Ids that the batch has more than once. The last write won, unless [`Merging`](super::Merging) kept the first.
    pub repeated: Vec<RecordId>,
    /// Records that were quarantined because they could not be stored ([`BadRecords::Quarantine`](super::BadRecords::Quarantine)),
    /// and those that the batch set aside.
    pub rejected: Vec<Rejected>,
    /// What the run had not seen, if the batch asked.
    pub unseen: Option<UnseenRecords>,
    /// The stream's greatest position after this commit: wait for it to read your own writes.
    pub cursor: Cursor,
}

/// What some batches did to a stream, as the document of [`StreamBatch::summarize_in`](super::StreamBatch::summarize_in)
/// has it.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// use highwater_core::{ChangeSummary, MemoryStore, Store, StreamKey, WriteBatch};
/// let store = MemoryStore::new()?;
/// for page in [r#"{"id": "a"}"#, r#"{"id": "b"}"#] {
///     let mut batch = WriteBatch::new();
///     batch.on(&StreamKey::new("demo", "Note")).summarize_in("account/notes").upsert(page);
///     store.commit(batch).await?;
/// }
/// let account: ChangeSummary = store.document("account/notes").await?.unwrap().to()?;
/// assert_eq!((account.added, account.from.is_start()), (2, true));
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChangeSummary {
    /// Where the stream ended before the first of the batches.
    pub from: Cursor,
    /// Where it ended after the last. A reader that begins at `from` and reaches it has seen everything they did.
    pub to: Cursor,
    /// Records added.
    pub added: u64,
    /// Records updated.
    pub updated: u64,
    /// Records found unchanged.
    pub unchanged: u64,
    /// Records deleted, those of a completed run included.
    pub deleted: u64,
    /// Live records that clears removed.
    #[serde(default)]
    pub cleared: u64,
    /// Records that could not be stored.
    #[serde(default)]
    pub rejected: u64,
}

impl ChangeSummary {
    pub(crate) fn open(from: Cursor) -> Self {
        ChangeSummary { from, to: from, added: 0, updated: 0, unchanged: 0, deleted: 0, cleared: 0, rejected: 0 }
    }

    pub(crate) fn add(&mut self, commit: &StreamCommit) {
        self.to = commit.cursor;
        self.added += commit.added;
        self.updated += commit.updated;
        self.unchanged += commit.unchanged;
        self.deleted += commit.deleted;
        self.cleared += commit.cleared;
        self.rejected += commit.rejected.len() as u64;
    }
}

/// What an open run has not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnseenRecords {
    /// How many live records completing the run would delete.
    pub missing: u64,
    /// Live records of the stream.
    pub live: u64,
    /// Records that came without an id. They make it uncertain what is missing.
    pub unidentified: u64,
    /// Whether the run saw any record at all, known or new. A stream that is not empty does not prove it: others may have
    /// written in the meantime.
    pub saw_any: bool,
    /// The missing records' ids, up to the limit.
    pub ids: Vec<RecordId>,
}

/// A record that could not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The operation's index in the batch.
    pub index: usize,
    /// The record's id, where it is known.
    pub id: Option<RecordId>,
    /// The key of the document that keeps it.
    pub document: String,
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
