//! Index entries that wait to be written.
//!
//! They are appended to one list, so that adding one touches no cold memory. A table of a quarter of their size finds them by
//! the hash of the id.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use crate::log::index_key::{AlreadyHashed, IndexKey};

/// Each id's newest sequence number.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    entries: Vec<(IndexKey, u64)>,
    /// The first entry with a hash.
    places: HashMap<u64, usize, BuildHasherDefault<AlreadyHashed>>,
    /// Entries whose hash another one had before.
    others: BTreeMap<IndexKey, u64>,
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.others.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn reserve(&mut self, entries: usize) {
        self.entries.reserve(entries);
        self.places.reserve(entries);
    }

    pub(crate) fn get(&self, key: &IndexKey) -> Option<u64> {
        let (first, sequence) = self.entries.get(*self.places.get(&key.head_key())?)?;
        if first == key { Some(*sequence) } else { self.others.get(key).copied() }
    }

    /// Sets the id's sequence number.
    pub(crate) fn insert(&mut self, key: IndexKey, sequence: u64) {
        match self.places.entry(key.head_key()) {
            Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push((key, sequence));
            }
            Entry::Occupied(place) => match self.entries.get_mut(*place.get()) {
                Some((first, known)) if *first == key => *known = sequence,
                _ => drop(self.others.insert(key, sequence)),
            },
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Waiting::default();
    }

    /// Takes over the entries of `newer`.
    pub(crate) fn append(&mut self, newer: Waiting) {
        for (key, sequence) in newer.entries.into_iter().chain(newer.others) {
            self.insert(key, sequence);
        }
    }

    /// All entries, in order.
    pub(crate) fn into_sorted(self) -> Vec<(IndexKey, u64)> {
        let mut entries = self.entries;
        entries.extend(self.others);
        entries.sort_unstable();
        entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Equal hashes included: the author of the ids can make those too.
        #[test]
        fn entries_are_found_and_the_newest_counts(ids in proptest::collection::vec(("[a-d]{1,2}", 0_u64..3), 0..40), cut in 0_usize..40) {
            let keys: Vec<_> = ids.iter().map(|(id, hash)| IndexKey::hashed(&format!("{id}{hash}"), *hash)).collect();
            let (mut older, mut newer, mut model) = (Waiting::default(), Waiting::default(), BTreeMap::new());
            for (sequence, key) in keys.iter().enumerate() {
                let part = if sequence < cut { &mut older } else { &mut newer };
                part.insert(*key, sequence as u64);
                prop_assert_eq!(part.get(key), Some(sequence as u64));
                model.insert(*key, sequence as u64);
            }
            older.append(newer);
            prop_assert_eq!(older.len(), model.len());
            for (key, sequence) in &model {
                prop_assert_eq!(older.get(key), Some(*sequence));
            }
            prop_assert_eq!(older.get(&IndexKey::hashed("none", 1)), None);
            prop_assert_eq!(older.into_sorted(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
