//! Runs and their logs, and what is decided about syncs, from the command line.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::pin::Pin;
use std::sync::Arc;

use highwater::engine::webhooks::{Destination, Outbox};
use highwater::{Engine, SqliteStore, Store, WriteBatch};
use serde_json::Value;
use support::{GitHub, Mood, run, sync, text};

fn objects(told: &str) -> Vec<Value> {
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_are_listed_shown_and_approved() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(60, Mood::Well);
    assert!(sync(here, &server, &[]).status.success());
    server.set_issues(5);
    assert_eq!(sync(here, &server, &["--full"]).status.code(), Some(1), "far too many deletes");

    let runs = objects(&text(here, &["runs", "--db", "app.db", "--json"]));
    assert_eq!(runs.len(), 2);
    assert_eq!((&runs[0]["state"], &runs[1]["state"]), (&"awaiting_approval".into(), &"success".into()));
    assert_eq!(runs[0]["held"][0]["deletes"], 55);
    let parked = runs[0]["id"].as_str().unwrap();
    let only = text(here, &["runs", "--db", "app.db", "--state", "awaiting_approval"]);
    assert!(only.lines().count() == 1 && only.contains(parked), "{only}");
    assert!(
        text(here, &["runs", "show", parked, "--db", "app.db"])
            .contains("waits for approval to delete 55 of 60 Issue records: ")
    );
    let logged = text(here, &["logs", "--db", "app.db", "--level", "error", "--since", "1h"]);
    assert!(logged.contains("more than its guard allows"), "{logged}");
    assert!(text(here, &["logs", "--db", "app.db", "--text", "no such text"]).is_empty());

    let approved = objects(&text(here, &["runs", "approve", parked, "--db", "app.db", "--json"]));
    assert_eq!((&approved[0]["state"], &approved[0]["progress"]["deleted"]), (&"success".into(), &55.into()));
    let again = run(here, &["runs", "approve", parked, "--db", "app.db"]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn syncs_are_enabled_paused_and_triggered() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(3, Mood::Well);
    assert!(sync(here, &server, &["--connection", "main"]).status.success());
    let told = |arguments: &[&str]| text(here, &[arguments, &["main", "github/issues", "--db", "app.db"]].concat());
    assert!(told(&["enable", "--cron", "30 3 * * *"]).contains("is enabled"));
    assert!(told(&["pause"]).contains("is paused"));
    assert!(told(&["trigger", "--mode", "reset"]).contains("as soon as"));
    assert!(told(&["resume"]).contains("runs again"));
    assert!(told(&["disable", "--clear"]).contains("is disabled"));
    assert!(text(here, &["status", "--db", "app.db"]).contains("0 records"));
    let refused = run(here, &["trigger", "main", "github/issues", "--db", "app.db"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("enable it first"));
    let wrong = run(here, &["enable", "main", "github/issues", "--cron", "now and then", "--db", "app.db"]);
    assert_eq!(wrong.status.code(), Some(2), "wrong usage");
}

#[test]
fn deliveries_are_listed_and_the_dead_are_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(3, Mood::Well);
    let file = here.join("app.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let with_outbox = |work: &dyn Fn(Arc<dyn Store>) -> Pin<Box<dyn Future<Output = ()>>>| {
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file).unwrap());
            work(Arc::clone(&store)).await;
            store.close().await.unwrap();
        });
    };
    with_outbox(&|store| {
        Box::pin(async move {
            let outbox = Outbox::new(&Engine::builder(store).build().unwrap());
            outbox.add(Destination::new("crm", "https://crm.example/hook")).await.unwrap();
        })
    });
    assert!(sync(here, &server, &[]).status.success());
    let told = text(here, &["webhooks", "--db", "app.db"]);
    assert!(told.contains("crm https://crm.example/hook: 1 waiting, 0 dead"), "{told}");
    let waiting = objects(&text(here, &["webhooks", "waiting", "crm", "--db", "app.db", "--json"]));
    let body: Value = serde_json::from_str(waiting[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["responseResults"]["added"], 3);
    // Three days later.
    let id = waiting[0]["id"].as_str().unwrap().to_owned();
    let row = waiting[0].clone();
    with_outbox(&|store| {
        let (id, row) = (id.clone(), row.clone());
        Box::pin(async move {
            let mut batch = WriteBatch::new();
            batch.remove_document(format!("outbox/row/crm/{id}"));
            batch.put_document(format!("outbox/dead/crm/{id}"), &row).unwrap();
            store.commit(batch).await.unwrap();
        })
    });
    assert!(text(here, &["webhooks", "--db", "app.db"]).contains("0 waiting, 1 dead"));
    assert!(text(here, &["webhooks", "dead", "crm", "--db", "app.db"]).contains(&id));
    let unknown = run(here, &["webhooks", "replay", "crm", "no-such", "--db", "app.db"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(here, &["webhooks", "replay", "crm", &id, "--db", "app.db"]).contains("Put back 1 delivery"));
    assert!(text(here, &["webhooks", "--db", "app.db"]).contains("1 waiting, 0 dead"));
}
