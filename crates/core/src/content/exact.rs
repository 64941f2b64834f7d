//! The cheap test that comes first: are these exactly the bytes that were stored?

use polyval::Polyval;
use polyval::universal_hash::UniversalHash;

/// Hashes exact bytes under a key of the store's own.
///
/// POLYVAL (RFC 8452) is a universal hash: without the key, any two records collide with a probability of at most the number of
/// their 16-byte blocks in 2^128. It costs a fraction of BLAKE3 on processors with carry-less multiplication.
#[derive(Clone)]
pub struct ExactHasher(Polyval);

impl ExactHasher {
    /// The hasher of the store with this secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut key = [0; 16];
        blake3::Hasher::new_keyed(secret).update(b"highwater exact 1").finalize_xof().fill(&mut key);
        ExactHasher(Polyval::new(&key.into()))
    }

    /// The hash of a record's id and its payload's exact bytes.
    pub fn hash(&self, id: &str, payload: &[u8]) -> [u8; 16] {
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&(id.len() as u64).to_le_bytes());
        lengths[8..].copy_from_slice(&(payload.len() as u64 | 1 << 63).to_le_bytes());
        let mut state = self.0.clone();
        state.update_padded(id.as_bytes());
        state.update_padded(payload);
        // Without the lengths, padding and the border between the two would be ambiguous; the bit
        // set in them keeps zeros from hashing to zero.
        state.update(&[lengths.into()]);
        state.finalize().into()
    }
}

impl std::fmt::Debug for ExactHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExactHasher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn p34_exact_hashes_tell_ids_payloads_and_stores_apart(
            a in ("[a-c]{0,3}", "[a-c\\x00]{0,40}"), b in ("[a-c]{0,3}", "[a-c\\x00]{0,40}")
        ) {
            let hasher = ExactHasher::new(&[7; 32]);
            let (first, second) = (hasher.hash(&a.0, a.1.as_bytes()), hasher.hash(&b.0, b.1.as_bytes()));
            prop_assert_eq!(first == second, a == b);
            prop_assert_ne!(ExactHasher::new(&[8; 32]).hash(&a.0, a.1.as_bytes()), first);
        }
    }

    #[test]
    fn p34_padding_and_borders_count() {
        let hasher = ExactHasher::new(&[7; 32]);
        let texts: [(&str, &[u8]); 7] =
            [("", b""), ("a", b""), ("", b"a"), ("", b"\0"), ("\0", b""), ("a\0", b"b"), ("a", b"\0b")];
        for (place, (id, payload)) in texts.iter().enumerate() {
            for (other_id, other_payload) in &texts[..place] {
                assert_ne!(hasher.hash(id, payload), hasher.hash(other_id, other_payload), "{id:?} {payload:?}");
            }
        }
    }
}
