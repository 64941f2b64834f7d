//! A connection that is named with the key of an integration that it does not belong to is no connection, for every route that
//! takes both: what one integration's client may do, it does to no other's connections.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/crm.rs"]
mod crm;
mod support;

use highwater_engine::IntegrationSettings;
use serde_json::Value;
use support::{Running, start_with};

/// The names under which requests give a connection and the key of its integration.
const NAMED: [(&str, &str); 2] = [("Connection-Id", "Provider-Config-Key"), ("connection_id", "provider_config_key")];

/// The cursor before everything.
const START: &str = "00000000000000000000000000";

/// A request of an operation for the connection `main` at an integration.
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

/// The request that the document's operation makes of a connection at `integration`, if it takes both.
fn request(method: &str, path: &str, about: &Value, integration: &str, token: &str) -> Option<Request> {
    let (mut connection, mut key) = (false, false);
    let mut found =
        Request { method: method.to_ascii_uppercase(), path: path.to_owned(), headers: Vec::new(), body: None };
    let mut query = Vec::new();
    for parameter in about["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let names_connection = NAMED.iter().any(|(connection, _)| *connection == name) || name == "connection";
        let names_key = NAMED.iter().any(|(_, key)| *key == name);
        let value = match (names_connection, names_key, name) {
            (true, _, _) => "main",
            (_, true, _) => integration,
            (_, _, "model") => "Contact",
            (_, _, "sync" | "syncs" | "name") => "contacts",
            (_, _, "variant" | "id" | "path") => "v",
            // What need not be given is left out.
            _ if parameter["required"] != true => continue,
            _ => "1",
        };
        (connection, key) = (connection || names_connection, key || names_key);
        match parameter["in"].as_str().unwrap() {
            "header" => found.headers.push((name.to_owned(), value.to_owned())),
            "query" => query.push(format!("{name}={value}")),
            _ => found.path = found.path.replace(&format!("{{{name}}}"), value),
        }
    }
    if let Some(example) = about["requestBody"]["content"]["application/json"].get("example") {
        let mut body = example.clone();
        for (member, value) in [("connection_id", "main"), ("provider_config_key", integration)] {
            if let Some(given) = body.get_mut(member) {
                *given = value.into();
                (connection, key) = (connection || member == "connection_id", key || member != "connection_id");
            }
        }
        for (member, value) in
            [("sync_name", "contacts"), ("model", "Contact"), ("token", token), ("until_cursor", START)]
        {
            if let Some(given) = body.get_mut(member) {
                *given = value.into();
            }
        }
        if let Some(syncs) = body.get_mut("syncs") {
            *syncs = serde_json::json!(["contacts"]);
        }
        found.body = Some(body);
    }
    if !query.is_empty() {
        found.path = format!("{}?{}", found.path, query.join("&"));
    }
    (connection && key).then_some(found)
}

/// The answer's status and error, if it is one.
async fn send(running: &Running, request: &Request) -> (u16, String) {
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = request.body.as_ref().map(Value::to_string);
    let answer = running.call_with(&request.method, &request.path, body.as_deref(), &headers).await;
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let text = |member: &str| body["error"][member].as_str().unwrap_or_default();
    (answer.status, format!("{}: {}", text("code"), text("message")))
}

/// What the store has of the connection: its documents and its streams.
async fn kept(running: &Running) -> Vec<String> {
    let store = running.engine.store();
    let documents = store.documents("", "", 1000).await.unwrap();
    let of_it = documents.iter().filter(|found| found.key.contains("main"));
    let mut kept: Vec<String> = of_it.map(|found| format!("{} {}", found.key, found.value.as_str())).collect();
    kept.extend(store.streams().await.unwrap().iter().map(|head| format!("{head:?}")));
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_another_integration_is_none_for_every_route() {
    let (engine, _api) = crm::crm().await;
    engine.create_integration(IntegrationSettings::new("other", "crm")).await.unwrap();
    engine.sync("main", "crm/contacts").unwrap().run_once(Default::default()).await.unwrap();
    let running = start_with(engine, |server| server).await;
    let document: Value = serde_json::from_str(highwater_server::openapi()).unwrap();
    let own = [("Connection-Id", "main"), ("Provider-Config-Key", "crm")];
    let batch = running.call_with("POST", "/consumers/reader/fetch?model=Contact", Some("{}"), &own).await.json();
    let token = batch["token"].as_str().unwrap();
    let (mut tried, mut faults) = (Vec::new(), Vec::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            let Some(wrong) = request(method, path, about, "other", token) else { continue };
            let before = kept(&running).await;
            let (status, error) = send(&running, &wrong).await;
            let name = format!("{} {path}", wrong.method);
            let refused = [
                "unknown_connection",
                "at this provider_config_key",
                "one of another integration",
                "Connection not found",
            ];
            let refused = refused.iter().any(|reason| error.contains(reason));
            if !(400..500).contains(&status) || !refused {
                faults.push(format!("{name}: {status} {error}"));
            }
            assert_eq!(kept(&running).await, before, "{name} changed what is not its own");
            // The same request at its own integration is not refused for that. A stream would not end.
            if wrong.method == "GET" && path != "/stream" {
                let right = request(method, path, about, "crm", token).unwrap();
                assert_ne!(send(&running, &right).await.1, error, "{name} at its own integration");
            }
            tried.push(name);
        }
    }
    println!("{} routes: {tried:?}", tried.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(tried.len() >= 20, "{tried:?}");
}
