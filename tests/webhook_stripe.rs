//! Stripe's webhooks end to end: a host's HTTP server takes them, the engine reads `/v1/events` of a small account.

#[path = "support/webhooks.rs"]
mod webhooks;

use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use highwater::engine::transport::UreqTransport;
use highwater::engine::{Credentials, SyncOptions};
use highwater::store::{Environment, SystemEnvironment};
use highwater::template::HttpRequest;
use highwater::template::http::Transport;
use highwater::{ConnectionSettings, Engine, RunOptions, Secret, SqliteStore, Store, StreamKey};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "whsec_of_the_endpoint";
const SYNC: &str = "stripe/customers";

/// An account: its customers, and the events of their changes, oldest first.
#[derive(Default)]
struct Account {
    customers: Vec<Value>,
    events: Vec<Value>,
    lists_read: usize,
}

type Shared = Arc<Mutex<Account>>;

impl Account {
    /// A customer is called so from now on; the event that tells it.
    fn call(&mut self, id: &str, name: &str, what: &str) -> Value {
        let customer = json!({"id": id, "object": "customer", "created": 1, "name": name});
        self.customers.retain(|known| known["id"] != id);
        if what != "deleted" {
            self.customers.push(customer.clone());
        }
        let event = json!({
            "id": format!("evt_{}", self.events.len()), "object": "event", "created": now(),
            "api_version": "2026-09-30.endive",
            "type": format!("customer.{what}"), "data": {"object": customer},
        });
        self.events.push(event.clone());
        event
    }
}

fn now() -> i64 {
    i64::try_from(SystemEnvironment.now().unix_ms() / 1000).unwrap()
}

async fn customers(State(account): State<Shared>) -> Json<Value> {
    let mut account = account.lock().unwrap();
    account.lists_read += 1;
    Json(json!({"object": "list", "data": account.customers, "has_more": false}))
}

#[derive(serde::Deserialize)]
struct Asked {
    limit: usize,
}

async fn events(State(account): State<Shared>, Query(asked): Query<Asked>) -> Json<Value> {
    let account = account.lock().unwrap();
    let newest_first: Vec<&Value> = account.events.iter().rev().take(asked.limit).collect();
    Json(json!({"object": "list", "data": newest_first, "has_more": false}))
}

async fn hook(engine: State<Engine>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    webhooks::receive("shop", engine, headers, body).await
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::runtime::Handle::current().spawn(async move { axum::serve(listener, router).await });
    url
}

struct Host {
    account: Shared,
    store: Arc<dyn Store>,
    engine: Engine,
    url: String,
    _folder: tempfile::TempDir,
}

impl Host {
    async fn start() -> Self {
        let account = Shared::default();
        let api = Router::new().route("/v1/customers", get(customers)).route("/v1/events", get(events));
        let api = serve(api.with_state(Arc::clone(&account))).await;
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
        let engine = Engine::builder(Arc::clone(&store)).templates(highwater::templates::all()).build().unwrap();
        engine.connect(ConnectionSettings::new("shop", "stripe").base_url(api)).await.unwrap();
        let credentials = Credentials::token(Secret::new("sk_test")).secret("webhook_secret", Secret::new(SECRET));
        engine.use_credentials("shop", credentials);
        engine.sync("shop", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
        let url = serve(Router::new().route("/hook", post(hook)).with_state(engine.clone())).await + "/hook";
        Host { account, store, engine, url, _folder: folder }
    }

    /// Delivers an event, signed at this time with this secret.
    async fn deliver(&self, event: &Value, at: i64, secret: &str) -> (u16, Value) {
        let body = event.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.{body}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let request = HttpRequest::new("POST", &self.url)
            .header("Stripe-Signature", format!("t={at},v1={signature},v0=00"))
            .body("application/json", body);
        let answer = UreqTransport::new().send(request.any_status()).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    async fn genuine(&self, event: &Value) -> Value {
        let (status, told) = self.deliver(event, now(), SECRET).await;
        assert_eq!(status, 200, "{told}");
        told
    }

    /// The run that an event asked for, or any other.
    async fn run(&self) {
        self.engine.sync("shop", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    }

    async fn name(&self, id: &str) -> Option<String> {
        let found = self.store.get(&StreamKey::new("shop", "Customer"), &[id]).await.unwrap();
        let found = found.into_iter().next().flatten().filter(|record| record.metadata.deleted_at.is_none())?;
        found.to::<Value>().unwrap()["name"].as_str().map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_come_by_webhook() {
    let host = Host::start().await;
    let created = host.account.lock().unwrap().call("cus_1", "Ada", "created");
    host.run().await;
    assert_eq!(host.name("cus_1").await.as_deref(), Some("Ada"));

    // An event asks for a run, which reads the account's own events.
    let renamed = host.account.lock().unwrap().call("cus_1", "Ada L.", "updated");
    let told = host.genuine(&renamed).await;
    assert_eq!((&told["triggered"], &told["changes"]), (&json!([SYNC]), &json!([])));
    host.run().await;
    assert_eq!(host.name("cus_1").await.as_deref(), Some("Ada L."));

    // The same event again asks for nothing; one that is older than what was read puts nothing back.
    let told = host.genuine(&renamed).await;
    assert_eq!((&told["duplicate"], &told["triggered"]), (&json!(true), &json!([])));
    let told = host.genuine(&created).await;
    assert_eq!(told["triggered"], json!([SYNC]), "late, and for the first time");
    let end = host.store.head(&StreamKey::new("shop", "Customer")).await.unwrap().high_water;
    host.run().await;
    assert_eq!(host.name("cus_1").await.as_deref(), Some("Ada L."));
    let head = host.store.head(&StreamKey::new("shop", "Customer")).await.unwrap();
    assert_eq!(head.high_water, end, "nothing changed, so nobody is told of anything");

    // Forged, and genuine but recorded an hour ago: neither is taken, both may come properly later.
    let gone = host.account.lock().unwrap().call("cus_1", "Ada L.", "deleted");
    assert_eq!(host.deliver(&gone, now(), "a guess").await.0, 401);
    assert_eq!(host.deliver(&gone, now() - 3600, SECRET).await.0, 401);
    assert_eq!(host.name("cus_1").await.as_deref(), Some("Ada L."));
    let told = host.genuine(&gone).await;
    assert_eq!((&told["duplicate"], &told["triggered"]), (&json!(false), &json!([SYNC])));
    host.run().await;
    assert_eq!(host.name("cus_1").await, None);

    // An event of another kind of object concerns no sync that is enabled.
    let paid = json!({"id": "evt_x", "type": "invoice.paid", "data": {"object": {"id": "in_1", "object": "invoice"}}});
    assert_eq!(host.genuine(&paid).await["triggered"], json!([]));
    assert_eq!(host.account.lock().unwrap().lists_read, 1, "every later run read events alone");
}
