//! Sending a named reader elsewhere.

use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, LogScan};
use crate::consumer::Seek;
use crate::cursor::{Cursor, Position, just_before};
use crate::error::Result;
use crate::log::consumers::record::ConsumerRecord;
use crate::log::read::StreamView;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::{filters, validate};
use crate::mutants::mutant;

impl<W: BackendWrite> Transaction<'_, W> {
    pub(super) fn seek_to(&mut self, slot: StreamSlot, record: &mut ConsumerRecord, seek: &Seek) -> Result<()> {
        let (to, sequence) = self.seek(slot, record, seek)?;
        // What it holds from behind there it will read again; at START it begins with nothing.
        record.note_told(record.acknowledged);
        if matches!(seek, Seek::Start) || *seek == Seek::Cursor(Cursor::START) {
            record.told = None;
            record.parked.clear();
        }
        // A time that the log no longer reaches leads to START: an evicted consumer still gets the error at its next poll, and clears its copy.
        let unasked = to.is_start() && matches!(seek, Seek::Time(_)) && !mutant!("time-ends-eviction");
        record.stand_at(to, sequence);
        record.generation += 1;
        record.evicted &= unasked;
        record.release();
        Ok(())
    }

    /// The position, and the last sequence number at or before it.
    fn seek(&mut self, slot: StreamSlot, record: &ConsumerRecord, seek: &Seek) -> Result<(Cursor, u64)> {
        let shared = self.shared;
        let (write, stream) = self.parts(slot);
        let view = stream.view(shared);
        let filter = record.filter.unwrap_or(0);
        match seek {
            Seek::Start => Ok((Cursor::START, 0)),
            Seek::End => Ok((view.token_key.cursor(view.state.last, filter), view.state.last_sequence())),
            Seek::Cursor(cursor) => {
                let bound = filters::binding(&view.token_key, cursor, filter);
                validate::belongs(shared, write, &view.token_key, &view.state, cursor, bound)?;
                validate::not_expired(&view.token_key, &view.state, cursor, bound, true)?;
                let sequence = if cursor.position_in_epoch() == view.state.last {
                    view.state.last_sequence()
                } else {
                    let behind = view.first_behind(write, cursor.position())?;
                    last_before(&view, write, behind)?.map_or(0, |(_, sequence)| sequence)
                };
                Ok((*cursor, sequence))
            }
            Seek::Time(time) => {
                let behind = view.first_behind(write, just_before(*time))?;
                let before = last_before(&view, write, behind)?;
                let floor = view.state.horizon.max(view.state.payload_horizon);
                // Of what was pruned nothing can be told from there on: start over.
                let (before, sequence) = before.filter(|(before, _)| *before >= floor).unwrap_or_default();
                Ok((view.token_key.cursor(before, filter), sequence))
            }
        }
    }
}

/// Position and sequence number of the last row before a sequence number.
fn last_before<R: BackendRead + ?Sized>(
    view: &StreamView<'_>,
    read: &mut R,
    behind: u64,
) -> Result<Option<(Position, u64)>> {
    let mut last = None;
    let mut from = behind.saturating_sub(1);
    let mut step = 1;
    while from >= 1 && last.is_none() {
        read.scan(view.state.number, LogScan { from, only: None, payload: false }, &mut |row| {
            if row.sequence >= behind {
                return Ok(ControlFlow::Break(()));
            }
            last = Some((Position { ulid: row.cursor, epoch: row.epoch }, row.sequence));
            Ok(ControlFlow::Continue(()))
        })?;
        step *= 2;
        from = if from > 1 { from.saturating_sub(step).max(1) } else { 0 };
    }
    Ok(last)
}
