//! What happens between a commit and its neighbours, held still: a backend that stops where it is told to.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use highwater_core::backend::{
    Backend, BackendRead, BackendReader, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow,
};
use highwater_core::{
    Capabilities, Compaction, Cursor, Maintenance, MaintenanceReport, MemoryBackend, MemoryStore, PageRequest, Result,
    Store, StoreExt, StoreOptions, StreamKey, Threaded, WriteBatch,
};

type Hook = Mutex<Option<Box<dyn FnMut() + Send>>>;

/// What to do at each place; nothing unless set.
#[derive(Default)]
struct Hooks {
    before_commit: Hook,
    after_commit: Hook,
    before_snapshot: Hook,
}

impl Hooks {
    fn call(hook: &Hook) {
        if let Some(hook) = &mut *hook.lock().unwrap() {
            hook();
        }
    }

    fn set(hook: &Hook, action: impl FnMut() + Send + 'static) {
        *hook.lock().unwrap() = Some(Box::new(action));
    }
}

/// The memory backend, watched.
struct Watched<T>(T, Arc<Hooks>);

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl<R: BackendRead> BackendRead for Watched<R> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(table, key)
    }

    fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        self.0.range(table, from, until, visit)
    }

    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        self.0.scan(stream, scan, visit)
    }

    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        self.0.row(stream, sequence, payload, visit)
    }

    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
        self.0.index(stream, key)
    }
}

impl<W: BackendWrite> BackendWrite for Watched<W> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(table, key, value)
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<()> {
        self.0.remove(table, key)
    }

    fn put_row(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()> {
        self.0.put_row(stream, row)
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.0.remove_row(stream, sequence)
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        self.0.put_index(stream, key, sequence)
    }

    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.0.remove_index(stream, key)
    }

    fn commit(self) -> Result<()> {
        Hooks::call(&self.1.before_commit);
        self.0.commit()?;
        Hooks::call(&self.1.after_commit);
        Ok(())
    }
}

impl BackendReader for Watched<MemoryBackend> {
    type Snapshot<'a> = <MemoryBackend as BackendReader>::Snapshot<'a>;

    fn snapshot(&mut self) -> Result<Self::Snapshot<'_>> {
        Hooks::call(&self.1.before_snapshot);
        self.0.snapshot()
    }

    fn version(&mut self) -> Result<u64> {
        self.0.version()
    }
}

impl Backend for Watched<MemoryBackend> {
    type Write<'a> = Watched<<MemoryBackend as Backend>::Write<'a>>;
    type Reader = Watched<MemoryBackend>;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn begin(&mut self) -> Result<Self::Write<'_>> {
        Ok(Watched(self.0.begin()?, Arc::clone(&self.1)))
    }

    fn reader(&self) -> Result<Option<Self::Reader>> {
        Ok(Some(Watched(self.0.clone(), Arc::clone(&self.1))))
    }

    fn compact(&mut self) -> Result<Compaction> {
        self.0.compact()
    }

    fn size(&self) -> Result<Option<u64>> {
        self.0.size()
    }

    fn close(self) -> Result<()> {
        self.0.close()
    }
}

fn watched() -> (Threaded<Watched<MemoryBackend>>, MemoryBackend, Arc<Hooks>) {
    let (backend, hooks) = (MemoryBackend::default(), Arc::new(Hooks::default()));
    let store = Threaded::open(Watched(backend.clone(), Arc::clone(&hooks)), StoreOptions::new()).unwrap();
    (store, backend, hooks)
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn saving(id: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    batch.put_document("checkpoint", &(id + 1)).unwrap();
    batch
}

#[tokio::test]
async fn p22_nobody_is_woken_before_the_commit() {
    let (store, _, hooks) = watched();
    let mut wakeups = store.subscribe();
    let (early, looking) = (Arc::new(AtomicUsize::new(0)), wakeups.clone());
    Hooks::set(&hooks.before_commit, {
        let early = Arc::clone(&early);
        move || {
            early.fetch_add(usize::from(looking.has_changed()), Ordering::SeqCst);
        }
    });
    store.commit(saving(0)).await.unwrap();
    assert_eq!(early.load(Ordering::SeqCst), 0, "woken while there was nothing to see yet");
    assert!(wakeups.has_changed(), "and not after");
    wakeups.changed().await.unwrap();
}

#[tokio::test]
async fn p10_a_page_is_one_snapshot() {
    let (store, _, hooks) = watched();
    store.commit(saving(0)).await.unwrap();
    // Whoever takes a second look finds one record more.
    let (looks, late) = (AtomicUsize::new(0), store.clone());
    Hooks::set(&hooks.before_snapshot, move || {
        if looks.fetch_add(1, Ordering::SeqCst) == 1 {
            let store = late.clone();
            std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(store.commit(saving(1)))
                    .unwrap()
            })
            .join()
            .unwrap();
        }
    });
    let first = store.page(PageRequest::new(notes())).await.unwrap();
    *hooks.before_snapshot.lock().unwrap() = None;
    store.commit(saving(1)).await.unwrap();
    let second = store.page(PageRequest::new(notes()).since(first.next_cursor)).await.unwrap();
    let seen: Vec<String> =
        [first, second].iter().flat_map(|page| &page.changes).map(|change| change.record.id.to_string()).collect();
    assert_eq!(seen, ["0", "1"]);
}

#[tokio::test]
async fn p29_each_commit_of_the_backend_is_whole() {
    let (store, backend, hooks) = watched();
    let images = Arc::new(Mutex::new(vec![backend.backup()]));
    Hooks::set(&hooks.after_commit, {
        let images = Arc::clone(&images);
        move || images.lock().unwrap().push(backend.backup())
    });
    for id in 0..10 {
        store.commit(saving(id)).await.unwrap();
        let mut bad = saving(99);
        bad.on(&notes()).upsert("nothing");
        store.commit(bad).await.unwrap_err();
    }
    store.close().await.unwrap();
    let images = std::mem::take(&mut *images.lock().unwrap());
    assert!(images.len() > 10);
    for image in images {
        let store = MemoryStore::open(image, StoreOptions::new()).unwrap();
        let page = store.records(&notes()).since(Cursor::START).page().await.unwrap();
        let checkpoint = store.document("checkpoint").await.unwrap().map_or(0, |value| value.to().unwrap());
        assert_eq!(page.changes.len(), checkpoint, "records and checkpoint are of one moment");
        match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
            MaintenanceReport::Verified(found) => {
                assert_eq!((found.problems, found.entries), (Vec::new(), checkpoint as u64));
            }
            other => panic!("{other:?}"),
        }
    }
}
