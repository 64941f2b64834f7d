//! What a writer hands to the store: visible at once or not at all.

mod outcome;
mod policy;
mod run_id;

pub use outcome::{ChangeSummary, Commit, Document, Rejected, StreamCommit, UnseenRecords, WriteOutcome};
pub use policy::{BadRecords, DeleteGuard, Merging, RunStep, SourceVersion};
pub use run_id::RunId;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::places::Places;
use crate::record::Json;
use crate::stream::StreamKey;
use crate::timestamp::Timestamp;

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
    places: Places,
    pub(crate) documents: Vec<(String, Option<Bytes>)>,
    pub(crate) fences: Vec<Fence>,
    pub(crate) expectations: Vec<(String, Option<Bytes>)>,
    pub(crate) leases: Vec<Arc<str>>,
    pub(crate) clock_jump: bool,
    /// Unix milliseconds; 0 for none.
    pub(crate) witness_ms: u64,
}

impl WriteBatch {
    /// Returns an empty batch.
    pub fn new() -> Self {
        WriteBatch::default()
    }

    /// Returns the writes to one stream, to add to.
    pub fn on(&mut self, stream: &StreamKey) -> &mut StreamBatch {
        let found = self.places.find(stream, &self.streams, |batch| &batch.stream);
        let position = found.unwrap_or_else(|| {
            self.streams.push(StreamBatch::new(stream.clone()));
            self.streams.len() - 1
        });
        &mut self.streams[position]
    }

    /// Sets a document: a small JSON value under a key of 1 to 512 bytes, outside of any stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `value` cannot be written as JSON.
    pub fn put_document<T: Serialize + ?Sized>(&mut self, key: impl Into<String>, value: &T) -> Result<&mut Self> {
        self.put_text(key.into(), serde_json::to_vec(value))
    }

    fn put_text(&mut self, key: String, text: serde_json::Result<Vec<u8>>) -> Result<&mut Self> {
        let text = text.map_err(|source| Error::invalid("the document cannot be written as JSON").because(source))?;
        self.documents.push((key, Some(Bytes::from(text))));
        Ok(self)
    }

    /// Removes a document.
    pub fn remove_document(&mut self, key: impl Into<String>) -> &mut Self {
        self.documents.push((key.into(), None));
        self
    }

    /// Has the whole batch refused with [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) unless `fence` is still the latest one
    /// given out for its lease.
    pub fn fence(&mut self, fence: Fence) -> &mut Self {
        self.fences.push(fence);
        self
    }

    /// Has the whole batch refused with [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) unless the document is, byte for
    /// byte, what the writer read (`None`: not there).
    pub fn expect_document(&mut self, key: impl Into<String>, value: Option<&Json>) -> &mut Self {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_str().as_bytes()));
        self.expectations.push((key.into(), value));
        self
    }

    /// Takes the lease `name` (1 to 512 bytes) in the same transaction: the next fencing token is in [`Commit::leases`], and
    /// batches that carry an earlier one are refused from then on.
    pub fn take_lease(&mut self, name: impl Into<Arc<str>>) -> &mut Self {
        self.leases.push(name.into());
        self
    }

    /// Passes on what another clock showed just now, such as the `Date` of an API's answer.
    ///
    /// Where the store's clock is more than a year ahead of what was known, the other clock decides whether it is believed. One
    /// that is behind the positions given out is ignored. Of several times the latest counts.
    pub fn clock_witness(&mut self, time: Timestamp) -> &mut Self {
        self.witness_ms = self.witness_ms.max(time.unix_ms());
        self
    }

    /// Accepts the clock's time for this batch, even after a jump of more than a year. To accept the clock for good use
    /// [`Maintenance::AcceptClock`](crate::Maintenance::AcceptClock).
    pub fn allow_clock_jump(&mut self) -> &mut Self {
        self.clock_jump = true;
        self
    }

    /// Returns how many record operations the batch has.
    pub fn len(&self) -> usize {
        self.streams.iter().map(|stream| stream.operations.len()).sum()
    }

    /// Returns whether the batch would do nothing at all.
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
    /// Returns the lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the holder's number, which is greater than every earlier holder's.
    pub fn token(&self) -> u64 {
        self.token
    }
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
    pub(crate) summaries: Vec<String>,
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
    pub(crate) kind: WriteKind,
}

