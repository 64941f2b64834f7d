//! `/runs`, `/logs`, `/approvals`, `/store`, `/doctor`: what ran, what is held back, and how the store is.
#![allow(clippy::disallowed_methods)]

#[allow(unused)]
mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, MemoryStore, Result};
use highwater_engine::{ConnectionSettings, Engine};
use highwater_server::Scope;
use highwater_template::async_trait::async_trait;
use highwater_template::host::LogLevel;
use highwater_template::{SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};
use support::{Answer, Running, start_with};
use tokio::io::AsyncWriteExt;

const SYNC: &str = "notes/all";

/// Saves as many notes as the number says; its run fails if that is 0.
#[derive(Debug)]
struct Notes(TemplateInfo, Arc<Mutex<usize>>);

#[async_trait]
impl Template for Notes {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let count = *self.1.lock().unwrap();
        context.log(LogLevel::Warning, format!("there are {count} notes"));
        if count == 0 {
            return Err(Error::new(ErrorKind::Remote, "the API is out of order"));
        }
        let notes = (1..=count).map(|id| Bytes::from(json!({ "id": id.to_string() }).to_string()));
        context.save("Note", notes.collect()).await?;
        context.complete("Note").await
    }
}

/// A server whose sync ran with each of these numbers of notes.
async fn after(counts: &[usize]) -> Running {
    let count = Arc::new(Mutex::new(0));
    let info = TemplateInfo::new("notes", "all", "https://notes.example").model("Note", "A note");
    let template = Arc::new(Notes(info, Arc::clone(&count)));
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap())).template(template).build().unwrap();
    engine.connect(ConnectionSettings::new("main", "notes")).await.unwrap();
    for notes in counts {
        *count.lock().unwrap() = *notes;
        let _ = engine.sync("main", SYNC).unwrap().run_once(Default::default()).await;
    }
    start_with(engine, |server| server).await
}

