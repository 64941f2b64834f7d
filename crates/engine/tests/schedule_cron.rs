//! Schedules that end, that never come, or that cannot be used: none of them runs without pause.
#![allow(clippy::disallowed_methods)]

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{Environment, ErrorKind, WriteBatch};
use highwater_engine::{Background, ConnectionSettings, Phase, RunState, Schedule, SyncOptions, TriggerMode};
use tokio::runtime::Handle;
use world::{SYNC, World, sleep};

/// The clock of these tests begins on 2026-11-18 at 11:06:40 UTC.
const LAST_SLOT: &str = "0 7 11 18 11 * 2026";

fn start(world: &World) -> Background {
    world.engine.start(&Handle::current())
}

/// Each run takes a while, so that runs without pause do not hold virtual time up.
async fn world() -> World {
    let world = World::new(3).await;
    world.api().delay = Duration::from_millis(5);
    world
}

fn by(schedule: Schedule) -> SyncOptions {
    SyncOptions::default().schedule(schedule)
}

#[tokio::test(start_paused = true)]
async fn a_schedule_whose_last_slot_has_passed_runs_once_and_says_that_it_ended() {
    let world = world().await;
    let second = world.another();
    world.engine.sync("c", SYNC).unwrap().enable(by(Schedule::cron(LAST_SLOT).unwrap())).await.unwrap();
    let running = start(&world);
    let _second = second.start(&Handle::current());
    sleep(15.0).await;
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert_eq!((state.phase, world.begun()), (Phase::Waiting, 0));
    sleep(30.0).await;
    assert_eq!(world.begun(), 1, "once, by whichever process");
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert_eq!((state.phase, state.status.next_due_at, state.has_synced), (Phase::Ended, None, true));
    assert_eq!(serde_json::to_value(state.phase).unwrap(), "ended");

    // A restart, a clock that is set back a little, and a pause that ends change nothing about it.
    running.shutdown(Duration::from_secs(1)).await.unwrap();
    world.clock.jump(-2000);
    let _running = start(&world);
    sleep(60.0).await;
    world.engine.sync("c", SYNC).unwrap().pause().await.unwrap();
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Paused);
    world.engine.sync("c", SYNC).unwrap().resume().await.unwrap();
    sleep(60.0).await;
    assert_eq!(world.begun(), 1);

    // It runs when it is asked to, and goes on with another schedule.
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    sleep(60.0).await;
    assert_eq!(world.begun(), 2);
    world.engine.sync("c", SYNC).unwrap().set_schedule(Some(Duration::from_secs(60).into())).await.unwrap();
    sleep(30.0).await;
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Waiting);
    sleep(60.0).await;
    assert!(world.begun() >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_with_no_slot_to_come_cannot_be_enabled() {
    let world = world().await;
    let past = Schedule::cron("0 0 0 1 1 * 2020").unwrap();
    let error = world.engine.sync("c", SYNC).unwrap().enable(by(past.clone())).await.unwrap_err();
    assert_eq!((error.kind(), error.context("cron")), (ErrorKind::Invalid, Some("0 0 0 1 1 * 2020")));
    world.engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    let error = world.engine.sync("c", SYNC).unwrap().set_schedule(Some(past)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    // The variant is public: what no constructor has seen is checked all the same.
    let error =
        world.engine.sync("d", SYNC).unwrap().enable(by(Schedule::Cron("0 0 30 2 *".into()))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_no_constructor_has_seen_is_no_shorter_than_the_shortest() {
    let world = world().await;
    world.engine.sync("c", SYNC).unwrap().enable(by(Schedule::Every(Duration::ZERO))).await.unwrap();
    let _running = start(&world);
    sleep(2.05).await;
    assert!((15..=21).contains(&world.begun()), "{}", world.begun());
}

#[tokio::test(start_paused = true)]
async fn the_longest_interval_runs_once() {
    let world = world().await;
    world.engine.sync("c", SYNC).unwrap().enable(by(Schedule::every(Duration::MAX))).await.unwrap();
    let _running = start(&world);
    sleep(100_000.0).await;
    world.clock.jump(-3_600_000);
    sleep(100_000.0).await;
    assert_eq!(world.begun(), 1);
}

/// As an older version, or a build without cron expressions, left them.
#[tokio::test(start_paused = true)]
async fn a_stored_status_without_a_due_time_is_made_good() {
    let world = world().await;
    for (connection, schedule) in [("c", "0 * * * *"), ("d", LAST_SLOT)] {
        world.engine.sync(connection, SYNC).unwrap().enable(by(Schedule::cron(schedule).unwrap())).await.unwrap();
        let mut status =
            serde_json::to_value(world.engine.sync(connection, SYNC).unwrap().state().await.unwrap().status).unwrap();
        let started_ms = world.clock.now().unix_ms() + 60_000;
        status["next_due_ms"] = serde_json::Value::Null;
        status["last_started_ms"] = started_ms.into();
        let mut batch = WriteBatch::new();
        batch.put_document(format!("status/{connection}/{SYNC}"), &status).unwrap();
        world.store.commit(batch).await.unwrap();
    }
    sleep(61.0).await;
    let _running = start(&world);
    sleep(2.0).await;
    assert_eq!(world.begun(), 0);
    sleep(3600.0).await;
    assert_eq!(world.begun(), 1, "on the hour, and never again");
}

/// A wish for a run stays stored until one begins, so it must not make the schedule ask without pause.
#[tokio::test(start_paused = true)]
async fn a_wish_whose_run_cannot_begin_is_tried_again_with_pauses() {
    let world = world().await;
    world.engine.sync("c", SYNC).unwrap().enable(by(Schedule::cron("0 0 1 1 *").unwrap())).await.unwrap();
    world.engine.connect(ConnectionSettings::new("c", "shop").base_url("nowhere")).await.unwrap();
    let _running = start(&world);
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    sleep(600.0).await;
    let status = world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status;
    assert!((3..=6).contains(&status.failures), "{} tries in ten minutes", status.failures);
    world.engine.connect(ConnectionSettings::new("c", "shop")).await.unwrap();
    sleep(3600.0).await;
    let runs = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap();
    assert_eq!((runs.len(), runs[0].state, world.live().await), (1, RunState::Success, 3));
}

/// An app that is open by day, whose sync is due by night, and that enables its syncs at every start.
#[tokio::test(start_paused = true)]
async fn a_slot_that_passed_while_nobody_ran_is_made_up_for_though_the_host_enables_again() {
    let world = world().await;
    let nightly = || by(Schedule::cron("30 3 * * *").unwrap());
    for day in 0..3 {
        // Nine hours open, among them eight restarts; then closed over the slot.
        for _ in 0..8 {
            world.engine.sync("c", SYNC).unwrap().enable(nightly()).await.unwrap();
            let running = start(&world);
            sleep(3600.0).await;
            running.shutdown(Duration::from_secs(1)).await.unwrap();
        }
        assert_eq!(world.begun(), day, "once a day, and not before the first slot");
        sleep(16.0 * 3600.0).await;
    }
    // Another schedule forgets what the one before had missed.
    world.engine.sync("c", SYNC).unwrap().enable(by(Schedule::cron("0 4 * * *").unwrap())).await.unwrap();
    world.engine.sync("d", SYNC).unwrap().enable(nightly()).await.unwrap();
    sleep(24.0 * 3600.0).await;
    world.engine.sync("d", SYNC).unwrap().enable(by(Schedule::cron("45 3 * * *").unwrap())).await.unwrap();
    let running = start(&world);
    sleep(60.0).await;
    running.shutdown(Duration::from_secs(1)).await.unwrap();
    let began = world.engine.sync("d", SYNC).unwrap().state().await.unwrap().status.last_started_at;
    assert_eq!(began, None, "it waits for the slot of its new schedule");
}
