//! The schedule, in virtual time: when syncs run, what holds them up, what a host decides about them.
#![allow(clippy::disallowed_methods)]

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_engine::runs::RunMode;
use highwater_engine::{
    Background, ConnectionSettings, DisableMode, Phase, RunOptions, RunState, Schedule, SyncOptions, TriggerMode,
};
use tokio::runtime::Handle;
use world::{SYNC, World, sleep};

fn start(world: &World) -> Background {
    world.engine.start(&Handle::current())
}

fn every(seconds: u64) -> SyncOptions {
    SyncOptions::default().schedule(Duration::from_secs(seconds))
}

/// Seconds between the beginnings of runs.
fn gaps(world: &World) -> Vec<u64> {
    let begun = &world.api().begun_ms;
    begun.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sync_runs_at_its_interval_and_keeps_its_rhythm_over_restarts() {
    let world = World::new(3).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    let running = start(&world);
    sleep(150.0).await;
    assert_eq!(gaps(&world), [60, 60]);
    running.shutdown(Duration::from_secs(1)).await.unwrap();
    sleep(20.0).await;
    let running = start(&world);
    sleep(20.0).await;
    assert_eq!(gaps(&world), [60, 60, 60], "started again, it waits for its time");
    running.shutdown(Duration::from_secs(1)).await.unwrap();
    sleep(1000.0).await;
    let _running = start(&world);
    sleep(59.0).await;
    assert_eq!(world.begun(), 5, "sixteen missed slots are one");
    assert!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status.last_success_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn cron_and_jitter_and_a_schedule_of_its_own() {
    let world = World::new(3).await;
    let hourly = Schedule::cron("0 * * * *").unwrap();
    world.engine.sync("c", SYNC).unwrap().enable(SyncOptions::default().schedule(hourly.clone())).await.unwrap();
    let _running = start(&world);
    sleep(3.0 * 3600.0).await;
    let at = world.api().begun_ms.clone();
    assert_eq!(at.len(), 3);
    assert!(at.iter().all(|at_ms| at_ms % 3_600_000 < 1000), "on the hour: {at:?}");

    world.engine.sync("c", SYNC).unwrap().set_schedule(Some(Duration::from_secs(600).into())).await.unwrap();
    sleep(3600.0).await;
    assert!((8..=9).contains(&world.begun()), "{}", world.begun());
    let own = world.engine.sync("c", SYNC).unwrap().set_schedule(None).await.unwrap();
    assert_eq!(own.schedule.interval(), Some(Duration::from_secs(60)), "the template's");

    let jittered = World::new(3).await;
    jittered.engine.sync("c", SYNC).unwrap().enable(every(60).jitter(Duration::from_secs(30))).await.unwrap();
    let _running = start(&jittered);
    sleep(3600.0).await;
    let gaps = gaps(&jittered);
    assert!(gaps.iter().all(|gap| (60..=90).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn pause_is_sticky_and_stops_what_runs_in_another_process() {
    let world = World::new(100).await;
    world.api().delay = Duration::from_secs(1);
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    let running = start(&world);
    sleep(3.5).await;
    assert_eq!(world.live().await, 30);
    world.another().sync("c", SYNC).unwrap().pause().await.unwrap();
    sleep(300.0).await;
    assert_eq!(world.live().await, 30, "nothing was written since");
    let run = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    assert_eq!(run.state, RunState::Cancelled);
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert_eq!((state.phase, state.has_synced, state.records["Item"]), (Phase::Paused, false, 30));
    running.shutdown(Duration::from_secs(1)).await.unwrap();
    let _running = start(&world);
    sleep(300.0).await;
    assert_eq!((world.begun(), world.live().await), (1, 30), "a restart changes nothing about it");
    world.engine.sync("c", SYNC).unwrap().resume().await.unwrap();
    sleep(20.0).await;
    let run = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    assert_eq!((run.state, run.resumed, world.live().await), (RunState::Success, 1, 100));

    // In the same process, pausing waits for the run to be gone.
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Reset).await.unwrap();
    sleep(2.5).await;
    world.engine.sync("c", SYNC).unwrap().pause().await.unwrap();
    assert_eq!(world.api().at_once, 0);
}

#[tokio::test(start_paused = true)]
async fn triggers_are_kept_until_a_run_begins() {
    let world = World::new(10).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(3600).auto_start(false)).await.unwrap();
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Queued);
    // The process ends before anything ran; the next one knows.
    let running = start(&world);
    sleep(1.0).await;
    assert_eq!(world.live().await, 10, "a paused sync runs when asked");
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Paused);

    world.api().items.remove(&1);
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    sleep(1.0).await;
    assert_eq!((world.begun(), world.live().await), (2, 10), "incremental: deletes go unnoticed");
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Reset).await.unwrap();
    sleep(1.0).await;
    assert_eq!((world.live().await, world.deleted().await), (9, 1));
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::ResetAndClear).await.unwrap();
    sleep(1.0).await;
    assert_eq!((world.live().await, world.deleted().await), (9, 0), "emptied and read anew");
    let modes: Vec<_> =
        world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().iter().map(|run| run.mode).collect();
    assert_eq!(modes, [RunMode::Initial, RunMode::Initial, RunMode::Incremental, RunMode::Initial]);
    let error = world.engine.sync("d", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    running.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn turned_off_records_stay_or_go() {
    let world = World::new(10).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    let _running = start(&world);
    sleep(1.0).await;
    world.engine.sync("c", SYNC).unwrap().disable(DisableMode::Keep).await.unwrap();
    sleep(300.0).await;
    assert_eq!((world.begun(), world.live().await), (1, 10));
    world.api().put([11]);
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    sleep(1.0).await;
    let last = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
    assert_eq!((last.mode, last.progress.fetched, world.live().await), (RunMode::Incremental, 1, 11));
    world.engine.sync("c", SYNC).unwrap().disable(DisableMode::Clear).await.unwrap();
    assert_eq!(world.live().await, 0);
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Disabled);
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    sleep(1.0).await;
    assert_eq!(world.engine.sync("c", SYNC).unwrap().runs().await.unwrap()[0].mode, RunMode::Initial);
}

