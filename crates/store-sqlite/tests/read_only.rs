//! A store that is open for reading only: it waits for nobody, writes nothing and leaves nothing behind.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::{Duration, SystemTime};

use highwater_core::{
    ErrorKind, Maintenance, MaintenanceReport, PruneWhat, Seek, Store, StoreExt, StoreOptions, StreamKey,
    StreamOptions, WriteBatch,
};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::{self, Connection};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn save(store: &SqliteStore, ids: std::ops::Range<usize>) {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

fn make(path: &Path) {
    block_on(async {
        let store = SqliteStore::open(path).unwrap();
        save(&store, 0..10).await;
        store.consumer(&notes(), "reader").poll().await.unwrap();
        store.close().await.unwrap();
    });
}

fn read_only(path: &Path) -> highwater_core::Result<SqliteStore> {
    SqliteStore::builder(path).options(StoreOptions::new().read_only()).open()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Every file of the folder: a hash of its bytes, and when it was written.
fn files(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            (path.file_name().unwrap().display().to_string(), (hash(&fs::read(&path).unwrap()), written))
        })
        .collect()
}

/// A copy of the database as a process leaves it that is killed: with its WAL, with or without the index.
fn killed(folder: &Path, with_index: bool) -> std::path::PathBuf {
    let path = folder.join("live.db");
    make(&path);
    let dead = folder.join("dead");
    fs::create_dir(&dead).unwrap();
    block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        save(&store, 10..20).await;
        let ends: &[&str] = if with_index { &["", "-wal", "-shm"] } else { &["", "-wal"] };
        for end in ends {
            fs::copy(folder.join(format!("live.db{end}")), dead.join(format!("app.db{end}"))).unwrap();
        }
    });
    dead.join("app.db")
}

async fn read_all(store: &SqliteStore) -> usize {
    let page = store.records(&notes()).page().await.unwrap();
    let ids: Vec<&str> = page.changes.iter().map(|change| &*change.record.id).collect();
    assert_eq!(store.get(&notes(), &ids).await.unwrap().len(), ids.len());
    assert_eq!(store.streams().await.unwrap().len(), 1);
    assert_eq!(store.consumers(&notes()).await.unwrap(), ["reader"]);
    let verified = store.maintain(Maintenance::Verify(notes())).await.unwrap();
    assert!(matches!(verified, MaintenanceReport::Verified(found) if found.is_clean()));
    store.maintain(Maintenance::CheckClock).await.unwrap();
    store.documents("", "", 10).await.unwrap();
    store.versions(&notes(), "1").await.unwrap();
    ids.len()
}

#[test]
fn reading_leaves_every_file_as_it_was() {
    for (name, journal) in [("wal", "wal"), ("rollback", "delete")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        make(&path);
        let host = Connection::open(&path).unwrap();
        host.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(())).unwrap();
        drop(host);
        let before = files(folder.path());
        assert_eq!(before.len(), 1, "{name}");
        block_on(async {
            let store = read_only(&path).unwrap();
            assert_eq!(read_all(&store).await, 10);
            store.close().await.unwrap();
        });
        assert_eq!(files(folder.path()), before, "{name}");
    }
}

#[test]
fn what_a_killed_process_left_is_read_and_left() {
    for with_index in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = killed(folder.path(), with_index);
        let before = files(path.parent().unwrap());
        block_on(async {
            let store = read_only(&path).unwrap();
            assert_eq!(read_all(&store).await, 20, "the WAL's commits too");
            store.close().await.unwrap();
        });
        let mut after = files(path.parent().unwrap());
        // Its index is memory, as a file: SQLite cannot read a WAL without.
        assert!(after.remove("app.db-shm").is_some());
        let before: BTreeMap<_, _> = before.into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect();
        assert_eq!(after, before, "{with_index}");
    }
}

#[test]
fn every_write_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    make(&path);
    let before = files(folder.path());
    block_on(async {
        let store = read_only(&path).unwrap();
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(r#"{"id":"new"}"#);
        let up_to = store.head(&notes()).await.unwrap().high_water;
        let prune = Maintenance::Prune { stream: notes(), what: PruneWhat::Tombstones, up_to };
        let reader = store.consumer(&notes(), "reader");
        let consume = |_: &Connection, _: &highwater_core::Page| Ok::<(), rusqlite::Error>(());
        let host = Connection::open(&path).unwrap();
        host.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = [
            ("commit", store.commit(batch.clone()).await.map(drop)),
            ("empty commit", store.commit(WriteBatch::new()).await.map(drop)),
            ("lease", store.lease("run").await.map(drop)),
            ("poll", reader.poll().await.map(drop)),
            ("seek", reader.seek(Seek::Start).await),
            ("remove", reader.remove().await),
            ("configure", store.maintain(Maintenance::Configure(notes(), StreamOptions::default())).await.map(drop)),
            ("prune", store.maintain(prune).await.map(drop)),
            ("clear", store.maintain(Maintenance::Clear(notes())).await.map(drop)),
            ("recode", store.maintain(Maintenance::Recode).await.map(drop)),
            ("rebase", store.maintain(Maintenance::RebaseClock).await.map(drop)),
            ("compact", store.maintain(Maintenance::Compact).await.map(drop)),
            ("consume_in_tx", store.consume_in_tx(&notes(), "x", Default::default(), consume).await.map(drop)),
            ("view", store.create_view(&notes(), "note", Vec::new()).await.map(drop)),
            ("join", store.join(&host, |transaction| transaction.apply(&batch)).map(drop)),
        ];
        drop(host);
        for (what, outcome) in refused {
            let error = outcome.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
            assert!(error.to_string().contains("open for reading only"), "{what}: {error}");
        }
        store.close().await.unwrap();
    });
    assert_eq!(files(folder.path()), before);
}

#[test]
fn commits_of_others_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    make(&path);
    block_on(async {
        let reading = read_only(&path).unwrap();
        let mut wakeups = reading.subscribe();
        assert_eq!(read_all(&reading).await, 10);
        let writing = SqliteStore::open(&path).unwrap();
        save(&writing, 10..15).await;
        assert_eq!(read_all(&reading).await, 15);
        tokio::time::timeout(Duration::from_secs(30), wakeups.changed()).await.unwrap().unwrap();
        writing.close().await.unwrap();
        assert_eq!(read_all(&reading).await, 15);
        reading.close().await.unwrap();
    });
    assert_eq!(files(folder.path()).len(), 1, "the last one to close removes the WAL");
}

#[test]
fn opening_waits_for_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    make(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (n); BEGIN IMMEDIATE; INSERT INTO theirs VALUES (1)").unwrap();
    block_on(async {
        // Not so much as a moment: with a busy timeout of zero, any wait is an error.
        for options in [StoreOptions::new(), StoreOptions::new().read_only()] {
            let store = SqliteStore::builder(&path).options(options).busy_timeout(Duration::ZERO).open().unwrap();
            assert_eq!(read_all(&store).await, 10);
            store.close().await.unwrap();
        }
    });
    other.execute_batch("COMMIT").unwrap();
}

#[test]
fn what_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_only(&folder.path().join("none.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let path = folder.path().join("host.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (n)").unwrap();
    let before = files(folder.path());
    let error = read_only(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_store_that_cannot_keep_others_out_is_not_exclusive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    make(&path);
    block_on(async {
        let one = SqliteStore::builder(&path).options(StoreOptions::new().read_only()).exclusive().open().unwrap();
        let other = SqliteStore::open(&path).unwrap();
        save(&other, 10..11).await;
        assert_eq!(read_all(&one).await, 11);
    });
}
