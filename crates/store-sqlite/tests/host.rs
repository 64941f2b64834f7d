//! The store beside a host: its transactions, its mistakes, its locks, odd paths.
#![allow(clippy::disallowed_methods)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater_conformance::TestEnvironment;
use highwater_core::{
    Error, ErrorKind, Maintenance, MaintenanceReport, Page, PollOptions, Result, Store, StoreExt, StoreOptions,
    StreamKey, WriteBatch,
};
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

async fn problems(store: &dyn Store) -> Vec<String> {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => found.problems,
        other => panic!("{other:?}"),
    }
}

async fn ids(store: &dyn Store) -> Vec<String> {
    let page = store.records(&notes()).limit(1000).page().await.unwrap();
    page.changes.iter().map(|change| change.record.id.to_string()).collect()
}

/// Whether a second connection may have the file: an SQLite before 3.51.3 has a WAL file for itself.
fn shared(store: &dyn Store) -> bool {
    store.capabilities().multi_process
}

fn count(path: &Path) -> rusqlite::Result<i64> {
    Connection::open(path)?.query_row("SELECT count(*) FROM mine", [], |row| row.get(0))
}

#[tokio::test]
async fn p23_a_panic_of_the_host_stores_nothing_and_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..5)).await.unwrap();
    let panics = |connection: &Connection, _: &Page| -> rusqlite::Result<()> {
        connection.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)")?;
        panic!("a bug of the host's")
    };
    let options = PollOptions::default().backoff(Duration::ZERO, Duration::ZERO);
    let error = store.consume_in_tx(&notes(), "copy", options.clone(), panics).await.unwrap_err();
    assert_eq!((error.kind(), error.context("consumer")), (ErrorKind::Cancelled, Some("copy")), "{error}");
    assert!(error.to_string().contains("a bug of the host's"), "{error}");
    store.commit(batch(5..6)).await.unwrap();
    let counts = |connection: &Connection, page: &Page| {
        connection.execute_batch("CREATE TABLE IF NOT EXISTS mine (x)")?;
        Ok::<_, rusqlite::Error>(page.changes.len())
    };
    for expected in [1, 2, 3] {
        let applied = store.consume_in_tx(&notes(), "copy", options.clone(), counts).await.unwrap();
        assert_eq!(applied, Some(expected), "small after a failure, and growing");
    }
    assert_eq!(problems(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn p23_a_host_that_ends_the_transaction_is_told_and_gets_the_batch_again() {
    for (end, stays) in [("COMMIT", 1), ("ROLLBACK", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let store = SqliteStore::open(&path).unwrap();
        store.commit(batch(0..5)).await.unwrap();
        let ends = move |connection: &Connection, _: &Page| {
            connection.execute_batch("CREATE TABLE IF NOT EXISTS mine (x); INSERT INTO mine VALUES (1)")?;
            connection.execute_batch(end)
        };
        let options = PollOptions::default().lease(Duration::from_millis(1)).backoff(Duration::ZERO, Duration::ZERO);
        let error = store.consume_in_tx(&notes(), "copy", options.clone(), ends).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{end}: {error}");
        std::thread::sleep(Duration::from_millis(5));
        let counts = |connection: &Connection, page: &Page| {
            // Savepoints are the host's to use; one that is left open ends with the transaction.
            connection.execute_batch("SAVEPOINT a; CREATE TABLE gone (x); ROLLBACK TO a; SAVEPOINT b")?;
            Ok::<_, rusqlite::Error>(page.changes.len())
        };
        let mut counted = 0;
        while let Some(applied) = store.consume_in_tx(&notes(), "copy", options.clone(), counts).await.unwrap() {
            counted += applied;
        }
        assert_eq!(counted, 5, "{end}");
        store.commit(batch(5..6)).await.unwrap();
        assert_eq!(problems(&store).await, Vec::<String>::new());
        store.close().await.unwrap();
        assert_eq!(count(&path).unwrap_or(0), stays, "{end}");
    }
}

#[tokio::test]
async fn p23_a_record_that_the_hosts_work_cannot_take_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Arc::new(TestEnvironment::new(1));
    let options = StoreOptions::new().environment(Arc::clone(&environment) as Arc<_>);
    let store = SqliteStore::builder(folder.path().join("app.db")).options(options).open().unwrap();
    store.commit(batch(0..6)).await.unwrap();
    let options = PollOptions::default().max_attempts(2);
    let applies = |connection: &Connection, page: &Page| {
        connection.execute_batch("CREATE TABLE IF NOT EXISTS mine (id TEXT PRIMARY KEY)")?;
        for change in &page.changes {
            connection.execute("INSERT INTO mine VALUES (?1)", [&*change.record.id])?;
        }
        if page.changes.iter().any(|change| &*change.record.id == "3") {
            return Err(rusqlite::Error::InvalidQuery);
        }
        Ok(page.changes.len())
    };
    let (mut failures, mut waits) = (0, 0);
    loop {
        match store.consume_in_tx(&notes(), "copy", options.clone(), applies).await {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::Cancelled => failures += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::BackingOff, "{error}");
                environment.step_ms(i64::try_from(error.retry_after().unwrap().as_millis()).unwrap());
                waits += 1;
            }
        }
        assert!(failures < 20, "it is never set aside");
    }
    assert_eq!(store.consumer(&notes(), "copy").status().await.unwrap().parked, ["3"]);
    assert!((3..8).contains(&failures) && waits == failures, "{failures} failures, {waits} pauses");
    store.close().await.unwrap();
    assert_eq!(count(&folder.path().join("app.db")).unwrap(), 5);
}

