//! Credentials of what was removed: gone for certain, whatever fails and whoever dies; and never those of a successor.
#![allow(clippy::disallowed_methods)]

#[path = "support/account.rs"]
mod account;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use account::{World, oauth, sleep, token};
use highwater_core::ErrorKind;
use highwater_engine::connections::{ConnectionChange, DisconnectMode, DisconnectOptions, RevocationMode};
use highwater_engine::credentials::Revocation;
use highwater_engine::integrations::{DeleteMode, IntegrationChange, IntegrationSettings};
use highwater_engine::{ConnectionSettings, Engine, Secret};
use proptest::prelude::*;
use tokio::runtime::Handle;

const KEEP: DisconnectMode = DisconnectMode::KeepRecords;

impl World {
    fn kept(&self, name: &str) -> Option<String> {
        let kept = self.keychain.kept().credentials.get(name).cloned();
        kept.map(|kept| kept.to_secret().unwrap().expose().to_owned())
    }

    fn lock_keychain(&self, locked: bool) {
        self.keychain.kept().remove_fails = locked;
    }

    async fn every_document(&self) -> String {
        let all = self.store.documents("", "", 1000).await.unwrap();
        all.iter().map(|document| format!("{} {}\n", document.key, document.value)).collect()
    }
}

async fn connect(engine: &Engine) -> highwater_core::Result<()> {
    engine.connect(ConnectionSettings::new("c", "acme")).await
}

