//! `/webhooks`: destinations over HTTP, their secrets, and what waits for them.
#![allow(clippy::disallowed_methods)]

#[path = "support/crm.rs"]
mod crm;
#[allow(unused)]
mod support;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use highwater_core::{ErrorKind, Timestamp};
use highwater_engine::Secret;
use highwater_engine::webhooks::{Destination, Outbox, SIGNATURE_TOLERANCE, verify};
use highwater_server::{Compat, Scope};
use serde_json::{Value, json};
use support::{Running, start_with};

/// Answers with the status that was set, and keeps what it received.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>, Arc<Mutex<u16>>);

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Receiver::default();
        *receiver.1.lock().unwrap() = 200;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = receiver.clone();
        let app = Router::new().route(
            "/hook",
            any(move |headers: HeaderMap, body: Bytes| async move {
                seen.0.lock().unwrap().push((headers, body));
                StatusCode::from_u16(*seen.1.lock().unwrap()).unwrap()
            }),
        );
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, url)
    }

    fn will_answer(&self, status: u16) {
        *self.1.lock().unwrap() = status;
    }

    /// Whether a secret signed the last delivery.
    fn is_signed_with(&self, secret: &str) -> bool {
        let seen = self.0.lock().unwrap();
        let (headers, body) = seen.last().unwrap();
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let now = Timestamp::from(std::time::SystemTime::now());
        verify(&headers, body, &[Secret::new(secret)], now, SIGNATURE_TOLERANCE).is_ok()
    }
}

async fn server() -> (Running, crm::Api) {
    let (engine, api) = crm::crm().await;
    (start_with(engine, |server| server).await, api)
}

async fn add(running: &Running, id: &str, url: &str) -> String {
    let made = running.call("POST", "/webhooks", Some(&json!({ "id": id, "url": url }).to_string())).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["destination"]["id"], &made["destination"]["url"]), (&json!(id), &json!(url)));
    made["secret"].as_str().unwrap().to_owned()
}

