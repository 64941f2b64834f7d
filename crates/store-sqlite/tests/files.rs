//! The store and its file: hosts' files, broken files, several handles, kills.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use highwater_core::{
    Cursor, ErrorKind, Maintenance, MaintenanceReport, NetAction, PollOptions, Store, StoreExt, StreamKey, Timestamp,
    WriteBatch,
};
use highwater_store_sqlite::rusqlite::Connection;
use highwater_store_sqlite::{SqliteStore, ViewColumn};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &dyn Store, payloads: &[String]) {
    let mut batch = WriteBatch::new();
    let stream = notes();
    let target = batch.on(&stream);
    for payload in payloads {
        target.upsert(payload.clone());
    }
    store.commit(batch).await.unwrap();
}

fn some(count: usize) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"id":"{n}","n":{n},"user":{{"login":"u{n}"}}}}"#)).collect()
}

/// Whether this SQLite may have several connections on one WAL file; an older one may not.
fn several_connections() -> bool {
    let able = highwater_store_sqlite::rusqlite::version_number() >= 3_051_003;
    if !able {
        println!("skipped: SQLite {} has a WAL file for itself", highwater_store_sqlite::rusqlite::version());
    }
    able
}

#[tokio::test]
async fn an_old_sqlite_works_alone_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(10)).await;
    assert_eq!(store.capabilities().multi_process, several_connections());
    assert_eq!(store.records(&notes()).page().await.unwrap().changes.len(), 10);
    let other = SqliteStore::builder(&path).busy_timeout(std::time::Duration::from_millis(50)).shared().open();
    match other {
        Ok(other) => assert_eq!(other.records(&notes()).page().await.unwrap().changes.len(), 10),
        Err(error) => assert_eq!((error.kind(), several_connections()), (ErrorKind::Unsupported, false)),
    }
    if !several_connections() {
        let other = SqliteStore::builder(&path).busy_timeout(std::time::Duration::from_millis(50)).open();
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Busy);
    }
    assert_clean(&store).await;
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
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(500)).await;
    let cursor = store.records(&notes()).limit(250).page().await.unwrap().next_cursor;
    store.close().await.unwrap();
    assert_eq!(store.head(&notes()).await.unwrap_err().kind(), ErrorKind::Closed);
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(500)).await;
    let page = store.records(&notes()).since(cursor).limit(1000).page().await.unwrap();
    assert_eq!((page.changes.len(), page.caught_up), (250, true));
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_hosts_file_stays_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let host = Connection::open(&path).unwrap();
    host.execute_batch(
        "PRAGMA user_version = 7; PRAGMA application_id = 99; CREATE TABLE mine (x); INSERT INTO mine VALUES (1)",
    )
    .unwrap();
    drop(host);
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(10)).await;
    store.close().await.unwrap();
    let host = Connection::open(&path).unwrap();
    let pragma = |name: &str| host.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, String>(0));
    let number = |name: &str| host.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("user_version"), number("application_id")), (7, 99));
    assert_eq!(pragma("journal_mode").unwrap(), "delete");
    assert_eq!(host.query_row("SELECT x FROM mine", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is a text and not a database at all, it is long enough to be looked at".repeat(20))
        .unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.context("path").is_some());

    let path = folder.path().join("newer.db");
    SqliteStore::open(&path).unwrap().close().await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE hw_meta SET value = 999", []).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("newer"));

    let error = SqliteStore::open(folder.path().join("missing/app.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(SqliteStore::open(folder.path()).is_err());
}

#[tokio::test]
async fn two_handles_see_each_others_commits() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (one, two) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    let mut wakeups = two.subscribe();
    save(&one, &some(3)).await;
    wakeups.changed().await.unwrap();
    let page = two.records(&notes()).page().await.unwrap();
    assert_eq!(page.changes.len(), 3);
    save(&two, &some(5)).await;
    let page = one.records(&notes()).since(page.next_cursor).page().await.unwrap();
    assert_eq!(page.changes.len(), 2);
    let empty = one.records(&notes()).since(page.next_cursor).page().await.unwrap();
    assert!(empty.changes.is_empty() && empty.caught_up);
    save(&two, &some(6)).await;
    assert_eq!(one.records(&notes()).since(page.next_cursor).page().await.unwrap().changes.len(), 1);
    assert_clean(&one).await;
}

#[tokio::test]
async fn p22_a_commit_of_ours_hides_none_of_others() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (one, two) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    let elsewhere = |number: u32| {
        let mut batch = WriteBatch::new();
        batch.put_document("elsewhere", &number).unwrap();
        batch
    };
    save(&one, &some(3)).await;
    let mut at = one.records(&notes()).page().await.unwrap().next_cursor;
    for round in 0..20_usize {
        // Our own commits keep the end of the stream known ...
        one.commit(elsewhere(1)).await.unwrap();
        assert!(one.records(&notes()).since(at).page().await.unwrap().changes.is_empty());
        // ... until another handle moves it, between two of them or just before a look.
        save(&two, &some(4 + round)).await;
        if round % 2 == 0 {
            one.commit(elsewhere(2)).await.unwrap();
        }
        let page = one.records(&notes()).since(at).page().await.unwrap();
        assert_eq!(page.changes.len(), 1, "round {round}");
        at = page.next_cursor;
    }
}

