//! What each change does to a record's row.

use std::sync::Arc;

use bytes::Bytes;

use crate::backend::BackendWrite;
use crate::batch::{SourceVersion, WriteOutcome};
use crate::cursor::millis_of;
use crate::error::Result;
use crate::log::apply::BatchedOperation;
use crate::log::entry::{Entry, Extra, Hashes};
use crate::log::index_key::head_key;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::mutants::mutant;
use crate::record::Action;

impl<W: BackendWrite> Transaction<'_, W> {
    pub(super) fn add(
        &mut self,
        op: BatchedOperation<'_>,
        (id, key): (Arc<str>, u64),
        hashes: Hashes,
        payload: &Bytes,
    ) -> Result<WriteOutcome> {
        let position = self.mint()?;
        let stored = self.shared.encode_payload(&self.open_stream(op.slot).key, &id, payload)?;
        let entry = Entry {
            sequence: 0,
            position,
            birth: position.ulid,
            action: Action::Added,
            first_seen_at: millis_of(position.ulid),
            pruned_at: None,
            id,
            hashes,
            extra: Extra {
                version: op.operation.version.clone(),
                origin: self.open_stream(op.slot).origin.clone(),
                lives: Vec::new(),
                matched: Vec::new(),
            },
            payload: Some(stored),
        };
        self.append(op.slot, None, entry, key)?;
        Ok(WriteOutcome::Added)
    }

    /// A deleted record comes back: a new life.
    pub(super) fn revive(
        &mut self,
        op: BatchedOperation<'_>,
        old: Entry,
        hashes: Hashes,
        payload: &Bytes,
    ) -> Result<WriteOutcome> {
        let position = self.mint()?;
        let horizon = self.stream(op.slot).state.horizon.ulid;
        let mut entry = self.successor(op, &old, hashes, payload)?;
        entry.position = position;
        entry.action = Action::Added;
        entry.birth = if mutant!("readd-keeps-birth") { old.birth } else { position.ulid };
        entry.extra.bury((old.birth, old.position.ulid), horizon);
        self.supersede(op.slot, &old, entry)?;
        Ok(WriteOutcome::Added)
    }

    pub(super) fn change(
        &mut self,
        op: BatchedOperation<'_>,
        old: Entry,
        hashes: Hashes,
        payload: &Bytes,
    ) -> Result<WriteOutcome> {
        let mut entry = self.successor(op, &old, hashes, payload)?;
        entry.position = self.mint()?;
        entry.action = Action::Updated;
        self.supersede(op.slot, &old, entry)?;
        Ok(WriteOutcome::Updated)
    }

    fn successor(&mut self, op: BatchedOperation<'_>, old: &Entry, hashes: Hashes, payload: &Bytes) -> Result<Entry> {
        let stored = self.shared.encode_payload(&self.open_stream(op.slot).key, &old.id, payload)?;
        let mut entry = Entry { hashes, payload: Some(stored), pruned_at: None, ..old.clone() };
        if op.operation.version.is_some() {
            entry.extra.version.clone_from(&op.operation.version);
        }
        entry.extra.origin.clone_from(&self.open_stream(op.slot).origin);
        entry.extra.matched = self.matched_until(op.slot, old)?;
        Ok(entry)
    }

    pub(super) fn delete(&mut self, op: BatchedOperation<'_>, id: &Arc<str>) -> Result<WriteOutcome> {
        let old = self.find(op.slot, id)?;
        if let Some(outcome) = self.refused(op, old.as_ref())? {
            return Ok(outcome);
        }
        match old {
            Some(old) if old.is_live() => {
                self.bury(op.slot, &old, op.operation.version.as_ref())?;
                Ok(WriteOutcome::Deleted)
            }
            // Deleted again, by a newer word of the source: what is older than that must not bring it back.
            Some(old) if !mutant!("second-delete-unversioned") => {
                let version = op.operation.version.as_ref().map(of_delete);
                self.note_version(op.slot, version, &old)?;
                Ok(WriteOutcome::Missing)
            }
            Some(_) => Ok(WriteOutcome::Missing),
            None => {
                self.bury_unknown(op, id)?;
                Ok(WriteOutcome::Missing)
            }
        }
    }

    /// Remembers the delete of a record that never came, where older news of it can be told by their version: the delete
    /// overtook them. To readers it is a record that came and went between two of their pages.
    fn bury_unknown(&mut self, op: BatchedOperation<'_>, id: &Arc<str>) -> Result<()> {
        let Some(version) = op.operation.version.as_ref().filter(|_| !mutant!("tombstone-unversioned")) else {
            return Ok(());
        };
        let payload = Bytes::from_static(b"{}");
        let canonicalizer = &mut self.stream(op.slot).memory.canonicalizer;
        let canonical = canonicalizer.read(&payload)?.hash;
        let fingerprint = canonicalizer.fingerprint();
        let hashes = Hashes {
            exact: self.shared.exact.hash(id, &payload),
            canonical,
            algorithm: self.algorithm(op.slot, fingerprint)?,
            length: payload.len() as u64,
        };
        let birth = self.mint()?.ulid;
        let position = self.mint()?;
        let payload = self.shared.encode_payload(&self.open_stream(op.slot).key, id, &payload)?;
        let extra = Extra {
            version: Some(of_delete(version)),
            origin: self.open_stream(op.slot).origin.clone(),
            lives: Vec::new(),
            matched: Vec::new(),
        };
        let entry = Entry {
            sequence: 0,
            position,
            birth,
            action: Action::Deleted,
            first_seen_at: millis_of(birth),
            pruned_at: None,
            id: Arc::clone(id),
            hashes,
            extra,
            payload: Some(payload),
        };
        self.append(op.slot, None, entry, head_key(id))
    }

    /// Turns a live row into a tombstone that keeps the last payload.
    pub(crate) fn bury(&mut self, slot: StreamSlot, old: &Entry, version: Option<&SourceVersion>) -> Result<()> {
        let mut entry = self.with_payload(slot, old)?;
        entry.extra.matched = self.matched_until(slot, &entry)?;
        entry.position = self.mint()?;
        entry.action = Action::Deleted;
        if let Some(version) = version.filter(|_| !mutant!("tombstone-unversioned")) {
            entry.extra.version = Some(of_delete(version));
        }
        entry.extra.origin.clone_from(&self.open_stream(slot).origin);
        self.supersede(slot, old, entry)
    }

    fn supersede(&mut self, slot: StreamSlot, old: &Entry, entry: Entry) -> Result<()> {
        self.keep_history(slot, old, entry.position.ulid)?;
        self.append(slot, Some(old), entry, head_key(&old.id))
    }

    /// The record came again as it is. Only what the source calls its version may be newer.
    pub(super) fn keep(&mut self, op: BatchedOperation<'_>, old: &Entry, exact: [u8; 16]) -> Result<()> {
        self.mark_seen(op.slot, old.sequence)?;
        self.note_version(op.slot, op.operation.version.clone(), old)?;
        // Another spelling of the same content: next time it is recognised at a glance.
        let heads = &mut self.stream(op.slot).memory.heads;
        if let Some(mut head) = heads.get(head_key(&old.id))
            && head.sequence == old.sequence
        {
            head.exact = exact;
            heads.set(head_key(&old.id), head, false);
        }
        Ok(())
    }

    /// Gives a record that stays as it is the version that the source calls it by now.
    fn note_version(&mut self, slot: StreamSlot, version: Option<SourceVersion>, old: &Entry) -> Result<()> {
        if version.is_none() || version == old.extra.version {
            return Ok(());
        }
        let mut entry = self.with_payload(slot, old)?;
        entry.extra.version = version;
        let number = self.stream(slot).state.number;
        entry.as_row(|row| self.write.put_row(number, row))?;
        self.dirty = true;
        Ok(())
    }
}

/// The version of a tombstone: the one right behind that of the delete, so that also what has the same version as the
/// delete is older.
pub(super) fn of_delete(version: &SourceVersion) -> SourceVersion {
    match version {
        SourceVersion::Number(number) => SourceVersion::Number(number.saturating_add(1)),
        // In the order of bytes nothing lies between a text and the same with a zero byte.
        SourceVersion::Text(text) => SourceVersion::Text(format!("{text}\0").into()),
    }
}
