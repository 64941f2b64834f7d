//! The store and its files.

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sled::SledStore;

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
    let path = folder.path().join("app.sled");
    let store = SledStore::open(&path).unwrap();
    save(&store, 0..300).await;
    let cursor = store.records(&notes()).limit(100).page().await.unwrap().next_cursor;
    store.close().await.unwrap();
    let store = SledStore::open(&path).unwrap();
    save(&store, 200..400).await;
    let page = store.records(&notes()).since(cursor).limit(1000).page().await.unwrap();
    assert_eq!((page.changes.len(), page.caught_up), (300, true));
    assert_clean(&store).await;
    drop(store);
    assert_clean(&SledStore::open(&path).unwrap()).await;
}

#[tokio::test]
async fn a_second_opener_and_a_file_in_the_way_are_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sled");
    let _store = SledStore::open(&path).unwrap();
    assert_eq!(SledStore::open(&path).unwrap_err().kind(), ErrorKind::Locked);
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(SledStore::open(&file).unwrap_err().kind(), ErrorKind::Incompatible);
    // Not the working directory.
    assert_eq!(SledStore::open("").unwrap_err().kind(), ErrorKind::Invalid);
}
