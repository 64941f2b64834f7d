//! Whether content is the same, even if the stream's content rules have changed.

use crate::backend::BackendWrite;
use crate::content;
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::{Entry, Hashes};
use crate::log::transaction::{StreamSlot, Transaction};
use crate::mutants::mutant;

/// Fingerprints of content rules a stream can have had; a row names its own in one byte.
const MAX_ALGORITHMS: usize = 255;

impl<W: BackendWrite> Transaction<'_, W> {
    /// Whether a live record has the same content as the given hashes and payload.
    pub(super) fn same_content(&mut self, slot: StreamSlot, old: &Entry, new: &Hashes, payload: &[u8]) -> Result<bool> {
        if old.hashes.exact == new.exact {
            return Ok(true);
        }
        if old.hashes.algorithm == new.algorithm || mutant!("hashes-of-other-rules") {
            return Ok(old.hashes.canonical == new.canonical);
        }
        // The rules changed since: compare both under the current rules.
        let stored = self.with_payload(slot, old)?;
        let Some(stored) = stored.payload else { return Ok(false) };
        let stream = self.open_stream(slot);
        let before = self.shared.decode_payload(&stream.key, &old.id, &stored)?.into_bytes();
        let rules = &stream.memory.options.rules;
        Ok(content::canonical(rules, &before)?.hash == content::canonical(rules, payload)?.hash)
    }

    /// The number under which the stream knows the rules with this fingerprint.
    pub(super) fn algorithm(&mut self, slot: StreamSlot, fingerprint: u32) -> Result<u8> {
        let algorithms = &mut self.stream(slot).state.algorithms;
        let index = match algorithms.iter().position(|known| *known == fingerprint) {
            Some(index) => index,
            None if algorithms.len() >= MAX_ALGORITHMS => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the stream's content rules were changed more than 254 times; clear the stream to change them again",
                ));
            }
            None => {
                algorithms.push(fingerprint);
                algorithms.len() - 1
            }
        };
        u8::try_from(index).map_err(|_| Error::corrupt("a stream has too many content rules"))
    }
}
