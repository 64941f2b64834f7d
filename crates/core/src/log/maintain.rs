//! Pruning, clearing, options, and a new start for a clock that ran away.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::backend::{BackendWrite, LogScan, Table};
use crate::cursor::{Cursor, Position};
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::Entry;
use crate::log::index_key::IndexKey;
use crate::log::marks::Marks;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::{keys, out_of_order, read, validate};
use crate::maintenance::{History, MaintenanceReport, PruneWhat, StreamOptions};
use crate::mutants::mutant;
use crate::record::Action;
use crate::stream::StreamKey;

/// Rows handled between two looks at the log.
const SLICE: usize = 2000;

impl<W: BackendWrite> Transaction<'_, W> {
    pub(crate) fn configure(&mut self, stream: &StreamKey, options: &StreamOptions) -> Result<MaintenanceReport> {
        let slot = self.open(stream)?;
        let bytes = serde_json::to_vec(options)
            .map_err(|source| Error::new(ErrorKind::Internal, "the options cannot be written").because(source))?;
        let number = self.open_stream(slot).state.number;
        if options.history == History::Off {
            self.forget_history(slot, u128::MAX)?;
        }
        self.write.put(Table::State, &keys::options(number), &bytes)?;
        self.flush_whole_index(slot)?;
        self.need(slot);
        Ok(MaintenanceReport::Done)
    }

    pub(crate) fn prune(&mut self, stream: &StreamKey, what: PruneWhat, up_to: &Cursor) -> Result<MaintenanceReport> {
        let slot = self.open(stream)?;
        let token_key = self.shared.token_key(stream);
        let shared = self.shared;
        let (write, open) = self.parts(slot);
        validate::belongs(shared, write, &token_key, &open.state, up_to, 0)
            .map_err(|error| error.with("stream", stream))?;
        let wanted = up_to.position();
        let held_by = self.prune_limit(slot)?.filter(|(_, acknowledged)| {
            // No consumer reads superseded versions.
            what != PruneWhat::History && *acknowledged < wanted && !mutant!("prune-passes-consumers")
        });
        let limit = held_by.as_ref().map_or(wanted, |(_, acknowledged)| *acknowledged);
        let (removed, horizon) = match what {
            PruneWhat::Tombstones => self.prune_tombstones(slot, limit)?,
            PruneWhat::Payloads => self.prune_payloads(slot, limit)?,
            PruneWhat::History => (0, self.open_stream(slot).state.horizon),
        };
        if removed > 0 {
            let state = &mut self.stream(slot).state;
            state.prunes += 1;
            let prunes = state.prunes;
            self.renew_drains(slot, prunes)?;
        }
        let versions = self.prune_history(slot, if what == PruneWhat::Tombstones { 0 } else { limit })?;
        let held_by = held_by.map(|(name, _)| name);
        Ok(MaintenanceReport::Pruned { removed, versions, horizon: token_key.cursor(horizon, 0), held_by })
    }

    fn prune_tombstones(&mut self, slot: StreamSlot, up_to: u128) -> Result<(u64, Position)> {
        let mut removed = 0;
        let mut from = 1;
        loop {
            let tombstones = self.slice(slot, from, up_to, false, |entry| entry.action == Action::Deleted)?;
            let Some(last) = tombstones.last() else { break };
            if removed == 0 {
                self.flush_whole_index(slot)?;
            }
            from = behind(from, last)?;
            self.forget_aside_of(slot, &tombstones)?;
            let gone: HashSet<&str> = tombstones.iter().map(|entry| &*entry.id).collect();
            self.forget_parked(slot, |id| gone.contains(id))?;
            for entry in &tombstones {
                let (write, stream) = self.parts(slot);
                write.remove_row(stream.state.number, entry.sequence)?;
                write.remove_index(stream.state.number, &IndexKey::new(&entry.id))?;
                stream.state.deleted = stream.state.deleted.saturating_sub(1);
                if !mutant!("prune-keeps-horizon") {
                    stream.state.horizon = stream.state.horizon.max(entry.position);
                }
                removed += 1;
            }
        }
        Ok((removed, self.open_stream(slot).state.horizon))
    }

    fn prune_payloads(&mut self, slot: StreamSlot, up_to: u128) -> Result<(u64, Position)> {
        let now_ms = i64::try_from(self.shared.environment.now().unix_ms()).unwrap_or(i64::MAX);
        let shared = self.shared;
        let filters = self.open_stream(slot).memory.filters.clone();
        let mut removed = 0;
        let mut from = 1;
        loop {
            let entries = self.slice(slot, from, up_to, !filters.is_empty(), |entry| entry.pruned_at.is_none())?;
            let Some(last) = entries.last() else { break };
            if removed == 0 {
                // What was remembered of these records would have a payload that comes again count as known.
                self.flush_whole_index(slot)?;
            }
            from = behind(from, last)?;
            for mut entry in entries {
                let (write, stream) = self.parts(slot);
                let state = &mut stream.state;
                if entry.is_live() {
                    state.bytes = state.bytes.saturating_sub(entry.hashes.length);
                }
                // Of what is gone it stays known whether it matched.
                let version = entry.clone();
                entry.extra.note_matched((shared, &stream.key, &filters), &version, true)?;
                entry.hashes.length = 0;
                entry.pruned_at = Some(now_ms);
                entry.payload = None;
                entry.as_row(|row| write.put_row(state.number, row))?;
                state.payload_horizon = state.payload_horizon.max(entry.position);
                removed += 1;
            }
        }
        let state = &self.open_stream(slot).state;
        Ok((removed, state.horizon(true)))
    }

    /// Empties a stream: a new incarnation, in which every earlier cursor is expired.
    pub(crate) fn clear(&mut self, stream: &StreamKey) -> Result<MaintenanceReport> {
        let slot = self.open(stream)?;
        if let Some(run) = self.open_stream(slot).state.run {
            let (write, open) = self.parts(slot);
            Marks::discard(write, open.state.number, &run)?;
            open.state.run = None;
            open.memory.marks = Marks::default();
        }
        let mut from = 1;
        loop {
            let entries = self.slice(slot, from, u128::MAX, false, |_| true)?;
            let Some(last) = entries.last() else { break };
            from = behind(from, last)?;
            let (write, open) = self.parts(slot);
            for entry in &entries {
                write.remove_row(open.state.number, entry.sequence)?;
                write.remove_index(open.state.number, &IndexKey::new(&entry.id))?;
            }
        }
        self.forget_history(slot, u128::MAX)?;
        self.forget_quarantine(slot)?;
        self.forget_parked(slot, |_| true)?;
        let position = self.mint()?;
        let state = &mut self.stream(slot).state;
        state.incarnation += 1;
        state.prunes += 1;
        (state.last, state.horizon, state.payload_horizon) = (position, position, position);
        state.history_horizon = position.ulid;
        (state.live, state.deleted, state.bytes, state.checksum) = (0, 0, 0, 0);
        state.indexed_through = state.next_sequence.saturating_sub(1);
        // What follows in the same transaction must not find what was here.
        self.forget_rows(slot);
        self.void_memory(slot);
        Ok(MaintenanceReport::Done)
    }

    /// Gives every entry a new position by the current clock, in the old order. Every earlier cursor expires, because it does not
    /// compare with the new positions.
    pub(crate) fn rebase_clock(&mut self) -> Result<MaintenanceReport> {
        self.restart_positions()?;
        self.accept_clock()?;
        // As this transaction sees them: a stream that is left out would keep positions that are void.
        for head in read::streams(self.shared, &mut self.write)? {
            let slot = self.open(&head.stream)?;
            let horizon = self.mint()?;
            let state = &mut self.stream(slot).state;
            state.prunes += 1;
            (state.last, state.horizon, state.payload_horizon) = (horizon, horizon, horizon);
            let mut from = 1;
            loop {
                let entries = self.slice(slot, from, u128::MAX, true, |_| true)?;
                let Some(last) = entries.last() else { break };
                from = behind(from, last)?;
                for mut entry in entries {
                    // A birth position just before it shows that an entry is not the beginning of a life.
                    entry.birth = self.mint()?.ulid;
                    entry.position = match entry.action {
                        Action::Added => Position { ulid: entry.birth, ..horizon },
                        Action::Updated | Action::Deleted => self.mint()?,
                    };
                    entry.first_seen_at = entry.first_seen_at.min(crate::cursor::millis_of(entry.position.ulid));
                    entry.extra.lives.clear();
                    // No reader holds anything from before the rebase; a record whose payload was pruned still matched.
                    entry.extra.matched.retain(|matched| matched.pruned);
                    entry.extra.matched.iter_mut().for_each(|matched| matched.from = entry.position.ulid);
                    let (write, open) = self.parts(slot);
                    entry.as_row(|row| write.put_row(open.state.number, row))?;
                    open.state.last = entry.position;
                }
            }
            self.evict_consumers(slot)?;
            self.forget_history(slot, u128::MAX)?;
            self.stream(slot).state.history_horizon = self.open_stream(slot).state.last.ulid;
            self.flush_whole_index(slot)?;
        }
        Ok(MaintenanceReport::Done)
    }

    /// Up to a slice of the rows that `wanted` accepts.
    fn slice(
        &mut self,
        slot: StreamSlot,
        from: u64,
        up_to: u128,
        payload: bool,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>> {
        let (write, stream) = self.parts(slot);
        let mut entries = Vec::new();
        write.scan(stream.state.number, LogScan { from, only: None, payload }, &mut |row| {
            if row.cursor > up_to || entries.len() >= SLICE {
                return Ok(ControlFlow::Break(()));
            }
            let entry = Entry::from_row(row)?;
            if wanted(&entry) {
                entries.push(entry);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }
}

/// The position after `from` at which a walk continues. Damaged rows must not move it back: it would never end.
fn behind(from: u64, last: &Entry) -> Result<u64> {
    last.sequence.checked_add(1).filter(|next| *next > from).ok_or_else(out_of_order)
}
