//! The delete gate: a run deletes what it did not see, only once it says that it saw everything,
//! only what was there before it began, and only within its guard (P26 in `docs/guarantees.md`).

use std::ops::ControlFlow;

use crate::backend::{BackendWrite, LogScan};
use crate::batch::{DeleteGuard, RunId, UnseenRecords};
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::Entry;
use crate::log::marks::Marks;
use crate::log::state::OpenRun;
use crate::log::transaction::{OpenStream, StreamSlot, Transaction};
use crate::mutants::mutant;
use crate::record::Action;

/// Rows that a run saw, one behind the other, from which on a new scan behind them costs less than reading them.
const WORTH_A_LEAP: u64 = 16;

/// What completing the run now would delete, in numbers.
fn unseen(stream: &OpenStream, run: &OpenRun) -> UnseenRecords {
    UnseenRecords {
        missing: run.old_live.saturating_sub(stream.memory.marks.count()),
        live: stream.state.live,
        unidentified: run.unidentified,
        saw_any: run.met,
        ids: Vec::new(),
    }
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// Opens a run, or continues it. Another run that was open is given up.
    pub(crate) fn begin_run(&mut self, slot: StreamSlot, run: Option<RunId>) -> Result<()> {
        let id = run.map_or(0, RunId::as_u128);
        if self.stream(slot).state.run.is_some_and(|open| open.id == id) {
            return Ok(());
        }
        self.abandon_run(slot)?;
        let mut nonce = [0; 8];
        self.shared.environment.fill_random(&mut nonce);
        let nonce = u64::from_be_bytes(nonce);
        let state = &mut self.stream(slot).state;
        let start = state.next_sequence.saturating_sub(1);
        state.run = Some(OpenRun { id, start, old_live: state.live, mark_rows: 0, unidentified: 0, met: false, nonce });
        self.dirty = true;
        Ok(())
    }

    /// Checks that `run` is the open one, and reads what it has seen so far.
    pub(crate) fn join_run(&mut self, slot: StreamSlot, run: Option<RunId>) -> Result<()> {
        let (write, stream) = self.parts(slot);
        let open =
            stream.state.run.filter(|open| run.is_some_and(|run| run.as_u128() == open.id)).ok_or_else(|| {
                Error::new(
                    ErrorKind::Fenced,
                    "the run is not the open one of its stream (it ended, or another was begun); begin it again",
                )
                .with("stream", &stream.key)
            })?;
        stream.memory.marks.catch_up(write, stream.state.number, &open)
    }

    /// The open run saw the live record at `sequence`.
    pub(crate) fn mark_seen(&mut self, slot: StreamSlot, sequence: u64) -> Result<()> {
        let stream = self.stream(slot);
        if let Some(run) = &stream.state.run
            && sequence <= run.start
            && stream.in_run
        {
            stream.memory.marks.set(sequence);
        }
        Ok(())
    }

    /// Whether the current batch contained records of the source.
    pub(crate) fn note_met(&mut self, slot: StreamSlot) {
        let stream = self.stream(slot);
        if let Some(run) = &mut stream.state.run
            && stream.in_run
        {
            run.met = true;
        }
    }

    /// A record came whose id could not be told.
    pub(crate) fn note_unidentified(&mut self, slot: StreamSlot) {
        let stream = self.stream(slot);
        if let Some(run) = &mut stream.state.run
            && stream.in_run
            && !mutant!("unidentified-uncounted")
        {
            run.unidentified += 1;
        }
    }

    /// Ends the open run: returns how many records it deleted.
    pub(crate) fn complete_run(&mut self, slot: StreamSlot, guard: &DeleteGuard) -> Result<u64> {
        let stream = self.stream(slot);
        let Some(run) = stream.state.run else {
            return Err(Error::new(ErrorKind::Fenced, "no run is open").with("stream", &stream.key));
        };
        let unseen = unseen(stream, &run);
        let UnseenRecords { missing, live, .. } = unseen;
        let nothing_seen = missing > 0 && (missing == live || !run.met);
        if (guard.holds_back(&unseen) && !mutant!("guard-ignored"))
            || (run.unidentified > 0 && *guard != DeleteGuard::APPROVED)
        {
            let message = if run.unidentified > 0 && missing > 0 {
                "the run met records without an id, so what is missing is not certain: look at the quarantine, then approve the deletes or abort the run"
            } else if run.unidentified > 0 {
                return self.finish_run(slot, &run).map(|()| 0);
            } else if nothing_seen {
                "the run saw none of the stream's records: look at the source, then approve the deletes (confirm_empty) or abort the run"
            } else {
                "the run would delete more than its guard allows: look at the source, then approve the deletes or abort the run"
            };
            return Err(Error::new(ErrorKind::AwaitingApproval, message)
                .with("stream", &self.stream(slot).key)
                .with("deletes", missing)
                .with("live", live));
        }
        let gone = if missing > 0 { self.unseen(slot, &run, usize::MAX)? } else { Vec::new() };
        // From here on the deletes are the run's own doing: no bookkeeping for it.
        self.finish_run(slot, &run)?;
        for entry in &gone {
            self.bury(slot, entry, None)?;
        }
        Ok(gone.len() as u64)
    }

    /// What completing the open run now would delete.
    pub(crate) fn list_unseen(&mut self, slot: StreamSlot, limit: usize) -> Result<UnseenRecords> {
        let stream = self.stream(slot);
        let Some(run) = stream.state.run else {
            return Err(Error::new(ErrorKind::Fenced, "no run is open").with("stream", &stream.key));
        };
        let told = unseen(stream, &run);
        let entries = if told.missing > 0 { self.unseen(slot, &run, limit)? } else { Vec::new() };
        Ok(UnseenRecords { ids: entries.into_iter().map(|entry| entry.id.into()).collect(), ..told })
    }

    pub(crate) fn abort_run(&mut self, slot: StreamSlot) -> Result<()> {
        self.abandon_run(slot)
    }

    fn abandon_run(&mut self, slot: StreamSlot) -> Result<()> {
        if let Some(run) = self.stream(slot).state.run {
            if mutant!("delete-without-completion") {
                for entry in self.unseen(slot, &run, usize::MAX)? {
                    self.bury(slot, &entry, None)?;
                }
            }
            self.finish_run(slot, &run)?;
        }
        Ok(())
    }

    fn finish_run(&mut self, slot: StreamSlot, run: &OpenRun) -> Result<()> {
        let (write, stream) = self.parts(slot);
        Marks::discard(write, stream.state.number, run)?;
        stream.state.run = None;
        stream.in_run = false;
        stream.memory.marks = Marks::default();
        self.dirty = true;
        Ok(())
    }

    /// Live rows from before the run that it did not see.
    fn unseen(&mut self, slot: StreamSlot, run: &OpenRun, limit: usize) -> Result<Vec<Entry>> {
        let (write, stream) = self.parts(slot);
        let mut unseen = Vec::new();
        let marks = &stream.memory.marks;
        let mut next = Some(marks.next_unmarked(1));
        while let Some(from) = next.take() {
            let scan = LogScan { from, only: None, payload: false };
            write.scan(stream.state.number, scan, &mut |row| {
                if unseen.len() >= limit || row.sequence > run.start && !mutant!("run-start-ignored") {
                    return Ok(ControlFlow::Break(()));
                }
                if marks.contains(row.sequence) {
                    let unmarked = marks.next_unmarked(row.sequence);
                    if unmarked - row.sequence > WORTH_A_LEAP {
                        next = Some(unmarked);
                        return Ok(ControlFlow::Break(()));
                    }
                } else if row.action != Action::Deleted {
                    unseen.push(Entry::from_row(row)?);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(unseen)
    }
}
