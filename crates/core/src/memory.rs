//! The reference backend: everything in maps, gone with the last handle.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::{Backend, BackendReader, VisitEntry};
use crate::capabilities::Capabilities;
use crate::error::Result;
use crate::key_value::{Changes, KeyValueRead, KeyValueWrite, Map, Overlay};
use crate::locks::{read, write};
use crate::maintenance::Compaction;
use crate::options::StoreOptions;
use crate::threaded::Threaded;

/// A store in memory.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{MemoryStore, Store, StreamKey, WriteBatch};
/// let store = MemoryStore::new()?;
/// let mut batch = WriteBatch::new();
/// batch.on(&StreamKey::new("demo", "Note")).upsert(r#"{"id": "a"}"#);
/// assert_eq!(store.commit(batch).await?.streams[0].added, 1);
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
pub type MemoryStore = Threaded<MemoryBackend>;

impl Threaded<MemoryBackend> {
    /// Opens an empty store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if no thread could be started.
    pub fn new() -> Result<Self> {
        MemoryStore::with_options(StoreOptions::new())
    }

    /// Opens an empty store with options.
    ///
    /// # Errors
    ///
    /// As for [`new`](MemoryStore::new), and [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the options say that the store is
    /// only read: there is nothing to read yet.
    pub fn with_options(options: StoreOptions) -> Result<Self> {
        Threaded::open(MemoryBackend::default(), options)
    }
}

/// Storage in memory. A clone is another handle to the same data, which lets a test close a store
/// and open it again.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend(Arc<RwLock<Data>>);

/// The four maps.
#[derive(Clone, Debug, Default)]
struct Data {
    maps: [BTreeMap<Vec<u8>, Vec<u8>>; 4],
}

impl MemoryBackend {
    /// A copy of the data as it is now, sharing nothing: a backup.
    #[must_use]
    pub fn backup(&self) -> Self {
        MemoryBackend(Arc::new(RwLock::new(read(&self.0).clone())))
    }
}

impl Backend for MemoryBackend {
    type Write<'a> = Overlay<MemoryWrite<'a>>;
    type Reader = MemoryBackend;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("memory").erases(true)
    }

    fn begin(&mut self) -> Result<Overlay<MemoryWrite<'_>>> {
        Ok(Overlay::new(MemoryWrite(write(&self.0))))
    }

    fn reader(&self) -> Result<Option<MemoryBackend>> {
        Ok(Some(self.clone()))
    }

    fn compact(&mut self) -> Result<Compaction> {
        Ok(Compaction::Complete)
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl BackendReader for MemoryBackend {
    type Snapshot<'a> = Overlay<MemorySnapshot<'a>>;

    fn snapshot(&mut self) -> Result<Overlay<MemorySnapshot<'_>>> {
        Ok(Overlay::new(MemorySnapshot(read(&self.0))))
    }

    fn version(&mut self) -> Result<u64> {
        Ok(0)
    }
}

/// A consistent view: writers wait while it lives.
#[derive(Debug)]
pub struct MemorySnapshot<'a>(RwLockReadGuard<'a, Data>);

/// The right to write.
#[derive(Debug)]
pub struct MemoryWrite<'a>(RwLockWriteGuard<'a, Data>);

impl Data {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.maps[map as usize].get(key).map_or(Ok(()), |value| visit(value))
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        for (key, value) in self.maps[map as usize].range::<[u8], _>((Bound::Included(from), Bound::Excluded(until))) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl KeyValueRead for MemorySnapshot<'_> {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.0.get(map, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        self.0.range(map, from, until, visit)
    }
}

impl KeyValueRead for MemoryWrite<'_> {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.0.get(map, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        self.0.range(map, from, until, visit)
    }
}

impl KeyValueWrite for MemoryWrite<'_> {
    fn apply(mut self, mut changes: Changes) -> Result<()> {
        for map in Map::ALL {
            let target = &mut self.0.maps[map as usize];
            for (key, value) in changes.take(map) {
                match value {
                    Some(value) => target.insert(key, value),
                    None => target.remove(&key),
                };
            }
        }
        Ok(())
    }
}
