//! What named readers cost: rows that stay, and rows that are read.
#![allow(clippy::disallowed_macros)] // the counts are for whoever looks

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::backend::{
    Backend, BackendRead, BackendReader, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow,
};
use highwater_core::{
    Capabilities, Compaction, ConsumerCommand, ConsumerReply, ConsumerStatus, ErrorKind, MemoryBackend, PollOptions,
    Result, Seek, Store, StoreExt, StoreOptions, StreamKey, Threaded, WriteBatch,
};

/// How often a store was asked for something.
#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    begun: AtomicU64,
}

/// A backend that counts the rows, keys and transactions it is asked for.
struct Counting<B>(B, Arc<Counts>);

impl<R: BackendRead> BackendRead for Counting<R> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.1.read.fetch_add(1, Ordering::Relaxed);
        self.0.get(table, key)
    }
    fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        let counts = Arc::clone(&self.1);
        self.0.range(table, from, until, &mut |key, value| {
            counts.read.fetch_add(1, Ordering::Relaxed);
            visit(key, value)
        })
    }
    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        let counts = Arc::clone(&self.1);
        self.0.scan(stream, scan, &mut |row| {
            counts.read.fetch_add(1, Ordering::Relaxed);
            visit(row)
        })
    }
    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        self.1.read.fetch_add(1, Ordering::Relaxed);
        self.0.row(stream, sequence, payload, visit)
    }
    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
        self.1.read.fetch_add(1, Ordering::Relaxed);
        self.0.index(stream, key)
    }
}

impl<W: BackendWrite> BackendWrite for Counting<W> {
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
        self.0.commit()
    }
}

impl<R: BackendReader> BackendReader for Counting<R> {
    type Snapshot<'a> = Counting<R::Snapshot<'a>>;
    fn snapshot(&mut self) -> Result<Self::Snapshot<'_>> {
        Ok(Counting(self.0.snapshot()?, Arc::clone(&self.1)))
    }
    fn version(&mut self) -> Result<u64> {
        self.0.version()
    }
}

