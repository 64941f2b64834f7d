//! When each sync is due. The cost of a check does not grow with the number of syncs that are not due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::documents::SyncKey;
use highwater_core::Timestamp;

/// A heap of due times, one per sync; a newer time for a sync makes its older one void.
#[derive(Debug, Default)]
pub(super) struct Due {
    heap: BinaryHeap<Reverse<(Timestamp, u64)>>,
    keys: HashMap<u64, SyncKey>,
    tickets: HashMap<SyncKey, (u64, Timestamp)>,
    last_ticket: u64,
}

impl Due {
    /// Sets when a sync is due.
    pub(super) fn set(&mut self, key: &SyncKey, at: Timestamp) {
        self.remove(key);
        self.last_ticket += 1;
        self.heap.push(Reverse((at, self.last_ticket)));
        self.keys.insert(self.last_ticket, key.clone());
        self.tickets.insert(key.clone(), (self.last_ticket, at));
        // Void entries sink to the bottom of the heap: once they are the majority, it is rebuilt.
        if self.heap.len() > 64 && self.heap.len() > self.keys.len() * 2 {
            let keys = &self.keys;
            self.heap.retain(|Reverse((_, ticket))| keys.contains_key(ticket));
        }
    }

    pub(super) fn remove(&mut self, key: &SyncKey) {
        if let Some((ticket, _)) = self.tickets.remove(key) {
            self.keys.remove(&ticket);
        }
    }

    /// Takes a sync that is due by `now`, the longest due first.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<SyncKey> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, ticket)) = self.heap.pop()?;
        let key = self.keys.remove(&ticket)?;
        self.tickets.remove(&key);
        Some(key)
    }

    /// When the next one is due.
    pub(super) fn next(&mut self) -> Option<Timestamp> {
        loop {
            let Reverse((at, ticket)) = *self.heap.peek()?;
            if self.keys.contains_key(&ticket) {
                return Some(at);
            }
            self.heap.pop();
        }
    }

    pub(super) fn at(&self, key: &SyncKey) -> Option<Timestamp> {
        self.tickets.get(key).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_due_comes_first_and_only_once() {
        let key = |n: u64| SyncKey::new("c", &format!("p/{n}")).unwrap();
        let (at, mut due) = (Timestamp::from_unix_ms, Due::default());
        for n in 0..100 {
            due.set(&key(n), at(1000 - n));
        }
        for _ in 0..500 {
            due.set(&key(7), at(2000));
        }
        assert!(due.heap.len() <= 201, "void entries do not pile up");
        due.remove(&key(99));
        assert_eq!((due.next(), due.at(&key(7))), (Some(at(902)), Some(at(2000))));
        assert_eq!(due.pop(at(900)), None);
        assert_eq!(due.pop(at(902)), Some(key(98)));
        let mut rest = Vec::new();
        while let Some(key) = due.pop(at(5000)) {
            rest.push(key);
        }
        assert_eq!((rest.len(), &rest[0], rest.last()), (98, &key(97), Some(&key(7))));
        assert_eq!(due.next(), None);
    }
}
