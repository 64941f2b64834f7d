//! The part of a stream's id index that the backend does not have yet.
//!
//! Index entries are written late and sorted, a slice per commit: random ids then cost a few page writes instead of one
//! each. The missing entries are kept here, shared by the writer and the readers of a process, and are read back from the end
//! of the log after a restart.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::backend::{BackendRead, LogScan};
use crate::error::Result;
use crate::log::index_key::IndexKey;
use crate::log::state::StreamState;
use crate::log::waiting::Waiting;

/// Sorted entries on their way to the backend.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) entries: Arc<Vec<(IndexKey, u64)>>,
    /// The last sequence number they cover.
    pub(crate) through: u64,
    /// How many were written.
    pub(crate) written: usize,
}

/// How many rows are always read at once.
const NEAR: u64 = 1000;

/// The entries of rows behind `from`, as far as `through`.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    from: u64,
    through: u64,
    revision: u64,
    active: Waiting,
    frozen: Option<Frozen>,
}

/// What the tail knows about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Its row has this sequence number.
    At(u64),
    /// Its row is found by the backend's index.
    Elsewhere,
    /// The snapshot is older than what the tail covers: take a new one.
    Outdated,
}

impl Tail {
    /// Brings the tail to the state that `read` shows, and looks `key` up.
    pub(crate) fn look_up<R: BackendRead + ?Sized>(
        &mut self,
        read: &mut R,
        state: &StreamState,
        key: &IndexKey,
    ) -> Result<Lookup> {
        self.catch_up(read, state)?;
        if state.indexed_through < self.from {
            return Ok(Lookup::Outdated);
        }
        if let Some(sequence) = self.active.get(key) {
            return Ok(Lookup::At(sequence));
        }
        if let Some(frozen) = &self.frozen
            && let Ok(place) = frozen.entries.binary_search_by(|(other, _)| other.cmp(key))
        {
            return Ok(Lookup::At(frozen.entries[place].1));
        }
        Ok(Lookup::Elsewhere)
    }

    /// Whether bringing the tail to this state takes a short look at most.
    pub(crate) fn is_near(&self, state: &StreamState) -> bool {
        let known = if self.revision == state.revision { self.through.max(state.indexed_through) } else { 0 };
        state.next_sequence.saturating_sub(known) <= NEAR
    }

    /// Reads what was appended since, by this process or another.
    pub(crate) fn catch_up<R: BackendRead + ?Sized>(&mut self, read: &mut R, state: &StreamState) -> Result<()> {
        if self.revision > state.revision {
            return Ok(()); // an old snapshot: what it lacks is not missed
        }
        if self.revision < state.revision || self.through < state.indexed_through {
            *self = Tail {
                from: state.indexed_through,
                through: state.indexed_through,
                revision: state.revision,
                ..Tail::default()
            };
        }
        let last = state.next_sequence.saturating_sub(1);
        if self.through < last {
            let scan = LogScan { from: self.through + 1, only: None, payload: false };
            read.scan(state.number, scan, &mut |row| {
                self.active.insert(IndexKey::new(row.id), row.sequence);
                Ok(ControlFlow::Continue(()))
            })?;
            self.through = last;
        }
        Ok(())
    }

    /// Takes over what a commit appended.
    pub(crate) fn append(&mut self, entries: Waiting, state: &StreamState) {
        self.active.append(entries);
        self.through = self.through.max(state.next_sequence.saturating_sub(1));
    }

    pub(crate) fn len(&self) -> usize {
        self.active.len()
    }

    pub(crate) fn frozen(&self) -> Option<Frozen> {
        self.frozen.clone()
    }

    /// Sets the present entries aside for writing.
    pub(crate) fn freeze(&mut self) {
        let entries = std::mem::take(&mut self.active).into_sorted();
        self.frozen = Some(Frozen { entries: Arc::new(entries), through: self.through, written: 0 });
    }

    /// Notes how much of the frozen entries a commit wrote.
    pub(crate) fn wrote(&mut self, written: usize) {
        if let Some(frozen) = &mut self.frozen {
            frozen.written = written;
            if written >= frozen.entries.len() {
                self.from = frozen.through;
                self.frozen = None;
            }
        }
    }
}
