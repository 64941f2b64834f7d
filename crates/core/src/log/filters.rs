//! Content filters that a stream tracks: of each record it is known whether it matched one before.
//!
//! The log keeps only a record's last version, so without that a record that left a filter could not be distinguished from one
//! that never matched. A filter is tracked once a reader begins at START with it; the cursors of such a reading say so, for
//! only of what changed since then it is known. Other readings are told of every record that may have matched.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::content::{canonical_eq, outline};
use crate::cursor::{Cursor, TokenKey};
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::{Entry, Extra, Matched};
use crate::log::keys;
use crate::log::shared::Shared;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::mutants::mutant;
use crate::page::ContentFilter;
use crate::stream::StreamKey;

/// The most filters that a stream tracks. Each costs a check of every superseded version.
const MAX_TRACKED: usize = 32;

/// Tells the cursors of a tracked reading from those of the same filter that are not.
const TRACKED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The filters that a stream tracks; one that is once there stays at its index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Filters(Vec<Vec<(String, Value)>>);

impl Filters {
    pub(crate) fn load<R: BackendRead + ?Sized>(read: &mut R, stream: u32) -> Result<Self> {
        match read.get(Table::State, &keys::filters(stream))? {
            None => Ok(Filters::default()),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| Error::corrupt("the stored filters of a stream do not read").because(source)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a filter is to be tracked that is not yet.
    pub(crate) fn wants(&self, filter: &ContentFilter) -> bool {
        !filter.conditions.is_empty() && self.0.len() < MAX_TRACKED && self.index_of(filter).is_none()
    }

    /// The index of a filter, if it is tracked.
    pub(crate) fn index_of(&self, filter: &ContentFilter) -> Option<u8> {
        let wanted = filter.fingerprint();
        let index = self.0.iter().position(|conditions| fingerprint(conditions) == wanted)?;
        u8::try_from(index).ok()
    }

    /// Whether every filter has an answer for a record already.
    fn all_known(&self, extra: &Extra) -> bool {
        extra.matched.len() >= self.0.len()
    }
}

fn fingerprint(conditions: &[(String, Value)]) -> u64 {
    ContentFilter { conditions: conditions.to_vec() }.fingerprint()
}

/// What binds the cursors of a reading with a filter that is tracked from its beginning on.
pub(crate) fn tracked(fingerprint: u64) -> u64 {
    (fingerprint ^ TRACKED).max(1)
}

/// What binds this cursor of a reading with a filter (0: none).
pub(crate) fn binding(key: &TokenKey, cursor: &Cursor, fingerprint: u64) -> u64 {
    let is_tracked = fingerprint != 0 && !cursor.is_start() && key.vouches_for(cursor, tracked(fingerprint));
    if is_tracked { tracked(fingerprint) } else { fingerprint }
}

/// Whether a payload meets every condition.
pub(crate) fn matches(conditions: &[(String, Value)], payload: &[u8]) -> Result<bool> {
    for (pointer, expected) in conditions {
        let expected = serde_json::to_vec(expected)
            .map_err(|source| Error::new(ErrorKind::Internal, "a filter's value cannot be written").because(source))?;
        let found = outline::pointer(payload, pointer)?;
        if !found.is_some_and(|found| canonical_eq(found, &expected)) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Extra {
    /// Notes which filters this version of a record matches: it gives way to another, or its payload goes.
    pub(crate) fn note_matched(
        &mut self,
        (shared, stream, filters): (&Shared, &StreamKey, &Filters),
        version: &Entry,
        pruned: bool,
    ) -> Result<()> {
        let Some(stored) = version.payload.as_deref().filter(|_| version.is_live()) else { return Ok(()) };
        let payload = shared.decode_payload(stream, &version.id, stored)?;
        for (index, conditions) in filters.0.iter().enumerate() {
            let Ok(filter) = u8::try_from(index) else { break };
            let known = self.matched.iter_mut().find(|matched| matched.filter == filter);
            if (known.is_some() && !pruned) || !matches(conditions, payload.as_bytes())? {
                continue;
            }
            match known {
                Some(known) => known.pruned = true,
                None => self.matched.push(Matched { filter, pruned, from: version.position.ulid }),
            }
        }
        Ok(())
    }
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// Tracks a filter from now on, where the stream has room for one more.
    pub(crate) fn track(&mut self, slot: StreamSlot, filter: &ContentFilter) -> Result<()> {
        let stream = self.stream(slot);
        let filters = &mut stream.memory.filters;
        if !filters.wants(filter) {
            return Ok(());
        }
        filters.0.push(filter.conditions.clone());
        let bytes = serde_json::to_vec(filters)
            .map_err(|source| Error::new(ErrorKind::Internal, "a filter cannot be written").because(source))?;
        let number = stream.state.number;
        self.write.put(Table::State, &keys::filters(number), &bytes)?;
        // Other handles look at what they write from now on.
        self.flush_whole_index(slot)?;
        self.need(slot);
        Ok(())
    }

    /// What the stream knows about a record's earlier versions, including this one.
    pub(crate) fn matched_until(&mut self, slot: StreamSlot, old: &Entry) -> Result<Vec<Matched>> {
        let filters = &self.open_stream(slot).memory.filters;
        let mut extra = Extra { matched: old.extra.matched.clone(), ..Extra::default() };
        extra.matched.iter_mut().for_each(|matched| matched.pruned = false);
        if !old.is_live() || old.pruned_at.is_some() || filters.all_known(&extra) || mutant!("left-untracked") {
            return Ok(extra.matched);
        }
        let loaded = if old.payload.is_some() { None } else { Some(self.with_payload(slot, old)?) };
        let shared = self.shared;
        let stream = self.open_stream(slot);
        extra.note_matched((shared, &stream.key, &stream.memory.filters), loaded.as_ref().unwrap_or(old), false)?;
        Ok(extra.matched)
    }
}
