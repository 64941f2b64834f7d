//! Payloads in the form that the current codec gives them.

use std::ops::ControlFlow;

use crate::backend::{BackendWrite, LogRow, LogScan, Table};
use crate::error::Result;
use crate::log::history::{read_version, write_version};
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::{keys, needs, out_of_order};
use crate::record::Action;
use crate::stream::StreamKey;

/// Rows rewritten in one transaction.
const SLICE: usize = 1000;

/// Where the rewriting of a stream continues.
#[derive(Clone, Debug)]
pub(crate) enum RecodeFrom {
    /// In the log, from a sequence number on; rows from the second one on were appended since it began.
    Log(u64, u64),
    /// In the history, behind a key.
    History(Vec<u8>),
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// Returns a task for the whole stream, from its first row to its current last.
    pub(crate) fn recode_all(&mut self, stream: &StreamKey) -> Result<RecodeFrom> {
        let slot = self.open(stream)?;
        Ok(RecodeFrom::Log(1, self.open_stream(slot).state.next_sequence))
    }

    /// Rewrites a slice of a stream's payloads. Returns how many, and where to continue.
    pub(crate) fn recode(&mut self, stream: &StreamKey, from: RecodeFrom) -> Result<(u64, Option<RecodeFrom>)> {
        let slot = self.open(stream)?;
        self.dirty = true;
        match from {
            RecodeFrom::Log(from, end) => self.recode_log(slot, stream, from, end),
            RecodeFrom::History(from) => self.recode_history(slot, stream, &from),
        }
    }

    fn recode_log(
        &mut self,
        slot: StreamSlot,
        stream: &StreamKey,
        from: u64,
        end: u64,
    ) -> Result<(u64, Option<RecodeFrom>)> {
        let shared = self.shared;
        let (write, open) = self.parts(slot);
        let number = open.state.number;
        let mut sequences = Vec::new();
        write.scan(number, LogScan { from, only: None, payload: false }, &mut |row| {
            if sequences.len() >= SLICE {
                return Ok(ControlFlow::Break(()));
            }
            // Rows appended in the meantime are new, except for payloads that tombstones kept.
            if row.sequence < end || row.action == Action::Deleted {
                sequences.push(row.sequence);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut rewritten = 0;
        for sequence in &sequences {
            let mut entry = None;
            write.row(number, *sequence, true, &mut |row| {
                entry = Some(crate::log::entry::Entry::from_row(row)?);
                Ok(ControlFlow::Break(()))
            })?;
            let Some(mut entry) = entry else { continue };
            let Some(stored) = &entry.payload else { continue };
            let payload = shared.decode_payload(stream, &entry.id, stored)?.into_bytes();
            entry.payload = Some(shared.encode_payload(stream, &entry.id, &payload)?);
            entry.as_row(|row| write.put_row(number, row))?;
            rewritten += 1;
        }
        let next = match sequences.last() {
            Some(last) if sequences.len() >= SLICE && *last < from => return Err(out_of_order()),
            Some(last) if sequences.len() >= SLICE => RecodeFrom::Log(last + 1, end),
            _ => RecodeFrom::History(number.to_be_bytes().to_vec()),
        };
        Ok((rewritten, Some(next)))
    }

    fn recode_history(
        &mut self,
        slot: StreamSlot,
        stream: &StreamKey,
        from: &[u8],
    ) -> Result<(u64, Option<RecodeFrom>)> {
        let shared = self.shared;
        let (write, open) = self.parts(slot);
        let until = keys::behind(&open.state.number.to_be_bytes());
        let mut versions = Vec::new();
        write.range(Table::History, from, &until, &mut |key, value| {
            if versions.len() >= SLICE {
                return Ok(ControlFlow::Break(()));
            }
            versions.push((key.to_vec(), value.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        if versions.last().is_some_and(|(last, _)| last.as_slice() < from) {
            return Err(out_of_order());
        }
        let mut rewritten = 0;
        for (key, value) in &versions {
            let (row, by) = read_version(value)?;
            let Some(stored) = row.payload else { continue };
            let payload = shared.decode_payload(stream, row.id, stored)?.into_bytes();
            let stored = shared.encode_payload(stream, row.id, &payload)?;
            let mut changed = Vec::with_capacity(stored.len() + 128);
            write_version(&LogRow { payload: Some(&stored), ..row }, by, &mut changed);
            write.put(Table::History, key, &changed)?;
            rewritten += 1;
        }
        let next = versions.last().filter(|_| versions.len() >= SLICE).map(|(last, _)| {
            let mut next = last.clone();
            next.push(0);
            RecodeFrom::History(next)
        });
        Ok((rewritten, next))
    }

    /// Records that the store is being recoded, so that the next opening can detect an interruption.
    pub(crate) fn begin_recode(&mut self) -> Result<()> {
        self.dirty = true;
        needs::begin(&mut self.write)
    }

    /// Notes that every payload is one of the current codec's.
    pub(crate) fn finish_recode(&mut self) -> Result<()> {
        self.dirty = true;
        let codec = self.shared.codec.clone();
        needs::finish(&mut self.write, codec.as_deref())
    }
}
