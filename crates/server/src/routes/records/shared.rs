//! What many event streams of one model have in common: whoever is woken first reads and writes, and the others send the same bytes.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use highwater_core::locks::lock;
use highwater_core::{Actions, Cursor, PageRequest, StreamKey};

/// The most streams whose last piece is kept.
const MOST_STREAMS: usize = 256;
/// The largest piece that is kept, in bytes.
const MOST_BYTES: usize = 16 << 10;
/// The most keys that are remembered as known.
const MOST_KEYS: usize = 1024;

/// The last piece of each stream, and the keys that were known at a wake-up.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    written: Mutex<HashMap<StreamKey, Written>>,
    known: Mutex<HashMap<String, u64>>,
}

/// Everything that followed a cursor, as events: empty where nothing did.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The wake-up after which it was read.
    pub(super) seen: u64,
    pub(super) after: Cursor,
    pub(super) actions: Actions,
    pub(super) piece: Bytes,
    pub(super) next: Cursor,
}

impl Shared {
    /// Returns what another event stream of the same model wrote for this request, after the wake-up `seen` or a later one.
    pub(super) fn find(&self, request: &PageRequest, seen: u64) -> Option<Written> {
        let written = lock(&self.written);
        let found = written.get(&request.stream)?;
        let same = found.after == request.after && found.actions == request.actions;
        (same && found.seen >= seen).then(|| found.clone())
    }

    /// Keeps what was written, for the others.
    pub(super) fn keep(&self, stream: &StreamKey, written: Written) {
        if written.piece.len() > MOST_BYTES {
            return;
        }
        let mut all = lock(&self.written);
        match all.get_mut(stream) {
            Some(known) if known.seen > written.seen => {}
            Some(known) => *known = written,
            None => {
                if all.len() >= MOST_STREAMS {
                    all.clear();
                }
                all.insert(stream.clone(), written);
            }
        }
    }

    /// Returns whether the key was found to be known after the wake-up `seen` or a later one.
    pub(super) fn knows(&self, key: &str, seen: u64) -> bool {
        lock(&self.known).get(key).is_some_and(|known| *known >= seen)
    }

    /// Remembers that a key is known, as was found after the wake-up `seen`.
    pub(super) fn remember(&self, key: &str, seen: u64) {
        let mut all = lock(&self.known);
        match all.get_mut(key) {
            Some(known) => *known = seen.max(*known),
            None => {
                if all.len() >= MOST_KEYS {
                    all.clear();
                }
                all.insert(key.to_owned(), seen);
            }
        }
    }
}
