//! A GitHub API that this project did not write, whose quota ends in the middle of the first sync.
#![cfg(all(feature = "sqlite", feature = "engine", feature = "http", feature = "templates"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/emulate.rs"]
mod emulate;

use std::sync::Arc;
use std::time::Duration;

use emulate::{Emulator, TOKENS};
use highwater::engine::runs::RunMode;
use highwater::engine::{RunState, SyncOptions, TriggerMode};
use highwater::{ConnectionSettings, Engine, ErrorKind, RunOptions, Secret, SqliteStore, Store, StreamKey};

const ISSUES: usize = 1000;
const QUOTA: usize = 5000;
const LEFT: usize = 4;
const USED_UP: usize = TOKENS - 1;
const SYNC: &str = "github/issues";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h39_a_first_sync_that_outlives_its_quota_goes_on_and_deletes_nothing() {
    let emulator = match Emulator::start() {
        Ok(emulator) => emulator,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    in_parallel(USED_UP, ISSUES, |token, n| {
        let body = format!(r#"{{"title":"Issue {n}"}}"#);
        assert_eq!(emulator.request(token, "POST", "/repos/octocat/hello-world/issues", &body).0, 201);
    });
    in_parallel(8, QUOTA - LEFT, |_, _| {
        emulator.request(USED_UP, "GET", "/repos/octocat/hello-world", "");
    });

    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
    let engine =
        Engine::builder(Arc::clone(&store) as Arc<dyn Store>).templates(highwater::templates::all()).build().unwrap();
    let connection = ConnectionSettings::new("main", "github")
        .base_url(emulator.base_url())
        .config("owner", "octocat")
        .config("repo", "hello-world");
    engine.connect(connection).await.unwrap();
    engine.use_token("main", Secret::new(format!("tok{USED_UP}")));
    engine.sync("main", SYNC).unwrap().enable(SyncOptions::default().schedule(Duration::from_secs(300))).await.unwrap();

    let error = engine.sync("main", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    let stopped = engine.sync("main", SYNC).unwrap().runs().await.unwrap().remove(0);
    let issues = StreamKey::new("main", "Issue");
    let there = store.head(&issues).await.unwrap();
    println!("stopped by the quota with {} of {ISSUES} issues: {error}", there.live);
    assert!(there.live > 0 && there.live < ISSUES as u64);
    assert_eq!((stopped.state, stopped.mode), (RunState::Error, RunMode::Initial));
    let status = engine.sync("main", SYNC).unwrap().state().await.unwrap().status;
    let pause = status.next_due_at.unwrap().duration_since(stopped.ended_at.unwrap());
    assert!(pause > Duration::from_secs(15 * 60), "the next run waits until the quota is renewed: {pause:?}");

    // Somebody gives it another token, and does not want to wait.
    engine.use_token("main", Secret::new("reader"));
    let running = engine.start(&tokio::runtime::Handle::current());
    engine.sync("main", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    let mut events = engine.events();
    while engine.fetch_run(stopped.id).await.unwrap().state != RunState::Success {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await.expect("a run in progress");
        drop(event);
    }
    running.shutdown(Duration::from_secs(10)).await.unwrap();
    let report = engine.fetch_run(stopped.id).await.unwrap();
    assert_eq!((report.resumed, report.progress.counts.added, report.progress.counts.deleted), (1, ISSUES as u64, 0));
    let head = store.head(&issues).await.unwrap();
    assert_eq!((head.live, head.deleted), (ISSUES as u64, 0));
}

/// Runs `work` for every number below `count`, on so many threads; the thread's own number comes along.
fn in_parallel(threads: usize, count: usize, work: impl Fn(usize, usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || (thread..count).step_by(threads).for_each(|n| work(thread, n)));
        }
    });
}
