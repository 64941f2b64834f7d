//! Integrations: what they are made of, and what their connections take from them.
#![allow(clippy::disallowed_methods)]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result, Store, StreamKey, Timestamp};
use highwater_engine::integrations::{DeleteMode, IntegrationChange};
use highwater_engine::{
    ConnectionSettings, CredentialStore, Credentials, DisconnectMode, IntegrationSettings, RunOptions, Secret,
    SyncOptions,
};
use world::World;

#[tokio::test(start_paused = true)]
async fn an_integration_is_created_once_and_says_what_its_connections_do_not() {
    let world = World::new(0).await;
    let settings = IntegrationSettings::new("main", "shop").display_name("The shop").base_url("http://127.0.0.1:7");
    let made = world.engine.create_integration(settings.clone()).await.unwrap();
    let stored = made.settings().await.unwrap();
    assert_eq!(stored.display_name.as_deref(), Some("The shop"));
    assert!(stored.created_at > Timestamp::UNIX_EPOCH && stored.created_at == stored.changed_at);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Again, at the host's next start, by another process.
    world.another().create_integration(settings.clone()).await.unwrap();
    assert_eq!(made.settings().await.unwrap(), stored);
    let other = world.engine.create_integration(settings.base_url("http://127.0.0.1:8")).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Invalid, "{other}");
    assert_eq!(world.engine.integrations().await.unwrap(), [stored]);

    for own in [None, Some("http://127.0.0.1:5")] {
        let mut settings = ConnectionSettings::of_integration("e", "main");
        settings.base_url = own.map(ToOwned::to_owned);
        world.engine.connect(settings).await.unwrap();
        let found = world.engine.connection("e").await.unwrap();
        assert_eq!((&*found.provider, found.base_url.as_deref()), ("shop", own.or(Some("http://127.0.0.1:7"))));
        assert_eq!(made.connections().await.unwrap(), std::slice::from_ref(&found));
        // What was read and given back is no decision of its own.
        world.engine.connect(found.clone()).await.unwrap();
        let document = world.store.document("connection/e").await.unwrap().unwrap();
        assert_eq!(document.as_str().contains("base_url"), own.is_some(), "{document}");
        assert!(world.engine.connections().await.unwrap().contains(&found));
    }
    world.engine.disconnect("e", DisconnectMode::KeepRecords).await.unwrap();
    assert_eq!(made.connections().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_an_integration_or_belong_to_one_is_refused() {
    let world = World::new(0).await;
    let new = || IntegrationSettings::new("main", "shop");
    for (settings, kind) in [
        (IntegrationSettings::new("", "shop"), ErrorKind::Invalid),
        (IntegrationSettings::new("a/b", "shop"), ErrorKind::Invalid),
        (IntegrationSettings::new("k".repeat(201), "shop"), ErrorKind::Invalid),
        (IntegrationSettings::new("main", "nobody"), ErrorKind::NotFound),
        (new().display_name("n".repeat(201)), ErrorKind::Invalid),
        (new().client_id("i".repeat(2049)), ErrorKind::Invalid),
        (new().base_url("https://user:pass@shop.example"), ErrorKind::Invalid),
        (new().base_url(format!("https://{}", "h".repeat(2048))), ErrorKind::Invalid),
        (new().scopes(["s".repeat(2049)]), ErrorKind::Invalid),
        (new().scopes((0..201).map(|n| n.to_string())), ErrorKind::Invalid),
        (new().config("nobody_reads_this", "x"), ErrorKind::Invalid),
        (new().config("n", "x".repeat(16 * 1024 + 1)), ErrorKind::Invalid),
    ] {
        let error = world.engine.create_integration(settings).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().len() < 1000, "{error}");
    }
    assert_eq!(world.engine.integrations().await.unwrap(), []);
    assert_eq!(world.engine.integration("main").unwrap().settings().await.unwrap_err().kind(), ErrorKind::NotFound);

    let connect =
        async |settings: ConnectionSettings| world.engine.connect(settings).await.map_err(|error| error.kind());
    let of_main = || ConnectionSettings::of_integration("e", "main");
    assert_eq!(connect(of_main()).await, Err(ErrorKind::NotFound));
    for key in ["main", "second"] {
        world.engine.create_integration(IntegrationSettings::new(key, "shop")).await.unwrap();
    }
    let mut stranger = of_main();
    stranger.provider = "other".to_owned();
    assert_eq!(connect(stranger).await, Err(ErrorKind::Invalid));
    assert_eq!(connect(of_main()).await, Ok(()));
    // A connection stays where its credentials belong; one of the provider alone may come.
    assert_eq!(connect(ConnectionSettings::new("e", "shop")).await, Err(ErrorKind::Invalid));
    assert_eq!(connect(ConnectionSettings::of_integration("e", "second")).await, Err(ErrorKind::Invalid));
    assert_eq!(connect(ConnectionSettings::of_integration("c", "second")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_an_update_says_reaches_every_connection() {
    let world = World::new(0).await;
    let main = world.engine.create_integration(IntegrationSettings::new("main", "shop")).await.unwrap();
    let mut events = world.engine.integration_events();
    let own = ConnectionSettings::of_integration("own", "main").base_url("http://127.0.0.1:5");
    for settings in [ConnectionSettings::of_integration("e", "main"), own] {
        world.engine.connect(settings).await.unwrap();
    }
    let created = main.settings().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let updated = main.update(|settings| settings.base_url("http://127.0.0.1:6").scopes(["read"])).await.unwrap();
    assert_eq!(world.another().integrations().await.unwrap(), std::slice::from_ref(&updated));
    assert!(updated.created_at == created.created_at && updated.changed_at > created.changed_at);
    let url = async |id: &str| world.engine.connection(id).await.unwrap().base_url;
    assert_eq!(url("e").await.as_deref(), Some("http://127.0.0.1:6"));
    assert_eq!(url("own").await.as_deref(), Some("http://127.0.0.1:5"));
    // Nothing new is no change.
    assert_eq!(main.update(|settings| settings).await.unwrap(), updated);
    for change in [
        |mut settings: IntegrationSettings| {
            settings.provider = "other".to_owned();
            settings
        },
        |mut settings: IntegrationSettings| {
            settings.key = "other".to_owned();
            settings
        },
        |settings: IntegrationSettings| settings.config("nobody_reads_this", "x"),
    ] {
        assert_eq!(main.update(change).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(main.settings().await.unwrap(), updated);
    let event = events.try_recv().unwrap();
    assert_eq!((&*event.integration, event.change), ("main", IntegrationChange::SettingsChanged));
    assert!(events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_integration_is_deleted_alone_or_with_its_connections() {
    let keychain = Arc::new(Keychain::default());
    let world = World::built(10, |builder| builder.credential_store(Arc::clone(&keychain) as Arc<_>)).await;
    let main = world.engine.create_integration(IntegrationSettings::new("main", "shop")).await.unwrap();
    main.set_client_secret(Some(Secret::new("cl1ent-s3cret"))).await.unwrap();
    for id in ["e", "f"] {
        world.engine.connect(ConnectionSettings::of_integration(id, "main")).await.unwrap();
    }
    main.enable("items", SyncOptions::default()).await.unwrap();
    world.engine.sync("e", world::SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    let error = main.delete(DeleteMode::IfUnused).await.unwrap_err();
    assert_eq!((error.kind(), error.context("connections")), (ErrorKind::Invalid, Some("2")));
    assert_eq!(main.connections().await.unwrap().len(), 2);
    main.delete(DeleteMode::disconnect(DisconnectMode::ClearRecords)).await.unwrap();
    assert!(world.engine.integrations().await.unwrap().is_empty() && keychain.0.lock().unwrap().is_empty());
    assert_eq!(main.settings().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(main.delete(DeleteMode::IfUnused).await.unwrap_err().kind(), ErrorKind::NotFound);
    let left: Vec<String> = world.engine.connections().await.unwrap().into_iter().map(|settings| settings.id).collect();
    assert_eq!(left, ["c", "d"]);
    assert_eq!(world.store.head(&StreamKey::new("e", "Item")).await.unwrap().live, 0);
    assert!(world.engine.enabled_syncs().await.unwrap().is_empty());
    // Made again, it has nothing of before.
    let main = world.engine.create_integration(IntegrationSettings::new("main", "shop")).await.unwrap();
    assert_eq!(main.client_secret().await.unwrap(), None);
    assert!(main.endpoints().await.unwrap().iter().all(|endpoint| !endpoint.is_enabled()));
    main.delete(DeleteMode::IfUnused).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn secrets_are_kept_by_the_hosts_store_or_in_memory_alone() {
    const WORDS: [&str; 3] = ["cl1ent-s3cret", "w3bhook-s3cret", "us3d-s3cret"];
    let keychain = Arc::new(Keychain::default());
    let world = World::built(0, |builder| builder.credential_store(Arc::clone(&keychain) as Arc<_>)).await;
    let main = world.engine.create_integration(IntegrationSettings::new("main", "shop")).await.unwrap();
    main.set_client_secret(Some(Secret::new(WORDS[0]))).await.unwrap();
    main.set_webhook_secret(Some(Secret::new(WORDS[1]))).await.unwrap();
    assert_eq!(keychain.0.lock().unwrap().keys().collect::<Vec<_>>(), ["integration/main"]);
    // Another process sees them, and what it changes is seen here.
    let other = world
        .engine_with(Arc::clone(&world.store), |builder| builder.credential_store(Arc::clone(&keychain) as Arc<_>));
    let there = other.integration("main").unwrap();
    assert_eq!(there.client_secret().await.unwrap(), Some(Secret::new(WORDS[0])));
    there.set_client_secret(None).await.unwrap();
    assert_eq!(main.client_secret().await.unwrap(), None);
    assert_eq!(main.webhook_secret().await.unwrap(), Some(Secret::new(WORDS[1])));
    main.use_client_secret(Secret::new(WORDS[2]));
    assert_eq!(main.client_secret().await.unwrap(), Some(Secret::new(WORDS[2])));
    assert_eq!(there.client_secret().await.unwrap(), None);
    for refused in ["", " ", &"s".repeat(64 * 1024 + 1)] {
        let error = main.set_client_secret(Some(Secret::new(refused))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    *keychain.1.lock().unwrap() = true;
    let error = main.set_client_secret(Some(Secret::new(WORDS[0]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let mut texts = vec![format!("{error} {error:?} {main:?} {:?}", world.engine)];
    // Without a store to keep it in, it says what to do.
    let without = world.another().integration("main").unwrap();
    let error = without.set_client_secret(Some(Secret::new(WORDS[0]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    texts.push(format!("{error} {error:?}"));
    without.use_webhook_secret(Secret::new(WORDS[0]));
    assert_eq!(without.webhook_secret().await.unwrap(), Some(Secret::new(WORDS[0])));
    let nobody = world.engine.integration("nobody").unwrap();
    assert_eq!(nobody.set_client_secret(Some(Secret::new("x"))).await.unwrap_err().kind(), ErrorKind::NotFound);
    for document in world.store.documents("", "", 10_000).await.unwrap() {
        texts.push(format!("{} {}", document.key, document.value));
    }
    for (text, word) in texts.iter().flat_map(|text| WORDS.map(|word| (text, word))) {
        assert!(!text.contains(word), "{text}");
    }
}

/// A host's store that can be locked. Its errors quote what it was given.
#[derive(Debug, Default)]
struct Keychain(Mutex<BTreeMap<String, String>>, Mutex<bool>);

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        let kept = self.0.lock().unwrap().get(connection).cloned();
        kept.map(|kept| Credentials::from_secret(&Secret::new(kept))).transpose()
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        let text = credentials.to_secret()?.expose().to_owned();
        if *self.1.lock().unwrap() {
            return Err(Error::new(ErrorKind::PermissionDenied, format!("the keychain is locked and refuses {text}")));
        }
        self.0.lock().unwrap().insert(connection.to_owned(), text);
        Ok(())
    }

    async fn remove(&self, connection: &str) -> Result<()> {
        self.0.lock().unwrap().remove(connection);
        Ok(())
    }
}
