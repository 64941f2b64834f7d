//! A compaction writes the store anew and exchanges directories: what others see of it, and what is left when it is cut short.
#![cfg(any(target_os = "linux", target_vendor = "apple"))]
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use highwater_conformance::bytes_below;
use highwater_core::{
    Compaction, ErrorKind, Maintenance, MaintenanceReport, Store, StoreExt, StoreOptions, StreamKey, WriteBatch,
};
use highwater_store_sled::SledStore;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// A large record, which sled puts into a file of its own, and many small ones.
async fn save(store: &dyn Store, mark: &str) {
    let mut batch = WriteBatch::new();
    for id in 0..300 {
        let text = format!("{mark}-").repeat(if id == 7 { 100_000 } else { 1 + id % 40 });
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}","text":"{text}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

async fn compact(store: &dyn Store) {
    let report = store.maintain(Maintenance::Compact).await.unwrap();
    assert_eq!(report, MaintenanceReport::Compacted(Compaction::Complete));
}

async fn assert_sound(store: &dyn Store) {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new()),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.records(&notes()).limit(1000).page().await.unwrap().changes.len(), 300);
}

fn count(folder: &Path, mark: &str) -> usize {
    bytes_below(folder).windows(mark.len()).filter(|window| *window == mark.as_bytes()).count()
}

#[tokio::test]
async fn nothing_is_left_of_what_was_removed_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sled");
    let store = SledStore::open(&path).unwrap();
    save(&store, "ERASED").await;
    let cursor = store.records(&notes()).limit(1000).page().await.unwrap().next_cursor;
    save(&store, "STAYS").await;
    let before = store.head(&notes()).await.unwrap();
    assert!(count(folder.path(), "ERASED") > 0);
    for _ in 0..3 {
        compact(&store).await;
        assert_eq!(count(folder.path(), "ERASED"), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the store is there");
        assert_eq!(store.head(&notes()).await.unwrap(), before);
        assert_eq!(SledStore::open(&path).unwrap_err().kind(), ErrorKind::Locked);
    }
    assert_sound(&store).await;
    let page = store.records(&notes()).since(cursor).limit(1000).page().await.unwrap();
    assert_eq!(page.changes.len(), 300, "cursors stay good");
    save(&store, "AGAIN").await;
    store.close().await.unwrap();
    assert_sound(&SledStore::open(&path).unwrap()).await;
    assert!(count(folder.path(), "AGAIN") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_read_and_wait_meanwhile_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path().join("app.sled")).unwrap();
    save(&store, "FIRST").await;
    let cursor = store.head(&notes()).await.unwrap().high_water;
    let reading = tokio::spawn({
        let store = store.clone();
        async move {
            let mut wakeups = store.subscribe();
            let (mut cursor, mut last) = (cursor, 0);
            while last < 20 {
                let page = store.records(&notes()).since(cursor).page().await.unwrap();
                for change in &page.changes {
                    last += 1;
                    assert_eq!(change.record.id, format!("new{last}").as_str());
                }
                cursor = page.next_cursor;
                if page.caught_up && last < 20 {
                    wakeups.changed().await.unwrap();
                }
            }
        }
    });
    for n in 1..=20 {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(format!(r#"{{"id":"new{n}"}}"#));
        store.commit(batch).await.unwrap();
        compact(&store).await;
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn what_a_cut_short_compaction_left_goes_with_the_next_opening_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, leftover) = (folder.path().join("app.sled"), folder.path().join("app.sled-compacting"));
    let store = SledStore::open(&path).unwrap();
    save(&store, "STAYS").await;
    store.close().await.unwrap();
    // Before the exchange: a copy that is not whole. After it: the old store, whole at first, then removed file by file.
    for left in ["", "db", "conf", "blobs", "db conf", "db conf blobs", "whole"] {
        if left == "whole" {
            let old = SledStore::open(&leftover).unwrap();
            save(&old, "ERASED").await;
            old.close().await.unwrap();
        }
        for name in left.split(' ').filter(|name| !name.is_empty() && *name != "whole") {
            std::fs::create_dir_all(&leftover).unwrap();
            if name == "blobs" {
                std::fs::create_dir(leftover.join(name)).unwrap();
            } else {
                std::fs::write(leftover.join(name), "half of a file").unwrap();
            }
        }
        std::fs::create_dir_all(&leftover).unwrap();
        let read_only = SledStore::builder(&path).options(StoreOptions::default().read_only()).open().unwrap();
        assert_sound(&read_only).await;
        read_only.close().await.unwrap();
        assert!(leftover.exists(), "reading removes nothing");
        let store = SledStore::open(&path).unwrap();
        assert!(!leftover.exists());
        assert_sound(&store).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_directory_of_somebody_elses_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, foreign) = (folder.path().join("app.sled"), folder.path().join("app.sled-compacting"));
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("letter.txt"), "mine").unwrap();
    let store = SledStore::open(&path).unwrap();
    save(&store, "STAYS").await;
    let error = store.maintain(Maintenance::Compact).await.unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::Incompatible, foreign.to_str()), "{error}");
    assert_eq!(std::fs::read_to_string(foreign.join("letter.txt")).unwrap(), "mine");
    assert_sound(&store).await;
    save(&store, "GOES ON").await;
}

#[tokio::test]
async fn a_store_whose_directory_was_replaced_is_not_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("app.sled"), folder.path().join("moved"));
    let store = SledStore::open(&path).unwrap();
    save(&store, "STAYS").await;
    std::fs::rename(&path, &moved).unwrap();
    let other = SledStore::open(&path).unwrap();
    save(&other, "OTHER").await;
    other.close().await.unwrap();
    assert_eq!(store.maintain(Maintenance::Compact).await.unwrap_err().kind(), ErrorKind::Poisoned);
    drop(store);
    assert_sound(&SledStore::open(&moved).unwrap()).await;
    assert!(count(&path, "OTHER") > 0 && count(&moved, "STAYS") > 0);
    assert!(!folder.path().join("app.sled-compacting").exists());
}
