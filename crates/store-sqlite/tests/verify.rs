//! Damage that SQLite itself does not see, done by SQL: each kind is found, or told.
#![allow(clippy::disallowed_methods)]

use std::path::PathBuf;

use highwater_core::{
    Action, ErrorKind, History, Maintenance, MaintenanceReport, PageRequest, Store, StoreOptions, StreamKey,
    StreamOptions, WriteBatch,
};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// A file with five records, one of them deleted, each with a version before.
async fn damaged_by(sql: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    let options = StreamOptions::default().history(History::Versions(5));
    store.maintain(Maintenance::Configure(notes(), options)).await.unwrap();
    for text in ["before", "behind"] {
        let mut batch = WriteBatch::new();
        for n in 0..5 {
            batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{text}"}}"#));
        }
        store.commit(batch).await.unwrap();
    }
    let mut batch = WriteBatch::new();
    batch.on(&notes()).delete("4");
    store.commit(batch).await.unwrap();
    // Writes the whole index.
    store
        .maintain(Maintenance::Configure(notes(), StreamOptions::default().history(History::Versions(6))))
        .await
        .unwrap();
    store.close().await.unwrap();
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (folder, path)
}

async fn problems(store: &dyn Store) -> Vec<String> {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => {
            assert_eq!((found.entries, found.versions), (5, 6));
            found.problems
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    for (damage, found) in [
        ("SELECT 1", None),
        // A byte of a kept version's payload, its position, what superseded it.
        (
            "UPDATE hw_history SET value = CAST(replace(value, 'before', 'bEfore') AS BLOB)",
            Some("a kept version of record"),
        ),
        ("UPDATE hw_history SET value = X'00' || substr(value, 2)", Some("stands out of order")),
        ("UPDATE hw_history SET value = substr(value, 1, 20)", Some("a kept version does not read")),
        // The index of deleted records, from which readers of deletes alone are served.
        ("UPDATE hw_log SET deleted = 0", Some("deleted records: counted 1, found when asked for alone 0")),
        // When the first record was first seen: no checksum covers it, but it cannot be in the future.
        (
            "UPDATE hw_log SET directory = CAST(substr(directory, 1, 16) || X'0000F00000000000' || substr(directory, 25) AS BLOB)",
            Some("was first seen after it was last modified"),
        ),
        ("DELETE FROM hw_index", Some("is not found by its id")),
        ("UPDATE hw_log SET payloads = replace(payloads, 'behind', 'beHind')", Some("not the one that was saved")),
    ] {
        let (_folder, path) = damaged_by(damage).await;
        let store = SqliteStore::open(&path).unwrap();
        let problems = problems(&store).await;
        match found {
            Some(found) => assert!(problems.iter().any(|problem| problem.contains(found)), "{damage}: {problems:?}"),
            None => assert_eq!(problems, Vec::<String>::new()),
        }
    }
}

#[tokio::test]
async fn deletes_alone_are_what_the_log_says() {
    let (_folder, path) = damaged_by("SELECT 1").await;
    let store = SqliteStore::open(&path).unwrap();
    let page = store.page(PageRequest::new(notes()).filter([Action::Deleted])).await.unwrap();
    assert_eq!(page.changes.len(), 1);
}

#[tokio::test]
async fn an_index_that_leads_nowhere_is_damage_and_not_a_matter_of_waiting() {
    let (_folder, path) = damaged_by("UPDATE hw_index SET sequence = 100000").await;
    let store = SqliteStore::open(&path).unwrap();
    let error = store.get(&notes(), &["1"]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Corrupt, false), "{error}");
    assert!(error.to_string().contains("Maintenance::Verify"), "{error}");
    drop(store);
    let store = SqliteStore::builder(&path).exclusive().open().unwrap();
    assert_eq!(store.get(&notes(), &["1"]).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn tables_that_miss_a_part_are_damage_and_not_a_new_store() {
    for damage in ["DELETE FROM hw_meta", "DROP TABLE hw_meta", "DROP TABLE hw_meta; DROP TABLE hw_log"] {
        let (_folder, path) = damaged_by(damage).await;
        let error = SqliteStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        assert!(error.context("path").is_some(), "{error}");
    }
    let (_folder, path) = damaged_by("DROP TABLE hw_state").await;
    assert_eq!(SqliteStore::open(&path).unwrap_err().kind(), ErrorKind::Incompatible);
}

#[tokio::test]
async fn p30_rows_that_a_store_cannot_be_without_are_missed_at_opening() {
    for (damage, lost) in [
        ("DELETE FROM hw_state", "identity"),
        ("DELETE FROM hw_state WHERE key = X'69'", "identity"),
        ("DELETE FROM hw_state WHERE key = X'69'; DELETE FROM hw_log; DELETE FROM hw_index", "identity"),
        ("DELETE FROM hw_state WHERE key = X'68'", "head"),
        ("DELETE FROM hw_state WHERE key <> X'69'", "head"),
    ] {
        let (_folder, path) = damaged_by(damage).await;
        for options in [StoreOptions::default(), StoreOptions::default().read_only()] {
            let error = SqliteStore::builder(&path).options(options).open().unwrap_err();
            assert_eq!((error.kind(), error.context("lost")), (ErrorKind::Corrupt, Some(lost)), "{damage}: {error}");
            assert!(error.context("path").is_some(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_stream_whose_name_was_lost_is_found_by_a_check_of_the_files() {
    let (_folder, path) = damaged_by("DELETE FROM hw_state WHERE substr(key, 1, 1) = X'73'").await;
    let store = SqliteStore::open(&path).unwrap();
    let MaintenanceReport::Files(found) = store.maintain(Maintenance::CheckFiles).await.unwrap() else { panic!() };
    assert!(found.pages_checked);
    assert_eq!(found.problems, ["the log has rows of stream 1, and the stream is missing"]);
}