#[tokio::test(start_paused = true)]
async fn being_offline_is_a_state_and_no_failure() {
    let world = World::new(10).await;
    world.api().faults = vec![Some(ErrorKind::Unavailable); 12].into();
    world.engine.sync("c", SYNC).unwrap().enable(every(3600)).await.unwrap();
    let running = start(&world);
    sleep(600.0).await;
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert_eq!((state.phase, state.status.failures), (Phase::Offline, 0));
    assert_eq!(world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().len(), 1, "one record, not one per look");
    let looks = world.begun();
    assert!((7..=9).contains(&looks), "soon at first, then every five minutes: {looks}");
    world.api().faults.clear();
    let told = tokio::time::Instant::now();
    running.notify_online().await.unwrap();
    while world.live().await < 10 {
        sleep(0.1).await;
    }
    assert!(told.elapsed() < Duration::from_secs(3));
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert_eq!((state.phase, state.status.offline_since), (Phase::Waiting, None));
}

#[tokio::test(start_paused = true)]
async fn one_sync_that_gets_through_brings_its_connections_others_along() {
    let world = World::new(10).await;
    world.api().faults = vec![Some(ErrorKind::Unavailable); 16].into();
    world.engine.sync("c", SYNC).unwrap().enable(every(3600)).await.unwrap();
    world.engine.sync("c", "shop/items::other").unwrap().enable(every(3600)).await.unwrap();
    let _running = start(&world);
    sleep(900.0).await;
    world.api().faults.clear();
    let before = world.begun();
    while world.begun() == before {
        sleep(1.0).await;
    }
    sleep(3.0).await;
    for sync in [SYNC, "shop/items::other"] {
        assert!(world.engine.sync("c", sync).unwrap().state().await.unwrap().has_synced, "{sync}");
    }
}

