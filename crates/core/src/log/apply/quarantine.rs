//! Records that cannot be stored, set aside so that the others of their batch can be.

use bytes::Bytes;

use super::check_id;
use super::tally::Tally;
use crate::backend::BackendWrite;
use crate::batch::{Operation, OperationKind, Rejected, StreamBatch};
use crate::content;
use crate::error::{Error, Result};
use crate::log::entry::Entry;
use crate::log::transaction::Transaction;

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
                if let Some(entry) = self.find(place, id)?.filter(Entry::is_live) {
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
        let name = known
            .clone()
            .unwrap_or_else(|| format!("{:032x}", self.shared_hash(payload.map_or(&[], |payload| payload))));
        let document = serde_json::json!({
            "stream": batch.stream.to_string(), "id": known, "reason": error.to_string(),
            "at_ms": self.shared.environment.now_ms(), "payload": excerpt,
        });
        let name: String = name.chars().take(200).collect();
        let key = format!("quarantine/{}/{}", self.stream(place).state.number, name);
        self.set_document(&key, Some(&Bytes::from(document.to_string())))?;
        tally.commit.rejected.push(Rejected { index, reason: error.to_string() });
        Ok(())
    }

    fn shared_hash(&self, bytes: &[u8]) -> u128 {
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        u128::from_be_bytes(hash)
    }
}
