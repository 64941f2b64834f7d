//! A store over maps that are replaced at each commit.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use highwater_core::backend::{Backend, BackendReader, VisitEntry};
use highwater_core::key_value::{Changes, KeyValueRead, KeyValueWrite, Map, Overlay};
use highwater_core::{Capabilities, Compaction, Result};

type Maps = [BTreeMap<Vec<u8>, Vec<u8>>; 4];

/// The current maps. A clone is another handle to the same shelf.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<Arc<Maps>>>);

impl Shelf {
    /// Returns a shelf with the current maps that later commits to this one do not change.
    pub fn copy(&self) -> Self {
        Shelf(Arc::new(Mutex::new(self.now())))
    }

    fn now(&self) -> Arc<Maps> {
        Arc::clone(&self.0.lock().unwrap())
    }
}

/// A snapshot of the maps, and the shelf it was taken from.
#[derive(Debug)]
pub struct View {
    shelf: Shelf,
    maps: Arc<Maps>,
}

impl KeyValueRead for View {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.maps[map as usize].get(key).map_or(Ok(()), |value| visit(value))
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        let range = (Bound::Included(from), Bound::Excluded(until));
        for (key, value) in self.maps[map as usize].range::<[u8], _>(range) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl KeyValueWrite for View {
    fn apply(self, mut changes: Changes) -> Result<()> {
        let mut maps = Maps::clone(&self.maps);
        for map in Map::ALL {
            for (key, value) in changes.take(map) {
                match value {
                    Some(value) => maps[map as usize].insert(key, value),
                    None => maps[map as usize].remove(&key),
                };
            }
        }
        // A store on disk writes and flushes here. Only then:
        *self.shelf.0.lock().unwrap() = Arc::new(maps);
        Ok(())
    }
}

impl Backend for Shelf {
    type Write<'a> = Overlay<View>;
    type Reader = Shelf;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("shelf")
    }

    fn begin(&mut self) -> Result<Overlay<View>> {
        Ok(Overlay::new(View { shelf: self.clone(), maps: self.now() }))
    }

    fn reader(&self) -> Result<Option<Shelf>> {
        Ok(Some(self.clone()))
    }

    fn compact(&mut self) -> Result<Compaction> {
        Ok(Compaction::Automatic)
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl BackendReader for Shelf {
    type Snapshot<'a> = Overlay<View>;

    fn snapshot(&mut self) -> Result<Overlay<View>> {
        Ok(Overlay::new(View { shelf: self.clone(), maps: self.now() }))
    }

    fn version(&mut self) -> Result<u64> {
        Ok(0) // one process: the core knows about its own commits
    }
}
