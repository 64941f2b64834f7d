//! What a batch does to the log: which operations are changes, which action each is, who gets which position.

mod changes;
mod content_rules;
mod documents;
mod quarantine;
mod tally;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::backend::BackendWrite;
use crate::batch::{
    BadRecords, Commit, Fence, MAX_ID_BYTES, MAX_PAYLOAD_BYTES, Merging, Operation, RunStep, SourceVersion,
    StreamBatch, StreamCommit, WriteBatch, WriteKind, WriteOutcome,
};
use crate::content;
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::{Entry, Hashes};
use crate::log::index_key::head_key;
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::validate;
use crate::mutants::mutant;
pub(crate) use quarantine::KeptAside;
use tally::Tally;

/// One operation of a batch: which one, and of which open stream.
#[derive(Clone, Copy)]
struct BatchedOperation<'b> {
    slot: StreamSlot,
    batch: &'b StreamBatch,
    operation: &'b Operation,
    /// Its index among the operations of the batch.
    index: usize,
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// Applies a batch. After an error the transaction must be dropped: part of it may be done.
    pub(crate) fn apply(&mut self, batch: &WriteBatch) -> Result<Commit> {
        self.shared.clock.look(&*self.shared.environment);
        self.allow_clock_jump |= batch.clock_jump;
        self.clock_witness_ms = self.clock_witness_ms.max(batch.witness_ms);
        let unfenced = mutant!("clear-unfenced") && batch.streams.iter().any(|stream| stream.clear);
        for fence in batch.fences.iter().filter(|_| !unfenced) {
            self.check_fence(&fence.name, fence.token)?;
        }
        for (key, expected) in &batch.expectations {
            self.check_document(key, expected.as_deref())?;
        }
        let mut leases = Vec::with_capacity(batch.leases.len());
        for name in &batch.leases {
            leases.push(Fence { token: self.next_fence(name)?, name: Arc::clone(name) });
        }
        for (key, value) in &batch.documents {
            self.set_document(key, value.as_ref())?;
        }
        let streams = batch.streams.iter().map(|stream| self.apply_stream(stream)).collect::<Result<_>>()?;
        Ok(Commit { streams, leases })
    }

    fn apply_stream(&mut self, batch: &StreamBatch) -> Result<StreamCommit> {
        let slot = self.open(&batch.stream)?;
        let live_before = self.stream(slot).state.live;
        if batch.clear {
            self.clear(&batch.stream)?;
        }
        let before = self.stream(slot).state.last;
        if let Some(cursor) = batch.merging.cursor() {
            let (shared, token_key) = (self.shared, self.shared.token_key(&batch.stream));
            let (write, stream) = self.parts(slot);
            validate::belongs(shared, write, &token_key, &stream.state, cursor, 0)
                .map_err(|error| error.with("stream", &batch.stream))?;
        }
        for step in &batch.run_steps {
            if let RunStep::Begin = step {
                self.begin_run(slot, batch.run)?;
            }
        }
        self.stream(slot).in_run = batch.run.is_some();
        self.stream(slot).origin.clone_from(&batch.origin);
        if batch.run.is_some() {
            self.join_run(slot, batch.run)?;
        }
        let mut tally = Tally::new(batch);
        tally.commit.cleared = if batch.clear { live_before } else { 0 };
        for (index, operation) in batch.operations.iter().enumerate() {
            let op = BatchedOperation { slot, batch, operation, index };
            let outcome = match self.apply_operation(op, &mut tally) {
                Err(error) if batch.bad_records == BadRecords::Quarantine && is_about_record(&error) => {
                    self.quarantine(op, error.to_string(), &mut tally)?;
                    WriteOutcome::Rejected
                }
                outcome => outcome.map_err(|error| {
                    if is_about_record(&error) {
                        error.with("stream", &batch.stream).with("record", index)
                    } else {
                        error
                    }
                })?,
            };
            tally.count(outcome);
        }
        if batch.run.is_some() && tally.commit.outcomes.iter().any(|outcome| *outcome != WriteOutcome::Missing) {
            self.note_met(slot);
        }
        for step in &batch.run_steps {
            match step {
                RunStep::Begin => {}
                RunStep::Complete(guard) => tally.commit.deleted += self.complete_run(slot, guard)?,
                RunStep::Abort => self.abort_run(slot)?,
                RunStep::ListUnseen(limit) => tally.commit.unseen = Some(self.list_unseen(slot, *limit)?),
            }
        }
        let token_key = self.shared.token_key(&batch.stream);
        tally.commit.cursor = token_key.cursor(self.stream(slot).state.last, 0);
        for key in &batch.summaries {
            self.add_to_summary(key, token_key.cursor(before, 0), &tally.commit)?;
        }
        Ok(tally.commit)
    }

    fn apply_operation(&mut self, op: BatchedOperation<'_>, tally: &mut Tally<'_>) -> Result<WriteOutcome> {
        let BatchedOperation { slot, batch, operation, index } = op;
        match &operation.kind {
            WriteKind::Upsert(payload) => {
                check_size(payload)?;
                self.upsert(op, payload, tally)
            }
            WriteKind::Patch(patch) => {
                check_size(patch)?;
                let id = given_id(operation)?;
                let payload = match self.find(slot, id)?.filter(Entry::is_live) {
                    Some(old) => {
                        let old = self.with_payload(slot, &old)?;
                        let Some(stored) = &old.payload else {
                            return Err(Error::new(
                                ErrorKind::NotFound,
                                "the record's payload was pruned: there is nothing to merge into; save it whole",
                            )
                            .with("id", id));
                        };
                        let base = self.shared.decode_payload(&batch.stream, id, stored)?.into_bytes();
                        Bytes::from(content::deep_merge(&base, patch)?)
                    }
                    None => patch.clone(),
                };
                check_size(&payload)?;
                self.upsert(op, &payload, tally)
            }
            WriteKind::Delete => {
                let id = given_id(operation)?;
                tally.note_id(id, index);
                self.delete(op, id)
            }
            WriteKind::Seen => {
                let id = given_id(operation)?;
                let Some(entry) = self.find(slot, id)?.filter(Entry::is_live) else {
                    return Ok(WriteOutcome::Missing);
                };
                self.mark_seen(slot, entry.sequence)?;
                Ok(WriteOutcome::Unchanged)
            }
            WriteKind::SetAside(_, reason) => {
                self.quarantine(op, reason.to_string(), tally)?;
                Ok(WriteOutcome::Rejected)
            }
        }
    }

    fn upsert(&mut self, op: BatchedOperation<'_>, payload: &Bytes, tally: &mut Tally<'_>) -> Result<WriteOutcome> {
        let BatchedOperation { slot, operation, index, .. } = op;
        let payload = without_leading_space(payload);
        let payload = &*payload;
        // The cheap test first. The guessed id is part of the hash, so a wrong guess matches nothing.
        let guessed = match &operation.id {
            Some(id) => Some(Cow::Borrowed(&**id)),
            None => content::guess_id(payload),
        };
        let mut known = None;
        if let Some(id) = &guessed {
            let hash = self.shared.exact.hash(id, payload);
            let key = head_key(id);
            known = Some((key, hash));
            if operation.version.is_none()
                && let Some(head) = self.stream(slot).memory.heads.get(key)
                && head.exact == hash
            {
                tally.note(key, id, index);
                self.mark_seen(slot, head.sequence)?;
                return Ok(WriteOutcome::Unchanged);
            }
        }
        let canonicalizer = &mut self.stream(slot).memory.canonicalizer;
        let canonical = canonicalizer.read(payload)?;
        let fingerprint = canonicalizer.fingerprint();
        let id: Arc<str> = match (&operation.id, canonical.id) {
            (Some(id), _) => Arc::clone(id),
            (None, Some(id)) => id,
            (None, None) => {
                return Err(Error::invalid(
                    "the record has no id: give it an `id` that is a string or an integer, or name one with upsert_as",
                ));
            }
        };
        check_id(&id)?;
        let (key, exact) = match (&guessed, known) {
            (Some(guessed), Some(known)) if **guessed == *id => known,
            _ => (head_key(&id), self.shared.exact.hash(&id, payload)),
        };
        tally.note(key, &id, index);
        let hashes = Hashes {
            exact,
            canonical: canonical.hash,
            algorithm: self.algorithm(slot, fingerprint)?,
            length: payload.len() as u64,
        };
        let old = self.find_hashed(slot, &id, key)?;
        let refused = self.refused(op, old.as_ref())?;
        if refused == Some(WriteOutcome::Stale) {
            return Ok(WriteOutcome::Stale);
        }
        // Equal content is not a change, whatever the merge rule, and also without a cached head. A payload that was pruned
        // is not there: it comes as a change, or readers that are past it would not have it.
        let is_whole = |old: &&Entry| old.pruned_at.is_none() || mutant!("pruned-payload-stays-away");
        if let Some(old) = old.as_ref().filter(|old| old.is_live()).filter(is_whole)
            && self.same_content(slot, old, &hashes, payload)?
        {
            self.keep(op, old, exact)?;
            return Ok(WriteOutcome::Unchanged);
        }
        match (refused, old) {
            (Some(outcome), _) => Ok(outcome),
            (None, None) => {
                self.check_unpruned(op, &id)?;
                self.add(op, (id, key), hashes, payload)
            }
            (None, Some(old)) if !old.is_live() => self.revive(op, old, hashes, payload),
            (None, Some(old)) => self.change(op, old, hashes, payload),
        }
    }

    /// Refuses to add what may have been deleted behind the position that the batch's merging goes by, where the
    /// tombstone that would tell was pruned since.
    fn check_unpruned(&self, op: BatchedOperation<'_>, id: &str) -> Result<()> {
        let BatchedOperation { slot, batch, .. } = op;
        let horizon = self.open_stream(slot).state.horizon.ulid;
        match batch.merging.cursor() {
            Some(cursor) if cursor.position() < horizon && !cursor.is_start() && !batch.clear => {
                if mutant!("pruned-comes-back") {
                    return Ok(());
                }
                Err(Error::new(
                    ErrorKind::Conflict,
                    "the record is unknown, but records that were deleted since the position of the batch's merging have been pruned: \
                     fetch it again, and save it by a position noted just before",
                )
                .with("stream", &batch.stream)
                .with("id", id))
            }
            _ => Ok(()),
        }
    }

    /// Whether the stored record outranks the operation.
    fn refused(&mut self, op: BatchedOperation<'_>, old: Option<&Entry>) -> Result<Option<WriteOutcome>> {
        let Some(old) = old else { return Ok(None) };
        let BatchedOperation { slot, batch, operation, .. } = op;
        let stale = !mutant!("source-version-ignored")
            && matches!((&operation.version, &old.extra.version), (Some(new), Some(old)) if older(new, old))
            && !self.still_seen(op, old);
        let kept = match &batch.merging {
            Merging::Override => false,
            Merging::IgnoreIfModifiedAfter(cursor) => old.position.ulid > cursor.position(),
            Merging::KeepOthersAfter(cursor) => {
                let by_others = old.extra.origin != batch.origin || mutant!("own-writes-kept");
                by_others && old.position.ulid > cursor.position() && !mutant!("freshness-fence-ignored")
            }
        };
        if !stale && !kept {
            return Ok(None);
        }
        if old.is_live() {
            self.mark_seen(slot, old.sequence)?;
        }
        Ok(Some(if stale { WriteOutcome::Stale } else { WriteOutcome::Kept }))
    }

    /// Whether a run that reads everything saves a deleted record at the very version of its delete: where versions cannot
    /// tell, the list has the last word.
    fn still_seen(&self, op: BatchedOperation<'_>, old: &Entry) -> bool {
        let BatchedOperation { slot, operation, .. } = op;
        let saves = matches!(operation.kind, WriteKind::Upsert(_) | WriteKind::Patch(_));
        let tie = || operation.version.as_ref().map(changes::of_delete) == old.extra.version;
        saves && self.open_stream(slot).in_run && !old.is_live() && tie()
    }
}

