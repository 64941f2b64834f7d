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
    pub(crate) documents: Vec<(String, Option<Bytes>)>,
    pub(crate) fences: Vec<Fence>,
    pub(crate) expectations: Vec<(String, Option<Bytes>)>,
    pub(crate) leases: Vec<Arc<str>>,
    pub(crate) clock_jump: bool,
    /// Unix milliseconds; 0 for none.
    pub(crate) witness_ms: u64,
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

    /// Tells what another clock showed just now, such as the `Date` of an API's answer. Where the store's clock is more than a
    /// year ahead of what was known, the other one decides whether it is believed. Ignored if it is behind the positions that
    /// were given out. Of several the latest counts.
    pub fn clock_witness(&mut self, time: Timestamp) -> &mut Self {
        self.witness_ms = self.witness_ms.max(time.unix_ms());
        self
    }

    /// Accepts whatever the clock shows, for this batch, also a leap of more than a year. To accept the clock from now on use
    /// [`Maintenance::AcceptClock`](crate::Maintenance::AcceptClock).
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

    /// Saves a record: a JSON object whose `id` is a string or an integer.
    pub fn upsert(&mut self, payload: impl Into<Bytes>) -> &mut Self {
        self.push(None, WriteKind::Upsert(payload.into()))
    }

    /// Saves a record under an id of the caller's choice.
    pub fn upsert_as(&mut self, id: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> &mut Self {
        self.push(Some(id.into()), WriteKind::Upsert(payload.into()))
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

    /// Sets a record aside that cannot be stored, with the reason, as [`BadRecords::Quarantine`] does with those that the
    /// store finds out about. Which record it is, is not certain: a run of the batch's deletes nothing unless approved.
    pub fn set_aside(&mut self, payload: impl Into<Bytes>, reason: impl Into<Arc<str>>) -> &mut Self {
        self.push(None, WriteKind::SetAside(payload.into(), reason.into()))
    }

    /// The same for a record whose id is known: it counts as seen.
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

    /// Adds what this batch does to the stream to the [`ChangeSummary`] in the document `key`, in the same transaction: after
    /// any crash the summary agrees with the log.
    ///
    /// The first batch that names a document begins it, later ones add to it. Remove the document to end it.
    pub fn summarize_in(&mut self, key: impl Into<String>) -> &mut Self {
        self.summaries.push(key.into());
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

    fn push(&mut self, id: Option<Arc<str>>, kind: WriteKind) -> &mut Self {
        self.operations.push(Operation { id, version: None, kind });
        self
    }
}
