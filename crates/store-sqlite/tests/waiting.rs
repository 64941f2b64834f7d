//! Readings while somebody else writes: they wait for nobody.

use std::path::Path;
use std::time::Duration;

use highwater_core::{ContentFilter, Cursor, NetAction, Page, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// Waits an hour for locks: what waits for one here hangs.
fn open(path: &Path) -> SqliteStore {
    SqliteStore::builder(path).busy_timeout(Duration::from_secs(3600)).open().unwrap()
}

async fn save(store: &SqliteStore, json: &'static str) {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(json);
    store.commit(batch).await.unwrap();
}

async fn read(store: &SqliteStore, after: Cursor) -> Page {
    let open = ContentFilter::new().equals("/open", true);
    store.records(&notes()).since(after).matching(open).page().await.unwrap()
}

fn told(page: &Page) -> Vec<(&str, NetAction)> {
    page.changes.iter().map(|change| (&*change.record.id, change.net)).collect()
}

#[tokio::test]
async fn a_filtered_reading_begins_while_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    save(&store, r#"{"id":"a","open":true}"#).await;
    save(&store, r#"{"id":"b","open":false}"#).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = read(&store, Cursor::START).await;
    assert_eq!(told(&begun), [("a", NetAction::Added)]);
    other.execute_batch("ROLLBACK").unwrap();
    // The filter is not tracked: what may have left it is told of, never too little.
    save(&store, r#"{"id":"a","open":false}"#).await;
    save(&store, r#"{"id":"b","open":false,"n":1}"#).await;
    let next = read(&store, begun.next_cursor).await;
    assert_eq!(told(&next), [("a", NetAction::Left), ("b", NetAction::Left)]);
    // The store writes on, and tracks the filter of the next reading that begins.
    let begun = read(&store, Cursor::START).await;
    assert_eq!(told(&begun), []);
    save(&store, r#"{"id":"b","open":false,"n":2}"#).await;
    assert_eq!(told(&read(&store, begun.next_cursor).await), []);
}

#[tokio::test]
async fn a_filtered_reading_begins_while_a_commit_of_its_own_store_waits_for_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    save(&store, r#"{"id":"a","open":true}"#).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(r#"{"id":"b","open":true}"#);
    let committing = store.commit(batch);
    tokio::pin!(committing);
    assert!(futures_now(committing.as_mut()).await.is_none());
    assert_eq!(told(&read(&store, Cursor::START).await), [("a", NetAction::Added)]);
    other.execute_batch("ROLLBACK").unwrap();
    committing.await.unwrap();
    assert_eq!(told(&read(&store, Cursor::START).await).len(), 2);
}

/// What the future has when it is polled once.
async fn futures_now<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
