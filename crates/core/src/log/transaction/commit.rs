//! The end of a write transaction: everything it did, or nothing.

use crate::backend::{BackendWrite, Table};
use crate::cursor::{Allocator, Position};
use crate::error::{Error, ErrorKind, Result};
use crate::log::keys;
use crate::log::state::epoch_end;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::mutants::mutant;
use crate::stream::StreamKey;

/// What a transaction did, for those who wait.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) dirty: bool,
    pub(crate) streams: Vec<(StreamKey, Position)>,
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// Commits, if there is anything to commit.
    pub(crate) fn commit(mut self) -> Result<Committed> {
        let mut flushed = Vec::new();
        for slot in (0..self.open.len()).map(StreamSlot) {
            let (write, stream) = (&mut self.write, &mut self.open[slot.0]);
            if let Some(run) = &mut stream.state.run
                && stream.memory.marks.save(write, stream.state.number, run)?
            {
                self.dirty = true;
            }
            if !stream.reset_tail && stream.state != stream.stored {
                flushed.push((slot, self.flush_index(slot)?));
            }
            let (write, stream) = (&mut self.write, &mut self.open[slot.0]);
            if stream.state != stream.stored || (stream.needed && !stream.known) {
                if !mutant!("state-left-out") {
                    stream.state.store(write, &stream.key)?;
                }
                self.dirty = true;
            }
        }
        let minted = self.allocator.as_ref().map(Allocator::high_water);
        if let Some(high_water) = minted {
            self.head.high_water = high_water;
            if !mutant!("epoch-not-updated") || epoch_end(&mut self.write, self.head.epoch)?.is_none() {
                self.write.put(Table::State, &keys::epoch(self.head.epoch), &high_water.to_be_bytes())?;
            }
            self.head.store(&mut self.write)?;
        }
        if self.dirty {
            self.write.commit().map_err(|error| match error.kind() {
                // Nothing was written: the same may be tried again.
                ErrorKind::Busy | ErrorKind::Locked | ErrorKind::Full | ErrorKind::PermissionDenied => error,
                // The backend knows more.
                ErrorKind::Poisoned => error,
                _ => Error::new(
                    ErrorKind::Poisoned,
                    "a commit failed and may or may not have happened: close the store and open it again",
                )
                .because(error),
            })?;
        }
        if self.forget_positions {
            self.shared.forget_positions();
        }
        if let Some(high_water) = minted {
            for stream in &self.open {
                self.shared.note_epoch(&stream.state, self.head.epoch, high_water);
            }
        }
        for (slot, written) in flushed {
            self.shared.tail(self.open[slot.0].state.number, |tail| tail.wrote(written));
        }
        let mut committed = Committed { dirty: self.dirty, streams: Vec::new() };
        for mut stream in self.open {
            if stream.state.next_sequence != stream.stored.next_sequence {
                self.shared.add_hint(&stream.state, stream.state.last.ulid, stream.state.next_sequence);
            }
            if stream.state != stream.stored {
                committed.streams.push((stream.key.clone(), stream.state.last));
            }
            if !stream.reset_tail {
                self.shared.tail(stream.state.number, |tail| tail.append(stream.pending, &stream.state));
            }
            stream.memory.next_sequence = stream.state.next_sequence;
            if stream.memory.revision == stream.state.revision {
                self.memory.heads += stream.memory.heads.len();
                self.memory.streams.insert(stream.key, stream.memory);
            }
        }
        Ok(committed)
    }
}
