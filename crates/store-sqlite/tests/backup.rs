//! What a backup of a SQLite file has beside the log (P42).
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use highwater_core::{Backup, Maintenance, Store, StoreOptions, StreamKey, WriteBatch};
use highwater_store_sqlite::{SqliteStore, rusqlite};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &SqliteStore, id: u64, text: &str) {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(format!(r#"{{"id":{id},"text":"{text}"}}"#));
    store.commit(batch).await.unwrap();
}

async fn back_up(store: &SqliteStore, to: &Path) {
    store.maintain(Maintenance::BackUp(Backup::to(to))).await.unwrap();
}

fn read(path: &Path, sql: &str) -> String {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_backup_of_a_hosts_file_has_the_hosts_tables_and_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA user_version = 7; CREATE TABLE host AS SELECT 'theirs' AS x;")
        .unwrap();
    let store = SqliteStore::open(&path).unwrap();
    save(&store, 1, "kept").await;
    back_up(&store, &copy).await;
    assert_eq!(read(&copy, "SELECT x FROM host"), "theirs");
    assert_eq!(read(&copy, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version"), "7");
    let mode = |path: &Path| read(path, "PRAGMA journal_mode");
    assert_eq!(mode(&copy), mode(&path));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(permissions & 0o777, 0o600, "nobody else may read it");
    }
    let copied = SqliteStore::open(&copy).unwrap();
    assert_eq!(copied.head(&notes()).await.unwrap().live, 1);
}

#[tokio::test]
async fn what_was_removed_is_not_in_a_backup_and_a_reader_can_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    for id in 0..50 {
        save(&store, id, "a-text-that-was-taken-back").await;
    }
    store.maintain(Maintenance::Clear(notes())).await.unwrap();
    save(&store, 1, "a-text-that-stays").await;
    let copies = ["of-writer.db", "of-reader.db", "of-exclusive.db"].map(|name| folder.path().join(name));
    back_up(&store, &copies[0]).await;
    store.close().await.unwrap();
    let reader = SqliteStore::builder(&path).options(StoreOptions::new().read_only()).open().unwrap();
    back_up(&reader, &copies[1]).await;
    reader.close().await.unwrap();
    let alone = SqliteStore::builder(&path).exclusive().open().unwrap();
    back_up(&alone, &copies[2]).await;
    save(&alone, 2, "after").await;
    alone.close().await.unwrap();
    for copy in &copies {
        let bytes = std::fs::read(copy).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|found| found == text.as_bytes());
        assert!(has("a-text-that-stays") && !has("a-text-that-was-taken-back"), "{}", copy.display());
        let copied = SqliteStore::open(copy).unwrap();
        assert_eq!(copied.head(&notes()).await.unwrap().live, 1);
        copied.close().await.unwrap();
    }
}
