//! Two engines on one file, as two processes have it: each sees how a connection stands, and one sign-in serves both.
#![allow(clippy::disallowed_methods)]

#[path = "support/account.rs"]
mod account;
#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use account::{SYNC, World, engine_on, health_in, look, token};
use highwater_core::{ErrorKind, Store};
use highwater_engine::connections::ConnectionHealth;
use highwater_engine::{Phase, SyncOptions};
use highwater_store_sqlite::SqliteStore;
use tokio::runtime::Handle;
use world::Clock;

fn open(db: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::builder(db).shared().open().unwrap())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within 20 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_in_one_process_lets_the_syncs_of_another_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("app.db");
    let here = World::on(open(&db), Clock::new()).await;
    let there = engine_on(&open(&db), &here.clock, &here.account, Some(&here.keychain));
    here.account.api().takes.insert("good".into());
    here.engine.sign_in("c", token("good")).await.unwrap();
    let sync = there.sync("c", SYNC).unwrap();
    sync.enable(SyncOptions::default().schedule(Duration::from_millis(300))).await.unwrap();
    let _running = there.start(&Handle::current());
    until("the first runs", async || here.asked() >= 3).await;
    here.account.api().takes.clear();
    until("the refusal", async || here.health().await.needs_sign_in()).await;
    // The run that met the refusal ends after the connection's health is reported.
    until("the sync rests", async || sync.state().await.unwrap().phase == Phase::NeedsSignIn).await;
    assert_eq!(look(&here.engine).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let asked = here.asked();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(here.asked(), asked, "it rests");

    here.account.api().takes.insert("new".into());
    here.engine.sign_in("c", token("new")).await.unwrap();
    until("it goes on", async || here.asked() >= asked + 2).await;
    assert!(here.account.api().asked[asked..].iter().all(|sent| sent == "new"));
    assert_eq!(health_in(&there).await, ConnectionHealth::Ok);
    assert_eq!(here.told().await.len(), 3, "the sign-in, the refusal, the next sign-in: each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_two_processes_meet_at_once_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("app.db");
    let here = World::on(open(&db), Clock::new()).await;
    here.engine.sign_in("c", token("over")).await.unwrap();
    let engines: Vec<_> =
        (0..4).map(|_| engine_on(&open(&db), &here.clock, &here.account, Some(&here.keychain))).collect();
    let calls = engines.iter().map(|engine| {
        let engine = engine.clone();
        tokio::spawn(async move { look(&engine).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap_err().kind(), ErrorKind::Unauthorized);
    }
    for engine in &engines {
        assert!(health_in(engine).await.needs_sign_in());
    }
    let told = here.told_in_short().await;
    assert_eq!(told.iter().filter(|told| *told == "refresh needs_sign_in").count(), 1, "{told:?}");
}
