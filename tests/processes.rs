//! Several processes on one store, also while some of them are killed with SIGKILL.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/processes.rs"]
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use highwater::{Cursor, ErrorKind, Store, StoreExt, StreamKey, WriteBatch};
use support::{Chance, Running, block_on, open, problems, run_and_kill, setting, start};

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
            ["tally", kind, path, who] => tally(kind, path, who).await,
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
async fn commit(store: &dyn Store, batch: WriteBatch) -> highwater::batch::Commit {
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
