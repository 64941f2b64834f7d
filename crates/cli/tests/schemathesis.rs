//! schemathesis against a running `highwater serve --demo`: it reads `/openapi.json`, sends what fits the document and what does not,
//! and compares every answer with it. Each operation must have succeeded at least once.
//!
//! `HIGHWATER_TEST_SCHEMATHESIS` says for how many seconds; without it nothing runs. It needs PyPI.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)]

#[path = "../../server/tests/api/python.rs"]
mod python;
mod support;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use support::served::Served;
use support::{GitHub, Mood, text, until};

const PACKAGE: &str = "schemathesis==4.32.5";

/// What the document cannot say. Each has its reason, and everything else is checked.
///
/// * Names of things that there are not: the peer's clients get 400 for a connection that is unknown, and names of models, cursors
///   and ids depend on what is stored, so that a request that fits the schema may be refused.
/// * An action answers 502 if the API fails, or answers what is not HTTP, as the demo's does to some inputs that are made up.
/// * Bodies of `/proxy` are those of the provider; it is checked for failures of the server alone.
/// * `GET /records` waits for as long as it is asked to, five minutes if need be: here for a second.
const SETTINGS: &str = r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "410", "424", "429", "501", "502"]

[[operations]]
include-path-regex = "^/proxy"
enabled = false

[[operations]]
include-path = "/action/trigger"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502"]

[[operations]]
include-path = "/records"
parameters = { "query.wait" = "1s" }
"#;

/// Operations that are not to succeed here.
const NEVER: [(&str, &str, &str); 9] = [
    ("POST", "/webhook/{key}", "it needs the signature of a provider: the server's own tests have some"),
    ("POST", "/webhook/{key}/{connection}", "it needs the signature of a provider"),
    ("POST", "/integrations/quickstart", "it is about the peer's own applications, and always refused"),
    ("DELETE", "/integrations/{key}/functions/{name}", "templates are part of the program"),
    ("GET", "/integrations/{key}/functions/{name}/code", "they have no code to show"),
    (
        "DELETE",
        "/webhooks/{id}/dead/{delivery}",
        "a delivery is dead after three days: the server's own tests have some",
    ),
    (
        "POST",
        "/consumers/{name}/renew",
        "it needs the token of a batch that nobody acknowledged or fetched anew: the server's own tests have some",
    ),
    ("GET", "/stream", "it has no end"),
    ("GET", "/runs/events", "it has no end"),
];

/// Connections whose runs hold deletes back.
const HELD: usize = 8;

/// Connects accounts whose API then has nothing any more: their deletes wait for somebody.
fn hold_deletes(served: &Served, github: &GitHub) {
    let each = || (0..HELD).map(|number| format!("held-{number}"));
    for id in each() {
        let credentials = json!({ "type": "API_KEY", "apiKey": "good" });
        let body = json!({ "provider_config_key": "held", "connection_id": id, "credentials": credentials });
        let made = served.call("POST", "/connections", &body.to_string());
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let count = |id: &str| {
        let path = format!("/sync/status?syncs=*&provider_config_key=held&connection_id={id}");
        served.call("GET", &path, "").json()["syncs"][0]["recordCount"]["Issue"].as_u64()
    };
    until(|| each().all(|id| count(&id) == Some(200)));
    github.set_issues(0);
    for id in each() {
        let body =
            json!({ "provider_config_key": "held", "connection_id": id, "syncs": [], "opts": { "reset": true } });
        assert_eq!(served.call("POST", "/sync/trigger", &body.to_string()).status, 200);
    }
    until(|| served.call("GET", "/approvals", "").json()["runs"].as_array().is_some_and(|runs| runs.len() == HELD));
}

/// The operations of a document that no exchange was a success of, each with how often it had which status.
fn without_success(document: &Value, entries: &[Value]) -> Vec<String> {
    let mut met: BTreeMap<(String, String), BTreeMap<u64, usize>> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            met.insert((method.to_ascii_uppercase(), path.clone()), BTreeMap::new());
        }
    }
    for entry in entries {
        let (method, url) = (entry["request"]["method"].as_str().unwrap(), entry["request"]["url"].as_str().unwrap());
        let path = url.splitn(4, '/').nth(3).unwrap_or_default().split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let fits = |template: &str| {
            let known: Vec<&str> = template.trim_start_matches('/').split('/').collect();
            known.len() == parts.len()
                && known.iter().zip(&parts).all(|(known, part)| known == part || known.starts_with('{'))
        };
        let found = met.iter_mut().filter(|((known, template), _)| known == method && fits(template));
        let Some((_, counts)) = found.min_by_key(|((_, template), _)| template.matches('{').count()) else { continue };
        *counts.entry(entry["response"]["status"].as_u64().unwrap_or(0)).or_default() += 1;
    }
    let excepted = |method: &str, path: &str| {
        path.starts_with("/proxy")
            || path == "/openapi.json"
            || NEVER.iter().any(|(m, p, _)| *m == method && *p == path)
    };
    met.into_iter()
        .filter(|((method, path), counts)| {
            !excepted(method, path) && !counts.keys().any(|status| (200..300).contains(status))
        })
        .map(|((method, path), counts)| format!("{method} {path}: {counts:?}"))
        .collect()
}

