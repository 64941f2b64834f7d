//! Records that cannot be stored, set aside so that the others of their batch can be.

use std::borrow::Cow;

use bytes::Bytes;

use super::check_id;
use super::tally::Tally;
use crate::backend::BackendWrite;
use crate::batch::{Operation, OperationKind, Rejected, StreamBatch};
use crate::content;
use crate::error::{Error, Result};
use crate::log::entry::Entry;
use crate::log::transaction::Transaction;
use crate::mutants::mutant;

/// The longest part of a key, in bytes, that comes from an id.
const MAX_KEY_PART: usize = 200;

impl<W: BackendWrite> Transaction<'_, W> {
    /// Sets an operation aside, with the reason. The record it names counts as seen.
    pub(super) fn quarantine(
        &mut self,
        place: usize,
        batch: &StreamBatch,
        operation: &Operation,
        index: usize,
        error: &Error,
        tally: &mut Tally<'_>,
    ) -> Result<()> {
        let (payload, known) = match &operation.kind {
            OperationKind::Upsert(payload) | OperationKind::Patch(payload) => {
                let guessed = content::guess_id(payload).map(|id| id.into_owned());
                (Some(payload), operation.id.as_ref().map(|id| id.to_string()).or(guessed))
            }
            OperationKind::Delete | OperationKind::Seen => (None, operation.id.as_ref().map(|id| id.to_string())),
        };
        let known = known.filter(|id| check_id(id).is_ok());
        // The source still has the record: that it was unreadable must not delete it.
        match &known {
            Some(id) => {
                let entry = self.find(place, id)?.filter(Entry::is_live);
                if let Some(entry) = entry.filter(|_| !mutant!("quarantine-unseen")) {
                    self.mark_seen(place, entry.sequence)?;
                }
            }
            None => self.note_unidentified(place),
        }
        // What a codec would hide does not lie open here.
        let excerpt: String = payload
            .filter(|_| self.shared.codec.is_none())
            .map(|payload| String::from_utf8_lossy(&payload[..payload.len().min(65_536)]).into_owned())
            .unwrap_or_default();
        let name =
            known.clone().unwrap_or_else(|| format!("{:032x}", short_hash(payload.map_or(&[], |payload| payload))));
        let document = serde_json::json!({
            "stream": batch.stream.to_string(), "id": known, "reason": error.to_string(),
            "at_ms": self.shared.environment.now_ms(), "payload": excerpt,
        });
        let key = format!("quarantine/{}/{}", self.open_stream(place).state.number, key_part(&name));
        // The number must stay the stream's, also when it has nothing else yet.
        if !mutant!("quarantine-without-stream") {
            self.need(place);
        }
        self.set_document(&key, Some(&Bytes::from(document.to_string())))?;
        tally.commit.rejected.push(Rejected { index, reason: error.to_string() });
        Ok(())
    }
}

/// An id as part of a document's key. One that is too long is told apart from others by its hash.
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
