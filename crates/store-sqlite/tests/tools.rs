//! The store's file in the hands of other programs: readers that stay, other journal modes, dumps, VACUUM.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::{self, Connection};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// A thousand records of about 100 bytes, changed `round` times.
fn thousand(round: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for id in 0..1000 {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}","round":{round},"text":"{}"}}"#, "x".repeat(400)));
    }
    batch
}

fn one(id: &str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    batch
}

fn wal_bytes(path: &Path) -> u64 {
    std::fs::metadata(PathBuf::from(format!("{}-wal", path.display()))).map_or(0, |file| file.len())
}

/// What the header says, as SQLite reads it.
fn mode(path: &Path) -> String {
    Connection::open(path).unwrap().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap()
}

async fn assert_clean(store: &dyn Store) {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new()),
        other => panic!("{other:?}"),
    }
}

/// Whether this SQLite may have several connections on one WAL file; an older one may not.
fn several_connections() -> bool {
    rusqlite::version_number() >= 3_051_003
}

/// A tool that reads for a long time, and so keeps the WAL from beginning anew.
fn reader(path: &Path) -> Connection {
    let tool = Connection::open(path).unwrap();
    tool.execute_batch("BEGIN").unwrap();
    tool.query_row("SELECT count(*) FROM hw_log", [], |row| row.get::<_, i64>(0)).unwrap();
    tool
}

#[tokio::test]
async fn the_wal_shrinks_when_a_long_reading_has_ended() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(thousand(0)).await.unwrap();
    let tool = reader(&path);
    for round in 1..=60 {
        store.commit(thousand(round)).await.unwrap();
    }
    let pinned = wal_bytes(&path);
    drop(tool);
    for n in 0..4 {
        store.commit(one(&format!("late{n}"))).await.unwrap();
    }
    let after = wal_bytes(&path);
    println!("WAL while a tool read: {pinned} bytes; four commits after it ended: {after}");
    assert!(pinned > 20 << 20, "the tool held nothing back: {pinned}");
    assert!(after <= 20 << 20, "{after} of {pinned} bytes are kept");
    assert_clean(&store).await;
}

#[tokio::test]
async fn the_wal_shrinks_while_nothing_is_asked_of_the_store() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(one("first")).await.unwrap();
    let tool = reader(&path);
    for round in 0..20 {
        store.commit(thousand(round)).await.unwrap();
    }
    let grown = wal_bytes(&path);
    drop(tool);
    let mut looks = 0;
    while wal_bytes(&path) > 0 && looks < 200 {
        std::thread::sleep(Duration::from_millis(50));
        looks += 1;
    }
    println!("WAL {grown} bytes; after a while without work {}", wal_bytes(&path));
    assert_eq!(wal_bytes(&path), 0, "of {grown}");
    // A subscriber's polls are no work.
    let mut wakeups = store.subscribe();
    for round in 20..40 {
        store.commit(thousand(round)).await.unwrap();
    }
    wakeups.changed().await.unwrap();
    let mut looks = 0;
    while wal_bytes(&path) > 0 && looks < 200 {
        std::thread::sleep(Duration::from_millis(50));
        looks += 1;
    }
    assert_eq!(wal_bytes(&path), 0);
    assert_clean(&store).await;
}

#[tokio::test]
async fn compacting_says_whether_a_reader_held_it_back() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::builder(&path).busy_timeout(Duration::from_millis(50)).open().unwrap();
    store.commit(thousand(0)).await.unwrap();
    let tool = reader(&path);
    store.commit(thousand(1)).await.unwrap();
    let held = store.maintain(Maintenance::Compact).await.unwrap();
    let left = wal_bytes(&path);
    drop(tool);
    let free = store.maintain(Maintenance::Compact).await.unwrap();
    println!("beside a reader: {held:?}, WAL {left} bytes; without: {free:?}, WAL {} bytes", wal_bytes(&path));
    assert!(left > 0);
    assert_ne!(held, free, "held back, and nobody was told");
    assert_eq!(wal_bytes(&path), 0);
}

#[tokio::test]
async fn closing_beside_another_program_leaves_a_small_wal() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    let tool = Connection::open(&path).unwrap();
    tool.query_row("SELECT count(*) FROM hw_log", [], |row| row.get::<_, i64>(0)).unwrap();
    for round in 0..8 {
        store.commit(thousand(round)).await.unwrap();
    }
    let before = wal_bytes(&path);
    store.close().await.unwrap();
    println!("WAL before closing {before}, after {}", wal_bytes(&path));
    assert_eq!(wal_bytes(&path), 0, "of {before}");
}

