//! Connect sessions from a host's own page: the page in a frame, sign-ins without a window, and how a session ended.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/crm.rs"]
mod crm;
mod support;

use crm::crm;
use serde_json::{Value, json};
use support::{Answer, Running, start_mounted, start_with};

const HOST: &str = "https://app.example.com";

async fn session(running: &Running, body: Value) -> String {
    let made = running.call("POST", "/connect/sessions", Some(&body.to_string())).await;
    made.json()["data"]["token"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

/// What a page of the host sends, without a key.
async fn send(running: &Running, method: &str, path: &str, body: Option<&str>) -> Answer {
    let none = [("Authorization", ""), ("Connection-Id", ""), ("Provider-Config-Key", ""), ("Origin", HOST)];
    running.call_with(method, path, body, &none).await
}

async fn outcome(running: &Running, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    running.call_with("GET", "/connect/outcome", None, &[("Authorization", &bearer)]).await
}

#[tokio::test]
async fn only_listed_origins_may_frame_the_page_and_no_other_page_may_be_framed() {
    let (engine, _api) = crm().await;
    let running = start_with(engine.clone(), |server| server.origin(HOST)).await;
    let framed = running.call("GET", "/connect/?apiURL=http://x&lang=en&theme=dark", None).await;
    let policy = framed.header("content-security-policy").unwrap();
    assert!(policy.ends_with("frame-ancestors 'self' https://app.example.com"), "{policy}");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert!(!framed.text().contains("http://x"), "what the address says is not repeated");
    for path in ["/dashboard/sign-in", "/connect?session_token=x"] {
        let answer = running.call("GET", path, None).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.ends_with("frame-ancestors 'none'"), "{path}: {policy}");
    }
    let running = start_mounted(engine, "/sync").await;
    let framed = running.call("GET", "/sync/connect/", None).await;
    assert!(framed.header("content-security-policy").unwrap().ends_with("frame-ancestors 'self'"), "{framed:?}");
    assert!(framed.text().contains(r#"src="/sync/dashboard/connect.js""#), "{framed:?}");
}

#[tokio::test]
async fn a_key_of_an_account_is_sent_without_a_window_and_the_outcome_is_told() {
    let (engine, _api) = crm().await;
    let running = start_with(engine.clone(), |server| server.origin(HOST)).await;
    let token = session(&running, json!({ "end_user": { "id": "u-7" }, "allowed_integrations": ["crm"] })).await;
    let at = |path: &str| format!("{path}?connect_session_token={token}&connection_id=chosen-by-the-page");
    assert_eq!(outcome(&running, &token).await.json(), json!({ "data": { "state": "open" } }));
    for (path, body, status) in [
        ("/api-auth/api-key/crm", "{}", 400),
        ("/api-auth/api-key/crm", "[1]", 400),
        ("/api-auth/api-key/crm", "{", 400),
        ("/api-auth/api-key/other", r#"{"apiKey":"k"}"#, 404),
        ("/api-auth/basic/crm", r#"{"username":"a","password":"b"}"#, 400),
        ("/auth/unauthenticated/crm", "{}", 400),
    ] {
        let answer = send(&running, "POST", &at(path), Some(body)).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        answer.code();
    }
    let made = send(&running, "POST", &at("/api-auth/api-key/crm"), Some(r#"{"apiKey":"the-users-own-key"}"#)).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.header("access-control-allow-origin"), Some(HOST));
    let id = made.json()["connectionId"].as_str().unwrap().to_owned();
    assert_eq!(made.json(), json!({ "providerConfigKey": "crm", "connectionId": id }));
    assert_ne!(id, "chosen-by-the-page");
    assert_eq!(engine.connection(&id).await.unwrap().end_user.unwrap().id, "u-7");
    let told = outcome(&running, &token).await;
    assert_eq!(
        told.json(),
        json!({ "data": { "state": "connected", "connection_id": id, "provider_config_key": "crm" } })
    );
    assert!(!told.text().contains("the-users-own-key") && !made.text().contains("the-users-own-key"));
    // The session is over.
    let again = send(&running, "POST", &at("/api-auth/api-key/crm"), Some(r#"{"apiKey":"k"}"#)).await;
    assert_eq!((again.status, again.code().as_str()), (401, "invalid_connect_session_token"));
    for unknown in ["hwcs_0", ""] {
        assert_eq!(outcome(&running, unknown).await.status, 401, "{unknown}");
    }
    let ended = session(&running, json!({})).await;
    let bearer = format!("Bearer {ended}");
    assert_eq!(running.call_with("DELETE", "/connect/session", None, &[("Authorization", &bearer)]).await.status, 204);
    assert_eq!(outcome(&running, &ended).await.status, 401, "what was ended has no outcome");
}