#[tokio::test(start_paused = true)]
async fn sleep_and_resume_and_a_clock_that_is_set_back() {
    let world = World::new(3).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(3600)).await.unwrap();
    let _running = start(&world);
    sleep(1.0).await;
    assert_eq!(world.begun(), 1);
    // The machine sleeps through five slots: timers stood still, the wall clock did not.
    world.clock.jump(5 * 3600 * 1000);
    sleep(20.0).await;
    assert_eq!(world.begun(), 2, "noticed within seconds, and run once");
    world.clock.jump(-48 * 3600 * 1000);
    sleep(3700.0).await;
    assert_eq!(world.begun(), 3, "an hour later, not two days");
    world.clock.jump(-24 * 3600 * 1000);
    let _another = world.another().start(&Handle::current());
    sleep(3700.0).await;
    assert_eq!(world.begun(), 4, "also in a process that starts afterwards");
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time_and_limits_as_long_as_they_say() {
    let world = World::new(3).await;
    world.api().faults = vec![Some(ErrorKind::Remote); 4].into();
    world.engine.sync("c", SYNC).unwrap().enable(every(86_400)).await.unwrap();
    let _running = start(&world);
    sleep(3600.0).await;
    assert_eq!(gaps(&world), [30, 60, 120, 240]);
    let status = world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status;
    assert_eq!((status.failures, status.last_error, status.not_before), (0, None, None));

    // What cannot work before somebody acts is not tried sooner than the schedule says.
    world.api().faults = [Some(ErrorKind::Unauthorized)].into();
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    sleep(3600.0).await;
    assert_eq!(world.begun(), 6);
    let state = world.engine.sync("c", SYNC).unwrap().state().await.unwrap();
    assert!(state.status.failures == 1 && state.status.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn two_schedulers_on_one_store_never_overlap_a_run() {
    let world = World::new(50).await;
    world.api().delay = Duration::from_millis(300);
    let other = world.another();
    let _first = start(&world);
    let _second = other.start(&Handle::current());
    world.engine.sync("c", SYNC).unwrap().enable(every(1)).await.unwrap();
    sleep(2.0).await;
    other.sync("c", SYNC).unwrap().disable(DisableMode::Keep).await.unwrap();
    other.sync("c", SYNC).unwrap().enable(every(1)).await.unwrap();
    sleep(120.0).await;
    assert_eq!(world.api().most_at_once, 1);
    assert!(world.begun() > 50, "{}", world.begun());
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_at_a_time_than_there_are_places_for() {
    let world = World::built(10, |builder| builder.max_runs(5).max_runs_per_provider(3)).await;
    world.api().delay = Duration::from_secs(1);
    let mut events = world.engine.events();
    for n in 0..20 {
        let connection = format!("many-{n}");
        world.engine.connect(ConnectionSettings::new(&connection, "shop")).await.unwrap();
        world.engine.sync(&connection, SYNC).unwrap().enable(every(3600)).await.unwrap();
    }
    let running = start(&world);
    sleep(0.5).await;
    let waiting = world.engine.sync("many-19", SYNC).unwrap().state().await.unwrap();
    assert_eq!(waiting.phase, Phase::Queued);
    running.pause().await.unwrap();
    assert_eq!(world.api().at_once, 0, "a pause of the engine ends every run");
    let begun = world.begun();
    sleep(100.0).await;
    assert_eq!(world.begun(), begun);
    running.resume().await.unwrap();
    sleep(100.0).await;
    assert_eq!(world.api().most_at_once, 3);
    for n in 0..20 {
        assert!(world.engine.sync(format!("many-{n}"), SYNC).unwrap().state().await.unwrap().has_synced);
    }
    let mut queued = 0;
    while let Ok(event) = events.try_recv() {
        queued += usize::from(event.state == RunState::Queued);
    }
    assert!(queued >= 17, "{queued}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_even_begin_is_told_in_the_status() {
    let world = World::new(3).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    world.engine.connect(ConnectionSettings::new("c", "shop").base_url("nowhere")).await.unwrap();
    let _running = start(&world);
    sleep(10.0).await;
    let status = world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status;
    assert!(status.last_error.unwrap().contains("nowhere"));
    assert_eq!((status.failures, world.begun()), (1, 0));
    world.engine.connect(ConnectionSettings::new("c", "shop")).await.unwrap();
    sleep(60.0).await;
    assert_eq!(world.live().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_counts_for_the_schedule() {
    let world = World::new(3).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    let _running = start(&world);
    sleep(50.0).await;
    world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    sleep(55.0).await;
    assert_eq!(gaps(&world), [50], "the slot at 60 s is void");
    sleep(10.0).await;
    assert_eq!(gaps(&world), [50, 60]);
}
