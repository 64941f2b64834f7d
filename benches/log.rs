//! The small costs that a sync pays per record: `cargo bench --bench log`.
#![allow(clippy::disallowed_methods, missing_docs)]

#[path = "../crates/bench/src/records.rs"]
#[allow(dead_code)]
mod records;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use highwater::content::ContentRules;
use highwater::cursor::PageRequest;
use highwater::stores::SqliteStore;
use highwater::{Cursor, MemoryStore, Store, StreamKey, WriteBatch, content};
use records::{Ids, record};
use tokio::runtime::{Builder, Runtime};

fn hashing(criterion: &mut Criterion) {
    let payload = record(Ids::Time, 7, 0);
    let rules = ContentRules::new();
    let mut group = criterion.benchmark_group("content");
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("canonical hash", |b| b.iter(|| content::canonical(&rules, black_box(&payload))));
    group.bench_function("canonical hash, one of many", |b| {
        let mut canonicalizer = content::Canonicalizer::new(&rules);
        b.iter(|| canonicalizer.read(black_box(&payload)));
    });
    let rules = ContentRules::new().ignoring("/updated_at").and_then(|rules| rules.ignoring("/user/login"));
    let rules = rules.expect("two pointers");
    group.bench_function("canonical hash, two members ignored", |b| {
        b.iter(|| content::canonical(&rules, black_box(&payload)));
    });
    group.bench_function("exact hash", |b| {
        let hasher = content::ExactHasher::new(&[7; 32]);
        b.iter(|| hasher.hash("0192f0c8-7000-7abc-8def-0123456789ab", black_box(&payload)));
    });
    group.bench_function("id guess", |b| b.iter(|| content::guess_id(black_box(&payload)).map(|id| id.len())));
    group.finish();
}

fn cursors(criterion: &mut Criterion) {
    let runtime = runtime();
    let store = MemoryStore::new().expect("a store");
    let cursor = runtime.block_on(load(&store, 1));
    let text = cursor.to_string();
    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("to text", |b| b.iter(|| black_box(&cursor).to_string()));
    group.bench_function("from text", |b| b.iter(|| black_box(&text).parse::<Cursor>()));
    group.finish();
}

fn stores(criterion: &mut Criterion) {
    let runtime = runtime();
    let directory = tempfile::tempdir().expect("a directory");
    let sqlite = SqliteStore::open(directory.path().join("bench.db")).expect("a store");
    let memory = MemoryStore::new().expect("a store");
    let named: [(&str, &dyn Store); 2] = [("sqlite", &sqlite), ("memory", &memory)];
    for (name, store) in named {
        let end = runtime.block_on(load(store, 10));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1000));
        group.bench_function("page of 1000", |b| {
            b.iter(|| {
                runtime.block_on(store.page(PageRequest::new(stream()).limit(1000))).map(|page| page.changes.len())
            });
        });
        group.bench_function("commit of 1000 unchanged", |b| {
            b.iter_batched(|| batch(3), |batch| runtime.block_on(store.commit(batch)), BatchSize::LargeInput);
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function("empty poll", |b| {
            let request = PageRequest::new(stream()).since(end);
            b.iter_batched(|| request.clone(), |request| runtime.block_on(store.page(request)), BatchSize::SmallInput);
        });
        group.finish();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn stream() -> StreamKey {
    StreamKey::new("tracker-main", "Issue")
}

fn batch(number: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    let issues = batch.on(&stream());
    for number in number * 1000..(number + 1) * 1000 {
        issues.upsert(record(Ids::Time, number, 0));
    }
    batch
}

/// Commits so many batches of a thousand; the end of the log.
async fn load(store: &dyn Store, batches: u64) -> Cursor {
    for number in 0..batches {
        store.commit(batch(number)).await.expect("a commit");
    }
    store.head(&stream()).await.expect("a head").high_water
}

criterion_group!(benches, hashing, cursors, stores);
criterion_main!(benches);
