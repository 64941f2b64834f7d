//! The dashboard in a real browser, with pictures of each page in the folder of the tests' output. Runs where
//! `HIGHWATER_TEST_DASHBOARD` is set; skipped, and said so, where npm or Chromium cannot be had.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use browser::{SYNC, filled};
use highwater_core::{History, Maintenance, StreamKey, StreamOptions};
use highwater_engine::connections::EndUser;
use highwater_engine::runs::RunState;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, SyncOptions};
use highwater_server::Scope;
use support::start_with;

fn chromium() -> Option<PathBuf> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    found.into_iter().find(|path| path.exists())
}

/// The script beside its package, which npm installs.
fn scripts() -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    fs::create_dir_all(folder.join("pictures")).unwrap();
    for name in ["package.json", "walk.mjs"] {
        fs::copy(sources.join(name), folder.join(name)).unwrap();
    }
    let options = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    let installed = Command::new("npm").args(options).current_dir(&folder).status();
    installed.is_ok_and(|status| status.success()).then_some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_turns_an_endpoint_on_and_sees_records() {
    if std::env::var_os("HIGHWATER_TEST_DASHBOARD").is_none() {
        println!("skipped: set HIGHWATER_TEST_DASHBOARD to walk the dashboard in a browser");
        return;
    }
    let (Some(chromium), Some(folder)) = (chromium(), scripts()) else {
        println!("skipped: there is no Chromium on this machine, or npm cannot install playwright-core");
        return;
    };
    let (engine, notes) = filled().await;
    let shop = engine.integration("shop-main").unwrap();
    shop.update(|settings| settings.display_name("Shop (Europe)").client_id("Iv1.0123")).await.unwrap();
    let ann = EndUser::new("u-7").email("ann@example.com").organisation("acme");
    engine.update_connection("ann", |settings| settings.end_user(ann.clone()).tag("plan", "team")).await.unwrap();
    engine.set_metadata("ann", serde_json::json!({ "labels": ["bug"] })).await.unwrap();
    engine
        .connect(ConnectionSettings::of_integration("bob-with-a-rather-long-name-of-an-account", "shop-main"))
        .await
        .unwrap();
    engine.mark_revoked("bob-with-a-rather-long-name-of-an-account").await.unwrap();
    let options = StreamOptions::default().history(History::Versions(5));
    engine.store().maintain(Maintenance::Configure(StreamKey::new("ann", "Note"), options)).await.unwrap();
    notes.lock().unwrap()[2] = r#"{"id":"3","name":"Note 3","amount":4,"state":{"open":true}}"#.to_owned();
    let sync = engine.sync("ann", SYNC).unwrap();
    sync.run_once(Default::default()).await.unwrap();
    notes.lock().unwrap().truncate(4);
    let _ = sync.run_once(Default::default()).await;
    sync.enable(SyncOptions::default()).await.unwrap();
    Outbox::new(&engine).add(Destination::new("backend", "https://backend.example/hook")).await.unwrap();
    let runs = engine.runs_matching(&Default::default()).await.unwrap().runs;
    let parked = runs.iter().find(|run| run.state == RunState::AwaitingApproval).unwrap().id;

    let running = start_with(engine, |server| server).await;
    running.server.keys().create("backend", Scope::Read).await.unwrap();
    let link = running.server.dashboard_link(Scope::Admin);
    let arguments = [
        folder.join("walk.mjs").display().to_string(),
        chromium.display().to_string(),
        format!("http://{}", running.address),
        link.expose().to_owned(),
        format!("/dashboard/runs/{parked}"),
        folder.join("pictures").display().to_string(),
    ];
    let walk = tokio::task::spawn_blocking(move || Command::new("node").args(arguments).output());
    let output = walk.await.unwrap().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "done\n", "{complained}");
    println!("pictures are in {}", folder.join("pictures").display());
}