#[test]
fn no_answer_is_a_failure_or_other_than_the_document_says_and_every_operation_succeeds() {
    let Ok(seconds) = std::env::var("HIGHWATER_TEST_SCHEMATHESIS") else {
        println!("skipped: HIGHWATER_TEST_SCHEMATHESIS is not set");
        return;
    };
    let Some(python) = python::with(PACKAGE) else { return };
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let github = GitHub::start(200, Mood::Well);
    let config = ["--config", "owner=o,repo=r", "--base-url", &github.url, "--db", "app.db"];
    text(here, &[&["integrations", "create", "held", "github"], &config[..]].concat());
    text(here, &["integrations", "enable", "held", "issues", "--db", "app.db"]);
    let served = Served::demo(here);
    hold_deletes(&served, &github);
    let document = served.call("GET", "/openapi.json", "").json();
    std::fs::write(here.join("schemathesis.toml"), SETTINGS).unwrap();
    let seed = std::env::var("HIGHWATER_TEST_SEED").unwrap_or_else(|_| std::process::id().to_string());
    println!("seed {seed}");
    let half = seconds.parse::<u64>().unwrap().div_ceil(2).to_string();
    let (mut sound, mut entries) = (true, Vec::new());
    // The second half follows the links from answer to request.
    for phases in ["examples,coverage,fuzzing", "stateful"] {
        let status = Command::new(python.join("schemathesis"))
            .current_dir(here)
            .args(["--config-file", "schemathesis.toml", "run", &format!("{}/openapi.json", served.url)])
            .args(["--url", &served.url, "--header", &format!("Authorization: Bearer {}", served.key)])
            .args([
                "--phases",
                phases,
                "--checks",
                "all",
                "--continue-on-failure",
                "--max-time",
                &half,
                "--seed",
                &seed,
            ])
            // It takes a request whose names are made up in its body for one about what was just made: a destination has no dead letter of
            // any id, and a connection is at one integration. The client's test and the server's read what they make.
            .args(["--exclude-checks", "ensure_resource_availability"])
            // An event stream has no end, and a request may wait on purpose.
            .args(["--exclude-path", "/stream", "--exclude-path", "/runs/events", "--request-timeout", "60"])
            .args([
                "--suppress-health-check",
                "all",
                "--no-color",
                "--report",
                "har",
                "--report-har-path",
                "report.har",
            ])
            .status()
            .unwrap();
        sound &= status.success();
        let mut report: Value = serde_json::from_reader(std::fs::File::open(here.join("report.har")).unwrap()).unwrap();
        entries.append(report["log"]["entries"].as_array_mut().unwrap());
    }
    println!("{} requests", entries.len());
    let never = without_success(&document, &entries);
    println!("{} operations never succeeded:\n{}", never.len(), never.join("\n"));
    assert!(sound, "schemathesis found something: see above");
    assert!(never.is_empty(), "operations never succeeded: see above");
}
