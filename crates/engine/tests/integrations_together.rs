//! Two engines on one file that toggle endpoints, connect, disconnect and decide, interleaved in any way; and a process that is killed
//! while it toggles.
#![allow(clippy::disallowed_methods)]

#[path = "support/members.rs"]
mod members;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{ErrorKind, Result, Store};
use highwater_engine::syncs::SyncOrigin;
use highwater_engine::{ConnectionSettings, DisableMode, DisconnectMode, Engine, SyncOptions};
use highwater_store_sqlite::SqliteStore;
use members::{Members, SYNCS};
use proptest::prelude::*;

const IDS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Enable(usize, u64),
    Disable(usize, bool),
    Connect(usize),
    Disconnect(usize),
    TurnOn(usize, usize),
    TurnOff(usize, usize),
    Follow(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (sync, id) = (0..2_usize, 0..IDS.len());
    let step = prop_oneof![
        4 => (sync.clone(), 1..3_u64).prop_map(|(sync, minutes)| Step::Enable(sync, minutes)),
        2 => (sync.clone(), any::<bool>()).prop_map(|(sync, clear)| Step::Disable(sync, clear)),
        5 => id.clone().prop_map(Step::Connect),
        2 => id.clone().prop_map(Step::Disconnect),
        1 => (id.clone(), sync.clone()).prop_map(|(id, sync)| Step::TurnOn(id, sync)),
        2 => (id.clone(), sync.clone()).prop_map(|(id, sync)| Step::TurnOff(id, sync)),
        1 => (id, sync).prop_map(|(id, sync)| Step::Follow(id, sync)),
    ];
    prop::collection::vec(step, 1..14)
}

async fn take(engine: &Engine, step: Step) {
    let crm = engine.integration("main").unwrap();
    let sync = |id: usize, sync: usize| engine.sync(IDS[id], SYNCS[sync]).unwrap();
    let own = SyncOptions::default().schedule(Duration::from_secs(7));
    let outcome: Result<()> = match step {
        Step::Enable(at, minutes) => {
            crm.enable(SYNCS[at], SyncOptions::default().schedule(Duration::from_secs(60 * minutes))).await
        }
        Step::Disable(at, clear) => {
            crm.disable(SYNCS[at], if clear { DisableMode::Clear } else { DisableMode::Keep }).await
        }
        Step::Connect(id) => engine.connect(ConnectionSettings::of_integration(IDS[id], "main")).await,
        Step::Disconnect(id) => engine.disconnect(IDS[id], DisconnectMode::KeepRecords).await.map(drop),
        Step::TurnOn(id, at) => sync(id, at).enable(own).await.map(drop),
        Step::TurnOff(id, at) => sync(id, at).disable(DisableMode::Keep).await,
        Step::Follow(id, at) => sync(id, at).follow_integration().await,
    };
    match outcome {
        // Nobody is connected under that id.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        outcome => outcome.unwrap(),
    }
}

/// Every connection has exactly the endpoints that are on, under their options, but for what it decided itself.
async fn check(engine: &Engine) {
    let crm = engine.integration("main").unwrap();
    let on: BTreeMap<String, SyncOptions> = crm
        .endpoints()
        .await
        .unwrap()
        .into_iter()
        .filter_map(|endpoint| Some((endpoint.sync, endpoint.options?)))
        .collect();
    let members: BTreeSet<String> = crm.connections().await.unwrap().into_iter().map(|of| of.id).collect();
    let mut enabled = BTreeMap::new();
    for settings in engine.enabled_syncs().await.unwrap() {
        assert!(members.contains(&settings.connection), "{settings:?} is nobody's");
        enabled.insert((settings.connection.clone(), settings.sync()), settings);
    }
    for id in members {
        for sync in &SYNCS[..2] {
            let settings = enabled.remove(&(id.clone(), (*sync).to_owned()));
            let state = engine.sync(&id, sync).unwrap().state().await.unwrap();
            if !state.follows_integration {
                assert!(settings.is_none_or(|settings| settings.origin == SyncOrigin::Connection));
                continue;
            }
            let schedule = settings.map(|settings| settings.schedule);
            assert_eq!(schedule, on.get(*sync).and_then(|on| on.schedule.clone()), "{id} {sync}");
        }
    }
    assert!(enabled.is_empty(), "{enabled:?}");
}

fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::builder(path).shared().open().unwrap())
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn interleaved_toggles_and_connections_agree(one in steps(), other in steps(), shared in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = if shared {
                Members::on(world::Clock::new(), open(&folder.path().join("app.db"))).await
            } else {
                Members::new().await
            };
            let second = if shared { world.another_on(open(&folder.path().join("app.db"))) } else { world.another() };
            let engine = world.engine.clone();
            let first = tokio::spawn(async move {
                for step in one {
                    take(&engine, step).await;
                }
            });
            let other = tokio::spawn(async move {
                for step in other {
                    take(&second, step).await;
                }
            });
            first.await.unwrap();
            other.await.unwrap();
            check(&world.engine).await;
            world.store.close().await.unwrap();
        });
    }
}

#[test]
fn a_toggle_in_one_process_is_noticed_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = Members::on(world::Clock::new(), open(&path)).await;
        let other = world.another_on(open(&path));
        let _running = world.engine.start(&tokio::runtime::Handle::current());
        tokio::time::sleep(Duration::from_millis(300)).await;
        // More connections than one change names.
        for n in 0..80 {
            other.connect(ConnectionSettings::of_integration(format!("c{n}"), "main")).await.unwrap();
        }
        take(&other, Step::Enable(0, 1)).await;
        let begun = || (0..80).filter(|n| world.begun(&format!("c{n}/{}", SYNCS[0])) > 0).count();
        for _ in 0..400 {
            if begun() == 80 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(begun(), 80);
        take(&other, Step::Disable(0, false)).await;
        assert!(world.enabled().await.is_empty());
    });
}

/// Not a test: what the children run.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let Ok(path) = std::env::var("TOGGLE_DB") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = Members::on(world::Clock::new(), open(Path::new(&path))).await;
        for minutes in (1..u64::MAX).cycle() {
            take(&world.engine, Step::Enable(0, minutes % 3 + 1)).await;
            take(&world.engine, Step::Disable(0, minutes % 2 == 0)).await;
        }
    });
}

#[test]
fn a_process_that_is_killed_while_it_toggles_leaves_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut on, mut off) = (0, 0);
    for round in 0..12 {
        let world = runtime.block_on(Members::on(world::Clock::new(), open(&path)));
        if round == 0 {
            runtime.block_on(async {
                for n in 0..200 {
                    let settings = ConnectionSettings::of_integration(format!("c{n}"), "main");
                    world.engine.connect(settings).await.unwrap();
                }
            });
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("TOGGLE_DB", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        runtime.block_on(async {
            check(&world.engine).await;
            match world.engine.enabled_syncs().await.unwrap().len() {
                0 => off += 1,
                200 => on += 1,
                some => panic!("{some} of 200 connections have it"),
            }
            world.store.close().await.unwrap();
        });
    }
    assert!(on + off == 12);
}