fn texts(answer: &Answer, list: &str, member: &str) -> Vec<String> {
    let list = answer.json()[list].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    list.iter().map(|one| one[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn runs_and_lines_are_found_by_their_filters_page_by_page() {
    let running = after(&[3, 0, 4]).await;
    let all = running.get("/runs").await;
    assert_eq!(texts(&all, "runs", "state"), ["success", "error", "success"]);
    let failed = running.get("/runs?state=error,timed_out&connection=main&sync=notes/all&provider=notes").await;
    assert_eq!(failed.json()["runs"][0]["error_kind"], "remote");
    for none in [
        "state=queued",
        "connection=other",
        "sync=notes/other",
        "provider=x",
        "type=webhook",
        "until=2001-01-01T00:00:00Z",
    ] {
        assert_eq!(running.get(&format!("/runs?{none}")).await.json()["runs"], json!([]), "{none}");
    }
    let (mut next, mut found) = (String::new(), Vec::new());
    loop {
        let page = running.get(&format!("/runs?limit=1{next}")).await;
        found.extend(texts(&page, "runs", "id"));
        match page.json()["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(found, texts(&all, "runs", "id"));
    let one = running.get(&format!("/runs/{}", found[1])).await;
    let mut with_trace = failed.json()["runs"][0].clone();
    // It failed before it sent anything.
    with_trace["phases"] = json!([]);
    with_trace["requests"] = json!([]);
    with_trace["sent"] = json!(0);
    assert_eq!(one.json(), with_trace);
    let lines = running.get(&format!("/runs/{}/lines?level=warning&text=0%20NOTES", found[1])).await;
    assert_eq!(texts(&lines, "lines", "message"), ["there are 0 notes"]);
    let logs = running.get("/logs?text=notes&level=warning&limit=2").await;
    assert_eq!(texts(&logs, "lines", "message"), ["there are 4 notes", "there are 0 notes"]);
    let rest =
        running.get(&format!("/logs?text=notes&level=warning&after={}", logs.json()["next"].as_str().unwrap())).await;
    assert_eq!(texts(&rest, "lines", "message"), ["there are 3 notes"]);
    // Every line of a run, one at a time.
    let path = format!("/runs/{}/lines?limit=1", found[0]);
    let (whole, mut next, mut single) =
        (running.get(&format!("/runs/{}/lines", found[0])).await, String::new(), Vec::new());
    loop {
        let page = running.get(&format!("{path}{next}")).await;
        single.extend(texts(&page, "lines", "message"));
        match page.json()["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(single, texts(&whole, "lines", "message"));
}

#[tokio::test]
async fn wrong_filters_are_refused_by_their_name() {
    let running = after(&[]).await;
    for (path, status, code, name) in [
        ("/runs?state=lost", 400, "invalid_query_params", Some("state")),
        ("/runs?type=", 400, "invalid_query_params", Some("type")),
        ("/runs?limit=0", 400, "invalid_query_params", Some("limit")),
        ("/runs?limit=1001", 400, "invalid_query_params", Some("limit")),
        ("/runs?since=yesterday", 400, "invalid_query_params", Some("since")),
        ("/runs?after=x", 400, "invalid_query_params", Some("after")),
        ("/runs?level=error", 400, "invalid_query_params", Some("level")),
        ("/runs?until=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", 400, "invalid_query_params", Some("until")),
        ("/logs?after=01ARZ3NDEKTSV4RRFFQ69G5FAV", 400, "invalid_query_params", Some("after")),
        ("/logs?level=loud", 400, "invalid_query_params", Some("level")),
        ("/runs/x", 404, "not_found", None),
        ("/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "not_found", None),
        ("/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/lines", 404, "not_found", None),
        ("/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/lines?after=-1", 400, "invalid_query_params", Some("after")),
        ("/approvals?state=success", 400, "invalid_query_params", Some("state")),
    ] {
        let answer = running.get(path).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{path}");
        if let Some(name) = name {
            assert_eq!(answer.fault().0, name, "{path}");
        }
    }
}

#[tokio::test]
async fn held_deletes_are_listed_and_decided_once() {
    for (decision, state, left) in [("approve", "success", 1), ("reject", "cancelled", 30)] {
        let running = after(&[30, 1]).await;
        let waiting = running.get("/approvals").await.json();
        let held = &waiting["runs"][0]["held"][0];
        assert_eq!(
            (&held["model"], &held["deletes"], &held["live"]),
            (&json!("Note"), &json!(29), &json!(30)),
            "{waiting}"
        );
        let path = format!("/approvals/{}/{decision}", waiting["runs"][0]["id"].as_str().unwrap());
        let reader = running.server.keys().create("reader", Scope::Read).await.unwrap();
        let authorization = format!("Bearer {}", reader.secret.expose());
        let refused = running.call_with("POST", &path, None, &[("Authorization", &authorization)]).await;
        assert_eq!((refused.status, &*refused.code()), (403, "forbidden"));
        let decided = running.call("POST", &path, None).await;
        assert_eq!((decided.status, decided.json()["state"].clone()), (200, json!(state)));
        let again = running.call("POST", &path, None).await;
        assert_eq!((again.status, &*again.code()), (409, "not_awaiting_approval"));
        assert_eq!(running.get("/approvals").await.json()["runs"], json!([]));
        let sizes = running.get("/store").await.json();
        assert_eq!(sizes["streams"][0]["live"], json!(left), "{sizes}");
    }
}

#[tokio::test]
async fn the_doctor_finds_what_the_command_finds_and_compacting_says_how_far_it_came() {
    let running = after(&[3]).await;
    let found = running.get("/doctor").await.json();
    assert_eq!(found["sound"], json!(true), "{found}");
    let kinds: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"verification") && kinds.contains(&"clock"), "{found}");
    let compacted = running.call("POST", "/store/compact", None).await.json();
    assert!(["complete", "held", "automatic"].contains(&compacted["compaction"].as_str().unwrap()), "{compacted}");
    let writer = running.server.keys().create("writer", Scope::Write).await.unwrap();
    let authorization = format!("Bearer {}", writer.secret.expose());
    for (method, path) in [("GET", "/doctor"), ("GET", "/store"), ("POST", "/store/compact")] {
        let refused = running.call_with(method, path, None, &[("Authorization", &authorization)]).await;
        assert_eq!((refused.status, &*refused.code()), (403, "forbidden"), "{path}");
    }
}

#[tokio::test]
async fn runs_are_followed_as_they_happen() {
    let running = after(&[3]).await;
    let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "GET /runs/events?connection=main&sync=notes/all HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        running.address, running.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The answer has begun, so that the events from here on arrive.
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("retry:") {
        assert!(tokio::io::AsyncReadExt::read_buf(&mut stream, &mut read).await.unwrap() > 0);
    }
    let _ = running.engine.sync("main", SYNC).unwrap().run_once(Default::default()).await;
    while !String::from_utf8_lossy(&read).contains("\"state\":\"success\"") {
        assert!(tokio::io::AsyncReadExt::read_buf(&mut stream, &mut read).await.unwrap() > 0);
    }
    // The stream ends with the server.
    running.server.stop();
    let answer = support::parse(&[read, support::read_to_end(&mut stream).await].concat());
    let events: Vec<Value> = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert!(events.iter().any(|event| event["message"] == "there are 3 notes"), "{events:?}");
    assert_eq!(events.last().unwrap()["state"], "success", "{events:?}");
}
