//! What was removed leaves the file with a compaction, beside other handles and after one that was cut short.
#![allow(clippy::disallowed_methods)]

use highwater_core::{Maintenance, MaintenanceReport, PruneWhat, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_redb::RedbStore;
use redb::{Database, ReadableDatabase, TableDefinition, TableHandle};

const FILLING: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("hw_filling");

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &dyn Store, round: usize) {
    let mut batch = WriteBatch::new();
    for id in 0..300 {
        let (name, mark) = if id % 3 == 0 { ("stays", "kept") } else { ("gone", "ERASED") };
        let text = format!("{mark}-{round}-").repeat(1 + id % 40);
        batch.on(&notes()).upsert(format!(r#"{{"id":"{name}{id}","text":"{text}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

async fn erase(store: &dyn Store) {
    let mut batch = WriteBatch::new();
    for id in (0..300).filter(|id| id % 3 != 0) {
        batch.on(&notes()).delete(format!("gone{id}"));
    }
    store.commit(batch).await.unwrap();
    let up_to = store.head(&notes()).await.unwrap().high_water;
    store.maintain(Maintenance::Prune { stream: notes(), what: PruneWhat::Tombstones, up_to }).await.unwrap();
    store.maintain(Maintenance::Compact).await.unwrap();
}

async fn is_sound(store: &dyn Store) {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new()),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.records(&notes()).limit(1000).page().await.unwrap().changes.len(), 100);
}

fn left(path: &std::path::Path) -> usize {
    std::fs::read(path).unwrap().windows(6).filter(|window| *window == b"ERASED").count()
}

#[tokio::test]
async fn nothing_is_left_while_another_handle_is_open_and_both_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.redb");
    let (one, two) = (RedbStore::open(&path).unwrap(), RedbStore::open(&path).unwrap());
    for round in 0..4 {
        save(if round % 2 == 0 { &one } else { &two }, round).await;
    }
    assert!(left(&path) > 0);
    erase(&one).await;
    is_sound(&two).await;
    save(&two, 9).await;
    erase(&two).await;
    is_sound(&one).await;
    is_sound(&two).await;
    drop((one, two));
    let store = RedbStore::open(&path).unwrap();
    is_sound(&store).await;
    store.maintain(Maintenance::Compact).await.unwrap();
    drop(store);
    assert_eq!(left(&path), 0);
}

#[tokio::test]
async fn a_compaction_that_was_cut_short_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.redb");
    save(&RedbStore::open(&path).unwrap(), 1).await;
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(FILLING).unwrap().insert(77, &[0_u8; 3000][..]).unwrap();
    write.commit().unwrap();
    database.close().unwrap();
    let store = RedbStore::open(&path).unwrap();
    erase(&store).await;
    is_sound(&store).await;
    store.close().await.unwrap();
    assert_eq!(left(&path), 0);
    let database = Database::open(&path).unwrap();
    let tables: Vec<_> =
        database.begin_read().unwrap().list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    assert!(tables.iter().all(|table| table != "hw_filling" && table != "hw_copy"), "{tables:?}");
}
