//! An engine with something on every page, and the addresses of the pages.

use highwater_core::{History, Maintenance, StreamKey, StreamOptions};
use highwater_engine::connections::EndUser;
use highwater_engine::runs::RunState;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, Engine, SyncOptions};
use serde_json::{Value, json};

use crate::browser::{SYNC, filled};

/// The records that the API of the stories has.
pub(crate) fn notes() -> impl Iterator<Item = String> {
    (1..=30).map(|id| format!(r#"{{"id":"{id}","name":"Note {id}","amount":{id}}}"#))
}

pub(crate) async fn everything() -> (Engine, Value) {
    let (engine, notes) = filled().await;
    let shop = engine.integration("shop-main").unwrap();
    shop.update(|settings| settings.display_name("Shop (Europe)").client_id("Iv1.0123")).await.unwrap();
    let ann = EndUser::new("u-7").email("ann@example.com").organisation("acme");
    engine.update_connection("ann", |settings| settings.end_user(ann.clone()).tag("plan", "team")).await.unwrap();
    engine.set_metadata("ann", json!({ "labels": ["bug"] })).await.unwrap();
    let long = "bob-with-a-rather-long-name-of-an-account";
    engine.connect(ConnectionSettings::of_integration(long, "shop-main")).await.unwrap();
    engine.mark_revoked(long).await.unwrap();
    let options = StreamOptions::default().history(History::Versions(5));
    engine.store().maintain(Maintenance::Configure(StreamKey::new("ann", "Note"), options)).await.unwrap();
    let sync = engine.sync("ann", SYNC).unwrap();
    for edited in
        [r#"{"id":"3","name":"Note 3","amount":4,"state":{"open":true}}"#, "fail: the shop is closed for today"]
    {
        notes.lock().unwrap()[2] = edited.to_owned();
        let _ = sync.run_once(Default::default()).await;
    }
    let failed = last(&engine, RunState::Error).await;
    notes.lock().unwrap().truncate(2);
    let _ = sync.run_once(Default::default()).await;
    let parked = last(&engine, RunState::AwaitingApproval).await;
    sync.enable(SyncOptions::default()).await.unwrap();
    Outbox::new(&engine).add(Destination::new("backend", "https://backend.example/hook")).await.unwrap();
    let pages = json!({
        "home": "/dashboard", "integrations": "/dashboard/integrations", "integration": "/dashboard/integrations/shop-main",
        "endpoint": "/dashboard/integrations/shop-main/endpoint?sync=shop%2Fnotes",
        "actions": "/dashboard/integrations/shop-main/actions", "settings": "/dashboard/integrations/shop-main/settings",
        "connections": "/dashboard/connections", "connection": "/dashboard/connections/ann",
        "revoked": format!("/dashboard/connections/{long}"), "connect": "/dashboard/connect",
        "connect-form": "/dashboard/connect?provider=shop", "delete": "/dashboard/connections/ann/delete",
        "models": "/dashboard/records", "records": "/dashboard/records?connection=ann&model=Note",
        "record": "/dashboard/record?connection=ann&model=Note&id=3", "runs": "/dashboard/runs", "lines": "/dashboard/lines",
        "run": format!("/dashboard/runs/{parked}"), "failed": format!("/dashboard/runs/{failed}"),
        "webhooks": "/dashboard/webhooks", "webhook": "/dashboard/webhooks/backend", "environment": "/dashboard/environment",
        "empty": "/dashboard/runs?text=nothing", "error": "/dashboard/runs/x",
    });
    (engine, pages)
}

async fn last(engine: &Engine, state: RunState) -> String {
    let runs = engine.runs_matching(&Default::default()).await.unwrap().runs;
    runs.iter().find(|run| run.state == state).unwrap_or_else(|| panic!("{runs:?}")).id.to_string()
}