/// A store with five records, and a host that is in a transaction.
async fn joined(folder: &Path) -> Option<(SqliteStore, Connection)> {
    let path = folder.join("app.db");
    let host = Connection::open(&path).unwrap();
    host.execute_batch("PRAGMA foreign_keys = ON; CREATE TABLE mine (x)").unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(batch(0..5)).await.unwrap();
    host.execute_batch("BEGIN IMMEDIATE; INSERT INTO mine VALUES (1)").unwrap();
    shared(&store).then_some((store, host))
}

#[tokio::test]
async fn what_fails_in_a_joined_transaction_leaves_nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some((store, host)) = joined(folder.path()).await else { return };
    // Enough to fill blocks, then a record that is none.
    let mut bad = batch(100..400);
    bad.on(&notes()).upsert("no record");
    let error = store.join(&host, |transaction| transaction.apply(&bad)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = store
        .join(&host, |transaction| {
            transaction.apply(&batch(400..700))?;
            Err::<(), _>(Error::new(ErrorKind::Cancelled, "the host thought better of it"))
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.join(&host, |transaction| -> Result<()> {
            transaction.apply(&batch(700..1000))?;
            panic!("a bug of the host's")
        })
    }));
    assert!(panicked.is_err());
    let (_, staged) = store.join(&host, |transaction| transaction.apply(&batch(5..7))).unwrap();
    host.execute_batch("COMMIT").unwrap();
    staged.publish();
    assert_eq!(ids(&store).await, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(problems(&store).await, Vec::<String>::new());
    assert_eq!(count(&folder.path().join("app.db")).unwrap(), 1);
}

