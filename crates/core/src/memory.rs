//! The reference backend: everything in maps, gone with the last handle.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::{Backend, BackendRead, BackendReader, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow};
use crate::error::Result;
use crate::options::StoreOptions;
use crate::row_codec::{decode_row, encode_row, index_key, row_key, sequence_of_key};
use crate::store::Capabilities;
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
    /// An empty store.
    pub fn new() -> Result<Self> {
        MemoryStore::with_options(StoreOptions::new())
    }

    /// An empty store with options.
    pub fn with_options(options: StoreOptions) -> Result<Self> {
        Threaded::open(MemoryBackend::default(), options)
    }
}

/// Storage in memory. A clone is another handle to the same data, which lets a test close a store
/// and open it again.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend(Arc<RwLock<Data>>);

/// The log, the index, the two tables: each ordered by key.
#[derive(Clone, Debug, Default)]
struct Data {
    maps: [BTreeMap<Vec<u8>, Vec<u8>>; 4],
}

const LOG: usize = 2;
const INDEX: usize = 3;

fn table(table: Table) -> usize {
    match table {
        Table::State => 0,
        Table::History => 1,
    }
}

impl MemoryBackend {
    /// A copy of the data as it is now, sharing nothing: a backup.
    #[must_use]
    pub fn backup(&self) -> Self {
        MemoryBackend(Arc::new(RwLock::new(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())))
    }
}

impl Backend for MemoryBackend {
    type Write<'a> = MemoryWrite<'a>;
    type Reader = MemoryBackend;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("memory")
    }

    fn begin(&mut self) -> Result<MemoryWrite<'_>> {
        let data = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Ok(MemoryWrite { data, undo: Vec::new() })
    }

    fn reader(&self) -> Result<Option<MemoryBackend>> {
        Ok(Some(self.clone()))
    }

    fn compact(&mut self) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl BackendReader for MemoryBackend {
    type Snapshot<'a> = MemorySnapshot<'a>;

    fn snapshot(&mut self) -> Result<MemorySnapshot<'_>> {
        Ok(MemorySnapshot(self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn version(&mut self) -> Result<u64> {
        Ok(0)
    }
}

/// A consistent view: writers wait while it lives.
#[derive(Debug)]
pub struct MemorySnapshot<'a>(RwLockReadGuard<'a, Data>);

/// A write transaction. What it overwrote is put back unless it commits.
#[derive(Debug)]
pub struct MemoryWrite<'a> {
    data: RwLockWriteGuard<'a, Data>,
    undo: Vec<(usize, Vec<u8>, Option<Vec<u8>>)>,
}

impl MemoryWrite<'_> {
    fn set(&mut self, map: usize, key: Vec<u8>, value: Option<Vec<u8>>) {
        let old = match value {
            Some(value) => self.data.maps[map].insert(key.clone(), value),
            None => self.data.maps[map].remove(&key),
        };
        self.undo.push((map, key, old));
    }
}

impl Drop for MemoryWrite<'_> {
    fn drop(&mut self) {
        for (map, key, old) in self.undo.drain(..).rev() {
            match old {
                Some(value) => self.data.maps[map].insert(key, value),
                None => self.data.maps[map].remove(&key),
            };
        }
    }
}

impl Data {
    fn range(&self, map: usize, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        if from >= until {
            return Ok(());
        }
        for (key, value) in self.maps[map].range::<[u8], _>((Bound::Included(from), Bound::Excluded(until))) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan(&self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        let (from, until) = (row_key(stream, scan.from), row_key(stream + 1, 0));
        self.range(LOG, &from, &until, &mut |key, value| {
            let row = decode_row(sequence_of_key(key)?, value)?;
            visit(&LogRow { payload: row.payload.filter(|_| scan.payload), ..row })
        })
    }

    fn row(&self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        let Some(value) = self.maps[LOG].get(row_key(stream, sequence).as_slice()) else { return Ok(false) };
        let row = decode_row(sequence, value)?;
        let _: ControlFlow<()> = visit(&LogRow { payload: row.payload.filter(|_| payload), ..row })?;
        Ok(true)
    }

    fn index(&self, stream: u32, key: &[u8]) -> Option<u64> {
        let value = self.maps[INDEX].get(&index_key(stream, key))?;
        value.as_slice().try_into().ok().map(u64::from_be_bytes)
    }
}

macro_rules! read_from {
    ($type:ty, $field:tt) => {
        impl BackendRead for $type {
            fn get(&mut self, of: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
                Ok(self.$field.maps[table(of)].get(key).cloned())
            }
            fn range(&mut self, of: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
                self.$field.range(table(of), from, until, visit)
            }
            fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
                self.$field.scan(stream, scan, visit)
            }
            fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
                self.$field.row(stream, sequence, payload, visit)
            }
            fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
                Ok(self.$field.index(stream, key))
            }
        }
    };
}

read_from!(MemorySnapshot<'_>, 0);
read_from!(MemoryWrite<'_>, data);

impl BackendWrite for MemoryWrite<'_> {
    fn put(&mut self, of: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.set(table(of), key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, of: Table, key: &[u8]) -> Result<()> {
        self.set(table(of), key.to_vec(), None);
        Ok(())
    }

    fn put_row(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()> {
        let mut value = Vec::with_capacity(128 + row.payload.map_or(0, <[u8]>::len));
        encode_row(row, &mut value);
        self.set(LOG, row_key(stream, row.sequence).to_vec(), Some(value));
        Ok(())
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.set(LOG, row_key(stream, sequence).to_vec(), None);
        Ok(())
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        self.set(INDEX, index_key(stream, key), Some(sequence.to_be_bytes().to_vec()));
        Ok(())
    }

    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.set(INDEX, index_key(stream, key), None);
        Ok(())
    }

    fn commit(mut self) -> Result<()> {
        self.undo.clear();
        Ok(())
    }
}
