//! Several processes on one store, and processes that are killed with SIGKILL at any moment.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/processes.rs"]
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use highwater::{Cursor, ErrorKind, PollOptions, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;
use support::{Chance, Running, block_on, open, problems, setting, start};

const WRITERS: usize = 4;

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
            ["write", kind, path, who, commits] => write(kind, path, who, commits.parse().unwrap()).await,
            ["tail", kind, path] => tail(kind, path).await,
            ["count", kind, path] => count(kind, path).await,
            ["tally", kind, path, who] => tally(kind, path, who).await,
            ["consume", path] => consume(path).await,
            ["hold", kind, path] => {
                let _store = open(kind, Path::new(path)).unwrap();
                println!("holding");
                std::thread::sleep(Duration::from_secs(60));
            }
            _ => panic!("no such role: {role:?}"),
        }
    });
}

/// Commits, as long as others hold the store for a moment.
async fn commit(store: &dyn Store, batch: WriteBatch) -> highwater::Commit {
    loop {
        match store.commit(batch.clone()).await {
            Ok(commit) => return commit,
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Opens a store that others are just opening or closing.
async fn open_shared(kind: &str, path: &str) -> std::sync::Arc<dyn Store> {
    loop {
        match open(kind, Path::new(path)) {
            Ok(store) => return store,
            Err(error) if error.is_retryable() => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn write(kind: &str, path: &str, who: &str, commits: usize) {
    let store = open_shared(kind, path).await;
    for n in 0..commits {
        let mut batch = WriteBatch::new();
        for part in 0..=n % 4 {
            batch.on(&notes()).upsert(format!(r#"{{"id":"{who}-{n}-{part}"}}"#));
        }
        // All writers change this one: it moves to the tail again and again.
        batch.on(&notes()).upsert(format!(r#"{{"id":"shared","by":"{who}","n":{n}}}"#));
        commit(&*store, batch).await;
    }
    store.close().await.unwrap();
    println!("written");
}

/// Follows the stream until every writer has said its last, and says what it sees.
async fn tail(kind: &str, path: &str) {
    let store = open_shared(kind, path).await;
    let mut wakeups = store.subscribe();
    let mut cursor = Cursor::START;
    println!("tailing");
    loop {
        let page = store.records(&notes()).since(cursor).limit(7).page().await.unwrap();
        for change in &page.changes {
            println!("saw {} {}", change.record.metadata.cursor, change.record.id);
        }
        cursor = page.next_cursor;
        if page.changes.iter().any(|change| &*change.record.id == "end") {
            return;
        }
        if !page.has_more {
            wakeups.changed().await.unwrap();
        }
    }
}

/// A process that follows the stream, and what it says it saw: position and id.
struct Follower {
    running: Running,
    reader: JoinHandle<Vec<(String, String)>>,
}

impl Follower {
    fn start(kind: &str, path: &str) -> Self {
        let mut running = start(&["tail", kind, path]);
        assert!(running.lines.any(|line| line.ends_with("tailing")));
        // What it says is read all the time, so that it never waits for us.
        let lines = std::mem::replace(&mut running.lines, Box::new(std::iter::empty()));
        let seen = |line: String| {
            let (cursor, id) = line.strip_prefix("saw ")?.split_once(' ')?;
            Some((cursor.to_owned(), id.to_owned()))
        };
        let reader = std::thread::spawn(move || lines.filter_map(seen).collect());
        Follower { running, reader }
    }

    /// Writes the last record, and waits until the follower has seen it. It saw positions in their order, and every
    /// entry that is there now, at the very position where it is.
    fn end(mut self, kind: &str, path: &str) -> Vec<String> {
        let entries = block_on(async {
            let store = open_shared(kind, path).await;
            let mut batch = WriteBatch::new();
            batch.on(&notes()).upsert(r#"{"id":"end"}"#);
            commit(&*store, batch).await;
            assert_eq!(problems(&*store, &notes()).await.unwrap(), Vec::<String>::new());
            let page = store.records(&notes()).limit(100_000).page().await.unwrap();
            assert!(page.caught_up);
            page.changes
        });
        let seen = self.reader.join().unwrap();
        assert!(self.running.child.wait().unwrap().success(), "{kind}: the reader failed");
        for pair in seen.windows(2) {
            assert!(pair[0].0[..26] < pair[1].0[..26], "{kind}: {:?} after {:?}", pair[1], pair[0]);
        }
        let positions: HashMap<&str, &str> = seen.iter().map(|(cursor, id)| (&**cursor, &**id)).collect();
        for change in &entries {
            let cursor = change.record.metadata.cursor.to_string();
            assert_eq!(positions.get(&*cursor), Some(&&*change.record.id), "{kind}: {cursor} was never seen");
        }
        seen.into_iter().map(|(_, id)| id).collect()
    }
}

fn nothing_is_lost_between_processes(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let path = path.to_str().unwrap();
    let commits = usize::try_from(setting("HIGHWATER_TEST_COMMITS", 100)).unwrap();
    let tail = Follower::start(kind, path);
    let names: Vec<String> = (0..WRITERS).map(|n| format!("writer{n}")).collect();
    let writers: Vec<_> = names.iter().map(|who| start(&["write", kind, path, who, &commits.to_string()])).collect();
    for mut writer in writers {
        assert!(writer.lines.any(|line| line.ends_with("written")), "{kind}: a writer failed");
        assert!(writer.child.wait().unwrap().success());
    }
    let seen = tail.end(kind, path);
    let mut times: HashMap<&str, usize> = HashMap::new();
    seen.iter().for_each(|id| *times.entry(id).or_default() += 1);
    for who in &names {
        for n in 0..commits {
            for part in 0..=n % 4 {
                let id = format!("{who}-{n}-{part}");
                assert_eq!(times.remove(id.as_str()), Some(1), "{kind}: {id}");
            }
        }
    }
    assert!(times["shared"] >= 1);
    assert_eq!((times.len(), times["end"]), (2, 1), "{kind}: {times:?}");
    println!("{kind}: {WRITERS} writers of {commits} commits, {} positions seen, 0 lost, 0 twice", seen.len());
}

#[test]
fn p3_p4_p14_sqlite_loses_nothing_between_processes() {
    if highwater_store_sqlite::rusqlite::version_number() < 3_051_003 {
        return println!("skipped: this SQLite has a WAL file for itself");
    }
    nothing_is_lost_between_processes("sqlite");
}

#[test]
fn p3_p4_p14_redb_loses_nothing_between_processes() {
    nothing_is_lost_between_processes("redb");
}

/// Commits one record after another beside others, each with a document of its own that counts them.
async fn tally(kind: &str, path: &str, who: &str) {
    let store = open_shared(kind, path).await;
    let key = format!("count/{who}");
    let begin: u64 = match store.document(&key).await.unwrap() {
        Some(count) => count.to().unwrap(),
        None => 0,
    };
    for n in begin.. {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(format!(r#"{{"id":"{who}-{n}"}}"#));
        batch.put_document(key.as_str(), &(n + 1)).unwrap();
        commit(&*store, batch).await;
        println!("acknowledged {n}");
    }
}

/// Writers are killed and begin again, beside each other and beside a reader that goes on all the time.
fn the_killed_harm_nobody(kind: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store").to_str().unwrap().to_owned();
    let tail = Follower::start(kind, &path);
    let rounds = setting("HIGHWATER_TEST_KILLS", 20);
    let writers = ["one", "two", "three"].map(|who| {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut chance = Chance::new(&format!("{kind} {who}"));
            let kill = |_| run_and_kill(&["tally", kind, &path, who], 8, &mut chance).unwrap();
            (who, (0..rounds).map(kill).max().unwrap())
        })
    });
    let last = writers.map(|writer| writer.join().unwrap());
    let seen = tail.end(kind, &path);
    let mut total = 1;
    for (who, acknowledged) in last {
        let beginning = format!("{who}-");
        let numbers: Vec<u64> = seen.iter().filter_map(|id| id.strip_prefix(&beginning)?.parse().ok()).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{kind} {who}");
        assert!(numbers.len() as u64 > acknowledged, "{kind} {who}: {acknowledged} was acknowledged");
        total += numbers.len();
    }
    assert_eq!(seen.len(), total, "{kind}: nothing else, nothing twice");
    println!("{kind}: 3 writers killed {rounds} times each, {total} positions seen, 0 lost, 0 twice");
}

#[test]
fn p4_p29_writers_of_sqlite_are_killed_beside_a_reader() {
    if highwater_store_sqlite::rusqlite::version_number() < 3_051_003 {
        return println!("skipped: this SQLite has a WAL file for itself");
    }
    the_killed_harm_nobody("sqlite");
}

#[test]
fn p4_p29_writers_of_redb_are_killed_beside_a_reader() {
    the_killed_harm_nobody("redb");
}

#[test]
fn sled_serves_one_process_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut holder = start(&["hold", "sled", path.to_str().unwrap()]);
    assert!(holder.lines.any(|line| line.ends_with("holding")));
    let error = open("sled", &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    drop(holder);
    // The lock goes with the process, and processes may take turns.
    block_on(async { open("sled", &path).unwrap().close().await.unwrap() });
}

/// Commits one record after another, each with the document that counts them.
async fn count(kind: &str, path: &str) {
    let store = open(kind, Path::new(path)).unwrap();
    let begin = store.head(&notes()).await.unwrap().live;
    for n in begin.. {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","n":{n}}}"#));
        batch.put_document("count", &(n + 1)).unwrap();
        store.commit(batch).await.unwrap();
        println!("acknowledged {n}");
    }
}

/// Kills the child at a random moment after a random number of acknowledgements; the last of them.
fn run_and_kill(role: &[&str], most: u64, chance: &mut Chance) -> Option<u64> {
    let mut running = start(role);
    let mut acknowledged = None;
    let wanted = 1 + chance.below(most);
    for _ in 0..wanted {
        let Some(line) = running.lines.by_ref().find(|line| line.contains("acknowledged ")) else {
            panic!("the child ended by itself");
        };
        acknowledged = line.rsplit(' ').next().and_then(|n| n.parse().ok());
    }
    std::thread::sleep(Duration::from_micros(chance.below(4000)));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // Said before the kill, read after it.
    for line in running.lines.by_ref() {
        if let Some(n) = line.strip_prefix("acknowledged ").and_then(|n| n.parse().ok()) {
            acknowledged = Some(n);
        }
    }
    acknowledged
}

fn what_was_acknowledged_survives(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut chance = Chance::new(kind);
    let mut last = Cursor::START;
    let rounds = setting("HIGHWATER_TEST_KILLS", 20);
    for round in 0..rounds {
        let acknowledged = run_and_kill(&["count", kind, path.to_str().unwrap()], 30, &mut chance).unwrap();
        block_on(async {
            let store = open(kind, &path).unwrap();
            let head = store.head(&notes()).await.unwrap();
            assert!(head.live > acknowledged, "{kind} round {round}: {} of {acknowledged}", head.live);
            assert!(head.high_water.ulid() > last.ulid());
            last = head.high_water;
            let count = store.document("count").await.unwrap().unwrap();
            assert_eq!(count.as_bytes(), head.live.to_string().as_bytes(), "{kind}: half a batch");
            assert_eq!(problems(&*store, &notes()).await.unwrap(), Vec::<String>::new());
            let page = store.records(&notes()).limit(100_000).page().await.unwrap();
            let ids: Vec<_> = page.changes.iter().map(|change| change.record.id.to_string()).collect();
            assert_eq!(ids, (0..head.live).map(|n| n.to_string()).collect::<Vec<_>>());
            assert!(
                page.changes.is_sorted_by(|a, b| a.record.metadata.cursor.ulid() < b.record.metadata.cursor.ulid())
            );
            store.close().await.unwrap();
        });
    }
    println!("{kind}: killed {rounds} times, nothing acknowledged was lost");
}

#[test]
fn p29_p31_sqlite_survives_kill_9() {
    what_was_acknowledged_survives("sqlite");
}

#[test]
fn p29_p31_redb_survives_kill_9() {
    what_was_acknowledged_survives("redb");
}

#[test]
fn p29_p31_sled_survives_kill_9() {
    what_was_acknowledged_survives("sled");
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
