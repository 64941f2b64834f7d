//! Files put in place by hand: backups copied over a store that is open, copies without their WAL, a WAL without its file.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, PageRequest, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn batch(ids: std::ops::Range<usize>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(500)));
    }
    batch
}

fn wal(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

async fn problems(store: &SqliteStore) -> Vec<String> {
    match store.maintain(Maintenance::Verify(notes())).await {
        Ok(MaintenanceReport::Verified(found)) => found.problems,
        other => vec![format!("{other:?}")],
    }
}

/// Copied by another process: a copy within this one would give up the locks on the file.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// A store at an older moment, as one file.
async fn backup(folder: &Path, path: &Path) -> PathBuf {
    let store = SqliteStore::open(path).unwrap();
    store.commit(batch(0..300)).await.unwrap();
    store.close().await.unwrap();
    let backup = folder.join("backup.db");
    copy(path, &backup);
    backup
}

#[tokio::test]
async fn p30_a_backup_copied_over_an_open_store_is_noticed() {
    if rusqlite::version_number() < 3_051_003 {
        return; // has the file for itself, and nothing to tell by
    }
    let mut wrong = 0;
    for grown in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let backup = backup(folder.path(), &path).await;
        let store = SqliteStore::open(&path).unwrap();
        store.commit(if grown { batch(300..900) } else { batch(0..1) }).await.unwrap();
        store.maintain(Maintenance::Compact).await.unwrap();
        store.commit(batch(900..901)).await.unwrap();
        copy(&backup, &path);
        let outcome = store.commit(batch(901..902)).await.map(drop);
        let closed = store.close().await;
        drop(store);
        let after = SqliteStore::open(&path);
        let found = match &after {
            Ok(store) => {
                format!("{:?} live, {:?}", store.head(&notes()).await.map(|head| head.live), problems(store).await)
            }
            Err(error) => error.to_string(),
        };
        println!(
            "grown {grown}: commit {:?}, close {closed:?}, then {found}",
            outcome.as_ref().map_err(|error| error.kind())
        );
        if outcome.is_ok() {
            wrong += 1;
            continue;
        }
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Poisoned);
        let after = after.unwrap();
        assert_eq!(problems(&after).await, Vec::<String>::new());
        assert_eq!(after.head(&notes()).await.unwrap().live, 300, "the backup, and nothing else");
    }
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn a_wal_without_its_file_is_nothing_to_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = (folder.path().join("app.db"), folder.path().join("image"));
    fs::create_dir(&image).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..300)).await.unwrap();
    let cursor = store.records(&notes()).page().await.unwrap().next_cursor;
    // As a crash would leave it; then somebody removes the file alone to begin anew.
    copy(&wal(&path), &wal(&image.join("app.db")));
    let store = SqliteStore::open(image.join("app.db")).unwrap();
    assert!(store.records(&notes()).page().await.unwrap().changes.is_empty());
    assert_eq!(store.records(&notes()).since(cursor).page().await.unwrap_err().kind(), ErrorKind::CursorForeign);
    store.commit(batch(0..3)).await.unwrap();
    drop(store);
    let store = SqliteStore::open(image.join("app.db")).unwrap();
    assert_eq!(store.head(&notes()).await.unwrap().live, 3);
    assert_eq!(problems(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_copy_without_its_wal_tells_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (path, alone) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..300)).await.unwrap();
    let early = store.records(&notes()).page().await.unwrap().next_cursor;
    copy(&path, &alone);
    let copied = SqliteStore::open(&alone).unwrap();
    let refused = copied.records(&notes()).since(early).page().await.unwrap_err();
    println!("everything was in the WAL: {:?}", refused.kind());
    assert_eq!(refused.kind(), ErrorKind::CursorForeign);
    drop(copied);
    fs::remove_file(&alone).unwrap();
    store.maintain(Maintenance::Compact).await.unwrap();
    store.commit(batch(300..310)).await.unwrap();
    let late = store.records(&notes()).since(early).limit(1000).page().await.unwrap().next_cursor;
    copy(&path, &alone);
    let copied = SqliteStore::open(&alone).unwrap();
    assert_eq!(copied.head(&notes()).await.unwrap().live, 300);
    assert!(copied.records(&notes()).since(early).page().await.is_ok());
    assert_eq!(copied.records(&notes()).since(late).page().await.unwrap_err().kind(), ErrorKind::CursorFuture);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 5)]
async fn the_wal_is_bounded_though_somebody_always_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..5000)).await.unwrap();
    let done = std::sync::Arc::new(AtomicBool::new(false));
    let mut reading = Vec::new();
    for _ in 0..4 {
        let (store, done) = (store.clone(), std::sync::Arc::clone(&done));
        reading.push(tokio::spawn(async move {
            let mut pages = 0;
            while !done.load(Ordering::Relaxed) {
                let page = store.page(PageRequest::new(notes()).limit(5000)).await.unwrap();
                assert_eq!(page.changes.len(), 5000);
                pages += 1;
            }
            pages
        }));
    }
    let mut peak = 0;
    for round in 0..150 {
        let mut batch = WriteBatch::new();
        for id in 0..500 {
            batch.on(&notes()).upsert(format!(r#"{{"id":"{id}","round":{round},"text":"{}"}}"#, "y".repeat(500)));
        }
        store.commit(batch).await.unwrap();
        peak = peak.max(fs::metadata(wal(&path)).unwrap().len());
    }
    done.store(true, Ordering::Relaxed);
    let mut pages = 0;
    for task in reading {
        pages += task.await.unwrap();
    }
    println!("{pages} pages read beside 150 commits; the WAL had {peak} bytes at most");
    assert!(pages > 20);
    assert!(peak < 64 << 20, "{peak}");
}

#[test]
fn checkpoints_of_others_are_no_overwriting() {
    if rusqlite::version_number() < 3_051_003 {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    let second = SqliteStore::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for mode in ["PASSIVE", "TRUNCATE", "RESTART"] {
            let (path, done) = (&path, &done);
            threads.spawn(move || {
                let tool = rusqlite::Connection::open(path).unwrap();
                while !done.load(Ordering::Relaxed) {
                    let _ = tool.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
                    // What a backup or a file browser does.
                    let file = Command::new("touch").arg(path).status().unwrap();
                    assert!(file.success());
                }
            });
        }
        let committed = (|| {
            for round in 0..150 {
                let (first, then) = if round % 3 == 0 { (&second, &store) } else { (&store, &second) };
                runtime.block_on(first.commit(batch(round * 4..round * 4 + 3)))?;
                runtime.block_on(then.commit(batch(round * 4 + 3..round * 4 + 4)))?;
            }
            Ok::<(), highwater_core::Error>(())
        })();
        done.store(true, Ordering::Relaxed);
        committed.unwrap();
    });
    assert_eq!(runtime.block_on(store.head(&notes())).unwrap().live, 600);
    assert_eq!(runtime.block_on(problems(&store)), Vec::<String>::new());
}
