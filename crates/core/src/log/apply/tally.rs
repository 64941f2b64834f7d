//! What a batch did to a stream, counted as it goes.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::batch::{StreamBatch, StreamCommit, WriteOutcome};
use crate::cursor::Cursor;
use crate::log::index_key::{AlreadyHashed, head_key};

/// The running account of one stream's batch.
pub(super) struct Tally<'b> {
    batch: &'b StreamBatch,
    pub(super) commit: StreamCommit,
    first: HashMap<u64, usize, BuildHasherDefault<AlreadyHashed>>,
}

impl<'b> Tally<'b> {
    pub(super) fn new(batch: &'b StreamBatch) -> Self {
        let commit = StreamCommit {
            stream: batch.stream.clone(),
            outcomes: Vec::with_capacity(batch.operations.len()),
            added: 0,
            updated: 0,
            unchanged: 0,
            deleted: 0,
            cleared: 0,
            repeated: Vec::new(),
            rejected: Vec::new(),
            unseen: None,
            cursor: Cursor::START,
        };
        Tally { batch, commit, first: HashMap::with_capacity_and_hasher(batch.operations.len(), Default::default()) }
    }

    /// Reports an id that came before in the same batch.
    pub(super) fn note_id(&mut self, id: &str, index: usize) {
        self.note(head_key(id), id, index);
    }

    /// The same for an id whose key is known.
    pub(super) fn note(&mut self, key: u64, id: &str, index: usize) {
        let first = *self.first.entry(key).or_insert(index);
        if first < index && !self.commit.repeated.iter().any(|known| **known == *id) {
            self.commit.repeated.push(id.into());
        }
    }

    pub(super) fn count(&mut self, outcome: WriteOutcome) {
        match outcome {
            WriteOutcome::Added => self.commit.added += 1,
            WriteOutcome::Updated => self.commit.updated += 1,
            WriteOutcome::Unchanged => self.commit.unchanged += 1,
            WriteOutcome::Deleted => self.commit.deleted += 1,
            WriteOutcome::Missing | WriteOutcome::Stale | WriteOutcome::Kept | WriteOutcome::Rejected => {}
        }
        self.commit.outcomes.push(outcome);
        debug_assert!(self.commit.outcomes.len() <= self.batch.operations.len());
    }
}
