//! A host's own HTTP server hands GitHub's webhooks to the engine: signed, repeated, forged, late.

#[path = "support/webhooks.rs"]
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use highwater::engine::transport::UreqTransport;
use highwater::engine::{Credentials, SyncOptions};
use highwater::template::HttpRequest;
use highwater::template::http::Transport;
use highwater::{ConnectionSettings, Engine, Secret, SqliteStore, Store, StreamKey};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "It's a Secret to Everybody";

async fn hook(engine: State<Engine>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    webhooks::receive("github-main", engine, headers, body).await
}

struct Host {
    store: Arc<dyn Store>,
    engine: Engine,
    url: String,
    _folder: tempfile::TempDir,
}

impl Host {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("app.db")).unwrap());
        let engine = Engine::builder(Arc::clone(&store)).templates(highwater::templates::all()).build().unwrap();
        let settings = ConnectionSettings::new("github-main", "github").config("owner", "acme").config("repo", "Pump");
        engine.connect(settings).await.unwrap();
        let credentials = Credentials::none().secret("webhook_secret", Secret::new(SECRET));
        engine.use_credentials("github-main", credentials);
        for sync in ["github/issues", "github/comments", "github/releases"] {
            engine.sync("github-main", sync).unwrap().enable(SyncOptions::default()).await.unwrap();
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(hook)).with_state(engine.clone());
        tokio::runtime::Handle::current().spawn(async move { axum::serve(listener, router).await });
        Host { store, engine, url, _folder: folder }
    }

    async fn deliver(&self, id: &str, event: &str, body: &Value, secret: &str) -> (u16, Value) {
        self.send(id, event, HttpRequest::new("POST", &self.url).json(body).unwrap(), secret).await
    }

    /// As GitHub delivers unless JSON is chosen: the signature is that of the form.
    async fn deliver_form(&self, id: &str, event: &str, body: &Value, secret: &str) -> (u16, Value) {
        let form = HttpRequest::new("POST", &self.url).form([("payload", body.to_string())]);
        self.send(id, event, form, secret).await
    }

    async fn send(&self, id: &str, event: &str, request: HttpRequest, secret: &str) -> (u16, Value) {
        let signature = hmac(secret, request.body.as_deref().unwrap_or_default());
        let request = request
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", id)
            .header("X-Hub-Signature-256", format!("sha256={signature}"));
        let answer = UreqTransport::new().send(request.any_status()).await.unwrap();
        let told = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status, told)
    }

    async fn issue(&self) -> Option<Value> {
        let found = self.store.get(&StreamKey::new("github-main", "Issue"), &["7"]).await.unwrap();
        let found = found.into_iter().next().flatten().filter(|record| record.metadata.deleted_at.is_none());
        found.map(|record| record.to().unwrap())
    }
}

/// HMAC-SHA256 in hexadecimal.
fn hmac(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn event(action: &str, title: &str, updated_at: &str, repository: &str) -> Value {
    json!({
        "action": action,
        "issue": {"id": 7, "number": 1, "title": title, "state": "open", "updated_at": updated_at},
        "repository": {"name": repository, "owner": {"login": "acme"}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_come_by_webhook() {
    let host = Host::start().await;
    let opened = event("opened", "A leak", "2026-11-24T18:00:00Z", "pump");
    let (status, told) = host.deliver("d-1", "issues", &opened, SECRET).await;
    assert_eq!((status, &told["changes"][0]["progress"]["added"]), (200, &json!(1)), "{told}");
    assert_eq!(host.issue().await.unwrap()["title"], "A leak");

    let edited = event("edited", "A big leak", "2026-11-24T19:00:00Z", "pump");
    host.deliver("d-2", "issues", &edited, SECRET).await;
    let (status, told) = host.deliver("d-1", "issues", &opened, SECRET).await;
    assert_eq!((status, &told["duplicate"]), (200, &json!(true)), "delivered again");
    let (status, told) = host.deliver("d-3", "issues", &opened, SECRET).await;
    assert_eq!((status, &told["changes"][0]["progress"]["updated"]), (200, &json!(0)), "an older state, late");
    assert_eq!(host.issue().await.unwrap()["title"], "A big leak");

    let forged = event("edited", "Forged", "2027-01-01T00:00:00Z", "pump");
    assert_eq!(host.deliver("d-4", "issues", &forged, "a guess").await.0, 401);
    let foreign = event("edited", "Another repository's", "2027-01-01T00:00:00Z", "valve");
    let (status, told) = host.deliver("d-5", "issues", &foreign, SECRET).await;
    assert_eq!((status, &told["changes"]), (200, &json!([])));
    assert_eq!(host.issue().await.unwrap()["title"], "A big leak");

    let comment = json!({
        "action": "created",
        "comment": {"id": 70, "body": "Indeed", "updated_at": "2026-11-24T19:30:00Z"},
        "issue": {"id": 7},
        "repository": {"name": "pump", "owner": {"login": "acme"}},
    });
    let (_, told) = host.deliver("d-6", "issue_comment", &comment, SECRET).await;
    assert_eq!(told["changes"][0]["template"], "github/comments");

    let deleted = event("deleted", "A big leak", "2026-11-24T20:00:00Z", "pump");
    let (_, told) = host.deliver("d-7", "issues", &deleted, SECRET).await;
    assert_eq!(told["changes"][0]["progress"]["deleted"], 1);
    assert!(host.issue().await.is_none());
    let late = event("edited", "A leak, edited before", "2026-11-24T19:30:00Z", "pump");
    assert_eq!(host.deliver("d-9", "issues", &late, SECRET).await.0, 200);
    assert!(host.issue().await.is_none(), "an older state brings nothing back");

    let release = json!({"action": "published", "repository": {"name": "pump", "owner": {"login": "acme"}}});
    let (_, told) = host.deliver("d-8", "release", &release, SECRET).await;
    assert_eq!(told["triggered"], json!(["github/releases"]));
    assert_eq!(host.engine.sync("github-main", "github/issues").unwrap().runs().await.unwrap().len(), 5);
}

/// <https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks>: `application/x-www-form-urlencoded` is the default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_come_by_webhook_as_a_form() {
    let host = Host::start().await;
    let ping = json!({"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {"type": "Repository"}});
    let (status, told) = host.deliver_form("d-0", "ping", &ping, SECRET).await;
    assert_eq!((status, &told["ignored"]), (200, &json!(true)), "{told}");
    let opened = event("opened", "Leak: 50 % & \"more\" \u{e9}=+", "2026-11-24T18:00:00Z", "pump");
    assert_eq!(host.deliver_form("d-1", "issues", &opened, "a guess").await.0, 401);
    let (status, told) = host.deliver_form("d-1", "issues", &opened, SECRET).await;
    assert_eq!((status, &told["changes"][0]["progress"]["added"], &told["ignored"]), (200, &json!(1), &json!(false)));
    assert_eq!(host.issue().await.unwrap()["title"], opened["issue"]["title"]);
    let (_, told) = host.deliver("d-1", "issues", &opened, SECRET).await;
    assert_eq!(told["duplicate"], true, "delivered again, after JSON was chosen");
}