#[derive(Clone, Debug)]
pub(crate) enum WriteKind {
    Upsert(Bytes),
    Patch(Bytes),
    Delete,
    Seen,
    /// Cannot be stored, for a reason that its writer gives.
    SetAside(Bytes, Arc<str>),
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
            summaries: Vec::new(),
        }
    }

    /// Saves a record: a JSON object of at most [`MAX_PAYLOAD_BYTES`] whose `id` is a string or an integer.
    pub fn upsert(&mut self, payload: impl Into<Bytes>) -> &mut Self {
        self.push(None, WriteKind::Upsert(payload.into()))
    }

    /// Saves a JSON object under an id of the caller's choice: 1 to [`MAX_ID_BYTES`] bytes.
    pub fn upsert_as(&mut self, id: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> &mut Self {
        self.push(Some(id.into()), WriteKind::Upsert(payload.into()))
    }

    /// Saves a typed record, whose JSON is an object with an `id` that is a string or an integer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `record` cannot be written as JSON. What the JSON is, is checked by the
    /// commit.
    pub fn upsert_record<T: Serialize>(&mut self, record: &T) -> Result<&mut Self> {
        let text = serde_json::to_vec(record)
            .map_err(|source| Error::invalid("the record cannot be written as JSON").because(source))?;
        Ok(self.upsert(text))
    }

    /// Merges `patch`, a JSON object, into the stored record: objects member by member, arrays and
    /// everything else replaced. A record that is not there, or deleted, is added as it is.
    pub fn patch(&mut self, id: impl Into<Arc<str>>, patch: impl Into<Bytes>) -> &mut Self {
        self.push(Some(id.into()), WriteKind::Patch(patch.into()))
    }

    /// Deletes a record. One that is unknown or already deleted is counted as missing.
    pub fn delete(&mut self, id: impl Into<Arc<str>>) -> &mut Self {
        self.push(Some(id.into()), WriteKind::Delete)
    }

    /// Counts a record as seen by the batch's run, without a write: it is known to exist, or its
    /// absence is not believed yet. Unknown and deleted ones are counted as missing.
    pub fn seen(&mut self, id: impl Into<Arc<str>>) -> &mut Self {
        self.push(Some(id.into()), WriteKind::Seen)
    }

    /// Sets aside a record that cannot be stored, with the reason, as [`BadRecords::Quarantine`] does with those that the store
    /// finds. Its id is not certain, so a run of the batch deletes nothing unless approved.
    pub fn set_aside(&mut self, payload: impl Into<Bytes>, reason: impl Into<Arc<str>>) -> &mut Self {
        self.push(None, WriteKind::SetAside(payload.into(), reason.into()))
    }

    /// Sets aside a record whose id is known. It counts as seen.
    pub fn set_aside_as(
        &mut self,
        id: impl Into<Arc<str>>,
        payload: impl Into<Bytes>,
        reason: impl Into<Arc<str>>,
    ) -> &mut Self {
        self.push(Some(id.into()), WriteKind::SetAside(payload.into(), reason.into()))
    }

    /// Gives the operation added last the source's own version of the record. A delete with a version is remembered also
    /// where the record was never seen: nothing that is not newer brings it back.
    pub fn at_version(&mut self, version: SourceVersion) -> &mut Self {
        if let Some(operation) = self.operations.last_mut() {
            operation.version = Some(version);
        }
        self
    }

    /// Sets what is done with records that cannot be stored. Defaults to [`BadRecords::Fail`].
    pub fn bad_records(&mut self, policy: BadRecords) -> &mut Self {
        self.bad_records = policy;
        self
    }

    /// Sets which write wins if another writer wrote the record too. Defaults to [`Merging::Override`].
    pub fn merging(&mut self, strategy: Merging) -> &mut Self {
        self.merging = strategy;
        self
    }

    /// Names who makes these changes, where it is not the sync itself: a webhook, an action.
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

    /// Ends a run that has seen every record: records that it did not see, and that no other writer
    /// wrote in the meantime, are deleted, unless the guard holds them back.
    pub fn complete_run(&mut self, run: RunId, guard: DeleteGuard) -> &mut Self {
        self.run = Some(run);
        self.run_steps.push(RunStep::Complete(guard));
        self
    }

    /// Ends a run early. Nothing is deleted.
    pub fn abort_run(&mut self, run: RunId) -> &mut Self {
        self.run = Some(run);
        self.run_steps.push(RunStep::Abort);
        self
    }

    /// Lists what the run has not seen so far, which is what completing it now would delete: at most `limit` ids, in order of the
    /// log, in [`StreamCommit::unseen`].
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

    /// Adds what this batch does to the stream to the [`ChangeSummary`] in the document `key`, in the same transaction: after
    /// any crash the summary agrees with the log.
    ///
    /// The first batch that names a document begins it, later ones add to it. Remove the document to end it.
    pub fn summarize_in(&mut self, key: impl Into<String>) -> &mut Self {
        self.summaries.push(key.into());
        self
    }

    /// Returns how many record operations the batch has.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Returns whether the batch has no record operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn push(&mut self, id: Option<Arc<str>>, kind: WriteKind) -> &mut Self {
        self.operations.push(Operation { id, version: None, kind });
        self
    }
}
