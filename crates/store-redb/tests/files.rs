//! The store and its files.

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_redb::RedbStore;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &dyn Store, ids: std::ops::Range<usize>) {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

async fn assert_clean(store: &dyn Store) {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.redb");
    let store = RedbStore::open(&path).unwrap();
    save(&store, 0..300).await;
    let cursor = store.records(&notes()).limit(100).page().await.unwrap().next_cursor;
    store.close().await.unwrap();
    let store = RedbStore::open(&path).unwrap();
    save(&store, 200..400).await;
    let page = store.records(&notes()).since(cursor).limit(1000).page().await.unwrap();
    assert_eq!((page.changes.len(), page.caught_up), (300, true));
    assert_clean(&store).await;
    drop(store);
    assert_clean(&RedbStore::open(&path).unwrap()).await;
}

#[tokio::test]
async fn two_handles_share_and_an_exclusive_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.redb");
    let (one, two) = (RedbStore::open(&path).unwrap(), RedbStore::open(&path).unwrap());
    let mut wakeups = two.subscribe();
    save(&one, 0..3).await;
    wakeups.changed().await.unwrap();
    save(&two, 0..5).await;
    let page = one.records(&notes()).page().await.unwrap();
    assert_eq!((page.changes.len(), page.caught_up), (5, true));
    assert_clean(&one).await;
    assert_eq!(RedbStore::builder(&path).exclusive().open().unwrap_err().kind(), ErrorKind::Locked);
    let text = folder.path().join("text");
    std::fs::write(&text, "no database".repeat(1000)).unwrap();
    assert_eq!(RedbStore::open(&text).unwrap_err().kind(), ErrorKind::Incompatible);
    let error = RedbStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.message().contains("directory"), "{error}");
}
