//! Damage to the few bytes of a page that tell SQLite how many rows it has: SQLite reads on as if the rows had never been.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, Result, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

const RECORDS: usize = 300;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn payload(n: usize) -> String {
    format!(r#"{{"id":"{n}","text":"{}"}}"#, "n".repeat(200))
}

async fn save(store: &SqliteStore, ids: std::ops::Range<usize>) -> Result<()> {
    let mut batch = WriteBatch::new();
    for n in ids {
        batch.on(&notes()).upsert(payload(n));
    }
    store.commit(batch).await.map(drop)
}

/// Everything that can be asked of the store; what is wrong with it.
async fn examine(path: &Path) -> Result<Vec<String>> {
    let store = SqliteStore::open(path)?;
    let mut problems = Vec::new();
    for task in [Maintenance::CheckFiles, Maintenance::Verify(notes())] {
        match store.maintain(task).await? {
            MaintenanceReport::Files(found) => problems.extend(found.problems),
            MaintenanceReport::Verified(found) => problems.extend(found.problems),
            other => panic!("{other:?}"),
        }
    }
    let page = store.records(&notes()).limit(1000).page().await?;
    if page.changes.len() != RECORDS {
        problems.push(format!("WRONG: {} records", page.changes.len()));
    }
    store.close().await?;
    Ok(problems)
}

/// A store of several pages, and its bytes.
async fn whole(path: &Path) -> Vec<u8> {
    let store = SqliteStore::open(path).unwrap();
    for from in (0..RECORDS).step_by(50) {
        save(&store, from..from + 50).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(examine(path).await.unwrap(), Vec::<String>::new());
    std::fs::read(path).unwrap()
}

fn assert_noticed(outcome: &Result<Vec<String>>, what: &str) {
    match outcome {
        Ok(problems) => {
            assert!(problems.iter().any(|problem| !problem.starts_with("WRONG")), "{what}: {problems:?}");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
    }
}

#[tokio::test]
async fn a_page_that_forgot_its_rows_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.db");
    let bytes = whole(&path).await;
    let page_size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let copy = folder.path().join("copy.db");
    let mut tried = 0;
    for page in 0..bytes.len() / page_size {
        let header = page * page_size + if page == 0 { 100 } else { 0 };
        // Pages of tables and indexes; others are lists and overflow.
        if ![2, 5, 10, 13].contains(&bytes[header]) {
            continue;
        }
        let rows = u16::from_be_bytes([bytes[header + 3], bytes[header + 4]]);
        for fewer in [0, rows / 2, rows.saturating_sub(1)] {
            if fewer == rows {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[header + 3..header + 5].copy_from_slice(&fewer.to_be_bytes());
            std::fs::write(&copy, damaged).unwrap();
            assert_noticed(&examine(&copy).await, &format!("page {}: {fewer} rows of {rows}", page + 1));
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}

/// The table of contents that was emptied is no new file, for whoever opens it, and nothing is written to it.
#[tokio::test]
async fn a_schema_that_was_lost_is_no_new_store() {
    for hosts_table in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        if hosts_table {
            Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (id TEXT PRIMARY KEY)").unwrap();
        }
        let mut bytes = whole(&path).await;
        // The host's table and its index stay.
        bytes[103..105].copy_from_slice(&[0, if hosts_table { 2 } else { 0 }]);
        std::fs::write(&path, &bytes).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(error.context("path"), Some(&*path.display().to_string()));
        assert!(!error.to_string().contains('\n'), "{error}");
        let options = highwater_core::StoreOptions::default().read_only();
        let error = SqliteStore::builder(&path).options(options).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(std::fs::read(&path).unwrap() == bytes, "the file was written to");
    }
}
