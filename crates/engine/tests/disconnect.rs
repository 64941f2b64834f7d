//! A connection that is removed: nothing of it is left behind, and nothing more is written for it.
#![allow(clippy::disallowed_methods)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{ErrorKind, Result, Store};
use highwater_engine::runs::RunMode;
use highwater_engine::{
    ConnectionSettings, CredentialStore, Credentials, DisconnectMode, RunOptions, RunState, Secret, SyncOptions,
};
use tokio::runtime::Handle;
use world::{SYNC, World, sleep};

/// Everything that a store keeps beside its streams, but for the log of runs.
async fn documents(store: &dyn Store) -> BTreeMap<String, String> {
    let all = store.documents("", "", 1000).await.unwrap();
    let kept = all.into_iter().map(|document| (document.key.to_string(), document.value.to_string()));
    kept.filter(|(key, _)| !["run/", "op/", "log/"].iter().any(|log| key.starts_with(log))).collect()
}

fn every(seconds: u64) -> SyncOptions {
    SyncOptions::default().schedule(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_removed_connection_is_left_or_written_again() {
    for (mode, left) in [(DisconnectMode::KeepRecords, 10), (DisconnectMode::ClearRecords, 0)] {
        let world = World::new(10).await;
        for sync in [SYNC, "shop/items::other"] {
            world.engine.sync("c", sync).unwrap().enable(every(60)).await.unwrap();
        }
        world.engine.sync("d", SYNC).unwrap().enable(every(60)).await.unwrap();
        let _running = world.engine.start(&Handle::current());
        let _other = world.another().start(&Handle::current());
        sleep(70.0).await;
        // One run is in the middle of its pages when the connection goes.
        world.api().put(11..100);
        world.api().delay = Duration::from_secs(2);
        world.engine.sync("c", SYNC).unwrap().trigger(highwater_engine::TriggerMode::Reset).await.unwrap();
        sleep(5.0).await;
        world.engine.disconnect("c", mode).await.unwrap();
        let after = documents(&*world.store).await;
        let of_c: Vec<_> = after.keys().filter(|key| key.split('/').any(|part| part == "c")).collect();
        assert!(of_c.is_empty(), "{mode:?}: {of_c:?}");
        let live = world.live().await;
        assert!(if left == 0 { live == 0 } else { live >= left }, "{mode:?}: {live} live");
        let runs = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap();
        assert!(runs.iter().all(|run| !matches!(run.state, RunState::Running | RunState::Queued)), "{mode:?}");
        let stopped = runs.iter().find(|run| run.state == RunState::Cancelled).expect("the run in progress");
        assert_eq!(stopped.error.as_deref(), Some("the connection was removed"));
        let heads = world.store.streams().await.unwrap();
        sleep(600.0).await;
        let of_c = documents(&*world.store).await.into_keys().filter(|key| key.split('/').any(|part| part == "c"));
        assert_eq!(of_c.count(), 0, "{mode:?}: ten minutes later");
        let now = world.store.streams().await.unwrap();
        for (before, after) in heads.iter().zip(&now).filter(|(head, _)| head.stream.connection() == "c") {
            assert_eq!(before, after, "{mode:?}: nothing more was written");
        }
        assert_eq!(world.engine.sync("c", SYNC).unwrap().runs().await.unwrap(), runs, "{mode:?}");
        assert!(
            world.engine.sync("d", SYNC).unwrap().state().await.unwrap().has_synced,
            "the other connection goes on"
        );

        let gone = world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert_eq!(world.engine.disconnect("c", mode).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            world.engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        // Connected again, it begins anew.
        world.api().delay = Duration::ZERO;
        world.engine.connect(ConnectionSettings::new("c", "shop")).await.unwrap();
        let report = world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
        assert_eq!((report.mode, world.live().await), (RunMode::Initial, 99), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_its_place_in_another_process_does_not_begin() {
    let world = World::built(10, |builder| builder.max_runs(1)).await;
    // Here as in another process: an engine that does not know who removes the connection.
    let remover = world.another();
    world.api().delay = Duration::from_secs(5);
    let [first, waiting] = ["d", "c"].map(|connection| world.engine.sync(connection, SYNC).unwrap());
    let removing = async {
        sleep(1.0).await;
        remover.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
    };
    let (first, waiting, ()) =
        tokio::join!(first.run_once(RunOptions::default()), waiting.run_once(RunOptions::default()), removing);
    first.unwrap();
    assert_eq!(waiting.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.live().await, 0);
    assert!(documents(&*world.store).await.keys().all(|key| !key.split('/').any(|part| part == "c")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_approval_can_be_approved_no_more() {
    let world = World::new(40).await;
    world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    world.api().hidden = (1..=30).collect();
    world.api().items.retain(|id, _| *id > 30);
    world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default().full(true)).await.unwrap_err();
    let parked =
        world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status.parked_run.expect("deletes that wait");
    world.engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
    assert_eq!(world.engine.fetch_run(parked).await.unwrap().state, RunState::Cancelled);
    assert!(world.engine.approve(parked).await.is_err());
    assert_eq!(world.live().await, 40);
}

#[derive(Debug, Default)]
struct Keychain(Mutex<BTreeMap<String, Credentials>>, bool);

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        Ok(self.0.lock().unwrap().get(connection).cloned())
    }
    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        self.0.lock().unwrap().insert(connection.to_owned(), credentials.clone());
        Ok(())
    }
    async fn remove(&self, connection: &str) -> Result<()> {
        if self.1 {
            self.0.lock().unwrap().remove(connection);
            return Ok(());
        }
        self.save(connection, &Credentials::none()).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_hosts_credentials_go_too() {
    for removes in [true, false] {
        let keychain = Arc::new(Keychain(Mutex::default(), removes));
        let world = World::built(3, |builder| builder.credential_store(Arc::clone(&keychain) as _)).await;
        for connection in ["c", "d"] {
            keychain.save(connection, &Credentials::token(Secret::new("t0k3n"))).await.unwrap();
            world.engine.sync(connection, SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
        }
        world.engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
        let kept = keychain.load("c").await.unwrap();
        assert!(
            !kept.is_some_and(|kept| kept.can_sign_in()),
            "an implementation that cannot remove keeps nothing to use"
        );
        assert!(keychain.load("d").await.unwrap().unwrap().can_sign_in());
    }
}

#[tokio::test(start_paused = true)]
async fn connected_again_it_signs_in_with_what_it_is_given_then() {
    let scene = scripted::Scene::new(|_| Ok(scripted::json(200, "[]"))).await;
    let sent = |scene: &scripted::Scene| {
        let request = scene.seen().pop().unwrap();
        request.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.clone())
    };
    scene.engine.use_token("c", Secret::new("0ld-t0ken"));
    scene.run().await.unwrap();
    assert_eq!(sent(&scene).as_deref(), Some("Bearer 0ld-t0ken"));
    scene.engine.disconnect("c", DisconnectMode::ClearRecords).await.unwrap();
    scene.engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
    scene.run().await.unwrap();
    assert_eq!(sent(&scene), None, "nobody signed in yet");
    scene.engine.use_token("c", Secret::new("n3w-t0ken"));
    scene.run().await.unwrap();
    assert_eq!(sent(&scene).as_deref(), Some("Bearer n3w-t0ken"));
}

#[derive(Debug)]
struct Locked;

#[async_trait]
impl CredentialStore for Locked {
    async fn load(&self, _: &str) -> Result<Option<Credentials>> {
        Ok(None)
    }
    async fn save(&self, _: &str, _: &Credentials) -> Result<()> {
        Err(highwater_core::Error::new(ErrorKind::PermissionDenied, "the keychain is locked"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_keychain_that_is_locked_keeps_no_connection_alive() {
    let world = World::built(3, |builder| builder.credential_store(Arc::new(Locked))).await;
    world.engine.sync("c", SYNC).unwrap().enable(every(60)).await.unwrap();
    let _running = world.engine.start(&Handle::current());
    sleep(1.0).await;
    let error = world.engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap_err();
    assert_eq!((error.kind(), error.context("connection")), (ErrorKind::PermissionDenied, Some("c")));
    sleep(300.0).await;
    assert_eq!(world.begun(), 1, "no schedule is left that would run it");
    assert_eq!(world.engine.connection("c").await.unwrap_err().kind(), ErrorKind::NotFound);
}
