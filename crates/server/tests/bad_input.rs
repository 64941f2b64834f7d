//! Every parameter of every route, as the OpenAPI document lists them: missing, empty, of a wrong type, too long, twice, unknown; and
//! bodies that are cut off, deep, huge or of another type. Each is refused with an error of the one form, and none fails the server.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "bad_input/cases.rs"]
mod cases;
#[path = "support/crm.rs"]
mod crm;
mod support;

use std::collections::BTreeMap;

use cases::{Case, Request, operations};
use highwater_server::Limits;
use serde_json::Value;
use support::{Answer, Running, parse, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers to requests that are wrong in one place, although each parameter alone may be accepted.
fn is_refused(answer: &Answer, case: &Case) -> Result<(), String> {
    if !(400..500).contains(&answer.status) {
        return Err(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    let error: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
    let (code, message) = (&error["error"]["code"], &error["error"]["message"]);
    if answer.header("content-type") != Some("application/json") {
        return Err(format!("content type {:?}", answer.header("content-type")));
    }
    if !(code.is_string() && message.as_str().is_some_and(|message| message.len() > 15 && message.len() < 1000)) {
        return Err(format!("not the form of errors: {error}"));
    }
    // What is refused before anything is looked up has one code.
    if case.codes.is_empty() || case.codes.iter().any(|expected| code == expected) {
        Ok(())
    } else {
        Err(format!("{code} is none of {:?}: {message}", case.codes))
    }
}

async fn send(running: &Running, request: &Request) -> Answer {
    let mut head =
        format!("{} {} HTTP/1.1\r\nConnection: close\r\nHost: {}\r\n", request.method, request.path, running.address);
    head.push_str(&format!("Authorization: Bearer {}\r\n", running.key));
    let mut bytes = head.into_bytes();
    for (name, value) in &request.headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    if let Some(body) = &request.body {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
    } else {
        bytes.extend_from_slice(b"\r\n");
    }
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // Of a request that is refused before it was read whole, the rest may not be taken.
    let _ = stream.write_all(&bytes).await;
    let mut read = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => read.extend_from_slice(&buffer[..count]),
            // The end, or a reset behind the answer.
            _ => break,
        }
        // One that was accepted has no end.
        if String::from_utf8_lossy(&read).contains("text/event-stream") {
            return Answer { status: 200, headers: Vec::new(), body: b"a stream".to_vec() };
        }
    }
    parse(&read)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_of_every_route_is_refused_where_it_is_wrong() {
    let (engine, _api) = crm::crm().await;
    // What is larger than a body may be is not sent whole.
    let running = start_with(engine, |server| server.limits(Limits::default().body_bytes(64 << 10))).await;
    let document: Value = serde_json::from_str(highwater_server::openapi()).unwrap();
    let (mut counts, mut faults) = (BTreeMap::<&str, usize>::new(), Vec::new());
    let operations = operations(&document);
    assert!(operations.len() > 70, "{}", operations.len());
    for operation in &operations {
        for case in operation.cases() {
            *counts.entry(case.kind).or_default() += 1;
            let answer = send(&running, &case.request).await;
            if let Err(why) = is_refused(&answer, &case) {
                faults.push(format!("{} {}: {} {}: {why}", operation.method, operation.path, case.kind, case.what));
            }
        }
    }
    let every =
        ["missing", "empty", "wrong type", "too long", "twice", "unknown", "cut off", "deep", "huge", "other type"];
    assert!(every.iter().all(|kind| counts.contains_key(kind)), "{counts:?}");
    println!("{} routes: {counts:?}", operations.len());
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), counts.values().sum::<usize>(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_never_taken_for_an_object() {
    let (engine, _api) = crm::crm().await;
    let running = start_with(engine, |server| server).await;
    let document: Value = serde_json::from_str(highwater_server::openapi()).unwrap();
    let (mut count, mut faults) = (0, Vec::new());
    for operation in &operations(&document) {
        for request in operation.arrays_for_objects() {
            count += 1;
            let answer = send(&running, &request).await;
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            if answer.status != 400 || said["error"]["code"] != "invalid_body" {
                let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
                faults.push(format!("{} {} {body}: {} {said}", operation.method, operation.path, answer.status));
            }
        }
    }
    println!("{count} bodies");
    assert!(count > 100, "{count}");
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
}