/// What finishes a removal that failed.
#[derive(Clone, Copy, Debug)]
enum Finisher {
    Disconnect,
    Connect,
    Background,
    BackgroundElsewhere,
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_failed_is_finished_by_whoever_comes_next() {
    use Finisher::{Background, BackgroundElsewhere, Connect, Disconnect};
    for finisher in [Disconnect, Connect, Background, BackgroundElsewhere] {
        let world = World::new().await;
        world.engine.sign_in("c", oauth("acc3ss-t0ken", Some("r3fresh-t0ken"))).await.unwrap();
        let mut events = world.engine.connection_events();
        world.lock_keychain(true);
        let error = world.engine.disconnect("c", KEEP).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.context("connection")),
            (ErrorKind::PermissionDenied, Some("c")),
            "{finisher:?}"
        );
        assert_eq!(world.engine.connection("c").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(world.kept("c").is_some());
        // The state says so, in every process, and quotes nothing.
        let [pending] = &world.another().pending_removals().await.unwrap()[..] else { panic!("one is pending") };
        assert_eq!((pending.connection.as_deref(), &pending.integration, pending.tries), (Some("c"), &None, 1));
        let why = pending.error.as_ref().unwrap();
        assert!(why.kind == ErrorKind::PermissionDenied && why.message.contains("the keychain is locked"), "{why:?}");
        let stored = world.every_document().await;
        assert!(!format!("{error} {error:?} {stored}").contains("t0ken"), "{error:?} {stored}");
        let background = match finisher {
            Background => Some(world.engine.start(&Handle::current())),
            BackgroundElsewhere => Some(world.another().start(&Handle::current())),
            Disconnect | Connect => None,
        };
        // Nobody takes the id before that, and tries go on with pauses.
        assert_eq!(connect(&world.another()).await.unwrap_err().kind(), ErrorKind::PermissionDenied, "{finisher:?}");
        assert_eq!(connect(&world.without_keychain()).await.unwrap_err().kind(), ErrorKind::Unsupported);
        sleep(600).await;
        let tries = world.engine.pending_removals().await.unwrap()[0].tries;
        assert!(if background.is_some() { (5..15).contains(&tries) } else { tries == 2 }, "{finisher:?}: {tries}");

        world.lock_keychain(false);
        match finisher {
            Disconnect => drop(world.another().disconnect("c", KEEP).await.unwrap()),
            Connect => {
                connect(&world.another()).await.unwrap();
                assert!(world.another().connection_state("c").await.is_ok());
            }
            // The longest pause so far, and one look.
            Background | BackgroundElsewhere => sleep(1400).await,
        }
        assert_eq!(world.kept("c"), None, "{finisher:?}");
        assert!(world.engine.pending_removals().await.unwrap().is_empty());
        assert!(!world.every_document().await.contains("removal/"));
        if let Background = finisher {
            let mut told = Vec::new();
            while let Ok(event) = events.try_recv() {
                told.push(event.change);
            }
            assert_eq!(told[..2], [ConnectionChange::Disconnected, ConnectionChange::RemovalFailed]);
            assert_eq!(told.last(), Some(&ConnectionChange::CredentialsRemoved));
        }
        if !matches!(finisher, Connect) {
            assert_eq!(world.engine.disconnect("c", KEEP).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        if let Some(background) = background {
            background.shutdown(Duration::from_secs(5)).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_cut_short_leaves_no_secret() {
    // After the commit, while the provider is asked, and while the keychain works.
    for cut_after in [Duration::from_millis(1), Duration::from_secs(5)] {
        let world = World::new().await;
        world.engine.sign_in("c", oauth("acc3ss", Some("r3fresh"))).await.unwrap();
        world.keychain.kept().remove_takes = Duration::from_secs(10);
        tokio::time::timeout(cut_after, world.engine.disconnect("c", KEEP)).await.unwrap_err();
        assert!(world.kept("c").is_some());
        assert_eq!(world.engine.pending_removals().await.unwrap()[0].tries, 0);
        let started = world.another();
        let _background = started.start(&Handle::current());
        // It waits for the turns of the process that died.
        for _ in 0..600 {
            if world.engine.pending_removals().await.unwrap().is_empty() {
                break;
            }
            sleep(1).await;
        }
        assert!(world.engine.pending_removals().await.unwrap().is_empty());
        assert_eq!(world.kept("c"), None);
        let revoked = world.account.api().revoked.clone();
        assert!(revoked.contains(&"r3fresh".to_owned()), "{revoked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sign_in_is_revoked_before_its_credentials_go() {
    let world = World::new().await;
    world.engine.sign_in("c", oauth("acc3ss", Some("r3fresh"))).await.unwrap();
    let report = world.engine.disconnect("c", KEEP).await.unwrap();
    assert!(matches!(report.revocation, Some(Ok(Revocation::Revoked))), "{report:?}");
    assert_eq!((world.account.api().revoked.len(), world.kept("c")), (2, None));

    // A provider that fails keeps nothing alive.
    connect(&world.engine).await.unwrap();
    world.engine.sign_in("c", oauth("acc3ss", Some("r3fresh"))).await.unwrap();
    world.account.api().revocation_fails = true;
    let report = world.engine.disconnect("c", KEEP).await.unwrap();
    let Some(Err(error)) = report.revocation else { panic!("it failed") };
    assert_eq!((error.kind(), world.kept("c")), (ErrorKind::Remote, None));

    // Where the host says so, nobody is asked; and a pasted token is none to revoke.
    let asked = world.account.api().revoked.len();
    connect(&world.engine).await.unwrap();
    world.engine.sign_in("c", oauth("acc3ss", Some("r3fresh"))).await.unwrap();
    let options = DisconnectOptions::new(KEEP).revocation(RevocationMode::Skip);
    assert!(world.engine.disconnect("c", options).await.unwrap().revocation.is_none());
    connect(&world.engine).await.unwrap();
    world.engine.sign_in("c", token("k3y")).await.unwrap();
    let report = world.engine.disconnect("c", KEEP).await.unwrap();
    assert!(matches!(report.revocation, Some(Ok(Revocation::NothingToRevoke))), "{report:?}");
    assert_eq!((world.account.api().revoked.len(), world.kept("c")), (asked, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_for_the_next_connection_outlives_the_removal_for_the_last() {
    let world = World::new().await;
    world.engine.sign_in("c", oauth("0ld", Some("0ld-r3fresh"))).await.unwrap();
    world.keychain.kept().remove_takes = Duration::from_secs(10);
    tokio::time::timeout(Duration::from_secs(5), world.engine.disconnect("c", KEEP)).await.unwrap_err();
    world.account.api().revoked.clear();
    world.account.api().takes.insert("n3w".to_owned());
    let next = world.another();
    next.use_token("c", Secret::new("n3w"));
    connect(&next).await.unwrap();
    assert_eq!(world.kept("c"), None);
    account::run(&next).await.unwrap();
    assert_eq!(world.account.api().asked, ["n3w"]);
    let revoked = world.account.api().revoked.clone();
    assert!(!revoked.contains(&"n3w".to_owned()), "{revoked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_meets_a_disconnect_leaves_nothing() {
    for pause_ms in [0, 1, 50, 250, 1000] {
        let world = World::new().await;
        world.engine.sign_in("c", token("first")).await.unwrap();
        world.keychain.kept().remove_takes = Duration::from_millis(300);
        let (other, third) = (world.another(), world.another());
        let signing_in = async {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            other.sign_in("c", token("second")).await
        };
        let removing_twice = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            third.disconnect("c", KEEP).await
        };
        let (removed, signed_in, again) = tokio::join!(world.engine.disconnect("c", KEEP), signing_in, removing_twice);
        removed.unwrap();
        if let Err(error) = signed_in {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{pause_ms}");
        }
        if let Err(error) = again {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{pause_ms}");
        }
        assert_eq!(world.kept("c"), None, "{pause_ms}");
        assert!(world.engine.pending_removals().await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_a_credential_store_leaves_the_removal_to_one_that_has_it() {
    let world = World::new().await;
    world.engine.sign_in("c", token("k3y")).await.unwrap();
    world.without_keychain().disconnect("c", KEEP).await.unwrap();
    assert!(world.kept("c").is_some() && world.engine.pending_removals().await.unwrap().len() == 1);
    let _background = world.another().start(&Handle::current());
    sleep(5).await;
    assert_eq!(world.kept("c"), None);
    // Nobody ever signed in: there is nothing to remove.
    let alone = world.without_keychain();
    connect(&alone).await.unwrap();
    alone.disconnect("c", KEEP).await.unwrap();
    assert!(alone.pending_removals().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_secrets_of_an_integration_go_the_same_way() {
    let world = World::new().await;
    let settings = || IntegrationSettings::new("main", "acme");
    let main = world.engine.create_integration(settings()).await.unwrap();
    main.set_client_secret(Some(Secret::new("cl1ent-s3cret"))).await.unwrap();
    main.set_webhook_secret(Some(Secret::new("w3bhook-s3cret"))).await.unwrap();
    let elsewhere = world.another().integration("main").unwrap();
    assert!(elsewhere.client_secret().await.unwrap().is_some());
    for id in ["e", "f"] {
        world.engine.connect(ConnectionSettings::of_integration(id, "main")).await.unwrap();
        world.engine.sign_in(id, oauth(&format!("{id}-acc3ss"), None)).await.unwrap();
    }
    world.lock_keychain(true);
    let mut events = world.engine.integration_events();
    let error = main.delete(DeleteMode::disconnect(KEEP)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!format!("{error} {error:?} {}", world.every_document().await).contains("s3cret"));
    // All of it is gone but what the keychain keeps.
    assert!(world.engine.integrations().await.unwrap().is_empty());
    assert_eq!(world.engine.connections().await.unwrap().len(), 1);
    let pending = world.engine.pending_removals().await.unwrap();
    let names = |pending: &[highwater_engine::connections::PendingRemoval]| -> Vec<String> {
        pending.iter().filter_map(|one| one.connection.clone().or(one.integration.clone())).collect()
    };
    assert_eq!(names(&pending), ["e", "f", "main"]);
    assert_eq!(world.another().create_integration(settings()).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    world.lock_keychain(false);
    assert!(world.engine.integration("main").unwrap().delete(DeleteMode::IfUnused).await.is_ok());
    assert_eq!(names(&world.engine.pending_removals().await.unwrap()), ["e", "f"]);
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(event.change);
    }
    use IntegrationChange::{Deleted, RemovalFailed, SecretsRemoved};
    assert_eq!(told, [Deleted, RemovalFailed, SecretsRemoved]);
    let _background = world.another().start(&Handle::current());
    sleep(60).await;
    assert!(world.keychain.kept().credentials.is_empty());
    // A new one of the same key has none of them, in any engine.
    world.engine.create_integration(settings()).await.unwrap();
    assert!(elsewhere.client_secret().await.unwrap().is_none() && elsewhere.webhook_secret().await.unwrap().is_none());
    let report = world.engine.integration("main").unwrap().delete(DeleteMode::IfUnused).await.unwrap();
    assert!(report.disconnected.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_a_deleted_integration_are_signed_out() {
    let world = World::new().await;
    let main = world.engine.create_integration(IntegrationSettings::new("main", "acme")).await.unwrap();
    for id in ["e", "f"] {
        world.engine.connect(ConnectionSettings::of_integration(id, "main")).await.unwrap();
        world.engine.sign_in(id, oauth(&format!("{id}-acc3ss"), None)).await.unwrap();
    }
    let report = main.delete(DeleteMode::disconnect(KEEP)).await.unwrap();
    assert_eq!(report.disconnected.len(), 2);
    for ended in report.disconnected.values() {
        assert!(matches!(ended.revocation, Some(Ok(Revocation::Revoked))), "{ended:?}");
    }
    assert_eq!(world.account.api().revoked, ["e-acc3ss", "f-acc3ss"]);
    assert!(world.keychain.kept().credentials.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Connect,
    SignIn,
    Disconnect,
    /// The process dies in the middle of a removal.
    DieInDisconnect(u64),
    DieInSignIn(u64),
    Lock(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Connect),
        3 => Just(Step::SignIn),
        2 => Just(Step::Disconnect),
        2 => (0..900_u64).prop_map(Step::DieInDisconnect),
        1 => (0..900_u64).prop_map(Step::DieInSignIn),
        2 => any::<bool>().prop_map(Step::Lock),
        2 => (1..200_u64).prop_map(Step::Wait),
    ]
}

/// What is known of the connection.
#[derive(Debug, Default)]
struct Known {
    connected: bool,
    /// The token that the keychain has for certain.
    signed_in: Option<String>,
    /// Tokens that it may have: of sign-ins that were cut short.
    maybe: Vec<String>,
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// Whatever fails and whoever dies: a connection has the credentials of its own sign-ins and no others, and in the end a
    /// removed one has none.
    #[test]
    fn removals_take_what_is_theirs_and_nothing_else(steps in prop::collection::vec((step(), 0..3_usize), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            world.keychain.kept().remove_takes = Duration::from_millis(400);
            let mut engines = [world.another(), world.another(), world.another()];
            // The background work of one that never dies.
            let _background = world.engine.start(&Handle::current());
            let mut known = Known { connected: true, ..Known::default() };
            for (number, (step, at)) in steps.into_iter().enumerate() {
                let engine = engines[at].clone();
                let fresh = format!("t0ken-{number}");
                match step {
                    Step::Connect => if connect(&engine).await.is_ok() {
                        if !known.connected {
                            known = Known { connected: true, ..Known::default() };
                        }
                        prop_assert!(engine.pending_removals().await.unwrap().is_empty());
                    },
                    Step::SignIn => match engine.sign_in("c", token(&fresh)).await {
                        Ok(()) => {
                            prop_assert!(known.connected);
                            known = Known { connected: true, signed_in: Some(fresh), maybe: Vec::new() };
                        }
                        Err(error) => prop_assert!(!known.connected, "{}", error),
                    },
                    Step::Disconnect => {
                        let removed = engine.disconnect("c", KEEP).await;
                        known = Known::default();
                        if removed.is_ok() {
                            prop_assert_eq!(world.kept("c"), None);
                        }
                    }
                    Step::DieInDisconnect(ms) => {
                        let died = tokio::time::timeout(Duration::from_millis(ms), engine.disconnect("c", KEEP)).await;
                        known.connected = world.engine.connection("c").await.is_ok();
                        if !known.connected {
                            known = Known::default();
                        }
                        if died.is_err() {
                            engines[at] = world.another();
                        }
                    }
                    Step::DieInSignIn(ms) => {
                        let died = tokio::time::timeout(Duration::from_millis(ms), engine.sign_in("c", token(&fresh))).await;
                        match died {
                            Ok(Ok(())) => known = Known { connected: true, signed_in: Some(fresh), maybe: Vec::new() },
                            Ok(Err(_)) => {}
                            Err(_) => {
                                known.maybe.push(fresh);
                                engines[at] = world.another();
                            }
                        }
                    }
                    Step::Lock(locked) => world.lock_keychain(locked),
                    Step::Wait(seconds) => sleep(seconds).await,
                }
                if known.connected {
                    let kept = world.kept("c").unwrap_or_default();
                    let certain = known.signed_in.clone().unwrap_or_default();
                    let fits = known.maybe.iter().any(|token| kept.contains(&format!("\"{token}\"")))
                        || if certain.is_empty() { kept.is_empty() } else { kept.contains(&format!("\"{certain}\"")) };
                    prop_assert!(fits, "step {}: the keychain has {}, known is {:?}", number, kept, known);
                }
            }
            world.lock_keychain(false);
            sleep(2 * 3600).await;
            prop_assert!(world.engine.pending_removals().await.unwrap().is_empty());
            if !known.connected {
                prop_assert_eq!(world.kept("c"), None);
            }
            Ok(())
        })?;
    }
}
