//! Superseded versions, for streams that keep them.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table};
use crate::cursor::{Cursor, millis_of, time_of};
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::Entry;
use crate::log::index_key::IndexKey;
use crate::log::read::{Attempt, StreamView};
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::{keys, out_of_order, validate};
use crate::maintenance::{History, Version};
use crate::mutants::mutant;
use crate::record::{Action, Record, RecordId};
use crate::row_codec::{decode_row, encode_row};

impl<W: BackendWrite> Transaction<'_, W> {
    /// Keeps a row that is about to give way to the one at `by`, if the stream keeps history.
    pub(crate) fn keep_history(&mut self, slot: StreamSlot, old: &Entry, by: u128) -> Result<()> {
        let history = self.open_stream(slot).memory.options.history;
        if history == History::Off {
            self.stream(slot).state.history_horizon = by;
            return Ok(());
        }
        let old = self.with_payload(slot, old)?;
        let number = self.open_stream(slot).state.number;
        let prefix = record_prefix(number, &old.id);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        old.as_row(|row| {
            key = version_key(number, row);
            write_version(row, by, &mut value);
        });
        self.write.put(Table::History, &key, &value)?;

        let mut kept = Vec::new();
        self.write.range(Table::History, &prefix, &keys::behind(&prefix), &mut |key, value| {
            kept.push((key.to_vec(), superseded_by(value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        let drop = match history {
            History::Off => 0,
            History::Versions(most) => kept.len().saturating_sub(most as usize),
            History::Milliseconds(age) => {
                // Positions may be ahead of the clock: what was kept before is not old for that.
                let now_ms = i64::try_from(self.shared.environment.now().unix_ms()).unwrap_or(i64::MAX);
                let now_ms = if mutant!("history-by-positions-ahead") { i64::MAX } else { now_ms };
                let oldest = millis_of(by).min(now_ms).saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
                kept.iter().take_while(|(_, by)| millis_of(*by) < oldest).count()
            }
        };
        for (key, by) in &kept[..drop] {
            self.write.remove(Table::History, key)?;
            let horizon = &mut self.stream(slot).state.history_horizon;
            *horizon = (*by).max(*horizon);
        }
        Ok(())
    }

    /// Removes the versions of a stream that were superseded up to a position, those that are more or older than its options
    /// let it keep, and those of records that are not there any more. Returns how many.
    pub(crate) fn prune_history(&mut self, slot: StreamSlot, up_to: u128) -> Result<u64> {
        let history = self.open_stream(slot).memory.options.history;
        let oldest_ms = match history {
            History::Milliseconds(age) => self.known_time_ms()?.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)),
            History::Off | History::Versions(_) => i64::MIN,
        };
        let mut removed = 0;
        let mut next = Some(self.open_stream(slot).state.number.to_be_bytes().to_vec());
        while let Some(from) = next {
            let (versions, then) = self.versions_from(slot, &from)?;
            let mut newer: HashMap<&str, usize> = HashMap::new();
            versions.iter().for_each(|version| *newer.entry(&version.id).or_default() += 1);
            // Whether the record of the version before was there: versions of one stand together.
            let mut there: Option<(&str, bool)> = None;
            for version in &versions {
                let left = newer.entry(&version.id).or_default();
                let surplus = !mutant!("prune-keeps-surplus-history")
                    && match history {
                        History::Versions(most) => *left > most as usize,
                        History::Off => true,
                        History::Milliseconds(_) => millis_of(version.by) < oldest_ms,
                    };
                *left -= 1;
                let mut goes = version.by <= up_to || surplus;
                if !goes && !mutant!("versions-outlive-tombstone") {
                    let known = there.filter(|(id, _)| *id == &*version.id);
                    let is_there = match known {
                        Some((_, is_there)) => is_there,
                        None => self.find(slot, &version.id)?.is_some(),
                    };
                    there = Some((&version.id, is_there));
                    goes = !is_there;
                }
                if goes {
                    self.write.remove(Table::History, &version.key)?;
                    self.dirty = true;
                    removed += 1;
                    let horizon = &mut self.stream(slot).state.history_horizon;
                    *horizon = version.by.max(*horizon);
                }
            }
            next = then;
        }
        Ok(removed)
    }

    /// At least a slice of a stream's versions from a key on, with all of each record; and where to go on.
    fn versions_from(&mut self, slot: StreamSlot, from: &[u8]) -> Result<(Vec<Kept>, Option<Vec<u8>>)> {
        let until = keys::behind(&self.open_stream(slot).state.number.to_be_bytes());
        let (mut versions, mut next): (Vec<Kept>, _) = (Vec::new(), None);
        self.write.range(Table::History, from, &until, &mut |key, value| {
            let same_record = |last: &Kept| of_record(&last.key) == of_record(key);
            if versions.len() >= SLICE && !versions.last().is_some_and(same_record) {
                next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            let (row, by) = read_version(value)?;
            versions.push(Kept { key: key.to_vec(), id: row.id.into(), by });
            Ok(ControlFlow::Continue(()))
        })?;
        match next {
            Some(next) if next.as_slice() <= from => Err(out_of_order()),
            next => Ok((versions, next)),
        }
    }

    /// Removes the versions of a stream that were superseded up to a position.
    pub(crate) fn forget_history(&mut self, slot: StreamSlot, up_to: u128) -> Result<u64> {
        let prefix = self.open_stream(slot).state.number.to_be_bytes();
        let (mut removed, mut horizon) = (0, self.open_stream(slot).state.history_horizon);
        let mut from = prefix.to_vec();
        loop {
            let mut slice = Vec::new();
            let mut next = None;
            self.write.range(Table::History, &from, &keys::behind(&prefix), &mut |key, value| {
                if slice.len() >= 1000 {
                    next = Some(key.to_vec());
                    return Ok(ControlFlow::Break(()));
                }
                let by = superseded_by(value)?;
                if by <= up_to {
                    slice.push(key.to_vec());
                    horizon = by.max(horizon);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            for key in &slice {
                self.write.remove(Table::History, key)?;
                self.dirty = true;
            }
            removed += slice.len() as u64;
            match next {
                Some(next) if next > from => from = next,
                Some(_) => return Err(out_of_order()),
                None => {
                    self.stream(slot).state.history_horizon = horizon;
                    return Ok(removed);
                }
            }
        }
    }
}

impl StreamView<'_> {
    /// Every kept version of a record, newest first, the present one included.
    pub(crate) fn versions<R: BackendRead + ?Sized>(&self, read: &mut R, id: &str) -> Result<Attempt<Vec<Version>>> {
        let present = match self.get(read, id)? {
            Attempt::Done(record) => record,
            Attempt::Outdated => return Ok(Attempt::Outdated),
        };
        let mut versions = Vec::new();
        let prefix = record_prefix(self.state.number, id);
        read.range(Table::History, &prefix, &keys::behind(&prefix), &mut |_, value| {
            let (row, by) = read_version(value)?;
            if row.id == id {
                let record = self.record(&row)?;
                versions.push(Version { record, superseded_at: Some(time_of(by)) });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        versions.extend(present.map(|record| Version { record, superseded_at: None }));
        versions.reverse();
        Ok(Attempt::Done(versions))
    }

    /// The live records as they were at `cursor`, in order of id, behind `after_id`.
    pub(crate) fn as_of<R: BackendRead + ?Sized>(
        &self,
        read: &mut R,
        cursor: &Cursor,
        after_id: &str,
        limit: usize,
    ) -> Result<Vec<Record>> {
        validate::belongs(self.shared, read, &self.token_key, &self.state, cursor, 0)
            .map_err(|error| error.with("stream", self.key))?;
        let at = cursor.position();
        if at != 0 && at < self.state.history_horizon && !mutant!("history-horizon-ignored") {
            return Err(Error::new(
                ErrorKind::CursorExpired,
                "the stream did not keep its history that far back: ask for a later position, and let it keep more from now on",
            )
            .with("stream", self.key)
            .with("cursor", cursor));
        }
        let mut found: BTreeMap<RecordId, Record> = BTreeMap::new();
        let mut take = |row: &LogRow<'_>| -> Result<()> {
            let wanted =
                row.cursor <= at && row.action != Action::Deleted && (after_id.is_empty() || row.id > after_id);
            let full = found.len() >= limit && found.last_key_value().is_some_and(|(last, _)| row.id > &**last);
            if wanted && !full && limit > 0 {
                let record = self.record(row)?;
                found.insert(record.id.clone(), record);
                if found.len() > limit {
                    found.pop_last();
                }
            }
            Ok(())
        };
        read.scan(self.state.number, LogScan { from: 1, only: None, payload: true }, &mut |row| {
            if row.cursor > at {
                return Ok(ControlFlow::Break(()));
            }
            take(row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        let prefix = self.state.number.to_be_bytes();
        read.range(Table::History, &prefix, &keys::behind(&prefix), &mut |_, value| {
            let (row, by) = read_version(value)?;
            if at < by {
                take(&row)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found.into_values().collect())
    }
}

/// Versions looked at between two writes.
const SLICE: usize = 1000;

/// A kept version: its key, its record, and the position that superseded it.
struct Kept {
    key: Vec<u8>,
    id: Box<str>,
    by: u128,
}

/// The part of a version's key that all versions of its record have.
fn of_record(key: &[u8]) -> &[u8] {
    let length = key.get(4).map_or(0, |length| usize::from(*length));
    key.get(..5 + length).unwrap_or(key)
}

fn record_prefix(stream: u32, id: &str) -> Vec<u8> {
    let key = IndexKey::new(id);
    let mut prefix = stream.to_be_bytes().to_vec();
    prefix.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    prefix.extend_from_slice(&key);
    prefix
}

/// Under what a version of a record is kept.
pub(super) fn version_key(stream: u32, row: &LogRow<'_>) -> Vec<u8> {
    let mut key = record_prefix(stream, row.id);
    key.extend_from_slice(&row.sequence.to_be_bytes());
    key
}

fn superseded_by(value: &[u8]) -> Result<u128> {
    value.first_chunk().map(|bytes| u128::from_be_bytes(*bytes)).ok_or_else(too_short)
}

/// A kept version, and the position that superseded it.
pub(super) fn read_version(value: &[u8]) -> Result<(LogRow<'_>, u128)> {
    let by = superseded_by(value)?;
    let (sequence, row) = value.get(16..).and_then(<[u8]>::split_first_chunk).ok_or_else(too_short)?;
    Ok((decode_row(u64::from_be_bytes(*sequence), row)?, by))
}

pub(super) fn write_version(row: &LogRow<'_>, by: u128, out: &mut Vec<u8>) {
    out.extend_from_slice(&by.to_be_bytes());
    out.extend_from_slice(&row.sequence.to_be_bytes());
    encode_row(row, out);
}

fn too_short() -> Error {
    Error::corrupt("a kept version ends too early; clear the stream's history or restore the store")
}