#[tokio::test]
async fn a_joined_transaction_goes_the_way_of_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let Some((store, mut host)) = joined(folder.path()).await else { return };
    // What the host writes meanwhile is its own, also where the log does not change.
    store
        .join(&host, |transaction| {
            host.execute_batch("INSERT INTO mine VALUES (2)").unwrap();
            transaction.apply(&batch(0..5))
        })
        .unwrap()
        .1
        .publish();
    host.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&folder.path().join("app.db")).unwrap(), 2);

    let other = StreamKey::new("demo", "Other");
    let mut first = WriteBatch::new();
    first.on(&other).upsert(r#"{"id":"a"}"#);
    let write = |connection: &Connection| {
        drop(store.join(connection, |transaction| transaction.apply(&batch(10..200))).unwrap());
        drop(store.join(connection, |transaction| transaction.apply(&first)).unwrap());
    };
    // A savepoint that is given up, a transaction that is rolled back, one that is dropped.
    let mut whole = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let savepoint = whole.savepoint().unwrap();
    write(&savepoint);
    drop(savepoint);
    whole.commit().unwrap();
    let whole = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    write(&whole);
    whole.rollback().unwrap();
    let whole = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    write(&whole);
    drop(whole);
    assert_eq!(ids(&store).await.len(), 5);
    assert_eq!(store.head(&other).await.unwrap().live, 0);
    // Afterwards all is as if they had never been, cursors included.
    store.commit(batch(5..6)).await.unwrap();
    let whole = host.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    write(&whole);
    whole.commit().unwrap();
    assert_eq!(ids(&store).await.len(), 196);
    let end = store.records(&other).page().await.unwrap().next_cursor;
    assert!(store.records(&other).since(end).page().await.unwrap().caught_up);
    assert_eq!(problems(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_transaction_of_another_file_is_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let Some((store, _host)) = joined(folder.path()).await else { return };
    let strange = Connection::open(folder.path().join("strange.db")).unwrap();
    strange.execute_batch("CREATE TABLE mine (x); BEGIN IMMEDIATE").unwrap();
    let error = store.join(&strange, |transaction| transaction.apply(&batch(5..6))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    // With a rollback journal, which every SQLite shares.
    Connection::open(folder.path().join("other.db")).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let other = SqliteStore::open(folder.path().join("other.db")).unwrap();
    other.commit(batch(0..1)).await.unwrap();
    let others = Connection::open(folder.path().join("other.db")).unwrap();
    others.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.join(&others, |transaction| transaction.apply(&batch(5..6))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    others.execute_batch("COMMIT").unwrap();
    assert_eq!(ids(&other).await, ["0"]);
    assert_eq!(problems(&other).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hosts_attached_file_can_be_joined() {
    let folder = tempfile::tempdir().unwrap();
    let Some((store, host)) = joined(folder.path()).await else { return };
    host.execute_batch("ROLLBACK").unwrap();
    let main = Connection::open(folder.path().join("main.db")).unwrap();
    main.execute("ATTACH ?1 AS records", [folder.path().join("app.db").to_str().unwrap()]).unwrap();
    main.execute_batch("CREATE TABLE main.mine (x); BEGIN IMMEDIATE").unwrap();
    store.join(&main, |transaction| transaction.apply(&batch(5..8))).unwrap().1.publish();
    main.execute_batch("COMMIT").unwrap();
    assert_eq!(ids(&store).await.len(), 8);
    assert_eq!(problems(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_lock_that_the_host_holds_is_busy_with_a_way_out() {
    for mode in ["WAL", "DELETE"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let host = Connection::open(&path).unwrap();
        host.execute_batch(&format!("PRAGMA journal_mode = {mode}; CREATE TABLE mine (x)")).unwrap();
        let store = match SqliteStore::builder(&path).busy_timeout(Duration::from_millis(50)).open() {
            Ok(store) if shared(&store) => store,
            _ => continue,
        };
        store.commit(batch(0..5)).await.unwrap();
        host.execute_batch("BEGIN IMMEDIATE; INSERT INTO mine VALUES (1)").unwrap();
        let error = store.commit(batch(5..6)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Busy, true), "{mode}: {error}");
        assert_eq!(error.context("path"), Some(&*path.display().to_string()));
        assert!(error.to_string().contains("busy_timeout"), "{error}");
        assert_eq!(ids(&store).await.len(), 5);
        host.execute_batch("COMMIT; BEGIN; SELECT * FROM mine").unwrap();
        host.query_row("SELECT count(*) FROM mine", [], |_| Ok(())).unwrap();
        // A long reading of the host's stops no commit, where there is a WAL.
        match store.commit(batch(6..7)).await {
            Ok(_) => assert_eq!(mode, "WAL"),
            Err(error) => assert_eq!((error.kind(), mode), (ErrorKind::Busy, "DELETE"), "{error}"),
        }
        store.commit(batch(7..8)).await.map(drop).or_else(|_| host.execute_batch("COMMIT")).unwrap();
        store.commit(batch(6..8)).await.unwrap();
        // A transaction that began to read too early can wait for ever: it is told so.
        if mode == "WAL" {
            let error = store.join(&host, |transaction| transaction.apply(&batch(8..9))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy);
            assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
        }
        assert_eq!(ids(&store).await.len(), 7);
        assert_eq!(problems(&store).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn paths_that_are_no_files_are_refused_plainly() {
    let folder = tempfile::tempdir().unwrap();
    for (path, kind) in [
        (":memory:", ErrorKind::Invalid),
        ("", ErrorKind::Invalid),
        (folder.path().to_str().unwrap(), ErrorKind::Incompatible),
    ] {
        let error = SqliteStore::open(path).unwrap_err();
        assert_eq!((error.kind(), error.context("path")), (kind, Some(path)), "{error}");
    }
}
