//! Every change of a sync is told once: what the host decides, what the schedule does, and what an API does to it.
#![allow(clippy::disallowed_methods)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{Error, ErrorKind};
use highwater_engine::syncs::SyncChange::{self, *};
use highwater_engine::syncs::SyncEvent;
use highwater_engine::{DisableMode, DisconnectMode, Phase, RunOptions, RunState, SyncOptions, TriggerMode};
use scripted::Scene;
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
