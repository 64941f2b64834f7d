//! `GET /metrics`: what it has, that Prometheus' own parser reads it, and that no name from outside makes it large.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "api/python.rs"]
mod python;
mod support;

use highwater_core::{StreamKey, WriteBatch};
use highwater_server::Scope;
use support::{save, start};

/// Reads every sample with Prometheus' own parser, and prints each as JSON.
const PARSE: &str = "import json, sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1], encoding='utf-8', newline='').read()):
    assert family.documentation and family.type in ('counter', 'gauge', 'histogram'), family
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_of_a_store_with_hostile_names() {
    let running = start().await;
    save(&running.engine, "Contact", (0..3).map(|id| format!(r#"{{"id":{id}}}"#))).await;
    let hostile = "a\"b\\c\nd{}=,# é";
    save(&running.engine, hostile, [r#"{"id":1}"#.to_owned()]).await;
    let call = |method: &'static str, path: &'static str| running.call(method, path, None);
    assert_eq!(call("GET", "/records?model=Contact").await.status, 200);
    assert_eq!(call("GET", "/records?model=Contact&limit=x").await.status, 400);
    let fetched = running.call("POST", "/consumers/backend/fetch?model=Contact", Some("{}")).await;
    assert_eq!(fetched.status, 200, "{}", fetched.text());
    let answer = call("GET", "/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let text = answer.text();
    for line in [
        "highwater_records{model=\"Contact\"} 3",
        "highwater_records{model=\"a\\\"b\\\\c\\nd{}=,# é\"} 1",
        "highwater_http_requests_total{method=\"GET\",route=\"/records\",status=\"200\"} 1",
        "highwater_http_requests_total{method=\"GET\",route=\"/records\",status=\"400\"} 1",
        "highwater_http_request_duration_seconds_count{method=\"GET\",route=\"/records\"} 2",
        "highwater_http_request_duration_seconds_bucket{method=\"GET\",route=\"/records\",le=\"+Inf\"} 2",
        "highwater_record_changes_total{action=\"added\"} 0",
        "highwater_consumer_lag_records{consumer=\"backend\",model=\"Contact\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics.txt");
    std::fs::write(&file, text).unwrap();
    let Some(python) = python::with("prometheus-client==0.22.1") else { return };
    let output = std::process::Command::new(python.join("python3")).args(["-c", PARSE]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples = String::from_utf8(output.stdout).unwrap();
    let expected = serde_json::json!(["highwater_records", { "model": hostile }, 1]);
    let found = samples.lines().any(|line| serde_json::from_str::<serde_json::Value>(line).unwrap() == expected);
    assert!(found, "{expected} is missing in\n{samples}");
    assert_eq!(samples.lines().count(), text.lines().filter(|line| !line.starts_with('#')).count());
}

#[tokio::test]
async fn thousands_of_models_and_connections_make_no_more_lines() {
    let running = start().await;
    let lines = async || running.call("GET", "/metrics", None).await.text().lines().count();
    let before = lines().await;
    let mut batch = WriteBatch::new();
    for number in 0..3000 {
        batch.on(&StreamKey::new(format!("connection-{number}"), format!("Model{number}"))).upsert(r#"{"id":1}"#);
    }
    running.engine.store().commit(batch).await.unwrap();
    let after = lines().await;
    assert!(after < before + 500, "{before} lines became {after}");
    let text = running.call("GET", "/metrics", None).await.text().to_owned();
    assert!(text.contains("highwater_records{model=\"other\"} 2900"), "{text}");
    assert!(!text.contains("connection-"), "no label names a connection");
}

#[tokio::test]
async fn metrics_need_a_key() {
    let running = start().await;
    let answer = running.call_with("GET", "/metrics", None, &[("Authorization", "")]).await;
    assert_eq!(answer.status, 401);
    let key = running.server.keys().create("prometheus", Scope::Read).await.unwrap();
    let bearer = format!("Bearer {}", key.secret.expose());
    let answer = running.call_with("GET", "/metrics", None, &[("Authorization", &bearer)]).await;
    assert_eq!(answer.status, 200);
}
