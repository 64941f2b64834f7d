//! How long after another process's commit a follower has the record: `cargo run --release -p highwater-bench --bin wakeups`.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // a program: it prints, and compares the clocks of two processes

use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater_core::{Cursor, Store, StoreExt, StreamKey, WriteBatch};
use highwater_store_sqlite::SqliteStore;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Commits of the other process, and the pause between two, so that each finds the follower asleep.
const COMMITS: u64 = 200;
const PAUSE: Duration = Duration::from_millis(37);

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        Some(path) => block_on(write(Path::new(&path))),
        None => block_on(follow()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wakeups: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on<F: Future<Output = Outcome<()>>>(future: F) -> Outcome<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn stream() -> StreamKey {
    StreamKey::new("bench", "Tick")
}

fn now_us() -> Outcome<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

/// The other process: one record a commit, with the time after it.
async fn write(path: &Path) -> Outcome<()> {
    let store = SqliteStore::open(path)?;
    for number in 0..COMMITS {
        thread::sleep(PAUSE);
        let mut batch = WriteBatch::new();
        batch.on(&stream()).upsert(format!(r#"{{"id":{number},"at":{}}}"#, now_us()?));
        store.commit(batch).await?;
    }
    Ok(store.close().await?)
}

async fn follow() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path)?;
    let mut wakeups = store.subscribe();
    let mut writer = Command::new(std::env::current_exe()?).arg(&path).spawn()?;
    let (mut cursor, mut delays) = (Cursor::START, Vec::new());
    while (delays.len() as u64) < COMMITS {
        let page = store.records(&stream()).since(cursor).page().await?;
        let now = now_us()?;
        for change in &page.changes {
            let tick: serde_json::Value = change.record.to()?;
            delays.push(now.saturating_sub(tick["at"].as_u64().unwrap_or(now)));
        }
        cursor = page.next_cursor;
        if page.changes.is_empty() && writer.try_wait()?.is_some_and(|status| !status.success()) {
            return Err("the other process failed".into());
        }
        if page.caught_up && (delays.len() as u64) < COMMITS {
            wakeups.changed().await?;
        }
    }
    writer.wait()?;
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100] as f64 / 1000.0;
    println!(
        "{COMMITS} commits of another process, from just before each commit to the record in the follower's hands:"
    );
    println!("median {:.1} ms, p99 {:.1} ms, longest {:.1} ms", at(50), at(99), at(100));
    Ok(())
}
