//! The locks that this process has on the file: they belong to the process, so whatever in it opens and closes the file
//! beside SQLite gives them all up (<https://sqlite.org/howtocorrupt.html>, section 2.2).
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, Store, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::Connection;

/// Names the file to the child, and then the order in which it opens it.
const FILE: &str = "HIGHWATER_LOCKS_FILE";
const ORDER: &str = "HIGHWATER_LOCKS_ORDER";

/// What a process has open on the file besides the store that commits, and when it opened it.
const ORDERS: &[&str] =
    &["store twice", "host first", "store first", "exclusive, refused twice", "rollback journal, host first"];

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn batch(ids: std::ops::Range<usize>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    }
    batch
}

fn host(path: &Path, mode: &str) -> Connection {
    let host = Connection::open(path).unwrap();
    host.busy_timeout(Duration::ZERO).unwrap();
    host.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
    host.execute_batch("CREATE TABLE IF NOT EXISTS mine (x); INSERT INTO mine VALUES (1)").unwrap();
    host
}

/// The first of the bytes that every connection locks while it reads, or for as long as it has the WAL open.
const SHARED_BYTES: u64 = 0x4000_0002;
/// The byte of `-shm` that says that a process uses it.
const USED_BYTE: u64 = 128;

/// The locks of this process on the file and what lies beside it that stay while it does nothing: those that keep others from
/// removing the WAL. The bytes for single transactions and checkpoints are left out, for a checkpoint may be ending yet.
///
/// The table is read in pieces while other processes change it, so that a line may come twice, or be left out.
fn lasting_locks(path: &Path) -> usize {
    let node = |end: &str| std::fs::metadata(format!("{}{end}", path.display())).map_or(0, |file| file.ino());
    let lasting = [(node(""), SHARED_BYTES), (node("-shm"), USED_BYTE)];
    let pid = std::process::id().to_string();
    let table = std::fs::read_to_string("/proc/locks").unwrap();
    let own = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().filter(|field| *field != "->").collect();
        let [_, _, _, _, owner, file, first, last] = fields[..] else { return false };
        let node = file.rsplit(':').next().and_then(|node| node.parse::<u64>().ok());
        let range = first.parse().unwrap_or(u64::MAX)..=last.parse().unwrap_or(u64::MAX);
        owner == pid && lasting.iter().any(|(inode, byte)| node == Some(*inode) && range.contains(byte))
    };
    let place = |line: &str| line.split_once(':').map_or(line, |(_, lock)| lock).to_owned();
    table.lines().filter(own).map(place).collect::<BTreeSet<String>>().len()
}

/// Opens the file as the order says, commits ten records, and ten more once the parent has used the file.
#[tokio::test]
async fn child_with_two_handles() {
    let (Ok(path), Ok(order)) = (std::env::var(FILE), std::env::var(ORDER)) else { return };
    let path = Path::new(&path);
    let exclusive = order.starts_with("exclusive");
    let open = || {
        let builder = SqliteStore::builder(path).busy_timeout(Duration::ZERO);
        if exclusive { builder.exclusive().open() } else { builder.open() }
    };
    let early = match &*order {
        "host first" => Some(host(path, "WAL")),
        "rollback journal, host first" => Some(host(path, "DELETE")),
        _ => None,
    };
    let store = open().unwrap();
    store.commit(batch(0..10)).await.unwrap();
    let locks = lasting_locks(path);
    let late = (order == "store first").then(|| host(path, "WAL"));
    let second = if early.is_some() || late.is_some() { None } else { Some(open()) };
    if exclusive {
        assert_eq!(second.unwrap().unwrap_err().kind(), ErrorKind::Busy);
    } else if let Some(second) = second {
        drop(second.unwrap());
        drop(open().unwrap());
    }
    let are_left = (0..100).any(|_| lasting_locks(path) >= locks);
    assert!(are_left, "{} of {locks} locks are left", lasting_locks(path));
    println!("ready {locks}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    for n in 10..20 {
        store.commit(batch(n..n + 1)).await.unwrap();
    }
    if let Some(host) = early.as_ref().or(late.as_ref()) {
        host.execute_batch("INSERT INTO mine VALUES (2)").unwrap();
    }
    println!("acknowledged");
    std::io::stdin().read_line(&mut line).unwrap();
}

/// A process of this test.
struct Other {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Other {
    fn start(test: &str, path: &Path, order: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FILE, path)
            .env(ORDER, order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Other { process, to, from }
    }

    /// Reads until a line begins so; what stands behind it.
    fn until(&mut self, begin: &str) -> String {
        let mut line = String::new();
        while self.from.read_line(&mut line).unwrap() > 0 {
            if let Some(rest) = line.trim_end().strip_prefix(begin) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the other process ended without saying `{begin}`");
    }

    fn go_on(&mut self) {
        self.to.write_all(b"\n").unwrap();
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn p30_a_second_handle_of_the_process_loses_no_acknowledged_commit() {
    for order in ORDERS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let mut other = Other::start("child_with_two_handles", &path, order);
        let locks = other.until("ready");
        // Any program that reads the file and goes: as the last one, as far as it can see, it would remove the WAL.
        let tool = Connection::open(&path).unwrap();
        let read = tool.query_row("SELECT count(*) FROM hw_log", [], |row| row.get::<_, i64>(0));
        assert_eq!(read.is_err(), order.starts_with("exclusive"), "{order}: {read:?}");
        drop(tool);
        other.go_on();
        other.until("acknowledged");
        other.kill();

        let store = SqliteStore::open(&path).unwrap();
        let live = store.head(&notes()).await.unwrap().live;
        println!("{order}: {locks} locks held, 20 commits acknowledged, {live} live after SIGKILL");
        assert_eq!(live, 20, "{order}");
        if order.contains("host") || *order == "store first" {
            let host = Connection::open(&path).unwrap();
            let rows: i64 = host.query_row("SELECT count(*) FROM mine", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 2, "{order}");
        }
        let report = store.maintain(Maintenance::Verify(notes())).await.unwrap();
        let MaintenanceReport::Verified(verified) = report else { panic!("{report:?}") };
        assert!(verified.problems.is_empty(), "{order}: {:?}", verified.problems);
    }
}

/// A host in the middle of a transaction under a rollback journal, in which opening a store fails.
#[tokio::test]
async fn child_in_a_transaction() {
    let (Ok(path), Ok(_)) = (std::env::var(FILE), std::env::var(ORDER)) else { return };
    let path = Path::new(&path);
    let host = host(path, "DELETE");
    host.execute_batch("BEGIN IMMEDIATE; INSERT INTO mine VALUES (2)").unwrap();
    let locks = lasting_locks(path);
    let error = SqliteStore::builder(path).busy_timeout(Duration::ZERO).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    println!("ready {} of {locks}", lasting_locks(path));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    host.execute_batch("COMMIT").unwrap();
    println!("acknowledged");
}

#[test]
fn an_opening_that_fails_leaves_the_hosts_transaction_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let mut other = Other::start("child_in_a_transaction", &path, "rollback journal");
    let locks = other.until("ready");
    let tool = Connection::open(&path).unwrap();
    tool.busy_timeout(Duration::ZERO).unwrap();
    let written = tool.execute("INSERT INTO mine VALUES (3)", []);
    println!("locks: {locks}; another process writes meanwhile: {written:?}");
    assert!(written.is_err(), "another process wrote in the middle of the host's transaction");
    other.go_on();
    other.until("acknowledged");
    let rows: i64 = tool.query_row("SELECT count(*) FROM mine", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);
}
