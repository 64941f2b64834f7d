//! Readings while somebody else writes: they wait for nobody.

use highwater_core::{ContentFilter, Cursor, NetAction, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_redb::RedbStore;

#[tokio::test]
async fn a_filtered_reading_begins_while_another_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let notes = StreamKey::new("demo", "Note");
    let store = RedbStore::builder(&path).open().unwrap();
    let save = async |json: &'static str| {
        let mut batch = WriteBatch::new();
        batch.on(&notes).upsert(json);
        store.commit(batch).await.unwrap();
    };
    let read = async |after: Cursor| {
        let page = store.records(&notes).since(after).matching(ContentFilter::new().equals("/open", true)).page().await;
        let page = page.unwrap();
        (
            page.changes.iter().map(|change| (change.record.id.to_string(), change.net)).collect::<Vec<_>>(),
            page.next_cursor,
        )
    };
    save(r#"{"id":"a","open":true}"#).await;
    let mut builder = redb::Database::builder();
    builder.set_concurrency_mode(redb::ConcurrencyMode::MultiWriter);
    let other = builder.open(&path).unwrap();
    let writing = other.begin_write().unwrap();
    let (told, _) = read(Cursor::START).await;
    assert_eq!(told, [("a".to_owned(), NetAction::Added)]);
    drop(writing);
    // The filter of a reading that begins now is tracked.
    let (_, cursor) = read(Cursor::START).await;
    save(r#"{"id":"b","open":false}"#).await;
    save(r#"{"id":"b","open":false,"n":1}"#).await;
    assert_eq!(read(cursor).await.0, []);
}
