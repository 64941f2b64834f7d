//! The outbox: how much is kept of what a receiver was not told of the health of connections.
#![allow(clippy::disallowed_methods)]

#[path = "support/account.rs"]
mod account;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;

use account::{World, token};
use highwater_core::{Environment, Inline, MemoryBackend, Store, StoreOptions};
use highwater_engine::ConnectionSettings;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_store_sqlite::SqliteStore;
use world::Clock;

const MOST: usize = 6;

#[tokio::test]
async fn health_that_a_receiver_was_not_told_does_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["memory", "sqlite"] {
        let clock = Clock::new();
        let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
        let store: Arc<dyn Store> = match kind {
            "memory" => Arc::new(Inline::open(MemoryBackend::default(), options).unwrap()),
            _ => Arc::new(SqliteStore::builder(folder.path().join("app.db")).options(options).open().unwrap()),
        };
        let world = World::on(store, Arc::clone(&clock)).await;
        let outbox = Outbox::new(&world.engine);
        outbox.add(Destination::new("crm", "https://crm.example/hook").max_rows(MOST)).await.unwrap();
        world.engine.connect(ConnectionSettings::new("d", "acme")).await.unwrap();
        for round in 0..30 {
            clock.jump(60_000);
            for connection in ["c", "d"] {
                world.engine.sign_in(connection, token("t0ken")).await.unwrap();
                let most = if round == 0 { MOST } else { MOST + 1 };
                assert!(outbox.waiting("crm", "", 1000).await.unwrap().len() <= most, "{kind}, round {round}");
                clock.jump(1_000);
                if round < 29 || connection == "c" {
                    world.engine.mark_revoked(connection).await.unwrap();
                }
            }
        }
        // The latest of each operation, in order: whoever receives them knows the state of the connections.
        let mut told: Vec<(String, String, String)> = Vec::new();
        for body in world.told().await {
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            told.push((text("connectionId"), text("operation"), text("health")));
        }
        let of = |connection: &str| {
            let told = told.iter().filter(|(of, ..)| of == connection);
            told.map(|(_, operation, health)| format!("{operation} {health}")).collect::<Vec<_>>()
        };
        assert_eq!(of("c"), ["creation ok", "override ok", "refresh revoked"], "{kind}");
        assert_eq!(of("d"), ["creation ok", "refresh revoked", "override ok"], "{kind}");
    }
}