/// A destination on this machine, which only the program that runs the server can add; its secret is made over HTTP.
async fn add_local(running: &Running, id: &str, url: &str) -> String {
    Outbox::new(&running.engine).add(Destination::new(id, url)).await.unwrap();
    let made = running.call("POST", &format!("/webhooks/{id}/secret"), None).await;
    made.json()["secret"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

/// Delivers what is due, as the program does that runs the server.
async fn deliver(running: &Running) -> (u64, u64) {
    let pass = Outbox::new(&running.engine).deliver_due().await.unwrap();
    (pass.delivered, pass.failed)
}

async fn sync(running: &Running) {
    running.engine.sync("main", "crm/contacts").unwrap().run_once(Default::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_made_tested_changed_and_removed_and_its_secret_is_shown_once() {
    let (running, _api) = server().await;
    let (receiver, url) = Receiver::start().await;
    let secret = add_local(&running, "backend", &url).await;
    let tried = running.call("POST", "/webhooks/backend/test", None).await.json();
    assert_eq!(tried, json!({ "accepted": true, "error": null }));
    assert!(receiver.is_signed_with(&secret));
    let body: Value = serde_json::from_slice(&receiver.0.lock().unwrap().last().unwrap().1).unwrap();
    assert_eq!(body, json!({ "from": "highwater", "type": "test" }));
    // The next one signs beside it, the one after that does not.
    let second = running.call("POST", "/webhooks/backend/secret", None).await.json();
    let second = second["secret"].as_str().unwrap().to_owned();
    running.call("POST", "/webhooks/backend/test", None).await;
    assert!(receiver.is_signed_with(&secret) && receiver.is_signed_with(&second));
    running.call("POST", "/webhooks/backend/secret", None).await;
    running.call("POST", "/webhooks/backend/test", None).await;
    assert!(!receiver.is_signed_with(&secret) && receiver.is_signed_with(&second));
    receiver.will_answer(500);
    let tried = running.call("POST", "/webhooks/backend/test", None).await.json();
    assert_eq!(tried["accepted"], json!(false));
    assert!(tried["error"].as_str().unwrap().contains("500"), "{tried}");
    let changed = json!({ "on_error": false, "integration": "crm", "max_rows": 7 }).to_string();
    let changed = running.call("PATCH", "/webhooks/backend", Some(&changed)).await.json();
    assert_eq!(
        (&changed["on_error"], &changed["integration"], &changed["max_rows"]),
        (&json!(false), &json!("crm"), &json!(7))
    );
    assert_eq!((&changed["url"], &changed["on_auth"]), (&json!(url), &json!(true)));
    let listed = running.get("/webhooks").await;
    assert_eq!(listed.json()["destinations"], json!([changed]));
    assert_eq!(running.get("/webhooks/backend").await.json(), changed);
    for answer in [&listed, &running.get("/webhooks/backend").await] {
        assert!(!answer.text().contains("whsec_"), "{answer:?}");
    }
    assert_eq!(running.call("DELETE", "/webhooks/backend", None).await.status, 200);
    assert_eq!(running.get("/webhooks/backend").await.code(), "not_found");
    // One of the same name has secrets of its own.
    let third = add_local(&running, "backend", &url).await;
    receiver.will_answer(200);
    running.call("POST", "/webhooks/backend/test", None).await;
    assert!(receiver.is_signed_with(&third) && !receiver.is_signed_with(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_waits_and_dead_letters_are_replayed_or_discarded() {
    let (running, _api) = server().await;
    let (receiver, url) = Receiver::start().await;
    let secret = add_local(&running, "backend", &url).await;
    sync(&running).await;
    receiver.will_answer(503);
    assert_eq!(deliver(&running).await, (0, 1));
    let waiting = running.get("/webhooks/backend/waiting?limit=1").await.json();
    assert!(waiting["deliveries"][0]["last_error"].as_str().unwrap().contains("503"), "{waiting}");
    assert_eq!(waiting["next"], Value::Null);
    assert_eq!(running.get("/webhooks/backend").await.json()["waiting"], json!(1));
    assert_eq!(running.get("/webhooks/backend/dead").await.json()["deliveries"], json!([]));
    // As after three days of failures.
    let store = running.engine.store();
    let row = store.documents("outbox/row/backend/", "", 1).await.unwrap().remove(0);
    let id = waiting["deliveries"][0]["id"].as_str().unwrap();
    let mut batch = highwater_core::WriteBatch::new();
    let value: Value = row.value.to().unwrap();
    batch.remove_document(&*row.key);
    for place in [id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        let mut value = value.clone();
        value["id"] = json!(place);
        batch.put_document(format!("outbox/dead/backend/{place}"), &value).unwrap();
    }
    store.commit(batch).await.unwrap();
    let dead = running.get("/webhooks/backend/dead?limit=1").await.json();
    assert_eq!(dead["deliveries"].as_array().unwrap().len(), 1);
    let rest = running.get(&format!("/webhooks/backend/dead?after={}", dead["next"].as_str().unwrap())).await.json();
    assert_eq!(rest["deliveries"].as_array().unwrap().len(), 1);
    let other = "/webhooks/backend/dead/01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert_eq!(running.call("DELETE", other, None).await.status, 200);
    assert_eq!(running.call("DELETE", other, None).await.code(), "not_found");
    let one = json!({ "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV" }).to_string();
    assert_eq!(running.call("POST", "/webhooks/backend/replay", Some(&one)).await.code(), "not_found");
    let replayed = running.call("POST", "/webhooks/backend/replay", Some("{}")).await.json();
    assert_eq!(replayed, json!({ "deliveries": 1 }));
    receiver.will_answer(200);
    assert_eq!(deliver(&running).await, (1, 0));
    assert!(receiver.is_signed_with(&secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_destinations_are_refused_and_nothing_is_left_of_them() {
    let (running, _api) = server().await;
    let https = "https://app.example.com/hook";
    let long = "x".repeat(3000);
    for (body, status, code, name) in [
        (json!({}), 400, "invalid_body", Some("id")),
        (json!({ "id": "a" }), 400, "invalid_body", Some("url")),
        (json!({ "id": "", "url": https }), 400, "invalid_body", Some("id")),
        (json!({ "id": "a/b", "url": https }), 400, "invalid_body", None),
        (json!({ "id": long, "url": https }), 400, "invalid_body", Some("id")),
        (json!({ "id": "a", "url": long }), 400, "invalid_body", Some("url")),
        (json!({ "id": "a", "url": "http://example.com/" }), 400, "invalid_body", None),
        (json!({ "id": "a", "url": "https://10.0.0.1/" }), 400, "invalid_body", None),
        (json!({ "id": "a", "url": "http://127.0.0.1:9/" }), 400, "invalid_body", None),
        (json!({ "id": "a", "url": https, "allow_private": true }), 400, "invalid_body", Some("allow_private")),
        (json!({ "id": "a", "url": https, "max_rows": 0 }), 400, "invalid_body", Some("max_rows")),
        (json!({ "id": "a", "url": https, "format": "x" }), 400, "invalid_body", Some("format")),
        (json!({ "id": "a", "url": https, "enabled": true }), 400, "invalid_body", Some("enabled")),
        (json!({ "id": 7, "url": https }), 400, "invalid_body", Some("id")),
    ] {
        let answer = running.call("POST", "/webhooks", Some(&body.to_string())).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{body}");
        if let Some(name) = name {
            assert_eq!(answer.fault().0, name, "{body}");
        }
    }
    assert_eq!(running.get("/webhooks").await.json()["destinations"], json!([]));
    add(&running, "a", https).await;
    let again = running.call("POST", "/webhooks", Some(&json!({ "id": "a", "url": https }).to_string())).await;
    assert_eq!((again.status, &*again.code()), (409, "destination_exists"));
    for (method, path, body) in [
        ("GET", "/webhooks/b", None),
        ("PATCH", "/webhooks/b", Some("{}")),
        ("DELETE", "/webhooks/b", None),
        ("POST", "/webhooks/b/secret", None),
        ("POST", "/webhooks/b/test", None),
        ("GET", "/webhooks/b/waiting", None),
        ("GET", "/webhooks/b/dead", None),
        ("POST", "/webhooks/b/replay", Some("{}")),
        ("DELETE", "/webhooks/b/dead/x", None),
    ] {
        let answer = running.call(method, path, body).await;
        assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{method} {path}");
    }
    for (body, name) in
        [(json!({ "id": "b" }), "id"), (json!({ "enabled": false }), "enabled"), (json!({ "url": "" }), "url")]
    {
        assert_eq!(running.call("PATCH", "/webhooks/a", Some(&body.to_string())).await.fault().0, name);
    }
    let moved = running.call("PATCH", "/webhooks/a", Some(&json!({ "url": "http://localhost:9/" }).to_string())).await;
    assert_eq!((moved.status, &*moved.code()), (400, "invalid_body"));
    assert_eq!(running.get("/webhooks/a").await.json()["url"], https);
    let writer = running.server.keys().create("writer", Scope::Write).await.unwrap();
    let authorization = format!("Bearer {}", writer.secret.expose());
    for (method, path, body) in [
        ("POST", "/webhooks", Some("{}")),
        ("PATCH", "/webhooks/a", Some("{}")),
        ("DELETE", "/webhooks/a", None),
        ("POST", "/webhooks/a/secret", None),
        ("POST", "/webhooks/a/test", None),
        ("POST", "/webhooks/a/replay", Some("{}")),
    ] {
        let refused = running.call_with(method, path, body, &[("Authorization", &authorization)]).await;
        assert_eq!((refused.status, &*refused.code()), (403, "forbidden"), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_store_no_destination_can_be_made() {
    let running = support::start().await;
    let body = json!({ "id": "a", "url": "https://app.example.com/hook" }).to_string();
    let refused = running.call("POST", "/webhooks", Some(&body)).await;
    assert_eq!((refused.status, &*refused.code()), (501, "unsupported"));
    assert_eq!(running.get("/webhooks").await.json()["destinations"], json!([]));
    let outbox = Outbox::new(&running.engine);
    assert_eq!(outbox.rotate_secret("a").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!outbox.has_secret("a").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_for_the_peers_receivers_have_its_format() {
    let (engine, _api) = crm::crm().await;
    let running = start_with(engine, |server| server.compat(Compat::Nango)).await;
    let secret = add(&running, "backend", "https://app.example.com/hook").await;
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(running.get("/webhooks/backend").await.json()["format"], "nango");
}
