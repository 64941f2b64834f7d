//! Integrations that are deleted with many connections: how many commits that takes, what is left when it is cut short or others
//! are in the way, and how long providers are asked.
#![allow(clippy::disallowed_methods)]

#[path = "support/account.rs"]
mod account;
#[path = "support/members.rs"]
mod members;
#[path = "support/staged.rs"]
mod staged;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use account::{World, engine_on, oauth};
use async_trait::async_trait;
use highwater_core::{Environment, Result, Store, StreamKey, WriteBatch};
use highwater_engine::integrations::DeleteMode;
use highwater_engine::{ConnectionSettings, CredentialStore, DisconnectMode, Engine, IntegrationSettings, SyncOptions};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider};
use members::{Members, SYNCS};
use staged::Staged;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// More than two commits' worth, and ids of which some begin like others.
fn ids() -> Vec<String> {
    let mut ids: Vec<String> = (0..450).map(|number| format!("m{number}")).collect();
    ids.extend(["m", "m!", "m-1", "m1-", "m1.0", "n", "é"].map(str::to_owned));
    ids
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_connections_go_in_a_few_commits() {
    for mode in [DisconnectMode::KeepRecords, DisconnectMode::ClearRecords] {
        let members = Members::new().await;
        let other = members.engine.create_integration(IntegrationSettings::new("other", "crm")).await.unwrap();
        for sync in SYNCS {
            other.enable(sync, SyncOptions::default()).await.unwrap();
        }
        for id in ["m1-other", "m2!", "zz"] {
            let settings = ConnectionSettings::of_integration(id, "other").config("owner", "me");
            members.engine.connect(settings).await.unwrap();
        }
        let others = |documents: std::collections::BTreeMap<String, String>| {
            let mut others = documents;
            others.retain(|key, _| ["m1-other", "m2!", "zz"].iter().any(|id| key.split('/').any(|part| part == *id)));
            others
        };
        let before = others(members.documents().await);
        assert_eq!(before.len(), 3 * (2 + SYNCS.len()));
        for sync in SYNCS {
            members.crm.enable(sync, SyncOptions::default()).await.unwrap();
        }
        for id in ids() {
            members.connect(&id).await;
            let mut batch = WriteBatch::new();
            batch.on(&StreamKey::new(id, "Person")).upsert(r#"{"id":1}"#);
            members.store.commit(batch).await.unwrap();
        }
        let staged = Staged::over(&members.store, |_| Box::pin(std::future::ready(Ok(()))));
        let engine = members.another_on(Arc::clone(&staged) as Arc<dyn Store>);
        let report = engine.integration("main").unwrap().delete(DeleteMode::disconnect(mode)).await.unwrap();
        assert_eq!(report.disconnected.len(), ids().len());
        // Three for the connections; the integration's own, which these rewrote, takes two tries.
        assert_eq!(staged.writes(), 5, "{mode:?}");
        let left = members.documents().await;
        assert!(left.keys().all(|key| !key.split('/').any(|part| ids().iter().any(|id| id == part))), "{left:?}");
        assert_eq!(others(left), before, "the others keep everything");
        let live: u64 = members.store.streams().await.unwrap().iter().map(|head| head.live).sum();
        let kept = if mode == DisconnectMode::KeepRecords { ids().len() as u64 } else { 0 };
        assert_eq!(live, kept, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_cut_short_anywhere_is_finished_by_another_process() {
    let mut cut = 0;
    for write in 0.. {
        let world = World::new().await;
        let main = world.engine.create_integration(IntegrationSettings::new("main", "acme")).await.unwrap();
        main.set_client_secret(Some(highwater_engine::Secret::new("client-s3cret"))).await.unwrap();
        for id in ["e", "f", "g"] {
            world.engine.connect(ConnectionSettings::of_integration(id, "main")).await.unwrap();
            world.engine.sign_in(id, oauth(&format!("{id}-acc3ss"), None)).await.unwrap();
        }
        let staged = Staged::stuck_at(&world.store, write);
        let dying =
            engine_on(&(Arc::clone(&staged) as Arc<dyn Store>), &world.clock, &world.account, Some(&world.keychain));
        let mode = DeleteMode::disconnect(DisconnectMode::ClearRecords);
        let main = dying.integration("main").unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), main.delete(mode)).await;
        let finisher = world.another();
        if write % 2 == 0 {
            let _background = finisher.start(&Handle::current());
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        // Whoever wants it deleted says so again.
        let _ = finisher.integration("main").unwrap().delete(mode).await;
        let _background = finisher.start(&Handle::current());
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert!(finisher.pending_removals().await.unwrap().is_empty(), "write {write}");
        assert!(finisher.integrations().await.unwrap().is_empty(), "write {write}");
        let kept: Vec<String> = world.keychain.kept().credentials.keys().cloned().collect();
        assert!(kept.is_empty(), "write {write}: {kept:?}");
        let mut revoked = world.account.api().revoked.clone();
        revoked.sort();
        revoked.dedup();
        assert_eq!(revoked, ["e-acc3ss", "f-acc3ss", "g-acc3ss"], "write {write}");
        if ended.is_ok() {
            break;
        }
        cut += 1;
    }
    assert!(cut > 15, "only {cut} writes");
}

#[tokio::test(start_paused = true)]
async fn runs_that_begin_all_the_time_delay_a_deletion_and_do_not_stop_it() {
    let members = Members::new().await;
    members.crm.enable(SYNCS[0], SyncOptions::default()).await.unwrap();
    for number in 0..20 {
        members.connect(&format!("m{number:02}")).await;
    }
    let store = Arc::clone(&members.store);
    let staged = Staged::over(&members.store, move |number| {
        let store = Arc::clone(&store);
        Box::pin(async move {
            if number < 30 {
                let mut batch = WriteBatch::new();
                let status = serde_json::json!({"attempts": number});
                batch.put_document(format!("status/m{:02}/{}", number % 4, SYNCS[0]), &status)?;
                store.commit(batch).await?;
            }
            Ok(())
        })
    });
    let engine = members.another_on(staged);
    let mode = DeleteMode::disconnect(DisconnectMode::KeepRecords);
    let report = engine.integration("main").unwrap().delete(mode).await.unwrap();
    assert_eq!(report.disconnected.len(), 20);
    assert!(members.engine.connections().await.unwrap().is_empty());
}

/// A provider that never answers.
#[derive(Debug, Default)]
struct Silent {
    asked: AtomicUsize,
}

#[async_trait]
impl Transport for Silent {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_holds_a_deletion_up_once() {
    let world = World::new().await;
    let silent = Arc::new(Silent::default());
    let oauth2 = OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic)
        .revocation_url("https://acme.example/revoke");
    let engine = Engine::builder(Arc::clone(&world.store))
        .provider(Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth2)))
        .transport(Arc::clone(&silent) as Arc<dyn Transport>)
        .environment(Arc::clone(&world.clock) as Arc<dyn Environment>)
        .credential_store(Arc::new(world.keychain.clone()) as Arc<dyn CredentialStore>)
        .build()
        .unwrap();
    let main = engine.create_integration(IntegrationSettings::new("main", "acme")).await.unwrap();
    for number in 0..40 {
        let id = format!("m{number}");
        engine.connect(ConnectionSettings::of_integration(&*id, "main")).await.unwrap();
        engine.sign_in(&id, oauth(&format!("{id}-acc3ss"), None)).await.unwrap();
    }
    let begun = Instant::now();
    let report = main.delete(DeleteMode::disconnect(DisconnectMode::KeepRecords)).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
    let asked = report.disconnected.values().filter(|ended| ended.revocation.is_some()).count();
    assert_eq!((asked, silent.asked.load(Ordering::Relaxed), report.disconnected.len()), (8, 8, 40));
    assert!(world.keychain.kept().credentials.is_empty());
    assert!(engine.pending_removals().await.unwrap().is_empty());
}