impl<B: Backend> Backend for Counting<B> {
    type Write<'a> = Counting<B::Write<'a>>;
    type Reader = Counting<B::Reader>;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn begin(&mut self) -> Result<Self::Write<'_>> {
        self.1.begun.fetch_add(1, Ordering::Relaxed);
        Ok(Counting(self.0.begin()?, Arc::clone(&self.1)))
    }
    fn reader(&self) -> Result<Option<Self::Reader>> {
        Ok(self.0.reader()?.map(|reader| Counting(reader, Arc::clone(&self.1))))
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

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn store() -> (MemoryBackend, Arc<Counts>, Threaded<Counting<MemoryBackend>>) {
    let (backend, counts) = (MemoryBackend::default(), Arc::new(Counts::default()));
    let store = Threaded::open(Counting(backend.clone(), Arc::clone(&counts)), StoreOptions::new()).unwrap();
    (backend, counts, store)
}

async fn save(store: &impl Store, ids: std::ops::Range<u32>, n: u32) {
    for start in ids.clone().step_by(1000) {
        let mut batch = WriteBatch::new();
        let stream = notes();
        let target = batch.on(&stream);
        (start..ids.end.min(start + 1000)).for_each(|id| {
            target.upsert(format!(r#"{{"id":"{id}","n":{n}}}"#));
        });
        store.commit(batch).await.unwrap();
    }
}

async fn status(store: &impl Store, name: &str) -> ConsumerStatus {
    match store.consumer_command(&notes(), name, ConsumerCommand::Status).await.unwrap() {
        ConsumerReply::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

/// A status reads as much however far behind the reader is, and takes no write transaction.
#[tokio::test]
async fn p25_a_status_costs_the_same_however_far_behind_the_reader_is() {
    let (_, counts, store) = store();
    store.consumer_command(&notes(), "start", ConsumerCommand::Seek(Seek::Start)).await.unwrap();
    save(&store, 0..10, 1).await;
    store.consumer_command(&notes(), "middle", ConsumerCommand::Seek(Seek::End)).await.unwrap();
    let cost = async |name: &str, lag: u64| {
        let (read, begun) = (counts.read.load(Ordering::Relaxed), counts.begun.load(Ordering::Relaxed));
        assert_eq!(status(&store, name).await.lag, lag, "{name}");
        assert_eq!(counts.begun.load(Ordering::Relaxed), begun, "a status began a write transaction");
        counts.read.load(Ordering::Relaxed) - read
    };
    save(&store, 10..20, 1).await;
    let few = (cost("start", 20).await, cost("middle", 10).await);
    save(&store, 20..50_000, 1).await;
    let many = (cost("start", 50_000).await, cost("middle", 49_990).await);
    println!("rows read by a status: {few:?} at a lag of 10, {many:?} at 50,000");
    assert!(many.0 <= 300 && many.1 <= 300, "{many:?}");
    // As the records stand, not as often as they were modified.
    save(&store, 0..50_000, 2).await;
    assert!(cost("middle", 50_000).await <= 300);
}

/// Whatever is made and removed leaves one row for each stream.
#[tokio::test]
async fn p25_removed_consumers_leave_one_row() {
    let (backend, counts, store) = store();
    save(&store, 0..3, 1).await;
    let mut old = None;
    for n in 0..400 {
        let name = format!("one-of-{n}");
        let reader = store.consumer(&notes(), name.as_str());
        old = Some(reader.poll().await.unwrap().token).filter(|_| n == 399);
        reader.remove().await.unwrap();
    }
    store.close().await.unwrap();
    let mut rows = 0;
    let mut reader = backend.reader().unwrap().unwrap();
    reader
        .snapshot()
        .unwrap()
        .range(Table::State, b"r", b"s", &mut |_, value| {
            assert_eq!(value.len(), 8);
            rows += 1;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(rows, 1);
    // Their leases are lost for every name, also before the first lease of its new bearer.
    let store = Threaded::open(Counting(backend, counts), StoreOptions::new()).unwrap();
    let reader = store.consumer(&notes(), "one-of-399").options(PollOptions::default().limit(1));
    reader.seek(Seek::Start).await.unwrap();
    assert_eq!(reader.ack(old.unwrap()).await.unwrap_err().kind(), ErrorKind::LeaseLost);
}

/// An opening that mints no position leaves nothing behind.
#[tokio::test]
async fn p31_only_openings_that_wrote_leave_a_row() {
    let (backend, _, store) = store();
    save(&store, 0..3, 1).await;
    store.close().await.unwrap();
    for opening in 0..20 {
        let store = Threaded::open(backend.clone(), StoreOptions::new()).unwrap();
        let reader = store.consumer(&notes(), "copy");
        let delivery = reader.poll().await.unwrap();
        assert_eq!(delivery.page.changes.len(), if opening == 0 { 3 } else { 0 });
        reader.ack(delivery.token).await.unwrap();
        save(&store, 0..3, 1).await;
        store.close().await.unwrap();
    }
    let mut rows = 0;
    let mut reader = backend.reader().unwrap().unwrap();
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        Ok(ControlFlow::Continue(()))
    };
    reader.snapshot().unwrap().range(Table::State, b"e", b"f", &mut count).unwrap();
    assert_eq!(rows, 1);
}

/// What earlier versions kept for each name is folded into one row, and counts on.
#[tokio::test]
async fn p25_rows_of_removed_consumers_are_folded() {
    let (backend, _, store) = store();
    save(&store, 0..3, 1).await;
    let number = store.head(&notes()).await.unwrap().number;
    let old = store.consumer(&notes(), "copy").poll().await.unwrap();
    store.close().await.unwrap();
    let key = |kind: u8, name: &str| [&[kind][..], &number.to_be_bytes(), name.as_bytes()].concat();
    let mut editor = backend.clone();
    let mut write = editor.begin().unwrap();
    write.remove(Table::State, &key(b'c', "copy")).unwrap();
    for (name, generation) in [("copy", 1_u64), ("other", 1)] {
        write.put(Table::State, &key(b'r', name), &generation.to_be_bytes()).unwrap();
    }
    write.commit().unwrap();
    let store = Threaded::open(backend.clone(), StoreOptions::new()).unwrap();
    let reader = store.consumer(&notes(), "copy");
    reader.poll().await.unwrap();
    assert_eq!(reader.ack(old.token).await.unwrap_err().kind(), ErrorKind::LeaseLost);
    reader.remove().await.unwrap();
    store.close().await.unwrap();
    let mut keys = Vec::new();
    let mut reader = backend.reader().unwrap().unwrap();
    reader
        .snapshot()
        .unwrap()
        .range(Table::State, b"r", b"s", &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(keys, [key(b'r', "")]);
}
