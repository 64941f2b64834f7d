//! The store's files removed, renamed or replaced while it is open: what lies at the path is no longer what it writes to.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::fs;
use std::path::{Path, PathBuf};

use highwater_core::{ErrorKind, PollOptions, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::{self, Connection};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn batch(ids: std::ops::Range<usize>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    }
    batch
}

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

/// Another store at another path: what a restored backup, or a sync tool, puts in the place of ours.
async fn another(folder: &Path) -> PathBuf {
    let path = folder.join("another.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(100..103)).await.unwrap();
    store.close().await.unwrap();
    path
}

/// What is done to the files.
type Act = fn(&Path, &Path);

const ACTS: &[(&str, Act)] = &[
    ("the file is removed", |path, _| fs::remove_file(path).unwrap()),
    ("the file is renamed", |path, _| fs::rename(path, path.with_extension("old")).unwrap()),
    ("another file is put in its place", |path, other| fs::rename(other, path).unwrap()),
    ("a copy of itself is put in its place", |path, other| {
        fs::copy(path, other).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("the folder is renamed", |path, _| {
        let folder = path.parent().unwrap();
        fs::rename(folder, folder.with_extension("old")).unwrap();
    }),
    ("the WAL is removed", |path, _| fs::remove_file(beside(path, "-wal")).unwrap()),
    ("the WAL index is removed", |path, _| fs::remove_file(beside(path, "-shm")).unwrap()),
    ("all three are removed", |path, _| {
        for end in ["", "-wal", "-shm"] {
            fs::remove_file(beside(path, end)).unwrap();
        }
    }),
];

/// An older SQLite has a WAL file for itself, and keeps its index in memory.
fn applies(what: &str, path: &Path) -> bool {
    beside(path, "-shm").exists() || !(what.contains("index") || what.contains("three"))
}

#[tokio::test]
async fn p30_a_moved_file_takes_no_commits() {
    let mut unnoticed = Vec::new();
    for (what, act) in ACTS {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("app.db");
        let other = another(folder.path()).await;
        let store = SqliteStore::open(&path).unwrap();
        store.commit(batch(0..10)).await.unwrap();
        let page = store.records(&notes()).page().await.unwrap();
        if !applies(what, &path) {
            continue;
        }
        act(&path, &other);
        match store.commit(batch(10..11)).await {
            Ok(_) => {
                println!("{what}: the commit was acknowledged; close: {:?}", store.close().await.map_err(|e| e.kind()));
                unnoticed.push(*what);
                continue;
            }
            Err(error) => {
                println!("{what}: {:?}: {error}", error.kind());
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: {error}");
                assert_eq!(error.context("path"), Some(&*path.display().to_string()), "{what}: {error}");
                assert!(error.message().contains("while it was open"), "{what}: {error}");
            }
        }
        // Every later call says the same, those that only read too.
        let later = [
            store.commit(batch(11..12)).await.map(drop),
            store.commit(WriteBatch::new()).await.map(drop),
            store.records(&notes()).page().await.map(drop),
            store.records(&notes()).since(page.next_cursor).page().await.map(drop),
            store.get(&notes(), &["1"]).await.map(drop),
            store.head(&notes()).await.map(drop),
            store.lease("a").await.map(drop),
            store
                .consume_in_tx(&notes(), "x", PollOptions::default(), |_, _| Ok::<_, rusqlite::Error>(()))
                .await
                .map(drop),
        ];
        for (place, outcome) in later.into_iter().enumerate() {
            let error = outcome.expect_err(&format!("{what}: call {place}"));
            assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: call {place}: {error}");
            assert!(error.message().contains("while it was open"), "{what}: call {place}: {error}");
        }
        store.close().await.unwrap();
    }
    assert_eq!(unnoticed, Vec::<&str>::new(), "acknowledged, and not in the file");
}

#[tokio::test]
async fn a_store_without_its_wal_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..10)).await.unwrap();
    fs::remove_file(beside(&path, "-wal")).unwrap();
    let outcome = store.commit(batch(10..11)).await;
    let closed = store.close().await;
    let store = SqliteStore::open(&path).unwrap();
    let live = store.head(&notes()).await.map(|head| head.live);
    println!("commit {:?}, close {closed:?}, then {live:?} live", outcome.map_err(|error| error.kind()));
    assert!(live.unwrap() >= 10);
}

#[tokio::test]
async fn a_store_whose_file_was_replaced_leaves_the_new_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let other = another(folder.path()).await;
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..10)).await.unwrap();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&path, end));
    }
    fs::rename(&other, &path).unwrap();
    let new = SqliteStore::open(&path).unwrap();
    new.commit(batch(200..205)).await.unwrap();
    let outcome = store.commit(batch(10..11)).await.map_err(|error| error.kind());
    let closed = store.close().await;
    println!("commit {outcome:?}, close {closed:?}");
    assert!(beside(&path, "-wal").exists(), "the new store's WAL was removed by the old one");
    new.commit(batch(205..206)).await.unwrap();
    drop(new);
    assert_eq!(SqliteStore::open(&path).unwrap().head(&notes()).await.unwrap().live, 9);
}

#[tokio::test]
async fn a_host_joins_no_store_that_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let mut host = Connection::open(&path).unwrap();
    host.execute_batch("CREATE TABLE mine (x)").unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..10)).await.unwrap();
    fs::rename(&path, folder.path().join("moved.db")).unwrap();
    let transaction = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let error = store.join(&transaction, |joined| joined.apply(&batch(10..11))).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
}

#[tokio::test]
async fn what_lies_elsewhere_in_the_folder_is_nothing_to_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let link = folder.path().join("link.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..1)).await.unwrap();
    fs::write(folder.path().join("app.db.tmp"), "x").unwrap();
    fs::hard_link(&path, folder.path().join("backup.db")).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    fs::rename(folder.path().join("app.db.tmp"), folder.path().join("other")).unwrap();
    store.commit(batch(1..2)).await.unwrap();
    // By a link that is gone later: the file is the one that the link led to.
    let linked = SqliteStore::open(&link).unwrap();
    linked.commit(batch(2..3)).await.unwrap();
    fs::remove_file(&link).unwrap();
    linked.commit(batch(3..4)).await.unwrap();
    assert_eq!(store.head(&notes()).await.unwrap().live, 4);
}
