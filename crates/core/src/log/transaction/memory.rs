//! The writer's memory between transactions, and of the streams of the current one.

use std::collections::HashMap;

use crate::content::Canonicalizer;
use crate::log::apply::KeptAside;
use crate::log::filters::Filters;
use crate::log::heads::Heads;
use crate::log::marks::Marks;
use crate::log::read::StreamView;
use crate::log::shared::Shared;
use crate::log::state::StreamState;
use crate::log::waiting::Waiting;
use crate::maintenance::StreamOptions;
use crate::stream::StreamKey;

/// What the one writer remembers between transactions.
#[derive(Debug, Default)]
pub(crate) struct WriterMemory {
    pub(super) streams: HashMap<StreamKey, StreamMemory>,
    /// The epoch of this opening; made with its first commit.
    pub(super) epoch: Option<u32>,
    pub(super) heads: usize,
}

impl WriterMemory {
    /// The memory of a writer that continues under an earlier epoch of its own (0: none).
    pub(crate) fn with_epoch(epoch: u32) -> Self {
        WriterMemory { epoch: (epoch != 0).then_some(epoch), ..WriterMemory::default() }
    }

    /// The epoch in use; 0 before the first commit.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.unwrap_or(0)
    }
}

/// What the writer remembers of one stream, as of `next_sequence` and `revision`.
#[derive(Debug)]
pub(crate) struct StreamMemory {
    pub(super) next_sequence: u64,
    pub(super) revision: u64,
    pub(crate) options: StreamOptions,
    pub(crate) filters: Filters,
    pub(crate) canonicalizer: Canonicalizer,
    pub(crate) heads: Heads,
    pub(crate) marks: Marks,
    /// Others wrote since index entries were set aside.
    pub(super) foreign: bool,
}

/// Which of a transaction's open streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamSlot(pub(super) usize);

/// A stream that a transaction works on.
#[derive(Debug)]
pub(crate) struct OpenStream {
    pub(crate) key: StreamKey,
    pub(crate) state: StreamState,
    pub(super) stored: StreamState,
    pub(crate) memory: StreamMemory,
    /// Index entries of this transaction.
    pub(super) pending: Waiting,
    /// Set when everything known about the tail is written or void.
    pub(super) reset_tail: bool,
    /// Whether the current batch belongs to the stream's open run.
    pub(crate) in_run: bool,
    /// The origin of the current batch's changes, if it is not the sync itself.
    pub(crate) origin: Option<std::sync::Arc<str>>,
    /// What is set aside of the stream, once a batch sets more aside.
    pub(crate) aside: Option<KeptAside>,
    /// Whether the store has the stream, or must have it from now on.
    pub(super) known: bool,
    pub(super) needed: bool,
}

impl OpenStream {
    /// The stream as this transaction sees it.
    pub(crate) fn view<'s>(&'s self, shared: &'s Shared) -> StreamView<'s> {
        StreamView { shared, key: &self.key, token_key: shared.token_key(&self.key), state: self.state.clone() }
    }
}
