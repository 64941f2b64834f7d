//! Looking into a batch: for a [`Store`](crate::Store) that carries it elsewhere, and for models in tests.

use bytes::Bytes;

use crate::batch::{Fence, Merging, OperationKind, RunId, RunStep, SourceVersion, StreamBatch, WriteBatch};
use crate::stream::StreamKey;

/// What an operation does with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted<'b> {
    /// Saves this JSON object.
    Upsert(&'b Bytes),
    /// Merges this JSON object in.
    Patch(&'b Bytes),
    /// Deletes it.
    Delete,
    /// Leaves it, and counts it as seen by the run.
    Seen,
    /// Sets this record aside, for this reason.
    SetAside(&'b Bytes, &'b str),
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationView<'b> {
    /// The record's id; `None` when it is to be taken from the payload.
    pub id: Option<&'b str>,
    /// The source's own version.
    pub version: Option<&'b SourceVersion>,
    /// What is wanted.
    pub wanted: Wanted<'b>,
}

impl WriteBatch {
    /// The writes to each stream, in order.
    ///
    /// ```
    /// use highwater_core::{StreamKey, Wanted, WriteBatch};
    /// let mut batch = WriteBatch::new();
    /// batch.on(&StreamKey::new("demo", "Note")).delete("7");
    /// let operation = batch.streams()[0].operations().next().unwrap();
    /// assert_eq!((operation.id, operation.wanted), (Some("7"), Wanted::Delete));
    /// ```
    pub fn streams(&self) -> &[StreamBatch] {
        &self.streams
    }

    /// Documents to set, or to remove where there is no text, in order.
    pub fn documents(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.documents.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// The leases it was made under.
    pub fn fences(&self) -> &[Fence] {
        &self.fences
    }
}

impl StreamBatch {
    /// The stream.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }

    /// The operations, in order.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = OperationView<'_>> {
        self.operations.iter().map(|operation| OperationView {
            id: operation.id.as_deref(),
            version: operation.version.as_ref(),
            wanted: match &operation.kind {
                OperationKind::Upsert(payload) => Wanted::Upsert(payload),
                OperationKind::Patch(patch) => Wanted::Patch(patch),
                OperationKind::Delete => Wanted::Delete,
                OperationKind::Seen => Wanted::Seen,
                OperationKind::Aside(payload, reason) => Wanted::SetAside(payload, reason),
            },
        })
    }

    /// The run that the operations belong to, if any.
    pub fn run(&self) -> Option<RunId> {
        self.run
    }

    /// What happens to that run, in order.
    pub fn run_steps(&self) -> &[RunStep] {
        &self.run_steps
    }

    /// Whether the stream is emptied first.
    pub fn clears(&self) -> bool {
        self.clear
    }

    /// The documents that keep account of what the batch does to the stream.
    pub fn accounts(&self) -> &[String] {
        &self.accounts
    }

    /// Who wins against somebody else's write.
    pub fn merging_strategy(&self) -> &Merging {
        &self.merging
    }

    /// Whoever makes the changes, where it is not the sync itself.
    pub fn named_origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }
}
