//! Records that cannot be stored, set aside so that the others of their batch can be.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Deserialize;

use super::tally::Tally;
use super::{BatchedOperation, check_id};
use crate::backend::{BackendWrite, Table};
use crate::batch::{Rejected, WriteKind};
use crate::content;
use crate::cursor::millis_of;
use crate::error::Result;
use crate::log::entry::Entry;
use crate::log::keys;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::mutants::mutant;
use crate::record::RecordId;

/// The longest part of a key, in bytes, that comes from an id.
const MAX_KEY_PART: usize = 200;

/// Records kept of a stream. The oldest go first.
const MAX_KEPT: usize = 100;

/// The longest part of a record, in bytes, that is kept.
const MAX_EXCERPT: usize = 16 * 1024;

impl<W: BackendWrite> Transaction<'_, W> {
    /// Sets an operation aside, with the reason. The record it names counts as seen.
    pub(super) fn quarantine(&mut self, op: BatchedOperation<'_>, reason: String, tally: &mut Tally<'_>) -> Result<()> {
        let BatchedOperation { slot, batch, operation, index } = op;
        let (payload, known) = match &operation.kind {
            WriteKind::Upsert(payload) | WriteKind::Patch(payload) | WriteKind::SetAside(payload, _) => {
                let guessed = content::guess_id(payload).map(|id| id.into_owned());
                (Some(payload), operation.id.as_ref().map(|id| id.to_string()).or(guessed))
            }
            WriteKind::Delete | WriteKind::Seen => (None, operation.id.as_ref().map(|id| id.to_string())),
        };
        let known = known.filter(|id| check_id(id).is_ok());
        // The source still has the record: that it was unreadable must not delete it.
        match &known {
            Some(id) => {
                let entry = self.find(slot, id)?.filter(Entry::is_live);
                if let Some(entry) = entry.filter(|_| !mutant!("quarantine-unseen")) {
                    self.mark_seen(slot, entry.sequence)?;
                }
            }
            None => self.note_unidentified(slot),
        }
        // Its writer may know it under another id than the member `id`.
        if operation.id.is_none() && known.is_some() && matches!(operation.kind, WriteKind::SetAside(..)) {
            self.note_unidentified(slot);
        }
        // What a codec would hide does not lie open here.
        let excerpt: String = payload
            .filter(|_| self.shared.codec.is_none())
            .map(|payload| String::from_utf8_lossy(&payload[..payload.len().min(MAX_EXCERPT)]).into_owned())
            .unwrap_or_default();
        let name =
            known.clone().unwrap_or_else(|| format!("{:032x}", short_hash(payload.map_or(&[], |payload| payload))));
        let document = serde_json::json!({
            "stream": batch.stream.to_string(), "id": known, "reason": reason,
            "at_ms": self.shared.environment.now().unix_ms(), "payload": excerpt,
        });
        let key = format!("{}{}", self.quarantine_prefix(slot), key_part(&name));
        // The number must stay the stream's, also when it has nothing else yet.
        if !mutant!("quarantine-without-stream") {
            self.need(slot);
        }
        self.make_room(slot, &key)?;
        self.set_document(&key, Some(&Bytes::from(document.to_string())))?;
        let id = known.map(RecordId::from);
        tally.commit.rejected.push(Rejected { index, id, document: key, reason });
        Ok(())
    }

    /// Removes everything that was set aside of a stream.
    pub(crate) fn forget_quarantine(&mut self, slot: StreamSlot) -> Result<()> {
        for key in self.kept_aside(slot)?.into_values() {
            self.set_document(&key, None)?;
        }
        self.stream(slot).aside = None;
        Ok(())
    }

    /// Removes what was set aside of records whose tombstones go, but for what came after the delete.
    pub(crate) fn forget_aside_of(&mut self, slot: StreamSlot, tombstones: &[Entry]) -> Result<()> {
        let kept = self.kept_aside(slot)?;
        if kept.is_empty() || mutant!("aside-outlives-tombstone") {
            return Ok(());
        }
        let prefix = self.quarantine_prefix(slot);
        let deleted: HashMap<String, i64> = tombstones
            .iter()
            .map(|entry| (format!("{prefix}{}", key_part(&entry.id)), millis_of(entry.position.ulid)))
            .collect();
        for ((at_ms, _), key) in kept {
            if deleted.get(&key).is_some_and(|deleted_ms| i64::try_from(at_ms).is_ok_and(|at_ms| at_ms <= *deleted_ms))
            {
                self.set_document(&key, None)?;
            }
        }
        self.stream(slot).aside = None;
        Ok(())
    }

    fn quarantine_prefix(&self, slot: StreamSlot) -> String {
        format!("quarantine/{}/", self.open_stream(slot).state.number)
    }

    /// Removes the oldest document where the one under `key` would be too many.
    fn make_room(&mut self, slot: StreamSlot, key: &str) -> Result<()> {
        let mut kept = match self.stream(slot).aside.take() {
            Some(kept) => kept,
            None => self.kept_aside(slot)?,
        };
        kept.retain(|_, known| known != key);
        while kept.len() >= MAX_KEPT && !mutant!("quarantine-unbounded") {
            let Some((_, oldest)) = kept.pop_first() else { break };
            self.set_document(&oldest, None)?;
        }
        let last = kept.last_key_value().map_or(0, |((_, number), _)| number + 1);
        kept.insert((self.shared.environment.now().unix_ms(), last), key.to_owned());
        self.stream(slot).aside = Some(kept);
        Ok(())
    }

    /// The keys of what was set aside of a stream, oldest first.
    fn kept_aside(&mut self, slot: StreamSlot) -> Result<KeptAside> {
        let prefix = keys::document(&self.quarantine_prefix(slot));
        let mut kept = KeptAside::new();
        self.write.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
            let at_ms = serde_json::from_slice::<Stamp>(value).map_or(0, |stamp| stamp.at_ms);
            let key = key.get(prefix.len()..).unwrap_or_default();
            kept.insert((at_ms, kept.len() as u64), String::from_utf8_lossy(key).into_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        let prefix = self.quarantine_prefix(slot);
        kept.values_mut().for_each(|key| key.insert_str(0, &prefix));
        Ok(kept)
    }
}

/// When each document was written, a number that tells those of one moment apart, and its key.
pub(crate) type KeptAside = BTreeMap<(u64, u64), String>;

#[derive(Deserialize)]
struct Stamp {
    #[serde(default)]
    at_ms: u64,
}

/// An id as part of a document's key. An id that is too long is replaced by its hash.
fn key_part(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_KEY_PART {
        return Cow::Borrowed(name);
    }
    let cut = (0..MAX_KEY_PART - 33).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    if mutant!("quarantine-by-beginning") {
        return Cow::Borrowed(&name[..cut]);
    }
    Cow::Owned(format!("{}~{:032x}", &name[..cut], short_hash(name.as_bytes())))
}

fn short_hash(bytes: &[u8]) -> u128 {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    u128::from_be_bytes(hash)
}