/// Whether an error concerns one record of the batch, so that the others can be kept.
fn is_about_record(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound)
}

fn given_id(operation: &Operation) -> Result<&Arc<str>> {
    let id = operation.id.as_ref().ok_or_else(|| Error::invalid("the operation names no record"))?;
    check_id(id)?;
    Ok(id)
}

fn check_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        let shown: String = id.chars().take(32).collect();
        return Err(Error::invalid(format!(
            "a record's id must have 1 to {MAX_ID_BYTES} bytes, this one has {}",
            id.len()
        ))
        .with("id", format!("{shown:?}")));
    }
    Ok(())
}

fn check_size(payload: &[u8]) -> Result<()> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Error::invalid(format!(
            "a record may have {MAX_PAYLOAD_BYTES} bytes, this one has {}; leave its large members out",
            payload.len()
        )));
    }
    Ok(())
}

/// What is stored plainly begins with `{`: everything else is a codec's.
fn without_leading_space(payload: &Bytes) -> Cow<'_, Bytes> {
    match payload.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count() {
        0 => Cow::Borrowed(payload),
        space => Cow::Owned(payload.slice(space..)),
    }
}

fn older(new: &SourceVersion, old: &SourceVersion) -> bool {
    match (new, old) {
        (SourceVersion::Number(new), SourceVersion::Number(old)) => new < old,
        (SourceVersion::Text(new), SourceVersion::Text(old)) => new < old && !mutant!("text-versions-equal"),
        (SourceVersion::Number(_), SourceVersion::Text(_)) => mutant!("kinds-of-versions-compare"),
        (SourceVersion::Text(_), SourceVersion::Number(_)) => false,
    }
}