#[tokio::test]
async fn p23_the_hosts_tables_and_the_acknowledgement_are_one() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("app.db")).unwrap();
    save(&store, &some(10)).await;
    let stream = notes();
    let apply = |fail: bool| {
        move |connection: &Connection, page: &highwater_core::Page| {
            connection
                .execute_batch("CREATE TABLE IF NOT EXISTS copy (id TEXT PRIMARY KEY, seen INTEGER DEFAULT 0)")?;
            for change in &page.changes {
                assert_eq!(change.net, NetAction::Added);
                connection.execute(
                    "INSERT INTO copy VALUES (?1, 1) ON CONFLICT DO UPDATE SET seen = seen + 1",
                    [&*change.record.id],
                )?;
            }
            if fail { Err(highwater_store_sqlite::rusqlite::Error::InvalidQuery) } else { Ok(page.changes.len()) }
        }
    };
    let options = PollOptions::default().limit(4).backoff(std::time::Duration::ZERO, std::time::Duration::ZERO);
    let mut done = 0;
    while done < 10 {
        let error = store.consume_in_tx(&stream, "copy", options.clone(), apply(true)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        done += store.consume_in_tx(&stream, "copy", options.clone(), apply(false)).await.unwrap().unwrap();
    }
    assert!(store.consume_in_tx(&stream, "copy", options, apply(false)).await.unwrap().is_none());
    let host = Connection::open(folder.path().join("app.db")).unwrap();
    let counts: (i64, i64) =
        host.query_row("SELECT count(*), max(seen) FROM copy", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counts, (10, 1));
}

