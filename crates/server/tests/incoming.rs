//! `/webhook/{key}`: webhooks of providers, which have a signature and no key.
#![allow(clippy::disallowed_methods)]

#[allow(unused)]
mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::any;
use highwater_core::{MemoryStore, Result};
use highwater_engine::webhooks::{Destination, Outbox, SIGNATURE_TOLERANCE, verify};
use highwater_engine::{ConnectionSettings, Engine, IntegrationSettings, Secret, SyncOptions};
use highwater_server::Limits;
use highwater_template::async_trait::async_trait;
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookRecipient, WebhookScheme};
use highwater_template::{ConfigKey, Provider, SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};
use support::{Answer, Running, start_with};
use tokio::sync::mpsc;

/// Of GitHub's documentation: the secret, a payload, and its signature.
/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>
const SECRET: &str = "It's a Secret to Everybody";
const HELLO: (&str, &str) = ("Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");

/// Events, and their signatures with the same secret, made by Python's `hmac`.
const ONE: (&str, &str) = (
    r#"{"repo":"one","note":{"id":"7","text":"Leak"}}"#,
    "5233b25cf8d79a3ed1240cdbc0eebd55937145a579ce081c1962309c9ee57ee0",
);
const NOBODY: (&str, &str) =
    (r#"{"repo":"nobody","note":{"id":"8"}}"#, "df720f6cbe3e6455f6ae4cd5283797dff54432b4d90f83fafdf22225d16d61e1");

#[derive(Debug)]
struct Notes(TemplateInfo);

#[async_trait]
impl Template for Notes {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        context.complete("Note").await
    }

    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        let body: Value = event.json()?;
        Ok(match event.config("repo") == body["repo"].as_str() {
            true => WebhookReaction::new().save("Note", Bytes::from(body["note"].to_string())),
            false => WebhookReaction::new(),
        })
    }
}

/// The integration `forge` with the connections `one` and `two` of two repositories, `bare` without a secret, `dumb` whose provider
/// has no webhooks, and the connection `other` of `bare`.
async fn engine() -> Engine {
    let mut info = TemplateInfo::new("forge", "notes", "https://forge.example").model("Note", "a note");
    info = info.config(ConfigKey::required("repo", "the repository"));
    info.provider = info.provider.clone().webhooks(WebhookScheme::GitHub).webhook_recipient(WebhookRecipient::Settings);
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap()))
        .template(Arc::new(Notes(info)))
        .provider(Provider::new("dumb", "https://dumb.example"))
        .build()
        .unwrap();
    for (key, provider) in [("forge", "forge"), ("bare", "forge"), ("dumb", "dumb")] {
        let made = engine.create_integration(IntegrationSettings::new(key, provider)).await.unwrap();
        if key != "bare" {
            made.use_webhook_secret(Secret::new(SECRET));
        }
    }
    engine.integration("forge").unwrap().enable("notes", SyncOptions::default()).await.unwrap();
    for (id, key) in [("one", "forge"), ("two", "forge"), ("other", "bare")] {
        engine.connect(ConnectionSettings::of_integration(id, key).config("repo", id)).await.unwrap();
    }
    engine
}

/// Sends an event as GitHub does: without a key.
async fn send(running: &Running, path: &str, delivery: &str, (body, signature): (&str, &str)) -> Answer {
    let signature = format!("sha256={signature}");
    let headers = [
        ("Authorization", ""),
        ("Connection-Id", ""),
        ("Provider-Config-Key", ""),
        ("X-GitHub-Delivery", delivery),
        ("X-Hub-Signature-256", signature.as_str()),
    ];
    running.call_with("POST", path, Some(body), &headers).await
}

