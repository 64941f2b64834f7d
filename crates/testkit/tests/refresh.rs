//! Refreshing tokens where refresh tokens work once: kept before they are used, lost by no stop.

#[path = "support/rotating.rs"]
mod rotating;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{CancelToken, ConnectionSettings, CredentialStore, Credentials, Engine, RunOptions};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::{Provider, Secret};
use highwater_testkit::{FakeRequest, FakeTransport, json};
use rotating::{Asker, Rotating, World, run, store, until};
use tokio::sync::Semaphore;

#[tokio::test]
async fn rotating_tokens_are_refreshed_early_and_kept_before_they_are_used() {
    let world = World::signed_in(Rotating::default()).await;
    let engine = world.engine().await;
    run(&engine).await.unwrap();
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 1, "one refresh serves until the token ends");
    world.clock.skip(Duration::from_secs(560));
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 2, "a minute before the end");
    // The API ends a token before its time: one 401, one refresh.
    world.api.with(|api| api.serial = 7);
    world.keychain.kept.lock().unwrap().clear();
    let known = OAuthTokens::new("app").access(Secret::new("access-6"), None).refresh(Secret::new("refresh-7"));
    engine.use_credentials("c", Credentials::oauth2(known));
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 8);
    // Another process goes on with what the keychain has.
    run(&world.engine().await).await.unwrap();
    assert_eq!(world.serial(), 8);
}

#[tokio::test]
async fn client_credentials_by_basic_auth() {
    let world = World { client: ClientAuth::Basic, ..World::new(Rotating { basic: true, ..Rotating::default() }) };
    let engine = world.engine().await;
    engine.use_credentials("c", Credentials::oauth2(OAuthTokens::client_credentials("app", Secret::new("h4sh"))));
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 1);
}

#[tokio::test]
async fn a_refresh_token_that_is_over_asks_for_a_sign_in_and_is_not_sent_again() {
    let world = World::signed_in(Rotating { revoked: true, ..Rotating::default() }).await;
    let engine = world.engine().await;
    for _ in 0..2 {
        let error = run(&engine).await.unwrap_err();
        assert_eq!((error.kind(), error.context("connection")), (ErrorKind::Unauthorized, Some("c")));
        assert!(error.to_string().contains("sign in again") && !format!("{error:?}").contains("refresh-"), "{error:?}");
        assert_eq!(world.api.with(|api| api.token_requests), 1);
    }
    // The user signs in again: in this process, or in one that writes to the keychain alone.
    world.api.with(|api| (api.revoked, api.serial) = (false, 4));
    let tokens =
        |serial| Credentials::oauth2(OAuthTokens::new("app").refresh(Secret::new(format!("refresh-{serial}"))));
    engine.use_credentials("c", tokens(4));
    run(&engine).await.unwrap();
    world.api.with(|api| api.serial = 6);
    world.keychain.save("c", &tokens(6)).await.unwrap();
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 7);
}