#[tokio::test]
async fn a_journal_mode_that_a_tool_left_is_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    for set in ["DELETE", "TRUNCATE", "PERSIST"] {
        let store = SqliteStore::open(&path).unwrap();
        store.commit(one(set)).await.unwrap();
        store.create_view(&notes(), "shown", Vec::new()).await.unwrap();
        store.close().await.unwrap();
        Connection::open(&path).unwrap().query_row(&format!("PRAGMA journal_mode = {set}"), [], |_| Ok(())).unwrap();
        assert_eq!(mode(&path), "delete");
        let store = SqliteStore::open(&path).unwrap();
        store.commit(one("after")).await.unwrap();
        if several_connections() {
            let tool = reader(&path);
            let beside = store.commit(one(&format!("beside a reader of {set}"))).await;
            println!("{set}: opened as {}, a commit beside a reader: {:?}", mode(&path), beside.map_err(|e| e.kind()));
            drop(tool);
        }
        store.close().await.unwrap();
        assert_eq!(mode(&path), "wal", "{set}");
    }
    // A transaction of somebody else's at that moment: the file stays as it is, and it is told why.
    Connection::open(&path).unwrap().query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    let tool = reader(&path);
    let error = SqliteStore::builder(&path).busy_timeout(Duration::from_millis(50)).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.message().contains("journal mode"), "{error}");
    drop(tool);
    SqliteStore::open(&path).unwrap().commit(one("last")).await.unwrap();
}

/// What `sqlite3 app.db .dump | sqlite3 restored.db` makes: the same tables and rows in a new file with the tool's own settings.
fn dump_and_restore(from: &Path, to: &Path) {
    let tool = Connection::open(from).unwrap();
    tool.execute("ATTACH ?1 AS restored", [to.to_str().unwrap()]).unwrap();
    let mut statements =
        tool.prepare("SELECT name, sql, type FROM sqlite_schema WHERE sql NOT NULL ORDER BY type DESC").unwrap();
    let objects: Vec<(String, String, String)> = statements
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (name, sql, kind) in objects {
        let kind = kind.to_uppercase();
        tool.execute_batch(&sql.replacen(&format!("CREATE {kind} "), &format!("CREATE {kind} restored."), 1)).unwrap();
        if kind == "TABLE" {
            tool.execute_batch(&format!("INSERT INTO restored.{name} SELECT * FROM main.{name}")).unwrap();
        }
    }
}

#[tokio::test]
async fn a_restored_dump_is_a_store_in_wal_mode() {
    let folder = tempfile::tempdir().unwrap();
    let (path, restored) = (folder.path().join("app.db"), folder.path().join("restored.db"));
    let store = SqliteStore::open(&path).unwrap();
    store.commit(thousand(0)).await.unwrap();
    let cursor = store.records(&notes()).limit(400).page().await.unwrap().next_cursor;
    store.close().await.unwrap();
    dump_and_restore(&path, &restored);
    assert_eq!(mode(&restored), "delete");
    let store = SqliteStore::open(&restored).unwrap();
    println!("opened as {}", if several_connections() { mode(&restored) } else { "its own".to_owned() });
    let page = store.records(&notes()).since(cursor).limit(1000).page().await.unwrap();
    assert_eq!((page.changes.len(), page.caught_up), (600, true));
    store.commit(one("more")).await.unwrap();
    assert_clean(&store).await;
    store.close().await.unwrap();
    assert_eq!(mode(&restored), "wal");
}

#[tokio::test]
async fn a_hosts_tables_keep_the_hosts_journal_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    SqliteStore::open(&path).unwrap().close().await.unwrap();
    let host = Connection::open(&path).unwrap();
    host.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    host.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(host);
    let store = SqliteStore::open(&path).unwrap();
    store.commit(one("a")).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(mode(&path), "delete");
}

#[tokio::test]
async fn a_tool_that_tidies_up_harms_nothing() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    for (round, act) in [
        "VACUUM",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(RESTART)",
        "REINDEX",
        "ANALYZE",
        "PRAGMA optimize",
        "PRAGMA user_version = 5",
        "PRAGMA incremental_vacuum",
    ]
    .into_iter()
    .enumerate()
    {
        store.commit(thousand(round)).await.unwrap();
        let tool = Connection::open(&path).unwrap();
        tool.busy_timeout(Duration::from_secs(5)).unwrap();
        tool.prepare(act).unwrap().query([]).unwrap().next().unwrap();
        // It cannot take the file out of WAL mode while a store has it open.
        let other: rusqlite::Result<String> = {
            tool.busy_timeout(Duration::ZERO).unwrap();
            tool.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        };
        assert!(other.as_deref().map_or(true, |mode| mode == "wal"), "{act}: {other:?}");
        drop(tool);
        store.commit(one(act)).await.unwrap();
        assert_clean(&store).await;
    }
    assert_eq!(store.head(&notes()).await.unwrap().live, 1008);
}
