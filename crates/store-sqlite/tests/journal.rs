//! What a crash leaves of a host's own file with a rollback journal: what opens is the last commit, whole.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};

use highwater_core::{Maintenance, MaintenanceReport, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

const COMMITS: usize = 12;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// The commit after `n` others: ten records come, those of the commit before last change, one of earlier ones goes.
fn batch(n: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    let stream = batch.on(&notes());
    for place in 0..10 {
        stream.upsert(record(n, place, n));
        if n > 1 {
            stream.upsert(record(n - 2, place, n));
        }
    }
    if n > 3 {
        stream.delete(format!("{}-0", n - 4));
    }
    batch.put_document("count", &(n + 1)).unwrap();
    batch
}

fn record(n: usize, place: usize, changed: usize) -> String {
    format!(r#"{{"id":"{n}-{place}","changed":{changed},"text":"{}"}}"#, format!("{n} {changed} ").repeat(100))
}

/// The live records after `count` commits.
fn expected(count: usize) -> Vec<String> {
    let mut records = Vec::new();
    for n in 0..count {
        let changed = if n + 2 < count { n + 2 } else { n };
        let first = usize::from(n + 4 < count);
        records.extend((first..10).map(|place| record(n, place, changed)));
    }
    records.sort();
    records
}

fn beside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-journal", path.display()))
}

/// The files at a moment; no journal where there was none.
struct Image {
    main: Vec<u8>,
    journal: Option<Vec<u8>>,
}

impl Image {
    fn of(path: &Path) -> Self {
        Image { main: std::fs::read(path).unwrap(), journal: std::fs::read(beside(path)).ok() }
    }

    /// Opens a copy, compares it with what `count` commits made, and goes on writing.
    async fn shows(&self, count: usize, what: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.db");
        std::fs::write(&path, &self.main).unwrap();
        if let Some(journal) = &self.journal {
            std::fs::write(beside(&path), journal).unwrap();
        }
        let store = SqliteStore::open(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
        for round in 0..2 {
            let page = store.records(&notes()).limit(1000).page().await.unwrap();
            let live = page.changes.iter().filter(|change| change.record.metadata.deleted_at.is_none());
            let mut records: Vec<_> = live.map(|change| change.record.payload.clone().unwrap().to_string()).collect();
            records.sort();
            assert_eq!(records, expected(count + round), "{what}");
            let counted = store.document("count").await.unwrap().unwrap().to::<usize>().unwrap();
            assert_eq!(counted, count + round, "{what}");
            let report = store.maintain(Maintenance::Verify(notes())).await.unwrap();
            let MaintenanceReport::Verified(verified) = report else { panic!("{report:?}") };
            assert!(verified.problems.is_empty(), "{what}: {:?}", verified.problems);
            store.commit(batch(count + round)).await.unwrap();
        }
    }
}

/// A store in a file of the host's, with all commits but those of the host's transaction.
async fn hosts_file(path: &Path) -> SqliteStore {
    Connection::open(path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let store = SqliteStore::open(path).unwrap();
    for n in 0..COMMITS {
        store.commit(batch(n)).await.unwrap();
    }
    store
}

#[tokio::test]
async fn p29_a_torn_rollback_journal_shows_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let store = hosts_file(&path).await;
    let before = Image::of(&path);
    before.shows(COMMITS, "nothing under way").await;

    // The host's transaction, with ours in it, keeps its pages in memory: the file is untouched, the journal is being written.
    let host = Connection::open(&path).unwrap();
    host.execute_batch("PRAGMA cache_spill = OFF; BEGIN IMMEDIATE; INSERT INTO mine VALUES (1)").unwrap();
    let (_, staged) = store.join(&host, |transaction| transaction.apply(&batch(COMMITS))).unwrap();
    let written = Image::of(&path);
    assert!(written.main == before.main);
    let journal = written.journal.clone().expect("a journal");
    assert!(journal.len() > 8 * 4096, "{}", journal.len());
    written.shows(COMMITS, "the journal as it lies").await;
    for byte in (0..journal.len()).step_by(journal.len() / 40 + 1).chain([4, 11, 27, 511, 512, 513, journal.len() - 1])
    {
        let torn = Image { main: before.main.clone(), journal: Some(journal[..byte].to_vec()) };
        torn.shows(COMMITS, &format!("the journal up to byte {byte}")).await;
    }
    host.execute_batch("COMMIT").unwrap();
    staged.publish();
    Image::of(&path).shows(COMMITS + 1, "after the host's commit").await;
}

#[tokio::test]
async fn p29_a_transaction_that_spilled_into_the_file_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let store = hosts_file(&path).await;
    let before = Image::of(&path);

    let host = Connection::open(&path).unwrap();
    host.execute_batch("PRAGMA cache_size = 4; BEGIN IMMEDIATE").unwrap();
    let (mut spilled, mut staged) = (0, Vec::new());
    for n in COMMITS..COMMITS + 6 {
        staged.push(store.join(&host, |transaction| transaction.apply(&batch(n))).unwrap().1);
        let image = Image::of(&path);
        spilled += usize::from(image.main != before.main);
        image.shows(COMMITS, &format!("in the middle of commit {n}")).await;
    }
    assert!(spilled > 0, "no page went into the file before the commit");
    host.execute_batch("COMMIT").unwrap();
    staged.into_iter().for_each(|staged| staged.publish());
    Image::of(&path).shows(COMMITS + 6, "after the host's commit").await;
}
