//! Every change of a sync is told once: what the host decides, what the schedule does, and what an API does to it.
#![allow(clippy::disallowed_methods)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/staged.rs"]
mod staged;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{Error, ErrorKind};
use highwater_engine::syncs::SyncChange::{self, *};
use highwater_engine::syncs::SyncEvent;
use highwater_engine::{
    ConnectionSettings, DisableMode, DisconnectMode, Phase, RunOptions, RunState, SyncOptions, TriggerMode,
};
use scripted::Scene;
use staged::Staged;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use world::{SYNC, World, sleep};

fn told(events: &mut broadcast::Receiver<SyncEvent>) -> Vec<SyncEvent> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

fn changes(events: &mut broadcast::Receiver<SyncEvent>) -> Vec<SyncChange> {
    told(events).iter().map(|event| event.change).collect()
}

fn every(seconds: u64) -> SyncOptions {
    SyncOptions::default().schedule(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn what_the_host_decides_is_told_once() {
    let world = World::new(3).await;
    let mut events = world.engine.sync_events();
    let sync = world.engine.sync("c", SYNC).unwrap();
    sync.enable(every(60)).await.unwrap();
    sync.enable(every(60)).await.unwrap();
    assert_eq!(changes(&mut events), [Enabled]);
    sync.enable(every(3600)).await.unwrap();
    sync.set_schedule(Some(Duration::from_secs(3600).into())).await.unwrap();
    assert_eq!(changes(&mut events), [SettingsChanged]);
    sync.pause().await.unwrap();
    sync.pause().await.unwrap();
    sync.trigger(TriggerMode::Plain).await.unwrap();
    sync.resume().await.unwrap();
    sync.resume().await.unwrap();
    assert_eq!(changes(&mut events), [Paused, Triggered, Resumed]);
    sync.disable(DisableMode::Keep).await.unwrap();
    sync.disable(DisableMode::Keep).await.unwrap();
    assert_eq!(changes(&mut events), [Disabled]);
    // What fails is no change.
    sync.pause().await.unwrap_err();
    assert_eq!(changes(&mut events), []);
    world.engine.sync("d", SYNC).unwrap().enable(every(60)).await.unwrap();
    world.engine.disconnect("d", DisconnectMode::KeepRecords).await.unwrap();
    let told = told(&mut events);
    assert!(told.iter().all(|event| (event.connection.as_str(), event.sync.as_str()) == ("d", SYNC)));
    assert_eq!(told.iter().map(|event| event.change).collect::<Vec<_>>(), [Enabled, Disabled]);
}

#[tokio::test(start_paused = true)]
async fn runs_are_told_from_due_to_ended() {
    let world = World::built(3, |builder| builder.max_runs(1)).await;
    world.api().delay = Duration::from_secs(1);
    let mut events = world.engine.sync_events();
    for connection in ["c", "d"] {
        world.engine.sync(connection, SYNC).unwrap().enable(every(3600)).await.unwrap();
    }
    changes(&mut events);
    let background = world.engine.start(&Handle::current());
    sleep(60.0).await;
    let told = told(&mut events);
    let of = |connection: &str| -> Vec<SyncChange> {
        told.iter().filter(|event| event.connection == connection).map(|event| event.change).collect()
    };
    assert_eq!(of("c"), [Due, Started, Ended]);
    assert_eq!(of("d"), [Due, Queued, Started, Ended]);
    let [started, ended] = [Started, Ended].map(|change| told.iter().find(|event| event.change == change).unwrap());
    assert_eq!((started.run, started.state), (ended.run, None));
    assert_eq!((ended.state, ended.error_kind), (Some(RunState::Success), None));
    background.shutdown(Duration::from_secs(1)).await.unwrap();

    // By hand, without a schedule.
    world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(changes(&mut events), [Started, Ended]);
    let states = world.engine.sync_states().await.unwrap();
    let states: Vec<_> = states.iter().map(|state| (state.connection.as_str(), state.phase)).collect();
    assert_eq!(states, [("c", Phase::Waiting), ("d", Phase::Waiting)]);
}

#[tokio::test(start_paused = true)]
async fn offline_and_back_are_told_once_each() {
    let scene = Scene::new(|_| Err(Error::new(ErrorKind::Unavailable, "nobody there"))).await;
    let mut events = scene.engine.sync_events();
    scene.engine.sync("c", scripted::SYNC).unwrap().enable(every(3600)).await.unwrap();
    let background = scene.engine.start(&Handle::current());
    sleep(900.0).await;
    assert_eq!(changes(&mut events), [Enabled, Due, Started, Ended, Offline]);
    scene.answer(|_| Ok(scripted::json(200, r#"[{"id":1}]"#)));
    sleep(400.0).await;
    assert_eq!(changes(&mut events), [Started, Ended, Online]);
    background.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_needs_action_is_told_once_until_it_is_done() {
    let scene = Scene::new(|_| Ok(scripted::json(401, "{}"))).await;
    let mut events = scene.engine.sync_events();
    let sync = scene.engine.sync("c", scripted::SYNC).unwrap();
    for _ in 0..2 {
        sync.run_once(RunOptions::default()).await.unwrap_err();
    }
    let told = told(&mut events);
    assert_eq!(
        told.iter().map(|event| event.change).collect::<Vec<_>>(),
        [Started, Ended, NeedsAction, Started, Ended]
    );
    assert_eq!(told[2].error_kind, Some(ErrorKind::Unauthorized));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_said_to_be_back_and_is_not_makes_nothing_due_again() {
    let scene = Scene::new(|_| Err(Error::new(ErrorKind::Unavailable, "nobody there"))).await;
    let mut events = scene.engine.sync_events();
    scene.engine.sync("c", scripted::SYNC).unwrap().enable(every(3600)).await.unwrap();
    let background = scene.engine.start(&Handle::current());
    sleep(60.0).await;
    assert_eq!(changes(&mut events), [Enabled, Due, Started, Ended, Offline]);
    for _ in 0..3 {
        let before = scene.script.seen().len();
        background.notify_online().await.unwrap();
        background.notify_online().await.unwrap();
        sleep(3.0).await;
        assert!(scene.script.seen().len() > before, "it was looked at");
    }
    assert_eq!(changes(&mut events), []);
    scene.answer(|_| Ok(scripted::json(200, r#"[{"id":1}]"#)));
    background.notify_online().await.unwrap();
    sleep(3.0).await;
    assert_eq!(changes(&mut events), [Started, Ended, Online]);
    sleep(3600.0).await;
    assert_eq!(changes(&mut events), [Due, Started, Ended], "the next time it is due as ever");
    background.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_run_elsewhere_is_due_once() {
    let world = World::new(3).await;
    world.api().delay = Duration::from_secs(40);
    let other = world.another();
    let elsewhere = tokio::spawn(async move { other.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await });
    sleep(1.0).await;
    let mut events = world.engine.sync_events();
    world.engine.sync("c", SYNC).unwrap().enable(every(3600)).await.unwrap();
    let background = world.engine.start(&Handle::current());
    sleep(60.0).await;
    assert_eq!(changes(&mut events), [Enabled, Due], "it tries again and again while the lease is another's");
    elsewhere.await.unwrap().unwrap();
    world.engine.sync("c", SYNC).unwrap().trigger(TriggerMode::Plain).await.unwrap();
    sleep(120.0).await;
    let told = changes(&mut events);
    assert!(told.ends_with(&[Started, Ended]), "{told:?}");
    assert!(!told.contains(&Due), "{told:?}");
    background.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_begin_needs_action_and_says_so_once() {
    let world = World::new(3).await;
    let engine = world.needing_a_token();
    let sync = engine.sync("c", SYNC).unwrap();
    sync.enable(every(60)).await.unwrap();
    let mut events = engine.sync_events();
    let background = engine.start(&Handle::current());
    sleep(600.0).await;
    let status = sync.state().await.unwrap().status;
    assert_eq!((status.needs_action(), status.last_error_kind), (true, Some(ErrorKind::Unauthorized)));
    assert!(status.failures > 1, "{}", status.failures);
    assert!(sync.runs().await.unwrap().is_empty(), "none has begun");
    let told = told(&mut events);
    assert_eq!(told.iter().map(|event| event.change).collect::<Vec<_>>(), [Due, NeedsAction]);
    assert_eq!(told[1].error_kind, Some(ErrorKind::Unauthorized));
    background.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_begins_over_ends_and_another_starts() {
    let world = World::new(3).await;
    world.run(RunOptions::default()).await.unwrap();
    let mut events = world.engine.sync_events();
    world.api().faults = [Some(ErrorKind::SourceReset)].into();
    world.run(RunOptions::default()).await.unwrap();
    let told = told(&mut events);
    assert_eq!(told.iter().map(|event| event.change).collect::<Vec<_>>(), [Started, Ended, Started, Ended]);
    assert_eq!((told[0].run, told[2].run), (told[1].run, told[3].run));
    assert_ne!(told[0].run, told[2].run);
    assert_eq!((told[1].state, told[1].error_kind), (Some(RunState::Error), Some(ErrorKind::SourceReset)));
    assert_eq!((told[3].state, told[3].error_kind), (Some(RunState::Success), None));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_end_cannot_be_stored_ends_for_those_who_watch() {
    let world = World::new(3).await;
    // From the end on the disk is full: of a good run, of one that failed, and of one that would begin over.
    for (fault, checkpoint) in [(None, false), (Some(ErrorKind::Remote), false), (Some(ErrorKind::SourceReset), true)] {
        let connection = format!("c-{fault:?}");
        world.engine.connect(ConnectionSettings::new(&connection, "shop")).await.unwrap();
        if checkpoint {
            world.engine.sync(&connection, SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
        }
        world.api().faults = [fault].into();
        world.api().delay = Duration::from_secs(1);
        let began = tokio::time::Instant::now();
        let full = Staged::over(&world.store, move |_| {
            Box::pin(async move {
                let is_full = began.elapsed() >= Duration::from_secs(1);
                if is_full { Err(Error::new(ErrorKind::Full, "no space is left")) } else { Ok(()) }
            })
        });
        let engine = world.engine_over(full);
        let mut events = engine.sync_events();
        let error = engine.sync(&connection, SYNC).unwrap().run_once(RunOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{fault:?}");
        let told = told(&mut events);
        assert_eq!(told.iter().map(|event| event.change).collect::<Vec<_>>(), [Started, Ended], "{fault:?}");
        assert_eq!((told[1].run, told[1].state), (told[0].run, Some(RunState::Error)), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_deletes_that_wait_is_told() {
    for (decision, state, kind) in
        [(Approved, RunState::Success, None), (Rejected, RunState::Cancelled, Some(ErrorKind::Cancelled))]
    {
        let world = World::new(100).await;
        world.run(RunOptions::default()).await.unwrap();
        world.api().items.retain(|id, _| *id <= 10);
        let mut events = world.engine.sync_events();
        world.run(RunOptions::default().full(true)).await.unwrap_err();
        let waiting = told(&mut events);
        assert_eq!(waiting.iter().map(|event| event.change).collect::<Vec<_>>(), [Started, Ended, NeedsAction]);
        let run = waiting[1].run.unwrap();
        match decision {
            Approved => world.engine.approve(run).await.unwrap(),
            _ => world.engine.reject(run).await.unwrap(),
        };
        let told = told(&mut events);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].change, told[0].run, told[0].state), (decision, Some(run), Some(state)));
        assert_eq!(told[0].error_kind, kind);
        world.engine.approve(run).await.unwrap_err();
        assert_eq!(changes(&mut events), [], "what fails is no decision");
    }
}
