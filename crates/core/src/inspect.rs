//! Looking into a batch: for a [`Store`](crate::Store) that carries it elsewhere, and for models in tests.

use crate::batch::{Fence, Merging, RunId, RunStep, SourceVersion, StreamBatch, WriteBatch, WriteKind};
use crate::stream::StreamKey;

/// What an operation does with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationKind<'b> {
    /// Saves this JSON object.
    Upsert(&'b [u8]),
    /// Merges this JSON object into the stored one.
    Patch(&'b [u8]),
    /// Deletes the record.
    Delete,
    /// Leaves the record as it is, and counts it as seen by the run.
    Seen,
    /// Sets this payload aside, for this reason.
    SetAside(&'b [u8], &'b str),
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationView<'b> {
    /// The record's id; `None` where it is taken from the payload.
    pub id: Option<&'b str>,
    /// The source's own version.
    pub version: Option<&'b SourceVersion>,
    /// What the operation does.
    pub kind: OperationKind<'b>,
}

/// What a batch does to one stream: the getters of a [`StreamBatch`].
#[derive(Clone, Copy, Debug)]
pub struct StreamBatchView<'b>(&'b StreamBatch);

impl WriteBatch {
    /// Returns the writes to each stream, in order.
    ///
    /// ```
    /// use highwater_core::{OperationKind, StreamKey, WriteBatch};
    /// let mut batch = WriteBatch::new();
    /// batch.on(&StreamKey::new("demo", "Note")).delete("7");
    /// let notes = batch.streams().next().unwrap();
    /// let operation = notes.operations().next().unwrap();
    /// assert_eq!((operation.id, operation.kind), (Some("7"), OperationKind::Delete));
    /// ```
    pub fn streams(&self) -> impl ExactSizeIterator<Item = StreamBatchView<'_>> {
        self.streams.iter().map(StreamBatchView)
    }

    /// Returns the documents to set, or to remove if there is no text, in order.
    pub fn documents(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.documents.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// Returns the leases that the batch was made under.
    pub fn fences(&self) -> &[Fence] {
        &self.fences
    }
}

impl StreamBatch {
    /// Returns what has been put into the batch so far.
    pub fn view(&self) -> StreamBatchView<'_> {
        StreamBatchView(self)
    }
}

impl<'b> StreamBatchView<'b> {
    /// Returns the stream.
    pub fn stream(self) -> &'b StreamKey {
        &self.0.stream
    }

    /// Returns the operations, in order.
    pub fn operations(self) -> impl ExactSizeIterator<Item = OperationView<'b>> {
        self.0.operations.iter().map(|operation| OperationView {
            id: operation.id.as_deref(),
            version: operation.version.as_ref(),
            kind: match &operation.kind {
                WriteKind::Upsert(payload) => OperationKind::Upsert(payload),
                WriteKind::Patch(patch) => OperationKind::Patch(patch),
                WriteKind::Delete => OperationKind::Delete,
                WriteKind::Seen => OperationKind::Seen,
                WriteKind::SetAside(payload, reason) => OperationKind::SetAside(payload, reason),
            },
        })
    }

    /// Returns the run that the operations belong to, if any.
    pub fn run(self) -> Option<RunId> {
        self.0.run
    }

    /// Returns what happens to that run, in order.
    pub fn run_steps(self) -> &'b [RunStep] {
        &self.0.run_steps
    }

    /// Returns whether the stream is emptied first.
    pub fn clears(self) -> bool {
        self.0.clear
    }

    /// Returns the keys of the documents that summarise what the batch does to the stream.
    pub fn summaries(self) -> &'b [String] {
        &self.0.summaries
    }

    /// Returns which write wins if another writer wrote the record too.
    pub fn merging(self) -> Merging {
        self.0.merging
    }

    /// Returns who makes the changes, where it is not the sync itself.
    pub fn origin(self) -> Option<&'b str> {
        self.0.origin.as_deref()
    }
}
