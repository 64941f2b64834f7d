//! Integrations: what they are made of, and what their connections take from them.
#![allow(clippy::disallowed_methods)]

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{ErrorKind, Timestamp};
use highwater_engine::{ConnectionSettings, DisconnectMode, IntegrationSettings};
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