/// How many notes a connection has.
async fn notes(running: &Running, connection: &str) -> usize {
    let headers = [("Connection-Id", connection), ("Provider-Config-Key", "forge")];
    let page = running.call_with("GET", "/records?model=Note", None, &headers).await;
    page.json()["records"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_event_changes_the_connection_that_it_is_for_once() {
    let running = start_with(engine().await, |server| server).await;
    // The signature of the documentation is right: only the payload is no event.
    let hello = send(&running, "/webhook/forge", "d0", HELLO).await;
    assert_eq!((hello.status, hello.code().as_str()), (400, "invalid_body"));
    let taken = send(&running, "/webhook/forge", "d1", ONE).await;
    assert_eq!(taken.json(), json!({ "event": "d1", "connections": ["one"], "duplicate": false, "forwarded": 0 }));
    assert_eq!((notes(&running, "one").await, notes(&running, "two").await), (1, 0));
    let again = send(&running, "/webhook/forge/", "d1", ONE).await;
    assert_eq!(again.json(), json!({ "event": "d1", "connections": ["one"], "duplicate": true, "forwarded": 0 }));
    let of_nobody = send(&running, "/webhook/forge", "d2", NOBODY).await;
    assert_eq!((of_nobody.status, &of_nobody.json()["connections"]), (200, &json!([])));
    // An address that names a connection is for that one alone.
    let named = send(&running, "/webhook/forge/two", "d3", ONE).await;
    assert_eq!(named.json()["connections"], json!(["two"]));
    assert_eq!((notes(&running, "one").await, notes(&running, "two").await), (1, 0));
    let shown = running.get("/integrations/forge?include=webhook").await.json();
    assert_eq!(shown["data"]["webhook_url"], format!("http://{}/webhook/forge", running.address));
    let shown = running.get("/integrations/dumb?include=webhook").await.json();
    assert_eq!(shown["data"]["webhook_url"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_without_a_right_signature_and_strangers_learn_nothing() {
    let limits = Limits::default().requests_per_minute(40);
    let running = start_with(engine().await, |server| server.limits(limits)).await;
    let outbox = Outbox::new(&running.engine);
    outbox.add(Destination::new("all", "http://127.0.0.1:9/").on_forward(true)).await.unwrap();
    let wrong = (ONE.0, HELLO.1);
    let mut told = Vec::new();
    for (path, event) in [
        ("/webhook/forge", wrong),
        ("/webhook/forge", (ONE.0, "")),
        ("/webhook/forge", (ONE.0, "00")),
        ("/webhook/forge/one", wrong),
        ("/webhook/forge/nobody", ONE),
        ("/webhook/forge/other", ONE),
        ("/webhook/bare", ONE),
        ("/webhook/bare/other", ONE),
        ("/webhook/dumb", ONE),
        ("/webhook/no-such-integration", ONE),
        ("/webhook/no%2Fsuch", ONE),
    ] {
        let refused = send(&running, path, "d1", event).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "webhook_refused"), "{path}");
        told.push(refused.body);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "all are told the same");
    let large = format!("{{\"repo\":\"{}\"}}", "x".repeat(1 << 20));
    let refused = send(&running, "/webhook/forge", "d1", (&large, HELLO.1)).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "body_too_large"));
    assert_eq!(notes(&running, "one").await, 0);
    assert!(outbox.waiting("all", "", 10).await.unwrap().is_empty());
    // Strangers share their requests, and take none of those whose signature is right.
    let mut last = 401;
    for _ in 0..60 {
        last = send(&running, "/webhook/forge", "d1", wrong).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(send(&running, "/webhook/forge", "d1", ONE).await.status, 200);
    assert_eq!(notes(&running, "one").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_forwarded_once_to_destinations_that_ask_for_it() {
    let running = start_with(engine().await, |server| server).await;
    let (seen, mut received) = mpsc::unbounded_channel::<(HeaderMap, Bytes)>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().fallback(any(move |headers: HeaderMap, body: Bytes| async move {
        let _ = seen.send((headers, body));
    }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let outbox = Outbox::new(&running.engine);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let quiet = |id: &str| Destination::new(id, &url).on_unchanged(false);
    outbox.add(quiet("asks").on_forward(true)).await.unwrap();
    outbox.add(quiet("of-two").on_forward(true).connection("two")).await.unwrap();
    outbox.add(quiet("of-bare").on_forward(true).integration("bare")).await.unwrap();
    outbox.set_secrets("asks", vec![Secret::new(secret)]).unwrap();
    let first = send(&running, "/webhook/forge", "d1", NOBODY).await.json();
    assert_eq!(first["forwarded"], json!(1), "{first}");
    // Another attempt of the provider is not forwarded again.
    assert_eq!(send(&running, "/webhook/forge", "d1", NOBODY).await.json()["forwarded"], json!(0));
    outbox.deliver_due().await.unwrap();
    let (headers, body) = received.recv().await.unwrap();
    let expected = format!(r#"{{"from":"forge","payload":{},"providerConfigKey":"forge","type":"forward"}}"#, NOBODY.0);
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected, "to the byte");
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let now = highwater_core::Timestamp::from(std::time::SystemTime::now());
    verify(&headers, &body, &[Secret::new(secret)], now, SIGNATURE_TOLERANCE).unwrap();
    // With the connection that it is for; other destinations want other connections and integrations.
    assert_eq!(send(&running, "/webhook/forge", "d2", ONE).await.json()["forwarded"], json!(1));
    let rows = outbox.waiting("asks", "", 10).await.unwrap();
    let bodies: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
    let forwarded: Vec<&Value> = bodies.iter().filter(|body| body["type"] == "forward").collect();
    assert_eq!(forwarded.len(), 1, "{bodies:?}");
    assert_eq!((&forwarded[0]["connectionId"], &forwarded[0]["payload"]["repo"]), (&json!("one"), &json!("one")));
    for id in ["of-two", "of-bare"] {
        assert!(outbox.waiting(id, "", 10).await.unwrap().is_empty(), "{id}");
    }
    // The integration can turn it off.
    let changed = running.call("PATCH", "/integrations/forge", Some(r#"{"forward_webhooks":false}"#)).await;
    assert_eq!(changed.json()["data"]["forward_webhooks"], json!(false));
    assert_eq!(send(&running, "/webhook/forge", "d3", ONE).await.json()["forwarded"], json!(0));
}
