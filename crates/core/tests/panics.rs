//! A storage library that panics, as they do over damaged files: an error wherever it happens, and no call that waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use highwater_core::backend::{Backend, BackendReader};

use highwater_core::{
    Capabilities, Compaction, ErrorKind, Maintenance, MemoryBackend, Result, Store, StoreExt, StoreOptions, StreamKey,
    Threaded, WriteBatch,
};

/// A backend that other processes may write, and whose readers, or calls with the whole of it, panic once they are damaged.
struct Damaged(MemoryBackend, Arc<AtomicBool>, Arc<AtomicBool>);

struct DamagedReader(<MemoryBackend as Backend>::Reader, Arc<AtomicBool>);

fn panic_if(damaged: &AtomicBool) {
    assert!(!damaged.load(Ordering::SeqCst), "range end index out of range");
}

impl BackendReader for DamagedReader {
    type Snapshot<'a> = <<MemoryBackend as Backend>::Reader as BackendReader>::Snapshot<'a>;
    fn snapshot(&mut self) -> Result<Self::Snapshot<'_>> {
        panic_if(&self.1);
        self.0.snapshot()
    }
    fn version(&mut self) -> Result<u64> {
        panic_if(&self.1);
        self.0.version()
    }
}

impl Backend for Damaged {
    type Write<'a> = <MemoryBackend as Backend>::Write<'a>;
    type Reader = DamagedReader;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().multi_process(true)
    }
    fn begin(&mut self) -> Result<Self::Write<'_>> {
        self.0.begin()
    }
    fn reader(&self) -> Result<Option<DamagedReader>> {
        Ok(self.0.reader()?.map(|reader| DamagedReader(reader, Arc::clone(&self.1))))
    }
    fn compact(&mut self) -> Result<Compaction> {
        panic_if(&self.2);
        self.0.compact()
    }
    fn check_files(&mut self) -> Result<Option<Vec<String>>> {
        panic_if(&self.2);
        self.0.check_files()
    }
    fn size(&self) -> Result<Option<u64>> {
        self.0.size()
    }
    fn close(self) -> Result<()> {
        panic_if(&self.2);
        self.0.close()
    }
}

async fn save(store: &impl Store, id: u32) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.on(&StreamKey::new("demo", "Note")).upsert(format!(r#"{{"id":"{id}"}}"#));
    store.commit(batch).await.map(drop)
}

#[tokio::test]
async fn panics_of_a_storage_library_are_errors() {
    let stream = StreamKey::new("demo", "Note");
    for task in [Maintenance::Compact, Maintenance::CheckFiles] {
        let (damaged, whole) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let backend = Damaged(MemoryBackend::default(), Arc::clone(&damaged), Arc::clone(&whole));
        let store = Threaded::open(backend, StoreOptions::new()).unwrap();
        save(&store, 1).await.unwrap();
        let cursor = store.records(&stream).page().await.unwrap().next_cursor;
        let mut waiting = store.subscribe();
        damaged.store(true, Ordering::SeqCst);

        // The look at the end of a stream, by the caller and by the thread that watches other processes.
        assert_eq!(store.records(&stream).since(cursor).page().await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(store.records(&stream).page().await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(store.head(&stream).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(600), waiting.changed()).await.is_err());
        damaged.store(false, Ordering::SeqCst);
        save(&store, 2).await.unwrap();
        assert_eq!(store.records(&stream).page().await.unwrap().changes.len(), 2);

        // What had the whole backend in hand leaves it in a state that nobody knows.
        whole.store(true, Ordering::SeqCst);
        assert_eq!(store.maintain(task).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(save(&store, 3).await.unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(store.close().await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(save(&store, 3).await.unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_store_that_panics_while_it_is_opened_is_an_error() {
    let damaged = Arc::new(AtomicBool::new(true));
    let backend = Damaged(MemoryBackend::default(), damaged, Arc::default());
    let error = Threaded::open(backend, StoreOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
