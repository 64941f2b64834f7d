//! A new connection and its first sign-in, in one step: no sync begins in between.
#![allow(clippy::disallowed_methods)]

#[path = "support/account.rs"]
mod account;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use account::{World, sleep, token};
use highwater_core::{ErrorKind, StreamKey, WriteBatch};
use highwater_engine::{Background, ConnectionSettings, IntegrationSettings, SyncOptions};
use tokio::runtime::Handle;

/// A world with the integration `work`, which enables the sync, and background work that runs what is due.
async fn world_with_integration() -> (World, Background) {
    let world = World::new().await;
    world.account.api().takes.insert("good-token".into());
    let integration = world.engine.create_integration(IntegrationSettings::new("work", "acme")).await.unwrap();
    integration.enable("items", SyncOptions::default().schedule(Duration::from_secs(5))).await.unwrap();
    let background = world.engine.start(&Handle::current());
    (world, background)
}

#[tokio::test(start_paused = true)]
async fn syncs_of_a_new_connection_wait_for_the_sign_in_that_comes_with_it() {
    let (world, background) = world_with_integration().await;
    world.keychain.kept().save_takes = Duration::from_secs(30);
    let settings = || ConnectionSettings::of_integration("d", "work");
    world.engine.connect_and_sign_in(settings(), token("good-token")).await.unwrap();
    sleep(1).await;
    assert_eq!(world.account.api().asked, ["good-token"], "it runs at once, and never without the token");
    assert_eq!(world.told_in_short().await, ["creation ok"]);
    // A connection that is there is signed in again, and goes on meanwhile.
    sleep(1).await;
    let runs = world.asked();
    world.engine.connect_and_sign_in(settings(), token("good-token")).await.unwrap();
    assert!(world.asked() > runs, "its syncs went on for the 30 seconds");
    assert_eq!(world.told_in_short().await, ["creation ok", "override ok"]);
    background.shutdown(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_could_not_be_signed_in_is_removed_and_one_that_was_cut_off_is_tried() {
    let (world, background) = world_with_integration().await;
    let settings = || ConnectionSettings::of_integration("d", "work");
    // Of a connection of this id that was removed and left its records.
    let left = StreamKey::new("d", "Note");
    let mut batch = WriteBatch::new();
    batch.on(&left).upsert(r#"{"id": "a"}"#);
    world.engine.store().commit(batch).await.unwrap();
    world.keychain.kept().save_fails = true;
    let error = world.engine.connect_and_sign_in(settings(), token("good-token")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(world.engine.connection("d").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.engine.store().head(&left).await.unwrap().live, 1, "they are not its own to clear");
    let kept = ConnectionSettings::new("c", "acme");
    world.engine.connect_and_sign_in(kept, token("good-token")).await.unwrap_err();
    assert!(world.engine.connection("c").await.is_ok(), "it was there before");
    world.keychain.kept().save_fails = false;
    // The process dies before the credentials are kept.
    world.keychain.kept().save_takes = Duration::from_secs(30);
    let cut_off = world.engine.connect_and_sign_in(settings(), token("good-token"));
    tokio::time::timeout(Duration::from_secs(10), cut_off).await.unwrap_err();
    sleep(45).await;
    assert!(world.told().await.is_empty(), "{:?}", world.told_in_short().await);
    sleep(30).await;
    assert_eq!(world.told_in_short().await, ["refresh needs_sign_in"], "a minute later its sync is tried");
    background.shutdown(Duration::from_secs(60)).await.unwrap();
}
