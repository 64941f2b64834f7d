//! Processes that are killed with SIGKILL at any moment: what each store has afterwards.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/processes.rs"]
mod support;

use std::path::Path;

use highwater::consumer::PollOptions;
use highwater::maintenance::Maintenance;
use highwater::{Cursor, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;
use support::{Chance, block_on, open, problems, run_and_kill, setting};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let Some(role) = support::role() else { return };
    let role: Vec<&str> = role.iter().map(String::as_str).collect();
    block_on(async {
        match *role.as_slice() {
            ["count", kind, path] => count(kind, path, false).await,
            ["compact", kind, path] => count(kind, path, true).await,
            ["consume", path] => consume(path).await,
            _ => panic!("no such role: {role:?}"),
        }
    });
}

/// Commits one record after another, each with the document that counts them; compacts after each third, where asked.
async fn count(kind: &str, path: &str, compact: bool) {
    let store = open(kind, Path::new(path)).unwrap();
    let begin = store.head(&notes()).await.unwrap().live;
    for n in begin.. {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","n":{n}}}"#));
        batch.put_document("count", &(n + 1)).unwrap();
        store.commit(batch).await.unwrap();
        println!("acknowledged {n}");
        if compact && n % 3 == 2 {
            store.maintain(Maintenance::Compact).await.unwrap();
        }
    }
}

fn what_was_acknowledged_survives(role: &str, kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut chance = Chance::new(&format!("{role} {kind}"));
    let mut last = Cursor::START;
    let rounds = setting("HIGHWATER_TEST_KILLS", 20);
    for round in 0..rounds {
        let acknowledged = run_and_kill(&[role, kind, path.to_str().unwrap()], 30, &mut chance).unwrap();
        block_on(async {
            let store = open(kind, &path).unwrap();
            let head = store.head(&notes()).await.unwrap();
            assert!(head.live > acknowledged, "{kind} round {round}: {} of {acknowledged}", head.live);
            assert!(head.high_water.position() > last.position());
            last = head.high_water;
            let count = store.document("count").await.unwrap().unwrap();
            assert_eq!(count.as_bytes(), head.live.to_string().as_bytes(), "{kind}: half a batch");
            assert_eq!(problems(&*store, &notes()).await.unwrap(), Vec::<String>::new());
            let page = store.records(&notes()).limit(100_000).page().await.unwrap();
            let ids: Vec<_> = page.changes.iter().map(|change| change.record.id.to_string()).collect();
            assert_eq!(ids, (0..head.live).map(|n| n.to_string()).collect::<Vec<_>>());
            assert!(
                page.changes
                    .is_sorted_by(|a, b| a.record.metadata.cursor.position() < b.record.metadata.cursor.position())
            );
            store.close().await.unwrap();
        });
    }
    println!("{role} {kind}: killed {rounds} times, nothing acknowledged was lost");
}

#[test]
fn p29_p31_sqlite_survives_kill_9() {
    what_was_acknowledged_survives("count", "sqlite");
}

#[test]
fn p29_p31_sqlite_survives_kill_9_while_it_compacts() {
    what_was_acknowledged_survives("compact", "sqlite");
}

#[test]
fn p29_p31_redb_survives_kill_9() {
    what_was_acknowledged_survives("count", "redb");
}

#[test]
fn p29_p31_redb_survives_kill_9_while_it_compacts() {
    what_was_acknowledged_survives("compact", "redb");
}

#[test]
fn p29_p31_sled_survives_kill_9() {
    what_was_acknowledged_survives("count", "sled");
}

#[test]
fn p29_p31_sled_survives_kill_9_while_it_compacts() {
    what_was_acknowledged_survives("compact", "sled");
}

/// Writes records and applies them to a table of the host's in the same file.
async fn consume(path: &str) {
    let store = SqliteStore::open(path).unwrap();
    let begin = store.head(&notes()).await.unwrap().live;
    for n in begin.. {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}"}}"#));
        store.commit(batch).await.unwrap();
        if n % 3 == 0 {
            apply_some(&store).await;
        }
        println!("acknowledged {n}");
    }
}

/// One delivery: counts each record, on purpose not idempotently.
async fn apply_some(store: &SqliteStore) -> usize {
    let apply = |connection: &Connection, page: &highwater::Page| {
        for change in &page.changes {
            connection.execute(
                "INSERT INTO copy VALUES (?1, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                [&*change.record.id],
            )?;
        }
        connection.execute("UPDATE total SET n = n + ?1", [i64::try_from(page.changes.len()).unwrap()])?;
        Ok::<_, highwater_store_sqlite::rusqlite::Error>(page.changes.len())
    };
    let options = PollOptions::default().limit(2);
    store.consume_in_tx(&notes(), "copy", options, apply).await.unwrap().unwrap_or(0)
}

#[test]
fn p23_consume_in_tx_is_exactly_once_under_kill_9_in_a_hosts_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let host = Connection::open(&path).unwrap();
    host.execute_batch(
        "PRAGMA user_version = 7; PRAGMA application_id = 99;
         CREATE TABLE copy (id TEXT PRIMARY KEY, times INTEGER); CREATE TABLE total (n INTEGER);
         INSERT INTO total VALUES (0)",
    )
    .unwrap();
    drop(host);
    let mut chance = Chance::new("consume_in_tx");
    let rounds = setting("HIGHWATER_TEST_KILLS", 20);
    for _ in 0..rounds {
        run_and_kill(&["consume", path.to_str().unwrap()], 12, &mut chance);
        block_on(async {
            let store = SqliteStore::open(&path).unwrap();
            assert_eq!(problems(&store, &notes()).await.unwrap(), Vec::<String>::new());
            store.close().await.unwrap();
        });
        let host = Connection::open(&path).unwrap();
        let counts =
            "SELECT count(*), coalesce(max(times), 1), coalesce(sum(times), 0), (SELECT n FROM total) FROM copy";
        let (rows, most, sum, total): (i64, i64, i64, i64) =
            host.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        assert_eq!((most, sum, total), (1, rows, rows), "applied twice, or half");
    }
    let live = block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        while apply_some(&store).await > 0 {}
        store.head(&notes()).await.unwrap().live
    });
    let host = Connection::open(&path).unwrap();
    let number = |sql: &str| host.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM copy"), live.cast_signed());
    assert_eq!((number("SELECT max(times) FROM copy"), number("SELECT n FROM total")), (1, live.cast_signed()));
    assert_eq!((number("PRAGMA user_version"), number("PRAGMA application_id")), (7, 99));
    let journal: String = host.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(journal, "delete");
    println!("killed {rounds} times, {live} records applied exactly once each");
}
