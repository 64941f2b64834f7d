//! The key under which an id stands in the index, with a hash of the id that is made once.

use std::cmp::Ordering;
use std::hash::Hasher;
use std::ops::Deref;

use siphasher::sip::SipHasher13;

/// The longest id that is its own index key, in bytes.
const MAX_PLAIN: usize = 40;

/// The beginning of a longer id that its key shows.
const SHOWN: usize = 24;

/// An id's index key: the id, or of a long one its beginning and a hash.
///
/// Stored inline: hundreds of thousands of keys wait at a time, and an allocation each costs more than the space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexKey {
    hash: u64,
    length: u8,
    bytes: [u8; MAX_PLAIN + 1],
}

impl IndexKey {
    pub(crate) fn new(id: &str) -> Self {
        IndexKey::hashed(id, head_key(id))
    }

    /// The key of an id whose [`head_key`] is known.
    pub(crate) fn hashed(id: &str, hash: u64) -> Self {
        let mut bytes = [0; MAX_PLAIN + 1];
        let length = if id.len() <= MAX_PLAIN {
            bytes[..id.len()].copy_from_slice(id.as_bytes());
            id.len()
        } else {
            bytes[..SHOWN].copy_from_slice(&id.as_bytes()[..SHOWN]);
            bytes[SHOWN..MAX_PLAIN].copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
            // No id that is its own key is as long or ends so.
            bytes[MAX_PLAIN] = u8::MAX;
            MAX_PLAIN + 1
        };
        IndexKey { hash, length: length as u8, bytes }
    }

    /// The id's [`head_key`].
    pub(crate) fn head_key(&self) -> u64 {
        self.hash
    }
}

impl Deref for IndexKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl PartialEq for IndexKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && **self == **other
    }
}

impl Eq for IndexKey {}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for IndexKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

/// A hash of an id: what remembered records are found by.
pub(crate) fn head_key(id: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6869_6768_7761_7465, 0x7220_6865_6164_7321);
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// Passes a key that is a hash already on as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_differ_where_ids_do(a in "[ab]{0,3}|[ab]{38,43}", b in "[ab]{0,3}|[ab]{38,43}") {
            let (one, other) = (IndexKey::new(&a), IndexKey::new(&b));
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a == b, *one == *other);
            prop_assert!(one.len() <= 64);
        }
    }
}
