//! What a program without a runtime has: everything, and an outbox that delivers.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/receiver.rs"]
mod receiver;

use std::collections::BTreeSet;
use std::path::Path;

use highwater_engine::webhooks::Destination;
use highwater_engine::{RunOptions, Secret, blocking};
use receiver::{SECRET, World};

/// Names behind `keyword` within the `impl` blocks of `types`, in a file or a folder of the crate's sources.
fn methods(at: &Path, types: &[&str], keyword: &str, found: &mut BTreeSet<String>) {
    if at.is_dir() {
        std::fs::read_dir(at).unwrap().for_each(|entry| methods(&entry.unwrap().path(), types, keyword, found));
        return;
    }
    let mut inside = false;
    for line in std::fs::read_to_string(at).unwrap().lines() {
        if line.starts_with("impl") {
            inside = types.iter().any(|name| line == format!("impl {name} {{"));
        }
        if let Some(rest) = line.strip_prefix("    ").and_then(|line| line.strip_prefix(keyword)).filter(|_| inside) {
            found.insert(rest.split(['(', '<']).next().unwrap().to_owned());
        }
    }
}

#[test]
fn whatever_is_awaited_can_be_waited_for() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let all = |at: &Path, types: &[&str], keyword: &str| {
        let mut found = BTreeSet::new();
        methods(at, types, keyword, &mut found);
        found
    };
    let engine = all(&sources, &["Engine", "Background"], "pub async fn ");
    assert!(engine.len() > 15 && engine.contains("connect"), "{engine:?}");
    let facade = all(&sources.join("blocking.rs"), &["Engine"], "pub fn ");
    let facade = &facade | &all(&sources.join("blocking"), &["Engine"], "pub fn ");
    assert_eq!(engine.difference(&facade).collect::<Vec<_>>(), Vec::<&String>::new());

    let sync = all(&sources, &["SyncHandle"], "pub async fn ");
    assert!(sync.len() > 10 && sync.contains("enable"), "{sync:?}");
    let facade = all(&sources.join("blocking/sync_handle.rs"), &["SyncHandle"], "pub fn ");
    assert_eq!(sync.difference(&facade).collect::<Vec<_>>(), Vec::<&String>::new());

    let integration = all(&sources, &["IntegrationHandle"], "pub async fn ");
    let facade = all(&sources.join("blocking/integrations.rs"), &["IntegrationHandle"], "pub fn ");
    assert_eq!(integration.difference(&facade).collect::<Vec<_>>(), Vec::<&String>::new());

    let outbox = all(&sources, &["Outbox", "BackgroundDelivery"], "pub async fn ");
    assert!(outbox.len() > 7 && outbox.contains("deliver_due"), "{outbox:?}");
    let facade = all(&sources.join("blocking/outbox.rs"), &["Outbox"], "pub fn ");
    assert_eq!(outbox.difference(&facade).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn an_outbox_delivers_without_a_runtime() {
    let world = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(World::new());
    let engine = blocking::Engine::new(world.engine.clone()).unwrap();
    let outbox = blocking::Outbox::new(&engine);
    outbox.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
    *world.pages.lock().unwrap() = vec![r#"{"id":"a"}"#];
    engine.sync("demo", "notes/all").unwrap().run_once(RunOptions::default()).unwrap();
    assert_eq!(outbox.waiting("crm", "", 10).unwrap().len(), 1);
    world.receiver.will_answer(&[(410, None)]);
    assert_eq!(outbox.deliver_due().unwrap().delivered, 0);
    assert!(outbox.destinations().unwrap()[0].disabled.is_some());

    outbox.add(Destination::new("crm", "https://crm.example/hook")).unwrap();
    outbox.start();
    outbox.clone().start();
    while !outbox.waiting("crm", "", 10).unwrap().is_empty() || outbox.replay_all("crm").unwrap() > 0 {
        std::thread::yield_now();
    }
    outbox.shutdown().unwrap();
    assert_eq!(world.receiver.seen(), 2, "one delivery was refused for good, and came when the destination was back");
    outbox.remove("crm").unwrap();
    assert!(outbox.destinations().unwrap().is_empty());
    engine.notify_resumed().unwrap();
    assert_eq!(engine.sweep_logs().unwrap(), 0);
}
