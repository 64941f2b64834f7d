//! The GitHub template against a GitHub API that this project did not write.
#![cfg(all(feature = "sqlite", feature = "engine", feature = "http", feature = "templates"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/emulate.rs"]
mod emulate;

use std::sync::Arc;
use std::time::Instant;

use emulate::{Emulator, TOKENS};
use highwater::templates::github::Issue;
use highwater::{
    ConnectionSettings, Cursor, Engine, ErrorKind, NetAction, RunOptions, Secret, SqliteStore, Store, StoreExt,
    StreamKey,
};

const ISSUES: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_issues_then_nothing_then_exactly_the_changes() {
    let emulator = match Emulator::start() {
        Ok(emulator) => emulator,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let begun = Instant::now();
    in_parallel(&emulator, ISSUES, |emulator, token, n| {
        let body = format!(r#"{{"title":"Issue {n}","body":"{}"}}"#, "water ".repeat(100));
        let (status, _) = emulator.request(token, "POST", "/repos/octocat/hello-world/issues", &body);
        assert_eq!(status, 201);
    });
    println!("seeded {ISSUES} issues in {:.1} s", begun.elapsed().as_secs_f64());

    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
    let engine =
        Engine::builder(Arc::clone(&store) as Arc<dyn Store>).templates(highwater::templates::all()).build().unwrap();
    let connection = ConnectionSettings::new("main", "github")
        .base_url(emulator.base_url())
        .config("owner", "octocat")
        .config("repo", "hello-world");
    engine.connect(connection).await.unwrap();
    engine.use_token("main", Secret::new("reader"));

    let begun = Instant::now();
    let first = engine.sync("main", "github/issues").unwrap().run_once(RunOptions::default()).await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!("first sync: {:?}, {seconds:.2} s, {:.0} records/s", first.progress, ISSUES as f64 / seconds);
    assert_eq!(first.progress.counts.added, ISSUES as u64);
    assert_eq!((first.progress.counts.updated, first.progress.counts.deleted), (0, 0));

    let issues = StreamKey::new("main", "Issue");
    let cursor = drain(&store, &issues, Cursor::START).await.1;
    let second = engine.sync("main", "github/issues").unwrap().run_once(RunOptions::default()).await.unwrap();
    println!("second sync: {:?}", second.progress);
    assert_eq!(
        (second.progress.counts.added, second.progress.counts.updated, second.progress.counts.deleted),
        (0, 0, 0)
    );
    let full = engine.sync("main", "github/issues").unwrap().run_once(RunOptions::default().full(true)).await.unwrap();
    println!("full refresh: {:?}", full.progress);
    assert_eq!((full.progress.counts.added, full.progress.counts.updated, full.progress.counts.deleted), (0, 0, 0));
    assert_eq!(drain(&store, &issues, cursor).await, (Vec::new(), cursor));

    in_parallel(&emulator, 120, |emulator, token, n| {
        let body = if n < 100 { format!(r#"{{"title":"Edited {n}"}}"#) } else { r#"{"state":"closed"}"#.to_owned() };
        let number = n * 83 + 1;
        let (status, _) =
            emulator.request(token, "PATCH", &format!("/repos/octocat/hello-world/issues/{number}"), &body);
        assert_eq!(status, 200);
    });
    let third = engine.sync("main", "github/issues").unwrap().run_once(RunOptions::default()).await.unwrap();
    println!("third sync: {:?}", third.progress);
    assert_eq!(
        (third.progress.counts.added, third.progress.counts.updated, third.progress.counts.deleted),
        (0, 120, 0)
    );
    let (changes, _) = drain(&store, &issues, cursor).await;
    assert_eq!(changes.len(), 120);
    assert!(changes.iter().all(|(net, _)| *net == NetAction::Updated));
    assert_eq!(changes.iter().filter(|(_, issue)| issue.title.starts_with("Edited ")).count(), 100);
    assert_eq!(changes.iter().filter(|(_, issue)| issue.state == "closed").count(), 20);

    // A repository that is not there is told in one line, and costs nothing that was saved.
    let missing = ConnectionSettings::new("gone", "github")
        .base_url(emulator.base_url())
        .config("owner", "octocat")
        .config("repo", "vanished");
    engine.connect(missing).await.unwrap();
    let error = engine.sync("gone", "github/issues").unwrap().run_once(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(store.head(&issues).await.unwrap().live, ISSUES as u64);
}

/// Runs `work` for every number below `count`, on as many threads as there are tokens.
fn in_parallel(emulator: &Emulator, count: usize, work: impl Fn(&Emulator, usize, usize) + Sync) {
    std::thread::scope(|scope| {
        for token in 0..TOKENS {
            let work = &work;
            scope.spawn(move || (token..count).step_by(TOKENS).for_each(|n| work(emulator, token, n)));
        }
    });
}

async fn drain(store: &SqliteStore, stream: &StreamKey, mut cursor: Cursor) -> (Vec<(NetAction, Issue)>, Cursor) {
    let mut changes = Vec::new();
    loop {
        let page = store.records_as::<Issue>(stream).since(cursor).limit(1000).page().await.unwrap();
        cursor = page.next_cursor;
        changes.extend(page.changes.into_iter().map(|change| (change.net, change.value.unwrap().unwrap())));
        if page.caught_up {
            return (changes, cursor);
        }
    }
}