#[tokio::test]
async fn a_hosts_transaction_takes_records_along() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(2)).await;
    let host = Connection::open(&path).unwrap();
    let write = |end: &str, id: &str| {
        host.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
        let (_, staged) = store.join(&host, |transaction| transaction.apply(&batch)).unwrap();
        host.execute_batch(end).unwrap();
        staged
    };
    drop(write("ROLLBACK", "gone"));
    assert!(store.get(&notes(), &["gone"]).await.unwrap()[0].is_none());
    let before = store.records(&notes()).page().await.unwrap().next_cursor;
    let mut wakeups = store.subscribe();
    write("COMMIT", "joined").publish();
    wakeups.changed().await.unwrap();
    save(&store, &some(3)).await;
    let page = store.records(&notes()).since(before).page().await.unwrap();
    let ids: Vec<_> = page.changes.iter().map(|change| &*change.record.id).collect();
    assert_eq!(ids, ["joined", "2"]);
    assert!(store.get(&notes(), &["joined"]).await.unwrap()[0].is_some());
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_view_shows_records_as_columns() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(5)).await;
    let mut batch = WriteBatch::new();
    batch.on(&notes()).delete("4");
    store.commit(batch).await.unwrap();
    let columns = store.create_view(&notes(), "the \"notes\"", Vec::new()).await.unwrap().columns;
    assert_eq!(columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["n", "user_login"]);
    let host = Connection::open(&path).unwrap();
    let sql = "SELECT count(*), sum(n), max(user_login), min(_last_action), max(_last_modified_at) FROM \"the \"\"notes\"\"\"";
    let row: (i64, i64, String, String, String) =
        host.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))).unwrap();
    let modified = store.records(&notes()).page().await.unwrap().changes[3].record.metadata.last_modified_at;
    assert_eq!((row.0, row.1, &*row.2, &*row.3), (4, 6, "u3", "added"));
    assert_eq!(row.4, with_milliseconds(modified));
    let bad = |path: &str| vec![ViewColumn { name: "x".into(), path: path.into() }];
    let error = store.create_view(&notes(), "bad", bad("'); DROP TABLE hw_log; --")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("column")), (ErrorKind::Invalid, Some("x")), "{error}");
    let error = store.create_view(&notes(), "odd", bad("$'); DROP TABLE hw_log; --")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(host.query_row("SELECT x FROM odd", [], |_| Ok(())).is_err(), "no path, and nothing else either");
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_view_shows_each_record_as_the_store_does() {
    if !several_connections() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    // Blocks of many and of few, some with gaps; ids that are no ASCII, of many lengths, with a NUL.
    let text = |n: usize| "é".repeat(n * n % 700);
    let id = |n: usize| format!("{n}\0ü{}", "i".repeat(n % 60));
    let payload = |n: usize, v: usize| {
        serde_json::json!({"id": id(n), "n": n, "v": v, "text": text(n), "deep": {"er": n}}).to_string()
    };
    for first in (0..300).step_by(60) {
        save(&store, &(first..first + 60).map(|n| payload(n, 0)).collect::<Vec<_>>()).await;
    }
    save(&store, &(0..300).step_by(7).map(|n| payload(n, 1)).collect::<Vec<_>>()).await;
    let mut batch = WriteBatch::new();
    for n in (0..300).step_by(11) {
        batch.on(&notes()).delete(id(n));
    }
    store.commit(batch).await.unwrap();
    store.create_view(&notes(), "n", Vec::new()).await.unwrap();

    let host = Connection::open(&path).unwrap();
    let sql =
        "SELECT CAST(id AS BLOB), n, v, deep_er, text, _cursor, _first_seen_at, _last_modified_at, _last_action FROM n";
    let mut statement = host.prepare(sql).unwrap();
    let mut shown: Vec<_> = statement
        .query_map([], |row| {
            let id = String::from_utf8(row.get(0)?).unwrap();
            let values: (u32, u32, u32, String) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            let metadata: (String, String, String, String) = (row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?);
            Ok((id, values, metadata))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    shown.sort();
    let mut wanted = Vec::new();
    let mut after = Cursor::START;
    loop {
        let page = store.records(&notes()).since(after).page().await.unwrap();
        for change in page.changes.iter().filter(|change| change.record.metadata.deleted_at.is_none()) {
            let (record, metadata) = (&change.record, &change.record.metadata);
            let value: serde_json::Value = record.to().unwrap();
            let n = u32::try_from(value["n"].as_u64().unwrap()).unwrap();
            let v = u32::try_from(value["v"].as_u64().unwrap()).unwrap();
            let shown = (
                format!("{:032X}", metadata.cursor.position()),
                with_milliseconds(metadata.first_seen_at),
                with_milliseconds(metadata.last_modified_at),
                metadata.last_action.to_string(),
            );
            wanted.push((record.id.to_string(), (n, v, n, text(n as usize)), shown));
        }
        after = page.next_cursor;
        if page.caught_up {
            break;
        }
    }
    wanted.sort();
    assert_eq!(wanted.len(), 300 - 300_usize.div_ceil(11));
    assert_eq!(shown, wanted);
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::builder(&path).exclusive().open().unwrap();
    save(&store, &some(10)).await;
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    let mut batch = WriteBatch::new();
    for n in 0..200 {
        batch.on(&notes()).upsert(format!(r#"{{"id":"big{n}","text":"{}"}}"#, "x".repeat(100_000)));
    }
    // The limit is per connection: set it on the one that writes.
    store.limit_pages_for_test(100).await;
    let error = store.commit(batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(store.head(&notes()).await.unwrap().live, 10);
    save(&store, &some(11)).await;
    assert_clean(&store).await;
}

trait LimitPages {
    async fn limit_pages_for_test(&self, pages: u32);
}

impl LimitPages for SqliteStore {
    async fn limit_pages_for_test(&self, pages: u32) {
        let set = move |connection: &Connection, _: &highwater_core::Page| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        };
        self.consume_in_tx(&notes(), "limit", PollOptions::default(), set).await.unwrap();
    }
}

#[tokio::test]
async fn damage_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    save(&store, &some(2000)).await;
    store.close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    for round in 0..40_usize {
        let mut bytes = whole.clone();
        for step in 0..8 {
            let place = (round * 7919 + step * 104_729) % bytes.len();
            bytes[place] ^= 0x5a;
        }
        let damaged = folder.path().join(format!("damaged{round}.db"));
        std::fs::write(&damaged, &bytes).unwrap();
        let Ok(store) = SqliteStore::open(&damaged) else { continue };
        let _ = store.maintain(Maintenance::Verify(notes())).await;
        let _ = store.records(&notes()).limit(5000).page().await;
        let _ = store.get(&notes(), &["5", "1999"]).await;
    }
}

const CHILD: &str = "HIGHWATER_TEST_CHILD";

#[test]
fn child_that_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(&path)).unwrap();
        let begin = store.head(&notes()).await.unwrap().live;
        for n in begin.. {
            save(&store, &[format!(r#"{{"id":"{n}","n":{n}}}"#)]).await;
            println!("acknowledged {n}");
        }
    });
}

#[tokio::test]
async fn p29_what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let mut last = Cursor::START;
    for round in 1..=6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = None;
        for line in lines.map_while(Result::ok) {
            if let Some(n) = line.strip_prefix("acknowledged ") {
                acknowledged = n.parse::<u64>().ok();
                if acknowledged.unwrap() >= round * 37 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = SqliteStore::open(&path).unwrap();
        let head = store.head(&notes()).await.unwrap();
        assert!(head.live > acknowledged.unwrap());
        assert!(head.high_water.position() > last.position());
        last = head.high_water;
        assert_clean(&store).await;
    }
}

#[tokio::test]
async fn pages_are_whole_whichever_thread_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("app.db")).unwrap();
    let stream = |bytes: usize| StreamKey::new("demo", format!("Of{bytes}"));
    for bytes in [10, 900, 1100, 9000] {
        let mut batch = WriteBatch::new();
        for n in 0..1200 {
            batch.on(&stream(bytes)).upsert(format!(r#"{{"id":{n},"text":"{}"}}"#, "x".repeat(bytes)));
        }
        store.commit(batch).await.unwrap();
        for limit in [1, 100, 128, 129, 1000, 1001] {
            let page = store.records(&stream(bytes)).limit(limit).page().await.unwrap();
            assert_eq!((page.changes.len(), page.has_more), (limit, true), "{bytes} bytes, {limit} records");
            let rest = store.records(&stream(bytes)).since(page.next_cursor).limit(10_000).page().await.unwrap();
            assert_eq!((rest.changes.len(), rest.caught_up), (1200 - limit, true));
        }
        let page =
            store.page(highwater_core::PageRequest::new(stream(bytes)).limit(1000).max_bytes(50_000)).await.unwrap();
        assert!(page.has_more && page.changes.len() <= 50_000 / bytes);
    }
}

/// A time as views show it.
fn with_milliseconds(time: Timestamp) -> String {
    chrono::DateTime::<chrono::Utc>::from(SystemTime::from(time)).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
