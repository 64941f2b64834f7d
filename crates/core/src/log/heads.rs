//! Where each record's row is and what its bytes hash to, in memory, within a budget: most records that a sync brings are
//! unchanged, and this proves it without reading the disk.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::log::index_key::AlreadyHashed;

/// What one remembered record costs, the map's spare room included.
pub(crate) const BYTES_PER_HEAD: usize = 56;

/// Many small maps grow one at a time, so that growing never doubles the memory in use.
const SHARDS: usize = 64;

/// A remembered record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownHead {
    pub(crate) sequence: u64,
    /// Hash of id and exact bytes; zeros (never equal) for a record that is deleted or has no payload.
    pub(crate) exact: [u8; 16],
}

/// The remembered records of one stream.
#[derive(Debug)]
pub(crate) struct Heads {
    shards: Vec<HashMap<u64, KnownHead, BuildHasherDefault<AlreadyHashed>>>,
    length: usize,
    /// Whether every record is here, so that an id that is not has no record.
    complete: bool,
    /// Lookups that had to go to the disk since the last load.
    pub(crate) misses: u64,
}

impl Heads {
    pub(crate) fn new(complete: bool) -> Self {
        Heads { shards: (0..SHARDS).map(|_| HashMap::default()).collect(), length: 0, complete, misses: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn get(&self, key: u64) -> Option<KnownHead> {
        self.shards[shard(key)].get(&key).copied()
    }

    /// Remembers a record, where there is room for a new one.
    pub(crate) fn set(&mut self, key: u64, head: KnownHead, room: bool) {
        let shard = &mut self.shards[shard(key)];
        if room {
            self.length += usize::from(shard.insert(key, head).is_none());
        } else if let Some(known) = shard.get_mut(&key) {
            *known = head;
        } else {
            self.complete = false;
        }
    }

    /// Two ids share a key: from now on an unknown key proves nothing.
    pub(crate) fn note_collision(&mut self) {
        self.complete = false;
    }
}

/// The map finds a bucket by a key's lowest bits and compares its highest seven there: keys of one shard must not share those.
fn shard(key: u64) -> usize {
    (key >> 51) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::log::index_key::head_key;

    #[test]
    fn keys_of_a_shard_differ_in_the_bits_that_its_map_compares() {
        let mut compared: Vec<HashSet<u64>> = vec![HashSet::new(); SHARDS];
        for number in 0..SHARDS * 1000 {
            let key = head_key(&number.to_string());
            compared[shard(key)].insert(key >> 57);
        }
        assert!(compared.iter().all(|bits| bits.len() > 100), "{compared:?}");
    }
}
