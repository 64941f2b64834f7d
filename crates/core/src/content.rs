//! What a record's content is: its id, its hashes, its members.
//!
//! Everything here works on the JSON text itself; no tree of values is built. The canonical
//! encoding is written down in `docs/content-hash.md`, with test vectors.

mod canonical;
mod encode;
mod exact;
mod id;
mod merge;
mod number;
pub mod outline;
mod scan;
mod shapes;

use serde::{Deserialize, Serialize};

pub use canonical::{Canonical, Canonicalizer, canonical, canonical_eq};
#[doc(hidden)]
pub use exact::ExactHasher;
pub use id::guess_id;
pub use merge::deep_merge;

use crate::error::{Error, Result};

/// Grows when the canonical encoding changes.
const ALGORITHM: u32 = 1;

/// What counts as a change of content.
///
/// ```
/// use highwater_core::ContentRules;
/// let rules = ContentRules::new().ignoring("/fetched_at")?;
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRules {
    ignored: Vec<String>,
}

impl ContentRules {
    /// Returns rules by which everything counts.
    pub fn new() -> Self {
        ContentRules::default()
    }

    /// Leaves the value at a JSON pointer (RFC 6901) out of change detection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a text that does not begin with a slash.
    pub fn ignoring(mut self, pointer: impl Into<String>) -> Result<Self> {
        let pointer = pointer.into();
        if !pointer.starts_with('/') {
            return Err(Error::invalid("a JSON pointer begins with a slash").with("pointer", pointer));
        }
        self.ignored.push(pointer);
        self.ignored.sort();
        self.ignored.dedup();
        Ok(self)
    }

    /// Returns the pointers that are left out, sorted.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Tells rules apart: hashes compare only under equal fingerprints. The same in every process.
    pub fn fingerprint(&self) -> u32 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&ALGORITHM.to_be_bytes());
        for pointer in &self.ignored {
            hasher.update(&(pointer.len() as u64).to_be_bytes());
            hasher.update(pointer.as_bytes());
        }
        let mut bytes = [0; 4];
        hasher.finalize_xof().fill(&mut bytes);
        u32::from_be_bytes(bytes)
    }
}

/// Tells the hashes of checksums from every other.
const CHECKSUM_KEY: &[u8; 32] = b"highwater checksum of a record 1";

/// What one live record adds to its stream's checksum (modulo 2^128), from its canonical hash.
pub fn record_checksum(id: &str, canonical: &[u8; 16]) -> u128 {
    // One block of BLAKE3 holds the ids that there are, nearly always; so no hasher is set up.
    let mut block = [0; 64];
    let length = canonical.len() + id.len();
    let hash = match block.get_mut(..length) {
        Some(room) => {
            let (hash, rest) = room.split_at_mut(canonical.len());
            hash.copy_from_slice(canonical);
            rest.copy_from_slice(id.as_bytes());
            blake3::keyed_hash(CHECKSUM_KEY, room)
        }
        None => blake3::keyed_hash(CHECKSUM_KEY, &[canonical, id.as_bytes()].concat()),
    };
    u128::from_be_bytes(first_half(&hash))
}

fn first_half(hash: &blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}
