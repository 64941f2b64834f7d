//! Damage to the bytes of a page that tell redb how many entries it has.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use highwater_core::{Maintenance, MaintenanceReport, Result, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_redb::RedbStore;

const RECORDS: usize = 300;

/// The least page of redb.
const PAGE: usize = 4096;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// Everything that can be asked of the store: what is wrong with it, and whether all records are there.
async fn examine(path: &Path) -> Result<(Vec<String>, usize)> {
    let store = RedbStore::open(path)?;
    let mut problems = Vec::new();
    for task in [Maintenance::CheckFiles, Maintenance::Verify(notes())] {
        match store.maintain(task).await? {
            MaintenanceReport::Files(found) => problems.extend(found.problems),
            MaintenanceReport::Verified(found) => problems.extend(found.problems),
            other => panic!("{other:?}"),
        }
    }
    let page = store.records(&notes()).limit(1000).page().await?;
    store.close().await?;
    Ok((problems, page.changes.len()))
}

#[tokio::test]
async fn a_page_that_forgot_its_entries_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("whole.redb"), folder.path().join("copy.redb"));
    let store = RedbStore::open(&path).unwrap();
    for from in (0..RECORDS).step_by(50) {
        let mut batch = WriteBatch::new();
        for n in from..from + 50 {
            batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{}"}}"#, "n".repeat(200)));
        }
        store.commit(batch).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(examine(&path).await.unwrap(), (Vec::new(), RECORDS));
    let bytes = std::fs::read(&path).unwrap();
    let (mut noticed, mut unused) = (0, 0);
    for at in (PAGE..bytes.len()).step_by(PAGE) {
        let entries = u16::from_le_bytes([bytes[at + 2], bytes[at + 3]]);
        // A leaf or a branch, or the middle of a longer page that looks like one.
        if !matches!(bytes[at], 1 | 2) || entries == 0 || entries > 1000 {
            continue;
        }
        for fewer in [0, entries / 2, entries - 1] {
            let mut damaged = bytes.clone();
            damaged[at + 2..at + 4].copy_from_slice(&fewer.to_le_bytes());
            std::fs::write(&copy, damaged).unwrap();
            match examine(&copy).await {
                Ok((problems, RECORDS)) if problems.is_empty() => unused += 1,
                Ok((problems, records)) => {
                    assert!(
                        !problems.is_empty(),
                        "page {}: {fewer} of {entries} entries, {records} records",
                        at / PAGE
                    );
                    noticed += 1;
                }
                Err(error) => {
                    assert!(error.context("path").is_some(), "{error}");
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 20, "{noticed}, {unused}");
}
