//! How a connection stands: what changes it, who is told, what rests, and what goes on after a sign-in.
#![allow(clippy::disallowed_methods)]

#[path = "support/account.rs"]
mod account;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use account::{SYNC, World, health_in, look, oauth, run, sleep, token};
use highwater_core::{ErrorKind, Timestamp};
use highwater_engine::connections::{
    ConnectionChange, ConnectionFilter, ConnectionHealth, EndUser, HealthKind, SignInReason,
};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials, DisconnectMode, Phase, Secret, SyncOptions, TriggerMode};
use highwater_template::HttpRequest;
use serde_json::json;
use tokio::runtime::Handle;

fn reason(health: ConnectionHealth) -> Option<SignInReason> {
    match health {
        ConnectionHealth::NeedsSignIn { reason, .. } => Some(reason),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_to_lose_a_sign_in_is_told_once_and_a_new_one_mends_it() {
    type Lose = fn(&World) -> Credentials;
    let ways: [(&str, Lose); 6] = [
        ("refused", |_| token("t0ken-refused")),
        ("refused", |_| oauth("access-without-refresh", None)),
        ("refused", |world| {
            // Renewed, and still not taken.
            let mut api = world.account.api();
            api.renews.insert("refresh-1".into(), "access-2".into());
            api.takes_renewed = false;
            drop(api);
            oauth("access-1", Some("refresh-1"))
        }),
        ("refresh_refused", |_| oauth("access-1", Some("refresh-over"))),
        ("expired", |_| {
            let past = Timestamp::from_unix_ms(1_000);
            Credentials::oauth2(OAuthTokens::new("app").access(Secret::new("access-old"), Some(past)))
        }),
        ("no_credentials", |_| Credentials::none()),
    ];
    for (number, (expected, lose)) in ways.into_iter().enumerate() {
        let world = World::new().await;
        world.account.api().takes.insert("good-token".into());
        world.engine.sign_in("c", token("good-token")).await.unwrap();
        run(&world.engine).await.unwrap();
        sleep(1).await;
        assert_eq!(world.health().await, ConnectionHealth::Ok, "{number}");
        let mut events = world.engine.connection_events();
        let credentials = lose(&world);
        world.keychain.kept().credentials.insert("c".into(), credentials);
        // In another process, which loads what is kept.
        let other = world.another();
        let mut others_events = other.connection_events();
        let error = run(&other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{number}");
        let health = world.health().await;
        assert_eq!(reason(health).map(SignInReason::as_str), Some(expected), "{number}: {health:?}");
        assert_eq!(health_in(&world.engine).await, health, "{number}: the same in every process");
        let state = other.connection_state("c").await.unwrap();
        assert_eq!(state.last_error.unwrap().kind, ErrorKind::Unauthorized, "{number}");
        let event = others_events.try_recv().unwrap();
        assert_eq!((event.change, event.health), (ConnectionChange::HealthChanged, Some(health)), "{number}");
        assert_eq!(run(&other).await.unwrap_err().kind(), ErrorKind::Unauthorized, "{number}");
        assert!(others_events.try_recv().is_err() && events.try_recv().is_err(), "{number}: told once");
        assert_eq!(world.told_in_short().await, ["creation ok", "refresh needs_sign_in"], "{number}");

        sleep(1).await;
        world.account.api().takes.insert("new-token".into());
        other.sign_in("c", token("new-token")).await.unwrap();
        assert_eq!(world.health().await, ConnectionHealth::Ok, "{number}");
        assert_eq!(others_events.try_recv().unwrap().change, ConnectionChange::SignedIn, "{number}");
        assert_eq!(world.told_in_short().await.last().unwrap(), "override ok", "{number}");
        run(&world.engine).await.unwrap();
        assert_eq!(world.account.api().asked.last().unwrap(), "new-token", "{number}: the first engine uses it too");
        assert_eq!(world.told().await.len(), 3, "{number}");
        assert_eq!(world.engine.connection_state("c").await.unwrap().last_error, None, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_read_are_replaced_by_a_sign_in() {
    let world = World::new().await;
    world.account.api().takes.insert("good-token".into());
    world.keychain.kept().load_fails = Some(ErrorKind::Corrupt);
    assert_eq!(run(&world.engine).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(reason(world.health().await), Some(SignInReason::Unreadable));
    assert_eq!(look(&world.engine).await.unwrap_err().kind(), ErrorKind::Corrupt);
    world.engine.sign_in("c", token("good-token")).await.unwrap();
    run(&world.engine).await.unwrap();
    look(&world.another()).await.unwrap();
    assert_eq!(world.health().await, ConnectionHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn an_access_that_was_withdrawn_is_revoked() {
    let world = World::new().await;
    world.account.api().refuses_with = "token_revoked";
    world.engine.sign_in("c", oauth("access-1", Some("refresh-over"))).await.unwrap();
    run(&world.engine).await.unwrap_err();
    let health = world.health().await;
    assert!(matches!(health, ConnectionHealth::Revoked { .. }), "{health:?}");
    world.account.api().takes.insert("good-token".into());
    world.engine.sign_in("c", token("good-token")).await.unwrap();
    run(&world.engine).await.unwrap();
    // The provider may tell it by a webhook, before any request.
    world.engine.mark_revoked("c").await.unwrap();
    world.engine.mark_revoked("c").await.unwrap();
    assert_eq!(look(&world.engine).await.unwrap_err().context("health"), Some("revoked"));
    assert_eq!(world.told_in_short().await.iter().filter(|told| *told == "refresh revoked").count(), 2);
    assert_eq!(world.engine.mark_revoked("nobody").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn syncs_rest_until_a_sign_in_and_go_on_at_once() {
    let world = World::new().await;
    world.account.api().takes.insert("good-token".into());
    world.engine.sign_in("c", token("good-token")).await.unwrap();
    let handle = world.engine.sync("c", SYNC).unwrap();
    let every = |seconds| SyncOptions::default().schedule(Duration::from_secs(seconds));
    handle.enable(every(60)).await.unwrap();
    world.engine.sync("c", "acme/items::daily").unwrap().enable(every(86_400)).await.unwrap();
    let other = world.another();
    let running = [world.engine.start(&Handle::current()), other.start(&Handle::current())];
    sleep(130).await;
    assert!(world.asked() >= 3);
    world.account.api().takes.clear();
    sleep(130).await;
    assert_eq!(reason(world.health().await), Some(SignInReason::Refused));
    assert_eq!(handle.state().await.unwrap().phase, Phase::NeedsSignIn);
    let asked = world.asked();
    sleep(7200).await;
    handle.trigger(TriggerMode::Plain).await.unwrap();
    sleep(600).await;
    assert_eq!(world.asked(), asked, "nothing is asked for hours");
    let failures = handle.state().await.unwrap().status.failures;
    assert_eq!(failures, 1, "it rests, and does not fail again and again");
    let error = look(&other).await.unwrap_err();
    assert_eq!((error.kind(), error.context("reason")), (ErrorKind::Unauthorized, Some("refused")));
    let request = HttpRequest::get("/me");
    assert_eq!(world.engine.proxy("c", request).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(world.asked(), asked, "a call fails at once");

    // A restart changes nothing about it.
    for running in running {
        running.shutdown(Duration::from_secs(5)).await.unwrap();
    }
    let restarted = world.another();
    let _running = restarted.start(&Handle::current());
    sleep(3600).await;
    assert_eq!(world.asked(), asked);
    assert_eq!(world.told_in_short().await, ["creation ok", "refresh needs_sign_in"]);

    world.account.api().takes.insert("new-token".into());
    restarted.sign_in("c", token("new-token")).await.unwrap();
    sleep(20).await;
    assert!(world.asked() > asked, "it goes on at once");
    let state = handle.state().await.unwrap();
    assert_eq!((state.phase, state.status.last_error_kind), (Phase::Waiting, None));
    assert!(world.account.api().asked[asked..].iter().all(|sent| sent == "new-token"));
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_tries_all_the_same_and_its_success_lets_the_others_go_on() {
    let world = World::new().await;
    world.engine.sign_in("c", token("t0ken")).await.unwrap();
    sleep(1).await;
    world.engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    let _running = world.engine.start(&Handle::current());
    sleep(10).await;
    assert!(world.health().await.needs_sign_in());
    let asked = world.asked();
    // The API had failed, not the user.
    world.account.api().takes.insert("t0ken".into());
    sleep(86_400).await;
    assert_eq!(world.asked(), asked);
    run(&world.another()).await.unwrap();
    sleep(10).await;
    assert_eq!(world.health().await, ConnectionHealth::Ok);
    assert_eq!(world.told_in_short().await, ["creation ok", "refresh needs_sign_in", "refresh ok"]);
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().phase, Phase::Waiting);
}

#[tokio::test(start_paused = true)]
async fn credentials_in_memory_are_tried_once_by_the_engine_that_has_them() {
    let world = World::new().await;
    let engine = world.without_keychain();
    engine.use_credentials("c", token("t0ken"));
    engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    let _running = engine.start(&Handle::current());
    sleep(10).await;
    assert!(health_in(&engine).await.needs_sign_in());
    let asked = world.asked();
    engine.use_credentials("c", token("also-wrong"));
    sleep(10).await;
    assert_eq!(world.asked(), asked + 1, "tried at once, and once");
    sleep(86_400).await;
    assert_eq!(world.asked(), asked + 1);
    look(&engine).await.unwrap_err();
    assert_eq!(world.asked(), asked + 1);
    world.account.api().takes.insert("right".into());
    engine.use_credentials("c", token("right"));
    sleep(10).await;
    assert_eq!(health_in(&engine).await, ConnectionHealth::Ok);
    let error = engine.sign_in("c", token("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // What is missing in one engine says nothing of the account.
    let bare = world.without_keychain();
    assert_eq!(run(&bare).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(health_in(&engine).await, ConnectionHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_call_notices_what_the_host_put_into_its_own_store() {
    let world = World::new().await;
    world.engine.sign_in("c", token("t0ken")).await.unwrap();
    look(&world.engine).await.unwrap_err();
    assert!(world.health().await.needs_sign_in());
    world.account.api().takes.insert("right".into());
    world.keychain.kept().credentials.insert("c".into(), token("right"));
    look(&world.engine).await.unwrap();
    assert_eq!(world.health().await, ConnectionHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_hosts_own_that_is_refused_says_nothing_of_the_sign_in() {
    let world = World::new().await;
    world.engine.sign_in("c", token("t0ken")).await.unwrap();
    assert_eq!(world.engine.proxy("c", HttpRequest::get("/admin")).await.unwrap().status, 401);
    assert_eq!(world.health().await, ConnectionHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nothing_renews_is_told_to_end_and_then_to_have_ended() {
    let world = World::new().await;
    world.account.api().takes.insert("access".into());
    let day = Duration::from_secs(86_400);
    let end = world.now() + day * 30;
    let tokens = OAuthTokens::new("app").access(Secret::new("access"), Some(end));
    world.engine.sign_in("c", Credentials::oauth2(tokens)).await.unwrap();
    world.engine.sync("c", SYNC).unwrap().enable(SyncOptions::default().schedule(day)).await.unwrap();
    let _running = world.engine.start(&Handle::current());
    sleep(22 * 86_400).await;
    assert_eq!(world.health().await, ConnectionHealth::Ok);
    sleep(3 * 86_400).await;
    assert_eq!(world.health().await, ConnectionHealth::Expiring { at: end });
    sleep(20 * 86_400).await;
    assert_eq!(reason(world.health().await), Some(SignInReason::Expired));
    assert_eq!(world.told_in_short().await, ["creation ok", "refresh expiring", "refresh needs_sign_in"]);
    assert!(world.told().await[1]["expiresAt"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_is_cut_short_behind_its_save_is_found_out() {
    let world = World::new().await;
    world.engine.sign_in("c", token("old")).await.unwrap();
    run(&world.engine).await.unwrap_err();
    assert!(world.health().await.needs_sign_in());
    // What a process leaves that is killed between the save and the note of it.
    let stored = world.store.document("health/c").await.unwrap().unwrap();
    let mut health: serde_json::Value = stored.to().unwrap();
    health["signing_in_ms"] = json!(world.now().unix_ms());
    let mut batch = highwater_core::WriteBatch::new();
    batch.put_document("health/c", &health).unwrap();
    world.store.commit(batch).await.unwrap();
    world.account.api().takes.insert("new".into());
    world.keychain.kept().credentials.insert("c".into(), token("new"));

    let restarted = world.another();
    assert!(health_in(&restarted).await.needs_sign_in());
    restarted.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    let _running = restarted.start(&Handle::current());
    sleep(30).await;
    assert!(health_in(&restarted).await.needs_sign_in(), "it might still be under way");
    sleep(40).await;
    assert_eq!(health_in(&restarted).await, ConnectionHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_leaves_the_sign_in_as_it_was_and_quotes_nothing() {
    let world = World::new().await;
    world.account.api().takes.insert("old-token".into());
    world.engine.sign_in("c", token("old-token")).await.unwrap();
    world.keychain.kept().save_fails = true;
    let error = world.engine.sign_in("c", token("n3w-t0ken-secret")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!format!("{error} {error:?}").contains("n3w-t0ken"), "{error:?}");
    run(&world.engine).await.unwrap();
    assert_eq!(world.account.api().asked, ["old-token"]);
    assert_eq!(world.engine.sign_in("nobody", token("x")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!world.keychain.kept().credentials.contains_key("nobody"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_former_credentials_does_not_undo_a_sign_in() {
    let world = World::new().await;
    world.engine.sign_in("c", token("old")).await.unwrap();
    let other = world.another();
    world.account.api().takes.insert("new".into());
    // The other engine has loaded the old ones before the sign-in, and comes late.
    let _ = other.proxy("c", HttpRequest::get("/me")).await.unwrap();
    world.engine.sign_in("c", token("new")).await.unwrap();
    run(&other).await.unwrap();
    assert_eq!(world.health().await, ConnectionHealth::Ok);
    assert_eq!(world.account.api().asked.last().unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_made_anew_is_used_with_nothing_of_before() {
    let world = World::new().await;
    let other = world.another();
    world.account.api().takes.extend(["first".to_owned(), "second".to_owned()]);
    world.engine.sign_in("c", token("first")).await.unwrap();
    run(&other).await.unwrap();
    world.engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
    world.engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
    assert_eq!(run(&other).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(world.account.api().asked, ["first"], "the former credentials went nowhere");
    world.engine.sign_in("c", token("second")).await.unwrap();
    run(&other).await.unwrap();
    assert_eq!(world.account.api().asked, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn connections_are_found_by_what_is_noted_of_them() {
    let world = World::new().await;
    let settings = |id: &str| ConnectionSettings::new(id, "acme");
    for n in 0..20 {
        let plan = if n % 2 == 0 { "team" } else { "free" };
        let noted = settings(&format!("n{n:02}")).tag("plan", plan).end_user(EndUser::new(format!("u{}", n % 3)));
        world.engine.connect(noted).await.unwrap();
    }
    world.engine.mark_revoked("n04").await.unwrap();
    let ids = async |filter: ConnectionFilter| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = world.engine.connection_states(&filter.clone().after(after)).await.unwrap();
            assert!(page.connections.len() <= 3);
            found.extend(page.connections.into_iter().map(|state| state.settings.id));
            after = page.next;
            if after.is_none() {
                return found.join(" ");
            }
        }
    };
    let filter = || ConnectionFilter::default().limit(3);
    assert_eq!(ids(filter().tag("plan", "team").end_user("u1")).await, "n04 n10 n16");
    assert_eq!(ids(filter().health(HealthKind::Revoked)).await, "n04");
    assert_eq!(ids(filter()).await.split(' ').count(), 21);
    assert_eq!(ids(filter().provider("other")).await, "");
    assert_eq!(ids(filter().integration("other")).await, "");
}

#[tokio::test(start_paused = true)]
async fn times_of_a_connection_are_kept() {
    let world = World::new().await;
    world.account.api().takes.insert("t0ken".into());
    let created = world.engine.connection_state("c").await.unwrap();
    assert_eq!((created.created_at, created.last_fetched_at), (Some(world.now()), None));
    sleep(60).await;
    world.engine.connect(ConnectionSettings::new("c", "acme").tag("a", "b")).await.unwrap();
    world.engine.sign_in("c", token("t0ken")).await.unwrap();
    run(&world.engine).await.unwrap();
    let fetched = world.now();
    sleep(60).await;
    let state = world.engine.connection_state("c").await.unwrap();
    assert_eq!((state.created_at, state.last_fetched_at), (created.created_at, Some(fetched)));
    assert_eq!(world.engine.connection_state("nobody").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn credentials_for_the_host_are_renewed_when_due_or_when_it_asks() {
    use highwater_engine::connections::CredentialRenewal::{Always, WhenDue};
    use highwater_engine::credentials::SignInMethod;
    let world = World::new().await;
    {
        let mut api = world.account.api();
        api.lifetime = 3600;
        for (refresh, access) in [("refresh-1", "access-2"), ("refresh-2", "access-3")] {
            api.renews.insert(refresh.into(), access.into());
        }
        api.refuses_with = "invalid_grant";
    }
    let access = async |renewal| {
        let credentials = world.engine.fetch_credentials("c", renewal).await?;
        Ok::<_, highwater_core::Error>(match credentials.method() {
            SignInMethod::OAuth2(tokens) => tokens.access_token.as_ref().unwrap().expose().to_owned(),
            SignInMethod::Token(token) => token.expose().to_owned(),
            other => format!("{other:?}"),
        })
    };
    world.engine.sign_in("c", token("a-token")).await.unwrap();
    assert_eq!((access(WhenDue).await.unwrap(), access(Always).await.unwrap()), ("a-token".into(), "a-token".into()));
    let due =
        OAuthTokens::new("app").access(Secret::new("access-1"), Some(world.now())).refresh(Secret::new("refresh-1"));
    world.engine.sign_in("c", Credentials::oauth2(due)).await.unwrap();
    assert_eq!(access(WhenDue).await.unwrap(), "access-2");
    assert_eq!(access(WhenDue).await.unwrap(), "access-2");
    let kept = world.keychain.kept().credentials["c"].clone();
    assert!(
        matches!(kept.method(), SignInMethod::OAuth2(tokens) if tokens.expires_at > Some(world.now())),
        "saved first"
    );
    assert_eq!(world.account.api().refreshes, 1);
    world.engine.sign_in("c", oauth("access-2", Some("refresh-2"))).await.unwrap();
    assert_eq!(access(WhenDue).await.unwrap(), "access-2");
    assert_eq!(access(Always).await.unwrap(), "access-3");
    world.engine.sign_in("c", oauth("access-3", Some("refresh-over"))).await.unwrap();
    let error = access(Always).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unauthorized && !error.to_string().contains("refresh-over"), "{error}");
    assert_eq!(reason(world.health().await), Some(SignInReason::RefreshRefused), "what was found is noted");
    assert_eq!(world.engine.fetch_credentials("nobody", WhenDue).await.unwrap_err().kind(), ErrorKind::NotFound);
}
