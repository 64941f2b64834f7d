//! The dashboard in a real browser, one test a story, with pictures of each page in the folder of the tests' output. Runs where
//! `HIGHWATER_TEST_DASHBOARD` is set; skipped, and said so, where npm or Chromium cannot be had.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
#[path = "support/crm.rs"]
mod crm;
#[path = "dashboard/filled.rs"]
mod filled;
#[path = "dashboard/story.rs"]
mod story;
mod support;

use axum::response::Html;
use axum::routing::get;
use browser::{SYNC, filled as synced, shop};
use highwater_core::{StreamKey, WriteBatch};
use highwater_engine::runs::RunState;
use highwater_engine::{ConnectionSettings, IntegrationSettings, SyncOptions};
use serde_json::json;
use story::Stage;
use support::start_with;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sets_up_an_api_and_sees_records() {
    let Some(stage) = Stage::find() else { return };
    let (engine, notes) = shop();
    notes.lock().unwrap().extend(filled::notes());
    let background = engine.start(&tokio::runtime::Handle::current());
    stage.play("firstSync", &engine, json!({})).await;
    drop(background);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toggle_is_the_same_after_a_reload() {
    let Some(stage) = Stage::find() else { return };
    stage.play("toggle", &synced().await.0, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_the_api_appears_without_a_reload() {
    let Some(stage) = Stage::find() else { return };
    let (engine, notes) = synced().await;
    let sync = engine.sync("ann", SYNC).unwrap();
    let changing = tokio::spawn(async move {
        for version in 1.. {
            notes.lock().unwrap()[2] = format!(r#"{{"id":"3","name":"Version {version}"}}"#);
            sync.run_once(Default::default()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    });
    stage.play("change", &engine, json!({})).await;
    changing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn held_deletes_are_listed_rejected_and_approved() {
    let Some(stage) = Stage::find() else { return };
    let (engine, notes) = synced().await;
    engine.connect(ConnectionSettings::of_integration("bob", "shop-main")).await.unwrap();
    engine.sync("bob", SYNC).unwrap().run_once(Default::default()).await.unwrap();
    notes.lock().unwrap().truncate(1);
    let mut held = Vec::new();
    for connection in ["ann", "bob"] {
        let _ = engine.sync(connection, SYNC).unwrap().run_once(Default::default()).await;
        let runs = engine.sync(connection, SYNC).unwrap().runs().await.unwrap();
        let run = runs.iter().find(|run| run.state == RunState::AwaitingApproval).unwrap();
        held.push(format!("/dashboard/runs/{}", run.id));
    }
    stage.play("held", &engine, json!({ "run": held[0], "second": held[1] })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_opens_nothing() {
    let Some(stage) = Stage::find() else { return };
    stage.play("wrongKey", &synced().await.0, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_in_names_records_lines_and_errors_are_text() {
    let Some(stage) = Stage::find() else { return };
    let evil = "<script>window.evil=1</script><img src=x onerror='window.evil=2'>";
    let id = "<script>window.evil=3";
    let (engine, notes) = shop();
    engine.create_integration(IntegrationSettings::new(id, "shop").display_name(evil)).await.unwrap();
    let connection = ConnectionSettings::of_integration(id, id).display_name(evil).tag("<script>", evil);
    engine.connect(connection.metadata("x", json!(evil))).await.unwrap();
    engine.integration(id).unwrap().enable(SYNC, SyncOptions::default()).await.unwrap();
    notes.lock().unwrap().push(json!({ "id": evil, evil: evil, "name": evil, "in": { evil: [evil] } }).to_string());
    engine.sync(id, SYNC).unwrap().run_once(Default::default()).await.unwrap();
    let mut batch = WriteBatch::new();
    batch.on(&StreamKey::new(id, "<script>Model")).upsert(json!({ "id": evil, "name": evil }).to_string());
    engine.store().commit(batch).await.unwrap();
    notes.lock().unwrap().insert(0, format!("fail: {evil}"));
    engine.sync(id, SYNC).unwrap().run_once(Default::default()).await.unwrap_err();
    let run = engine.runs_matching(&Default::default()).await.unwrap().runs[0].id;
    let at = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let (id, evil) = (at(id), at(evil));
    let pages = [
        "/dashboard".to_owned(),
        "/dashboard/integrations".to_owned(),
        format!("/dashboard/integrations/{id}"),
        format!("/dashboard/integrations/{id}/actions"),
        format!("/dashboard/integrations/{id}/settings"),
        format!("/dashboard/integrations/{id}/endpoint?sync={}", at(SYNC)),
        "/dashboard/connections".to_owned(),
        format!("/dashboard/connections/{id}"),
        format!("/dashboard/connections/{id}/delete"),
        "/dashboard/records".to_owned(),
        format!("/dashboard/records?connection={id}&model=Note&column=name&column={evil}"),
        format!("/dashboard/record?connection={id}&model=Note&id={evil}"),
        format!("/dashboard/records?connection={id}&model={}", at("<script>Model")),
        "/dashboard/runs".to_owned(),
        format!("/dashboard/runs/{run}"),
        "/dashboard/lines".to_owned(),
        "/dashboard/environment".to_owned(),
    ];
    stage.play("hostile", &engine, json!({ "pages": pages })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_is_enough() {
    let Some(stage) = Stage::find() else { return };
    let (engine, _) = synced().await;
    let shop = engine.integration("shop-main").unwrap();
    shop.update(|settings| settings.display_name("Shop (Europe)")).await.unwrap();
    stage.play("keyboard", &engine, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosts_own_page_connects_an_account_by_the_peers_browser_client() {
    let Some(stage) = Stage::find() else { return };
    // The host's page, at an origin of its own.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let (engine, _api) = crm::crm().await;
    let running = start_with(engine.clone(), |server| server.origin(&host)).await;
    let mut pages = axum::Router::new().route("/", get(Html(host_page(&running.address.to_string()))));
    for file in ["index.js", "authModal.js", "connectUI.js", "types.js"] {
        let text = stage.package_file(&format!("@nangohq/frontend/dist/{file}"));
        pages = pages.route(&format!("/{file}"), get(([("content-type", "text/javascript")], text)));
    }
    tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let made = running.call("POST", "/connect/sessions", Some(r#"{"allowed_integrations":["crm"]}"#)).await;
        tokens.push(made.json()["data"]["token"].clone());
    }
    let about = json!({ "host": host, "others": [host], "token": tokens[0], "second": tokens[1] });
    stage.play_on("connectUi", &running, about).await;
    assert_eq!(engine.connections().await.unwrap().len(), 3, "one by the frame, one without a window");
}

fn host_page(server: &str) -> String {
    format!(
        r#"<!doctype html><title>Host</title><link rel="icon" href="data:,"><body><script type="module">
        import Nango from '/index.js';
        window.events = [];
        window.signIn = (connectSessionToken) => new Nango({{ host: 'http://{server}', connectSessionToken }})
            .auth('crm', {{ credentials: {{ apiKey: 'another-key' }} }});
        new Nango().openConnectUI({{ baseURL: 'http://{server}/connect', apiURL: 'http://{server}',
            sessionToken: new URLSearchParams(location.search).get('token'), onEvent: (event) => window.events.push(event) }});
        </script>"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_and_can_be_read_by_everybody() {
    let Some(stage) = Stage::find() else { return };
    let (engine, pages) = filled::everything().await;
    stage.play("everyPage", &engine, json!({ "pages": pages })).await;
    println!("pictures are in {}", stage.pictures().display());
}
