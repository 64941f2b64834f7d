//! Each decision about an integration is one commit: where it fails nothing is changed, and what happens before it is not overlooked.
#![allow(clippy::disallowed_methods)]

#[path = "support/members.rs"]
mod members;
#[path = "support/staged.rs"]
mod staged;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::{ErrorKind, Result, Store};
use highwater_engine::{ConnectionSettings, DisableMode, Engine, RunOptions, RunState, SyncOptions};
use members::Members;
use staged::Staged;

fn every(seconds: u64) -> SyncOptions {
    SyncOptions::default().schedule(Duration::from_secs(seconds))
}

async fn decide(engine: &Engine, decision: usize) -> Result<()> {
    let main = engine.integration("main").unwrap();
    match decision {
        0 => main.enable("people", every(60)).await,
        1 => main.enable("people", every(90)).await,
        2 => main.disable("people", DisableMode::Clear).await,
        3 => engine.connect(ConnectionSettings::of_integration("new", "main")).await,
        4 => main.update(|settings| settings.config("owner", "all")).await.map(drop),
        _ => engine.sync("c0", "crm/deals").unwrap().follow_integration().await,
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_changes_nothing_and_there_is_no_other() {
    for decision in 0..6 {
        let world = Members::new().await;
        for n in 0..30 {
            world.engine.connect(ConnectionSettings::of_integration(format!("c{n}"), "main")).await.unwrap();
        }
        world.crm.enable("deals", every(60)).await.unwrap();
        world.engine.sync("c0", "crm/deals").unwrap().disable(DisableMode::Keep).await.unwrap();
        if decision > 0 {
            world.crm.enable("people", every(60)).await.unwrap();
        }
        let before = world.documents().await;
        let full: Arc<dyn Store> = Staged::failing_at(&world.store, 0);
        let error = decide(&world.another_on(full), decision).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{decision}");
        assert_eq!(world.documents().await, before, "{decision}");
        let counted = Staged::over(&world.store, |_| Box::pin(std::future::ready(Ok(()))));
        decide(&world.another_on(Arc::clone(&counted) as Arc<dyn Store>), decision).await.unwrap();
        assert_eq!(counted.writes(), 1, "{decision}");
        assert_ne!(world.documents().await, before, "{decision}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_begins_while_the_endpoint_is_disabled_writes_nothing_behind_it() {
    for mode in [DisableMode::Keep, DisableMode::Clear] {
        let world = Members::new().await;
        world.api.pages.store(30, Ordering::Relaxed);
        world.api.delay_ms.store(400, Ordering::Relaxed);
        world.connect("a").await;
        world.crm.enable("people", every(60)).await.unwrap();
        // Everything is read, and then a run begins elsewhere before the commit.
        let slow = world.another_on(Staged::slow_at(&world.store, 0, Duration::from_secs(3)));
        let sync = world.engine.sync("a", "crm/people").unwrap();
        let running = tokio::spawn(async move { sync.run_once(RunOptions::default()).await.map(drop) });
        slow.integration("main").unwrap().disable("people", mode).await.unwrap();
        let (heads, documents) = (world.store.streams().await.unwrap(), world.documents().await);
        assert!(mode == DisableMode::Clear || heads[0].live > 3);
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        world.wait(60.0).await;
        assert_eq!(world.store.streams().await.unwrap(), heads);
        assert_eq!(world.documents().await, documents);
        let runs = world.engine.sync("a", "crm/people").unwrap().runs().await.unwrap();
        assert_eq!((runs.len(), runs[0].state), (1, RunState::Cancelled));
    }
}

#[tokio::test(start_paused = true)]
async fn interleaved_with_a_toggle_a_connection_gets_it_or_loses_it() {
    for enabled in [false, true] {
        let world = Members::new().await;
        if enabled {
            world.crm.enable("people", every(60)).await.unwrap();
        }
        let slow = world.another_on(Staged::slow_at(&world.store, 0, Duration::from_secs(3)));
        let toggling = tokio::spawn(async move {
            let main = slow.integration("main").unwrap();
            if enabled {
                main.disable("people", DisableMode::Keep).await
            } else {
                main.enable("people", every(60)).await
            }
        });
        world.wait(1.0).await;
        world.connect("b").await;
        toggling.await.unwrap().unwrap();
        assert_eq!(world.enabled().await.contains_key("b"), !enabled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_toggle_that_others_overtake_is_tried_again() {
    let world = Members::new().await;
    world.connect("a").await;
    let slow = world.another_on(Staged::slow_at(&world.store, 0, Duration::from_secs(3)));
    let enabling = tokio::spawn(async move { slow.integration("main").unwrap().enable("people", every(60)).await });
    world.wait(1.0).await;
    world.connect("b").await;
    world.engine.sync("a", "crm/people").unwrap().disable(DisableMode::Keep).await.unwrap();
    enabling.await.unwrap().unwrap();
    assert_eq!(world.enabled().await.keys().collect::<Vec<_>>(), ["b"]);
}
