//! What a client of the server chooses leads to no address of this machine or a private network, by any route.
#![allow(clippy::disallowed_methods)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use highwater_core::{MemoryStore, Result};
use highwater_engine::connections::BaseUrlReach;
use highwater_engine::transport::PrivateAddresses;
use highwater_engine::webhooks::Outbox;
use highwater_engine::{Engine, EngineBuilder, IntegrationSettings};
use highwater_server::Scope;
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::async_trait::async_trait;
use highwater_template::auth::CredentialUse;
use highwater_template::{ConfigKey, HttpRequest, Provider, SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};

use browser::Browser;

#[derive(Debug)]
struct Pages(TemplateInfo);

#[async_trait]
impl Template for Pages {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        context.send(HttpRequest::get("/pages")).await.map(drop)
    }
}

#[derive(Debug)]
struct Look(ActionInfo);

#[async_trait]
impl ActionTemplate for Look {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, _: Value) -> Result<Value> {
        context.send(HttpRequest::get("/look")).await?.json()
    }
}

/// A server on this machine that nobody but the program may reach, and an engine with a provider whose host is a setting.
async fn engine(change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> (Engine, u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, reached) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&reached);
    let answer = any(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "[]" }
    });
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    let host = || ConfigKey::required("host", "the host's name");
    let provider = Provider::new("site", format!("http://{{host}}:{port}")).config(host());
    let info = provider.template("pages").credentials(CredentialUse::Unused).model("Page", "a page").config(host());
    let look = provider.action("look").config(host());
    let builder = Engine::builder(Arc::new(MemoryStore::new().unwrap()))
        .template(Arc::new(Pages(info)))
        .actions([Arc::new(Look(look)) as Arc<dyn ActionTemplate>]);
    let engine = change(builder).build().unwrap();
    let integration = engine.create_integration(IntegrationSettings::new("crm", "site")).await.unwrap();
    integration.enable("pages", Default::default()).await.unwrap();
    (engine, port, reached)
}

/// Imports the connection `main` with this host, and has the server ask it by each route. Returns the errors' codes.
async fn ask(engine: &Engine, running: &support::Running, host: &str) -> Vec<String> {
    let body = json!({"provider_config_key": "crm", "connection_id": "main", "credentials": {"type": "NONE"}, "connection_config": {"host": host}});
    let made = running.call("POST", "/connections", Some(&body.to_string())).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let mut codes = Vec::new();
    let proxy = running.get("/proxy/latest").await;
    let action = json!({"action_name": "look", "input": {}});
    let action = running.call("POST", "/action/trigger", Some(&action.to_string())).await;
    for answer in [proxy, action] {
        codes.push(if answer.status < 300 { "none".to_owned() } else { answer.code() });
    }
    let run = engine.sync("main", "site/pages").unwrap().run_once(Default::default()).await;
    codes.push(run.map_or_else(|error| error.to_string(), |_| "none".to_owned()));
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_a_client_gives_leads_to_no_private_address() {
    let (engine, _, reached) = engine(|builder| builder).await;
    let running = support::start_with(engine.clone(), |server| server).await;
    for host in ["localhost", "127.0.0.1", "2130706433", "169.254.169.254", "10.0.0.1"] {
        let codes = ask(&engine, &running, host).await;
        assert!(codes.iter().all(|code| code != "none") && codes[2].contains("globally routable"), "{host}: {codes:?}");
        assert_eq!(codes[0], "address_not_allowed", "{host}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_so_lets_clients_lead_anywhere() {
    let (engine, _, reached) = engine(|builder| builder.private_addresses(PrivateAddresses::OfAnyone)).await;
    let running = support::start_with(engine.clone(), |server| server).await;
    assert_eq!(ask(&engine, &running, "localhost").await, ["none"; 3]);
    assert_eq!(reached.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_and_a_destination_from_the_dashboard_lead_to_no_private_address() {
    let (engine, port, reached) = engine(|builder| builder).await;
    let running = support::start_with(engine.clone(), |server| server).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let own = format!("http://127.0.0.1:{port}");
    let page = "/dashboard/integrations/crm";
    browser.change(page, "/dashboard/integrations/crm/settings", &[("base_url", &own)]).await;
    let settings = engine.integration("crm").unwrap().settings().await.unwrap();
    assert_eq!((settings.base_url.as_deref(), settings.base_url_reach), (Some(&*own), BaseUrlReach::Public));
    let codes = ask(&engine, &running, "site.example").await;
    assert!(codes.iter().all(|code| code != "none"), "{codes:?}");
    let refused = browser
        .submit("/dashboard/webhooks", "/dashboard/webhooks", &[("do", "add"), ("id", "a"), ("url", &own)])
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(Outbox::new(&engine).destinations().await.unwrap().is_empty());
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}