#[tokio::test]
async fn every_spelling_of_a_refused_refresh_token_asks_for_a_sign_in() {
    for (status, body, over) in [
        (400, r#"{"error":"invalid_grant"}"#, true),
        (403, r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#, true),
        (
            200,
            r#"{"error":"bad_refresh_token","error_description":"The refresh token is incorrect or expired."}"#,
            true,
        ),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, true),
        (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#, true),
        (401, r#"{"error":"invalid_client"}"#, false),
        (403, r#"{"error":"unauthorized_client","error_description":"no such client"}"#, false),
        (500, "", false),
    ] {
        let world = World::signed_in(Rotating::default()).await;
        let transport = FakeTransport::new(move |_: &FakeRequest| json(status, body));
        let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::Broker);
        let provider = Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth));
        let engine = Engine::builder(Arc::clone(&world.store))
            .template(Arc::new(Asker(provider.template("items").model("Item", "an item"))))
            .transport(Arc::new(transport))
            .credential_store(Arc::clone(&world.keychain) as Arc<dyn CredentialStore>)
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        let error = run(&engine).await.unwrap_err();
        assert_eq!(error.to_string().contains("sign in again"), over, "{body}: {error}");
    }
}

#[tokio::test]
async fn syncs_at_once_refresh_once_in_one_process_and_in_two() {
    let world = World::signed_in(Rotating::default()).await;
    let (first, second) = (world.engine().await, world.engine().await);
    let runs = |engine: Engine| async move {
        let others = engine.sync("c", "acme/others").unwrap();
        let (items, others) = tokio::join!(run(&engine), others.run_once(RunOptions::default()));
        items.and(others.map(drop))
    };
    runs(first.clone()).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
    run(&second).await.unwrap();
    for round in 2..6 {
        world.clock.skip(Duration::from_secs(600));
        let others = second.sync("c", "acme/others").unwrap();
        let (one, other) = tokio::join!(run(&first), others.run_once(RunOptions::default()));
        one.and(other.map(drop)).unwrap();
        assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (round, round));
    }
    let left = world.store.documents("renewal/", "", 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn tokens_that_cannot_be_kept_are_held_and_not_used() {
    let world = World::signed_in(Rotating::default()).await;
    let engine = world.engine().await;
    world.keychain.locked.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = run(&engine).await.unwrap_err();
        assert_eq!((error.kind(), error.context("connection")), (ErrorKind::PermissionDenied, Some("c")));
    }
    assert!(world.api.seen().iter().all(|request| request.path == "/token"), "nothing is sent before it is kept");
    world.keychain.locked.store(false, Ordering::SeqCst);
    run(&engine).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
    assert!(world.keeps("refresh-1"));
}

#[tokio::test]
async fn a_process_that_dies_between_refresh_and_use_leaves_good_tokens() {
    let world = World::signed_in(Rotating::default()).await;
    let dead = world.engine().await;
    tokio::select! {
        biased;
        () = until(|| world.keeps("refresh-1")) => {}
        _ = run(&dead) => {}
    }
    drop(dead);
    let engine = world.engine().await;
    engine.sync("c", "acme/others").unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(world.serial(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_tokens_are_on_their_way_loses_none() {
    for answered_in_time in [true, false] {
        let world = World::signed_in(Rotating::default()).await;
        world.answers.forget_permits(Semaphore::MAX_PERMITS);
        let engine = world.engine().await;
        let cancel = CancelToken::new();
        let options = RunOptions::default().cancel(cancel.clone());
        let items = engine.sync("c", "acme/items").unwrap();
        let (outcome, ()) = tokio::join!(items.run_once(options), async {
            until(|| world.serial() == 1).await;
            cancel.cancel();
            if answered_in_time {
                tokio::time::sleep(Duration::from_secs(2)).await;
                world.answers.add_permits(10);
            }
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(world.keeps("refresh-1"), answered_in_time);
        // The next run awaits the answer that nobody took.
        world.answers.add_permits(10);
        run(&engine).await.unwrap();
        assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
        assert!(world.keeps("refresh-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_the_host_drops_leaves_its_answer_to_the_next() {
    let world = World::signed_in(Rotating::default()).await;
    world.answers.forget_permits(Semaphore::MAX_PERMITS);
    let engine = world.engine().await;
    let items = engine.sync("c", "acme/items").unwrap();
    tokio::select! {
        biased;
        _ = items.run_once(RunOptions::default()) => panic!("the answer cannot be there"),
        () = until(|| world.serial() == 1) => {}
    }
    world.answers.add_permits(10);
    engine.sync("c", "acme/others").unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
}

#[tokio::test]
async fn tokens_that_another_process_renewed_meanwhile_are_taken() {
    let world = World::signed_in(Rotating::default()).await;
    run(&world.engine().await).await.unwrap();
    // On a store of its own, told by its host what was good before: the API refuses it, the keychain knows better.
    let engine = world.engine_on(&store()).await;
    engine.use_credentials("c", Credentials::oauth2(OAuthTokens::new("app").refresh(Secret::new("refresh-0"))));
    run(&engine).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_moved_takes_what_the_keychain_has_for_it_then() {
    let world = World::signed_in(Rotating::default()).await;
    let engine = world.engine().await;
    engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap();
    engine.connect(ConnectionSettings::new("c", "acme").base_url("https://elsewhere.example")).await.unwrap();
    let error = engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let signed_in_there = OAuthTokens::new("app").access(Secret::new("access-1"), None);
    world.keychain.save("c", &Credentials::oauth2(signed_in_there)).await.unwrap();
    engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap();
}
