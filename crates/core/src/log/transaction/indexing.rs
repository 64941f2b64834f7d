//! Where a transaction finds rows by id: index entries written late, heads remembered.

use super::{OpenStream, StreamSlot, Transaction};
use crate::backend::{BackendWrite, LogRow, LogScan};
use crate::error::Result;
use crate::log::entry::Hashes;
use crate::log::heads::{BYTES_PER_HEAD, Heads, KnownHead};
use crate::log::index_key::{IndexKey, head_key};
use crate::record::Action;

/// Index entries written per commit at least, once a set of them was put aside.
const INDEX_SLICE: usize = 4096;

/// Lookups on disk after which reading all heads at once is the cheaper way.
const MISSES_BEFORE_LOAD: u64 = 64;

impl<W: BackendWrite> Transaction<'_, W> {
    /// Writes index entries that were set aside; returns how many of them are written now.
    pub(super) fn flush_index(&mut self, slot: StreamSlot) -> Result<usize> {
        let stream = &mut self.open[slot.0];
        let number = stream.state.number;
        let limit = self.shared.waiting_limit();
        let frozen = self.shared.tail(number, |tail| {
            if tail.frozen().is_none() && tail.len() >= limit {
                tail.freeze();
            }
            tail.frozen()
        });
        let Some(frozen) = frozen else {
            stream.memory.foreign = false;
            return Ok(0);
        };
        let (from, until) = if stream.memory.foreign {
            (0, frozen.entries.len())
        } else {
            let slice = INDEX_SLICE.max(stream.pending.len() * 2);
            (frozen.written, frozen.entries.len().min(frozen.written + slice))
        };
        for (key, sequence) in &frozen.entries[from..until] {
            // Entries that another process indexed in the meantime are as new or newer.
            if *sequence > stream.state.indexed_through {
                self.write.put_index(number, key, *sequence)?;
            }
        }
        if until == frozen.entries.len() {
            stream.state.indexed_through = stream.state.indexed_through.max(frozen.through);
            stream.memory.foreign = false;
        }
        Ok(until)
    }

    /// Writes every waiting index entry, so that entries can be removed one by one.
    pub(crate) fn flush_whole_index(&mut self, slot: StreamSlot) -> Result<()> {
        let stream = &mut self.open[slot.0];
        let state = &mut stream.state;
        let mut waiting: Vec<(IndexKey, u64)> = Vec::new();
        self.write.scan(
            state.number,
            LogScan { from: state.indexed_through + 1, only: None, payload: false },
            &mut |row| {
                waiting.push((IndexKey::new(row.id), row.sequence));
                Ok(std::ops::ControlFlow::Continue(()))
            },
        )?;
        waiting.sort_unstable();
        for (key, sequence) in &waiting {
            self.write.put_index(state.number, key, *sequence)?;
        }
        state.indexed_through = state.next_sequence.saturating_sub(1);
        stream.pending.clear();
        self.void_memory(slot);
        Ok(())
    }

    /// The stream has no row any more: nothing of what was remembered stands.
    pub(crate) fn forget_rows(&mut self, slot: StreamSlot) {
        let stream = &mut self.open[slot.0];
        stream.pending.clear();
        stream.memory.heads = Heads::new(true);
    }

    /// Tells every process that the stream changed otherwise than by new rows.
    pub(crate) fn void_memory(&mut self, slot: StreamSlot) {
        let stream = &mut self.open[slot.0];
        stream.state.revision += 1;
        stream.reset_tail = true;
        self.dirty = true;
    }

    pub(super) fn load_heads_if_worth_it(&mut self, slot: StreamSlot) -> Result<()> {
        let budget = self.shared.memory_budget;
        let others = self.memory.heads;
        let stream = &mut self.open[slot.0];
        let heads = &mut stream.memory.heads;
        heads.misses += 1;
        let entries = stream.state.entries();
        let fits = (others as u64 + entries) * (BYTES_PER_HEAD as u64) < budget as u64;
        if heads.is_complete() || !fits || heads.misses < MISSES_BEFORE_LOAD.max(entries / 100) {
            return Ok(());
        }
        let mut stream = self.open.remove(slot.0);
        stream.memory.heads = Heads::new(true);
        let outcome = self.remember_rows(&mut stream, 0);
        self.open.insert(slot.0, stream);
        outcome
    }

    /// Remembers the rows from a sequence number on.
    pub(super) fn remember_rows(&mut self, stream: &mut OpenStream, from: u64) -> Result<()> {
        let scan = LogScan { from, only: None, payload: false };
        let (budget, others) = (self.shared.memory_budget, self.memory.heads);
        let heads = &mut stream.memory.heads;
        self.write.scan(stream.state.number, scan, &mut |row: &LogRow<'_>| {
            let exact = match (row.action, row.pruned_at) {
                // Whether a payload is known by its bytes says nothing of one that is to be stored again.
                (Action::Deleted, _) | (_, Some(_)) => [0; 16],
                _ => Hashes::decode(row.hashes)?.exact,
            };
            let room = (others + heads.len()) * BYTES_PER_HEAD < budget;
            heads.set(head_key(row.id), KnownHead { sequence: row.sequence, exact }, room);
            Ok(std::ops::ControlFlow::Continue(()))
        })
    }
}
