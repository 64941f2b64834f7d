//! Runs, in virtual time: what interrupts them, what they go on with, what they delete and what they never do.
#![allow(clippy::disallowed_methods)]

#[path = "support/staged.rs"]
mod staged;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{ErrorKind, StreamKey, WriteBatch};
use highwater_engine::logs::{LogFilter, LogPolicy};
use highwater_engine::runs::RunMode;
use highwater_engine::syncs::DeletePolicy;
use highwater_engine::{CancelToken, DisableMode, Phase, RunOptions, RunState, SyncOptions};
use staged::Staged;
use world::{SYNC, World, sleep};

fn full() -> RunOptions {
    RunOptions::default().full(true)
}

#[tokio::test(start_paused = true)]
async fn h39_a_refresh_that_fails_goes_on_where_it_stopped_and_deletes_no_earlier_page() {
    let world = World::new(50).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().items.remove(&7);
    world.api().asked.clear();
    world.api().faults = [None, None, None, Some(ErrorKind::Remote)].into();
    let error = world.run(full()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    let failed = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    assert_eq!((failed.state, failed.mode, failed.progress.fetched), (RunState::Error, RunMode::Initial, 30));
    assert_eq!((world.live().await, world.deleted().await), (50, 0));

    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((&report.id, report.resumed, report.mode), (&failed.id, 1, RunMode::Initial));
    assert_eq!(report.progress.fetched, 30 + 19 + 1);
    assert_eq!(report.progress.counts.deleted, 1);
    assert_eq!(world.api().asked, [0, 11, 21, 31, 31, 41, 50], "no page was read twice");
    assert_eq!((world.live().await, world.deleted().await), (49, 1));
    assert_eq!(world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn h39_a_run_that_dies_at_any_page_goes_on_in_another_process() {
    for dies_after_ms in (50..900).step_by(100) {
        let world = World::new(80).await;
        world.run(RunOptions::default()).await.unwrap();
        world.api().items.remove(&3);
        world.api().delay = Duration::from_millis(100);
        // The whole future goes, as in a crash: nothing is written any more.
        let dying = tokio::time::timeout(Duration::from_millis(dies_after_ms), world.run(full())).await;
        assert!(dying.is_err());
        let begun = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
        assert_eq!(begun.state, RunState::Running);

        let other = world.another();
        let busy = other.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "nobody knows yet that it died");
        tokio::time::sleep(busy.retry_after().unwrap()).await;
        let report = other.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
        if dies_after_ms > 100 {
            assert_eq!((&report.id, report.resumed), (&begun.id, 1));
        } else {
            assert_ne!(report.id, begun.id, "it had saved nothing: it starts over");
            let earlier = other.fetch_run(begun.id).await.unwrap();
            assert_eq!(earlier.state, RunState::Error);
        }
        assert_eq!((report.mode, report.progress.counts.deleted), (RunMode::Initial, 1));
        assert_eq!((world.live().await, world.deleted().await), (79, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn p28_a_superseded_run_commits_nothing() {
    let world = World::new(40).await;
    world.api().delay = Duration::from_secs(20);
    let stalled = world.engine.clone();
    let stalled = tokio::spawn(async move { stalled.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await });
    sleep(25.0).await;
    assert_eq!(world.live().await, 10);
    // The clock leaps, as if that process had been frozen for long: its lease looks dead.
    world.clock.jump(100_000);
    world.api().delay = Duration::ZERO;
    let report = world.another().sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!((report.progress.fetched, report.progress.counts.added), (40 + 1, 40 + 1));
    let error = stalled.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(world.engine.fetch_run(report.id).await.unwrap().state, RunState::Success);
    assert_eq!((world.live().await, world.deleted().await), (40, 0));
}

/// A holder is stalled at any of its writes, while the clock says that its lease is over.
#[tokio::test(start_paused = true)]
async fn p28_who_lost_the_lease_empties_nothing_of_a_successors() {
    for stalled_at in 0..12 {
        let world = World::new(30).await;
        world.run(RunOptions::default()).await.unwrap();
        // Shorter than the time between two signs of life: it does not find out by itself.
        let store = Staged::slow_at(&world.store, stalled_at, Duration::from_secs(5));
        let stalled = world.engine_over(store);
        let stalled =
            tokio::spawn(
                async move { stalled.sync("c", SYNC).unwrap().run_once(RunOptions::default().clear(true)).await },
            );
        sleep(1.0).await;
        world.clock.jump(100_000);
        world.run(full()).await.unwrap();
        assert_eq!(world.live().await, 30, "stalled at its write {stalled_at}");
        let outcome = stalled.await.unwrap();
        assert!(outcome.as_ref().is_ok_and(|_| stalled_at == 0) || outcome.is_err() || stalled_at > 7, "{outcome:?}");
        assert_eq!((world.live().await, world.deleted().await), (30, 0), "stalled at its write {stalled_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn p29_a_refresh_that_cannot_begin_empties_nothing() {
    // Whichever write fails: the streams are emptied by the one that begins the run, and by no other.
    for write in 0..4 {
        let world = World::new(30).await;
        world.run(RunOptions::default()).await.unwrap();
        let failing = world.engine_over(Staged::failing_at(&world.store, write));
        let error = failing.sync("c", SYNC).unwrap().run_once(RunOptions::default().clear(true)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        let has_begun = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().len() == 2;
        assert_eq!(has_begun, write > 0, "write {write}");
        assert_eq!(world.live().await == 30, !has_begun, "write {write}");
    }
}

#[tokio::test(start_paused = true)]
async fn h40_what_a_webhook_writes_during_the_first_request_is_not_deleted() {
    let world = World::new(30).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().delay = Duration::from_secs(2);
    let engine = world.engine.clone();
    let refresh = tokio::spawn(async move { engine.sync("c", SYNC).unwrap().run_once(full()).await });
    sleep(1.0).await;
    assert_eq!(world.api().asked.len(), 4, "the first page is not answered yet");
    let mut batch = WriteBatch::new();
    batch.on(&StreamKey::new("c", "Item")).upsert(r#"{"id":999,"by":"webhook"}"#);
    world.store.commit(batch).await.unwrap();
    let report = refresh.await.unwrap().unwrap();
    assert_eq!((report.progress.counts.deleted, world.live().await), (0, 31));
    // Once it was there before a refresh began, its absence counts.
    world.api().delay = Duration::ZERO;
    assert_eq!(world.run(full()).await.unwrap().progress.counts.deleted, 1);
}

#[tokio::test(start_paused = true)]
async fn h49_a_live_run_keeps_its_lease_for_as_long_as_it_takes() {
    let world = World::new(5).await;
    world.api().delay = Duration::from_secs(600);
    let long = world.engine.clone();
    let long = tokio::spawn(async move { long.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await });
    let other = world.another();
    for _ in 0..50 {
        sleep(10.0).await;
        let error = other.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
    }
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Running);
    long.await.unwrap().unwrap();
    assert_eq!(world.api().most_at_once, 1);
    other.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn h49_of_two_that_begin_at_once_one_does() {
    let world = World::new(30).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().put([31]);
    world.api().delay = Duration::from_secs(1);
    let slow = Staged::over(&world.store, |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        })
    });
    let slow = world.engine_over(slow);
    let (slow, own) = (slow.sync("c", SYNC).unwrap(), world.engine.sync("c", SYNC).unwrap());
    let (first, second) = tokio::join!(slow.run_once(RunOptions::default()), own.run_once(RunOptions::default()));
    let kinds = [first.as_ref().err(), second.as_ref().err()].map(|error| error.map(highwater_core::Error::kind));
    assert!(kinds.contains(&None) && kinds.contains(&Some(ErrorKind::Busy)), "{kinds:?}");
    assert_eq!(world.api().most_at_once, 1);
}

#[tokio::test(start_paused = true)]
async fn h38_too_many_deletes_are_parked_and_done_later_without_reading_again() {
    let world = World::new(100).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().items.retain(|id, _| *id > 60);
    let error = world.run(full()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("deletes")), (ErrorKind::AwaitingApproval, Some("60")));
    let parked = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    assert_eq!(parked.state, RunState::AwaitingApproval);
    assert_eq!((parked.held.len(), parked.held[0].model.as_str(), parked.held[0].deletes), (1, "Item", 60));
    assert_eq!(parked.held[0].ids[..2], ["1", "2"]);
    assert_eq!(world.live().await, 100);

    // Meanwhile an incremental run brings one of them back.
    world.api().put([5]);
    assert_eq!(world.run(RunOptions::default()).await.unwrap().mode, RunMode::Incremental);
    let asked = world.api().asked.len();
    let approved = world.another().approve(parked.id).await.unwrap();
    assert_eq!((approved.state, approved.progress.counts.deleted), (RunState::Success, 59));
    assert_eq!((world.live().await, world.api().asked.len()), (41, asked));
    assert_eq!(world.engine.approve(parked.id).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn parked_deletes_can_be_rejected_and_a_later_refresh_takes_their_place() {
    let world = World::new(100).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().hidden = (1..=60).collect();
    let no_look = || full().deletes(DeletePolicy::default().verify(false));
    world.run(no_look()).await.unwrap_err();
    let first = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    let rejected = world.engine.reject(first.id).await.unwrap();
    assert_eq!(rejected.state, RunState::Cancelled);
    assert_eq!(world.live().await, 100);

    world.run(no_look()).await.unwrap_err();
    let second = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    world.api().hidden.clear();
    let whole = world.run(no_look()).await.unwrap();
    assert_eq!(whole.progress.counts.deleted, 0);
    let error = world.engine.approve(second.id).await.unwrap_err();
    assert!(error.to_string().contains(&whole.id.to_string()), "{error}");
    assert_eq!(world.live().await, 100);
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_needs_to_be_confirmed() {
    let world = World::new(5).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().items.clear();
    assert_eq!(world.run(full()).await.unwrap_err().kind(), ErrorKind::AwaitingApproval);
    assert_eq!(world.live().await, 5);
    let report = world.run(full().deletes(DeletePolicy::default().confirm_empty(true))).await.unwrap();
    assert_eq!((report.progress.counts.deleted, world.live().await), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn missing_records_are_looked_up_before_they_are_deleted() {
    let world = World::new(30).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().hidden = [4, 5].into();
    world.api().items.remove(&6);
    let report = world.run(full()).await.unwrap();
    assert_eq!((report.progress.counts.deleted, world.live().await), (1, 29));
    let lines = world.engine.run_log(report.id).await.unwrap();
    assert!(lines.iter().any(|line| line.message.contains("2 of 3 missing Item records still exist")));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_deleted_after_as_many_absences_in_a_row_as_asked() {
    let world = World::new(30).await;
    world.run(RunOptions::default()).await.unwrap();
    let strikes = || full().deletes(DeletePolicy::default().strikes(3).verify(false));
    world.api().hidden = [1, 2].into();
    assert_eq!(world.run(strikes()).await.unwrap().progress.counts.deleted, 0);
    assert_eq!(world.run(strikes()).await.unwrap().progress.counts.deleted, 0);
    world.api().hidden = [1].into(); // 2 is back: its count begins anew
    assert_eq!(world.run(strikes()).await.unwrap().progress.counts.deleted, 1);
    world.api().hidden = [1, 2].into();
    assert_eq!(world.run(strikes()).await.unwrap().progress.counts.deleted, 0);
    assert_eq!(world.live().await, 29);
    let kept = world.store.get(&StreamKey::new("c", "Item"), &["1", "2"]).await.unwrap();
    assert!(kept[0].as_ref().unwrap().metadata.deleted_at.is_some());
    assert!(kept[1].as_ref().unwrap().metadata.deleted_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn h38_strikes_do_not_hide_an_absence_from_the_guard() {
    let world = World::new(100).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().hidden = (1..=60).collect();
    let strikes = full().deletes(DeletePolicy::default().strikes(3).verify(false));
    assert_eq!(world.run(strikes).await.unwrap_err().kind(), ErrorKind::AwaitingApproval);
}

#[tokio::test(start_paused = true)]
async fn h51_a_forgotten_checkpoint_begins_a_full_run_at_once() {
    let world = World::new(20).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().items.remove(&1);
    world.api().faults = [Some(ErrorKind::SourceReset)].into();
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.mode, report.progress.counts.deleted, report.state), (RunMode::Initial, 1, RunState::Success));
    let runs = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap();
    let states: Vec<_> = runs.iter().map(|run| (run.mode, run.state)).collect();
    let expected = [
        (RunMode::Initial, RunState::Success),
        (RunMode::Incremental, RunState::Error),
        (RunMode::Initial, RunState::Success),
    ];
    assert_eq!(states, expected);
    // Dropped with the beginning of the full run: one that dies at once leaves no old checkpoint behind.
    let world = World::new(20).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().faults = [Some(ErrorKind::SourceReset), Some(ErrorKind::Remote)].into();
    assert_eq!(world.run(RunOptions::default()).await.unwrap_err().kind(), ErrorKind::Remote);
    let checkpoint = world.store.document("checkpoint/c/shop/items").await.unwrap();
    assert!(checkpoint.is_none(), "{checkpoint:?}");
    assert_eq!(world.run(RunOptions::default()).await.unwrap().mode, RunMode::Initial);
    // A source that forgets a full refresh too does not keep us in a circle.
    world.api().faults = vec![Some(ErrorKind::SourceReset); 3].into();
    assert_eq!(world.run(RunOptions::default()).await.unwrap_err().kind(), ErrorKind::SourceReset);
    assert_eq!(world.api().faults.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_gets_nowhere_starts_over() {
    let world = World::new(30).await;
    world.api().faults = [None, Some(ErrorKind::Remote)].into();
    world.run(RunOptions::default()).await.unwrap_err();
    let first = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    for _ in 0..3 {
        world.api().faults = [Some(ErrorKind::Remote)].into();
        world.run(RunOptions::default()).await.unwrap_err();
    }
    world.api().asked.clear();
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_ne!(report.id, first.id);
    assert_eq!(world.api().asked[0], 0);
    assert_eq!((world.live().await, world.deleted().await), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_or_is_cancelled_can_go_on() {
    let world = World::new(40).await;
    let options = SyncOptions::default().timeout(Duration::from_secs(5)).auto_start(false);
    world.engine.sync("c", SYNC).unwrap().enable(options).await.unwrap();
    world.api().delay = Duration::from_secs(2);
    let error = world.run(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let stopped = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    assert_eq!((stopped.state, stopped.progress.fetched), (RunState::TimedOut, 20));

    let cancel = CancelToken::new();
    let (engine, options) = (world.engine.clone(), RunOptions::default().cancel(cancel.clone()));
    let cancelled = tokio::spawn(async move { engine.sync("c", SYNC).unwrap().run_once(options).await });
    sleep(3.0).await;
    cancel.cancel();
    assert_eq!(cancelled.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    world.api().delay = Duration::ZERO;
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.id, report.resumed, report.progress.counts.added), (stopped.id, 2, 41));
}

#[tokio::test(start_paused = true)]
async fn variants_are_syncs_of_their_own() {
    let world = World::new(10).await;
    world.engine.sync("c", "shop/items::old").unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(world.live().await, 0);
    let variant = StreamKey::new("c", "Item").with_variant("old");
    assert_eq!(world.store.head(&variant).await.unwrap().live, 10);
    world.run(RunOptions::default()).await.unwrap();
    assert_eq!(world.engine.sync("c", "shop/items::old").unwrap().runs().await.unwrap().len(), 1);
    world.engine.sync("c", "shop/items::old").unwrap().enable(SyncOptions::default()).await.unwrap();
    world.engine.sync("c", "shop/items::old").unwrap().disable(DisableMode::Clear).await.unwrap();
    assert_eq!((world.store.head(&variant).await.unwrap().live, world.live().await), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn logs_are_kept_found_again_and_swept_out() {
    let policy = LogPolicy::default().runs_per_sync(3).lines_per_run(4).max_age(Duration::from_secs(3600));
    let world = World::built(60, |builder| builder.logs(policy)).await;
    let first = world.run(RunOptions::default()).await.unwrap();
    let lines = world.engine.run_log(first.id).await.unwrap();
    assert_eq!(lines.len(), 5, "four, and the note that more were left out");
    assert_eq!(world.store.documents("log/", "", 100).await.unwrap().len(), 5, "packed with their pages");
    sleep(10.0).await;
    world.api().faults = [Some(ErrorKind::Remote)].into();
    let failed_ms = world.begun();
    world.run(RunOptions::default()).await.unwrap_err();
    world.engine.sync("d", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    assert!(failed_ms > 0);

    let found = async |filter: LogFilter| world.engine.runs_matching(&filter).await.unwrap().runs.len();
    assert_eq!(found(LogFilter::default()).await, 3);
    assert_eq!(found(LogFilter::default().state(RunState::Error)).await, 1);
    assert_eq!(found(LogFilter::default().connection("d")).await, 1);
    assert_eq!(found(LogFilter::default().sync(SYNC)).await, 3);
    assert_eq!(found(LogFilter::default().sync("shop/others")).await, 0);
    for (provider, expected) in [("shop", 3), ("sho", 0)] {
        let mut filter = LogFilter::default();
        filter.provider = Some(provider.to_owned());
        assert_eq!(found(filter).await, expected);
    }
    assert_eq!(found(LogFilter::default().text("TOLD TO FAIL")).await, 1);
    let mut filter = LogFilter::default();
    filter.mode = Some(RunMode::Initial);
    assert_eq!(found(filter).await, 2);
    let mut filter = LogFilter::default();
    filter.since = Some(first.started_at + Duration::from_secs(5));
    assert_eq!(found(filter.clone()).await, 2);
    (filter.since, filter.until) = (None, filter.since);
    assert_eq!(found(filter).await, 1);

    // Page by page, each once.
    let (mut next, mut seen) = (None, Vec::new());
    loop {
        let page = world.engine.runs_matching(&LogFilter::default().limit(1).after(next)).await.unwrap();
        seen.extend(page.runs.into_iter().map(|run| run.id));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    let all = world.engine.log_lines(&LogFilter::default()).await.unwrap().lines;
    let (mut next, mut lines) = (None, Vec::new());
    loop {
        let page = world.engine.log_lines(&LogFilter::default().limit(2).after(next)).await.unwrap();
        lines.extend(page.lines);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(lines, all);
    let wanted = LogFilter::default().text("behind 10:");
    assert_eq!(world.engine.log_lines(&wanted).await.unwrap().lines.len(), 2);

    for _ in 0..4 {
        world.run(RunOptions::default()).await.unwrap();
    }
    assert_eq!(world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().len(), 3);
    assert_eq!(world.engine.fetch_run(first.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(world.engine.run_log(first.id).await.unwrap().is_empty());
    sleep(7200.0).await;
    assert_eq!(world.engine.sweep_logs().await.unwrap(), 4);
    assert!(world.store.documents("log/", "", 10).await.unwrap().is_empty());
    assert!(world.store.documents("op/", "", 10).await.unwrap().is_empty());
    assert!(world.store.documents("run/", "", 10).await.unwrap().is_empty());
}
