//! Records that cannot be saved: the others are, the bad ones are kept with the reason, and nothing is deleted for them.

#[path = "support/things.rs"]
mod things;

use highwater_core::{ErrorKind, MAX_PAYLOAD_BYTES};
use highwater_engine::runs::RunMode;
use highwater_engine::{CancelToken, RunOptions, RunState};
use highwater_template::LogLevel;
use things::{SYNC, Things, World, full, good};

/// Records that no store takes, and the id that they are known by all the same.
fn bad() -> Vec<(&'static str, String, Option<&'static str>)> {
    let large = format!(r#"{{"id":"c","text":"{}"}}"#, "x".repeat(MAX_PAYLOAD_BYTES));
    vec![
        ("an id that is null", r#"{"id":null,"n":1}"#.into(), None),
        ("no id", r#"{"n":1}"#.into(), None),
        ("an empty id", r#"{"id":"","n":1}"#.into(), None),
        ("an id of 5,000 bytes", format!(r#"{{"id":"{}"}}"#, "i".repeat(5000)), None),
        ("a lone surrogate", r#"{"id":"c","text":"\ud83d"}"#.into(), Some("c")),
        ("a key that comes twice", r#"{"id":"c","n":1,"n":2}"#.into(), Some("c")),
        ("cut short", r#"{"id":"c","text":"#.into(), Some("c")),
        ("a text", r#""maintenance""#.into(), None),
        ("a number", "5".into(), None),
        ("null", "null".into(), None),
        ("a list", "[1]".into(), None),
        ("too large", large, Some("c")),
    ]
}

#[tokio::test(start_paused = true)]
async fn set_aside_of_a_page_is_the_bad_record_alone() {
    for (what, payload, id) in bad() {
        let world = World::new(Things::default()).await;
        world.api().pages = vec![vec![good("a", 1), good("b", 1), good("c", 1)]];
        world.run(RunOptions::default()).await.unwrap();
        world.api().pages = vec![vec![good("a", 2), payload, good("b", 2)], vec![good("d", 1)]];
        let outcome = world.run(full()).await;
        let report = world.last().await;
        // The record that it was is spared where it is known; otherwise nobody knows that it was not `c`.
        match id {
            Some(_) => assert_eq!(report.state, RunState::Success, "{what}: {outcome:?}"),
            None => {
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::AwaitingApproval, "{what}");
                assert_eq!(report.held[0].ids, ["c"], "{what}");
            }
        }
        assert!(!report.is_clean(), "{what}");
        assert_eq!(
            (report.progress.counts.added, report.progress.counts.updated, report.progress.counts.set_aside),
            (1, 2, 1),
            "{what}"
        );
        assert_eq!((report.progress.fetched, report.models["Thing"].set_aside), (5 - 1, 1), "{what}");
        assert_eq!(world.live().await, ["a", "b", "c", "d"], "{what}: nothing was deleted");
        assert_eq!(report.set_aside.len(), 1, "{what}");
        assert_eq!(report.set_aside[0].id.as_deref(), id, "{what}");
        let lines = world.engine.run_log(report.id).await.unwrap();
        let told = lines.iter().find(|line| line.message.contains("set aside")).expect(what);
        assert_eq!(told.level, LogLevel::Warning);
        assert!(told.message.contains(id.unwrap_or("number 2 of its page")), "{what}: {}", told.message);
        assert!(told.message.contains(&report.set_aside[0].reason), "{what}: {}", told.message);
        let kept = world.engine.sync("c", SYNC).unwrap().set_aside().await.unwrap();
        assert_eq!((kept.len(), kept[0].id.as_deref(), kept[0].model.as_str()), (1, id, "Thing"), "{what}");
        assert!(kept[0].payload.len() <= 16 * 1024, "{what}");
        assert_eq!(world.status().await.set_aside["Thing"], 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn set_aside_records_hold_back_the_deletes_of_others_until_somebody_approves() {
    for named in [true, false] {
        let world = World::new(Things::default()).await;
        world.api().pages = vec![(0..40).map(|n| good(&format!("{n:02}"), 1)).collect()];
        world.run(RunOptions::default()).await.unwrap();
        // 38 is unreadable, 39 is gone.
        let payload = if named { r#"{"id":"38","text":"\ud83d"}"# } else { r#"{"text":"?"}"# };
        world.api().pages[0].truncate(38);
        world.api().pages[0].push(payload.into());
        let error = world.run(full()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("set aside")), (ErrorKind::AwaitingApproval, Some("1")));
        assert!(error.to_string().contains("set aside records"), "{error}");
        assert_eq!(world.live().await.len(), 40);
        let parked = world.last().await;
        let expected: &[&str] = if named { &["39"] } else { &["38", "39"] };
        assert_eq!((parked.held[0].unidentified, &parked.held[0].ids[..]), (1, &expected.map_to_strings()[..]));
        let approved = world.engine.approve(parked.id).await.unwrap();
        assert_eq!(approved.progress.counts.deleted, expected.len() as u64);
        // Approved beforehand it does not wait.
        world.api().pages[0].remove(0);
        let report = world.run(full().approve_deletes(true)).await.unwrap();
        assert_eq!((report.progress.counts.deleted, report.progress.counts.set_aside), (1, 1));
    }
}

trait Strings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl Strings for [&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn set_aside_records_do_not_stop_an_incremental_sync_and_are_told_until_they_come_well() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    world.api().pages = vec![vec![good("a", 1), good("b", 2)]];
    world.run(RunOptions::default()).await.unwrap();
    assert!(world.status().await.is_clean());
    let surrogate = r#"{"id":"b","at":"2026-01-01T00:00:03Z","text":"\ud83d"}"#;
    let timeless = r#"{"id":"c","at":null}"#;
    world.api().pages = vec![vec![surrogate.into(), timeless.into(), good("d", 4)]];
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.mode, report.state, report.is_clean()), (RunMode::Incremental, RunState::Success, false));
    assert_eq!((report.progress.counts.added, report.progress.counts.set_aside, report.progress.fetched), (1, 2, 3));
    assert_eq!(world.checkpoint().await.as_deref(), Some("\"2026-01-01T00:00:04Z\""), "it goes on");
    assert_eq!(world.live().await, ["a", "b", "d"]);
    // A run that is stopped at once forgets nothing, nor does a quiet one.
    let stopped = CancelToken::new();
    stopped.cancel();
    world.run(RunOptions::default().cancel(stopped)).await.unwrap_err();
    assert_eq!(world.status().await.set_aside["Thing"], 2);
    world.api().pages.clear();
    assert!(world.run(RunOptions::default()).await.unwrap().is_clean(), "this run met none");
    assert_eq!(world.status().await.set_aside["Thing"], 2);
    // Each goes once it comes well, or is gone.
    world.api().pages = vec![vec![good("b", 5)]];
    world.run(RunOptions::default()).await.unwrap();
    let kept = world.engine.sync("c", SYNC).unwrap().set_aside().await.unwrap();
    assert_eq!(kept.iter().map(|record| record.id.as_deref()).collect::<Vec<_>>(), [Some("c")]);
    world.api().pages = vec![vec![good("c", 6)]];
    world.run(RunOptions::default()).await.unwrap();
    assert!(world.status().await.is_clean());
    assert!(world.engine.sync("c", SYNC).unwrap().set_aside().await.unwrap().is_empty());
    assert_eq!(world.live().await, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn set_aside_records_that_a_whole_refresh_no_longer_meets_are_forgotten() {
    let world = World::new(Things::default()).await;
    world.api().pages = vec![vec![good("a", 1), r#"{"n":1}"#.into(), r#"{"n":2}"#.into()]];
    world.run(RunOptions::default()).await.unwrap();
    assert_eq!(world.status().await.set_aside["Thing"], 2);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    world.api().pages = vec![vec![good("a", 1), r#"{"n":2}"#.into()]];
    world.run(full()).await.unwrap();
    assert_eq!(world.status().await.set_aside["Thing"], 1, "one of them is still there");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    world.api().pages = vec![vec![good("a", 1)]];
    assert!(world.run(full()).await.unwrap().is_clean());
    assert!(world.status().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn set_aside_are_records_whose_time_cannot_be_told_and_no_others() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    let with = |id: &str, at: &str| format!(r#"{{"id":"{id}","at":{at}}}"#);
    world.api().pages = vec![vec![
        with("a", r#""2026-01-01T00:00:00+0000""#),
        with("b", r#""2026-01-01""#),
        with("c", r#""2026-01-01 00:00:01""#),
        with("d", "1767225602"),
        with("e", "1767225603000"),
        with("f", r#""Thu, 01 Jan 2026 00:00:04 GMT""#),
        with("g", "null"),
        with("h", r#""01/02/2026""#),
        with("i", r#"{"seconds":1}"#),
        r#"{"id":"j"}"#.into(),
    ]];
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.progress.counts.added, report.progress.counts.set_aside), (6, 4));
    assert_eq!(world.live().await, ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(world.checkpoint().await.as_deref(), Some("\"Thu, 01 Jan 2026 00:00:04 GMT\""), "the API's own text");
    let reasons: Vec<&str> = report.set_aside.iter().map(|record| record.reason.as_str()).collect();
    assert!(reasons[1].contains("01/02/2026"), "{reasons:?}");
}

/// What stopped others and is no fault of the record.
#[tokio::test(start_paused = true)]
async fn set_aside_is_nothing_that_can_be_read() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    let with = |id: &str, at: &str| format!(r#"{{"id":"{id}","at":"{at}","text":"a\u0000b 🌊"}}"#);
    world.api().pages = vec![vec![
        with("nul", "2026-01-01T00:00:00Z"),
        with("eight digits", "2026-01-01T00:00:01.12345678Z"),
        with("basic", "20260101T000002Z"),
        with("to come", "9999-12-31T23:59:59Z"),
        with("no month", "2026-00-15 00:00:00"),
        with("no date", "0000-00-00 00:00:00"),
        with("a year perhaps", "20662"),
    ]];
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!(world.live().await, ["basic", "eight digits", "nul", "to come"]);
    assert_eq!(report.progress.counts.set_aside, 3, "{:?}", report.set_aside);
    assert_eq!(world.checkpoint().await.as_deref(), Some("\"20260101T000002Z\""));
}

#[tokio::test(start_paused = true)]
async fn set_aside_is_bounded_however_much_comes() {
    let world = World::new(Things::default()).await;
    let text = "x".repeat(40_000);
    world.api().pages = (0..10)
        .map(|page| (0..100).map(|n| format!(r#"{{"id":"{page}-{n}","text":"{text}\ud83d"}}"#)).collect())
        .collect();
    world.api().pages[9].push(good("good", 1));
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!(
        (report.progress.counts.set_aside, report.models["Thing"].set_aside, report.progress.counts.added),
        (1000, 1000, 1)
    );
    assert_eq!(report.set_aside.len(), 20);
    let lines = world.engine.run_log(report.id).await.unwrap();
    assert_eq!(lines.iter().filter(|line| line.message.contains("set aside")).count(), 21);
    let kept = world.engine.sync("c", SYNC).unwrap().set_aside().await.unwrap();
    assert_eq!(kept.len(), 100);
    assert!(kept.iter().all(|record| record.id.as_deref().is_some_and(|id| id.starts_with("9-"))), "the newest");
    assert!(kept.iter().all(|record| record.payload.len() <= 16 * 1024));
    assert_eq!(world.status().await.set_aside["Thing"], 100);
    let bytes: usize =
        world.store.documents("", "", 10_000).await.unwrap().iter().map(|document| document.value.as_str().len()).sum();
    assert!(bytes < 2_500_000, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn set_aside_before_an_interruption_counts_after_it() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    let pages = vec![vec![good("a", 1)], vec![good("b", 2)], vec![good("c", 3)]];
    world.api().pages = pages.clone();
    world.run(RunOptions::default()).await.unwrap();
    world.api().pages = pages;
    world.api().pages[0].push(r#"{"n":1}"#.into());
    world.api().pages[1].clear(); // b is missing
    world.api().fails_at = Some(2);
    world.run(full()).await.unwrap_err();
    assert_eq!(world.last().await.progress.counts.set_aside, 1);
    // The next attempt reads only what is behind the first pages.
    world.api().pages = vec![vec![good("c", 3)]];
    world.api().fails_at = None;
    let error = world.run(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval, "{error}");
    let report = world.last().await;
    assert_eq!((report.resumed, report.progress.counts.set_aside, report.set_aside.len()), (1, 1, 1));
    assert_eq!(world.live().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn set_aside_reasons_keep_no_secret() {
    let world =
        World::new(Things { reason: Some("the token tok-123456789 is in here".into()), ..Things::default() }).await;
    world.api().pages = vec![vec![good("a", 1), r#"{"id":"b"}"#.into()]];
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!(report.progress.counts.set_aside, 2);
    for document in world.store.documents("", "", 10_000).await.unwrap() {
        assert!(!document.value.as_str().contains("tok-123456789"), "{}: {}", document.key, document.value.as_str());
    }
}
