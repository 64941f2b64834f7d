//! `/consumers`: fetch, acknowledge, and what happens to a batch that failed.

#![allow(clippy::disallowed_methods)]

mod support;

use highwater_server::Scope;
use serde_json::{Value, json};
use support::{Running, save, start};

async fn post(running: &Running, what: &str, body: &Value) -> support::Answer {
    running.call("POST", &format!("/consumers/index/{what}?model=A"), Some(&body.to_string())).await
}

fn ids(page: &Value) -> Vec<&str> {
    page["records"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_consumer_fetches_acknowledges_fails_and_continues_where_it_was() {
    let running = start().await;
    save(&running.engine, "A", (0..5).map(|id| format!(r#"{{"id":{id}}}"#))).await;
    let first = post(&running, "fetch", &json!({ "limit": 3 })).await.json();
    assert_eq!((ids(&first), &first["attempt"]), (vec!["0", "1", "2"], &json!(1)));
    let held = post(&running, "fetch", &json!({})).await;
    assert_eq!((held.status, held.code().as_str()), (409, "lease_lost"));
    assert!(held.header("retry-after").is_some());
    let token = json!({ "token": first["token"] });
    for what in ["renew", "ack"] {
        assert_eq!(post(&running, what, &token).await.json(), json!({ "success": true }), "{what}");
    }
    let second = post(&running, "fetch", &json!({ "lease_ms": 60_000 })).await.json();
    assert_eq!((ids(&second), &second["next_cursor"]), (vec!["3", "4"], &Value::Null));
    let token = json!({ "token": second["token"] });
    assert_eq!(post(&running, "nack", &token).await.status, 200);
    let backing_off = post(&running, "fetch", &json!({})).await;
    assert_eq!((backing_off.status, backing_off.code().as_str()), (429, "backing_off"));
    let status = running.get("/consumers/index?model=A").await.json();
    assert_eq!((&status["lag"], &status["leased"]), (&json!(2), &json!(false)));
    assert!(status["backoff_ms"].as_u64().is_some());
    let listed = running.get("/consumers/?model=A").await.json();
    assert_eq!(listed["consumers"][0]["name"], "index");
    assert_eq!(post(&running, "seek", &json!({ "to": first["resume_cursor"] })).await.status, 200);
    let third = post(&running, "fetch", &json!({})).await.json();
    assert_eq!(ids(&third)[0], "3");
    for to in ["start", "end", "2026-11-30T12:00:00Z"] {
        assert_eq!(post(&running, "seek", &json!({ "to": to })).await.status, 200, "{to}");
    }
    let late = post(&running, "ack", &json!({ "token": second["token"] })).await;
    assert_eq!((late.status, late.code().as_str()), (409, "lease_lost"));
    assert_eq!(post(&running, "unpark", &json!({})).await.json(), json!({ "unparked": [] }));
    assert_eq!(running.call("DELETE", "/consumers/index?model=A", None).await.status, 200);
    assert_eq!(running.get("/consumers/index?model=A").await.code(), "not_found");
    assert_eq!(running.get("/consumers?model=A").await.json(), json!({ "consumers": [] }));
}

#[tokio::test]
async fn each_wrong_parameter_of_a_consumers_route_is_refused() {
    let running = start().await;
    save(&running.engine, "A", [r#"{"id":1}"#.to_owned()]).await;
    save(&running.engine, "B", [r#"{"id":1}"#.to_owned()]).await;
    let foreign = running.call("POST", "/consumers/index/fetch?model=B", Some("{}")).await.json()["token"].clone();
    post(&running, "fetch", &json!({})).await;
    let long = "x".repeat(256);
    for (what, body, status, code) in [
        ("fetch", json!({ "limit": 0 }), 400, "invalid_body"),
        ("fetch", json!({ "limit": 10_001 }), 400, "invalid_body"),
        ("fetch", json!({ "limit": "5" }), 400, "invalid_body"),
        ("fetch", json!({ "lease_ms": 3_600_001 }), 400, "invalid_body"),
        ("fetch", json!({ "wait": 1 }), 400, "invalid_body"),
        ("ack", json!({}), 400, "invalid_body"),
        ("ack", json!({ "token": "" }), 400, "invalid_body"),
        ("ack", json!({ "token": "1-2-3" }), 400, "invalid_body"),
        ("ack", json!({ "token": "1--01" }), 400, "invalid_body"),
        ("nack", json!({ "token": long }), 400, "invalid_body"),
        ("ack", json!({ "token": foreign }), 400, "invalid_cursor"),
        ("seek", json!({ "to": "middle" }), 400, "invalid_body"),
        ("seek", json!({ "to": 1 }), 400, "invalid_body"),
        ("seek", json!({}), 400, "invalid_body"),
    ] {
        let answer = post(&running, what, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what} {body}");
    }
    for (method, path, code) in [
        ("GET", "/consumers".to_owned(), "invalid_query_params"),
        ("GET", "/consumers?model=A&limit=1".to_owned(), "invalid_query_params"),
        ("GET", "/consumers/index".to_owned(), "invalid_query_params"),
        ("GET", format!("/consumers/{long}?model=A"), "invalid_uri_params"),
        ("GET", "/consumers/a%00b?model=A".to_owned(), "invalid_uri_params"),
        ("GET", "/consumers/%ff?model=A".to_owned(), "invalid_uri_params"),
        ("GET", "/consumers/nobody?model=A".to_owned(), "not_found"),
        ("DELETE", "/consumers/nobody?model=A".to_owned(), "not_found"),
    ] {
        assert_eq!(running.call(method, &path, None).await.code(), code, "{method} {path}");
    }
    let reader = running.server.keys().create("reader", Scope::Read).await.unwrap();
    let bearer = [("Authorization", &*format!("Bearer {}", reader.secret.expose()))];
    let body = Some(r#"{"to":"start"}"#);
    let refused = running.call_with("POST", "/consumers/index/seek?model=A", body, &bearer).await;
    assert_eq!(refused.code(), "forbidden");
}
