//! What `--json` prints is what `docs/json.md` says: every line is an object of a `type` that is on the page, with the members of
//! that type, in one letter case.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use highwater::engine::SyncOptions;
use highwater::engine::webhooks::{Destination, Outbox};
use highwater::vault::{KeyFile, Vault};
use highwater::{Engine, SqliteStore, Store, StoreExt, StreamKey, WriteBatch};
use serde_json::Value;
use support::{GitHub, Mood, run, sync};

/// Members whose own members are names that somebody else chose: models, settings, headers, records, schemas.
const CHOSEN_BY_OTHERS: [&str; 13] = [
    "payload",
    "schema",
    "models",
    "latest",
    "records",
    "set_aside",
    "incomplete",
    "missing",
    "body",
    "config",
    "tags",
    "metadata",
    "missing_settings",
];

/// What only a rotation of keys that was cut short prints (`tests/opening.rs`), and what a sign-in does (`tests/accounts.rs`).
const ELSEWHERE: [&str; 5] = ["codec", "sign_in", "connected", "serving", "key_revoked"];

/// Types whose `stream` is the name of a manifest's.
const OF_A_MANIFEST: [&str; 2] = ["manifest_stream", "replay"];

/// The code spans of a cell, those in parentheses left out.
fn spans(cell: &str) -> BTreeSet<String> {
    let mut depth = 0;
    let outside: String = cell
        .chars()
        .filter(|c| {
            depth += i32::from(*c == '(');
            let is_outside = depth == 0;
            depth -= i32::from(*c == ')');
            is_outside
        })
        .collect();
    outside
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| !span.starts_with(char::is_uppercase))
        .map(str::to_owned)
        .collect()
}

/// The members of each name in the first column of the page's tables.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../../docs/json.md");
    let mut forms = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `type` ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let members = spans(cells.last().unwrap());
        for name in cells[0].split('`').skip(1).step_by(2) {
            forms.insert(name.to_owned(), members.clone());
        }
    }
    for (kind, form) in [("sync", "SyncState"), ("sync_settings", "SyncSettings"), ("run", "RunReport")] {
        let members = forms[form].clone();
        forms.insert(kind.to_owned(), members);
    }
    forms
}

/// A store with a sync that ran, failed and was enabled, consumers, a reader of a stream that nobody writes, a webhook, a
/// vault, and credentials that could not be removed.
fn furnish(here: &Path, server: &GitHub) {
    assert!(sync(here, server, &[]).status.success());
    assert!(run(here, &["tail", "Issue", "--db", "app.db", "--once"]).status.success());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(SqliteStore::open(here.join("app.db")).unwrap());
        let mut batch = WriteBatch::new();
        let idle = StreamKey::new("github-o-r", "Isue");
        batch.on(&idle).upsert(r#"{"id": "a"}"#);
        let error = serde_json::json!({"kind": "permission_denied", "message": "the keychain is locked"});
        batch.put_document("removal/gone", &serde_json::json!({"tries": 1, "error": error})).unwrap();
        store.commit(batch).await.unwrap();
        store.consumer(&idle, "mail").poll().await.unwrap();
        let engine =
            Engine::builder(std::sync::Arc::clone(&store)).templates(highwater::templates::all()).build().unwrap();
        engine.sync("github-o-r", "github/issues").unwrap().enable(SyncOptions::default()).await.unwrap();
        let destination = Destination::new("crm", "https://crm.example/hook");
        Outbox::new(&engine).add(destination).await.unwrap();
        let key = std::sync::Arc::new(KeyFile::new(here.join("app.db.key")));
        Vault::open(std::sync::Arc::clone(&store), key).await.unwrap();
        store.close().await.unwrap();
    });
    assert!(sync(here, server, &["--full"]).status.success());
    server.set_issues(8);
    server.set_mood(Mood::NamelessOn(server.requests() + 1));
    assert!(sync(here, server, &[]).status.success(), "with a line in the log");
    server.set_mood(Mood::Well);
}

#[test]
fn every_line_is_of_a_documented_type_with_its_members_in_one_case() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(7, Mood::Well);
    furnish(here, &server);
    let stream = "{name: s, retriever: {requester: {url_base: 'https://x.example', path: /x}, record_selector: {extractor: {field_path: []}}}}";
    std::fs::write(here.join("manifest.yaml"), format!("definitions: {{idle: {{}}}}\nstreams:\n  - {stream}\n"))
        .unwrap();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../declarative/tests/reference");
    let (connectors, cassettes) = (reference.join("connectors"), reference.join("cassettes"));
    let (connectors, cassettes) = (connectors.to_str().unwrap(), cassettes.to_str().unwrap());
    let url = server.url.as_str();
    let runs = run(here, &["runs", "--db", "app.db", "--json"]);
    let newest: Value = serde_json::from_slice(runs.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let newest = newest["id"].as_str().unwrap();
    let commands: &[&[&str]] = &[
        &["sync", "github", "issues", "--config", "owner=o,repo=r", "--base-url", url, "--db", "app.db"],
        &["dryrun", "github/issues", "--config", "owner=o,repo=r", "--base-url", url],
        &["records", "Issue", "--db", "app.db"],
        &["get", "Issue", "1001", "--db", "app.db"],
        &["tail", "Issue", "--from", "start", "--once", "--db", "app.db"],
        &["status", "--db", "app.db"],
        &["doctor", "--db", "app.db"],
        &["consumers", "--db", "app.db"],
        &["consumers", "show", "tail", "--db", "app.db"],
        &["consumers", "seek", "tail", "start", "--db", "app.db"],
        &["consumers", "unpark", "tail", "--db", "app.db"],
        &["runs", "--db", "app.db"],
        &["runs", "show", newest, "--db", "app.db"],
        &["backup", "copy.db", "--db", "app.db"],
        &["logs", "--db", "app.db"],
        &["webhooks", "--db", "app.db"],
        &["webhooks", "waiting", "crm", "--db", "app.db"],
        &["webhooks", "replay", "crm", "--db", "app.db"],
        &["sql-view", "github", "Issue", "--db", "app.db"],
        &["enable", "github-o-r", "github/issues", "--every", "5m", "--db", "app.db"],
        &["trigger", "github-o-r", "github/issues", "--db", "app.db"],
        &["pause", "github-o-r", "github/issues", "--db", "app.db"],
        &["resume", "github-o-r", "github/issues", "--db", "app.db"],
        &["disable", "github-o-r", "github/issues", "--db", "app.db"],
        &["recode", "--db", "app.db"],
        &["maintain", "accept-clock", "--db", "app.db"],
        &["maintain", "prune", "Issue", "--what", "history", "--db", "app.db"],
        &["maintain", "compact", "--db", "app.db"],
        &["maintain", "rebase-clock", "--db", "app.db"],
        &["consumers", "remove", "mail", "--db", "app.db"],
        &["keys", "create", "backend", "--scope", "write", "--db", "app.db"],
        &["keys", "--db", "app.db"],
        &["connections", "--db", "app.db"],
        &["connections", "show", "github-o-r", "--db", "app.db"],
        &["connections", "metadata", "github-o-r", r#"{"Team": {"Size": 1}}"#, "--db", "app.db"],
        &["integrations", "create", "work", "github", "--config", "owner=o", "--db", "app.db"],
        &["integrations", "enable", "work", "issues", "--db", "app.db"],
        &["integrations", "show", "work", "--db", "app.db"],
        &["integrations", "disable", "work", "issues", "--db", "app.db"],
        &["integrations", "delete", "work", "--db", "app.db"],
        &["disconnect", "github-o-r", "--db", "app.db"],
        &["templates"],
        &["templates", "show", "slack/messages"],
        &["providers"],
        &["providers", "show", "github"],
        &["templates", "check", "manifest.yaml"],
        &["templates", "replay", "--connectors", connectors, "--cassettes", cassettes],
        &["templates", "trial", "--faults"],
        &["templates", "trial", "kinto/records", "--fault", "redirect"],
        &["demo", "--for", "300ms"],
    ];
    let forms = documented();
    let mut seen = BTreeSet::new();
    for arguments in commands {
        let output = run(here, &[arguments, &["--json"][..]].concat());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(!printed.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        for line in printed.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            let members = object.as_object().unwrap_or_else(|| panic!("{arguments:?}: {line}"));
            assert_eq!(line.matches(r#""type":"#).count(), 1 + depth_of_types(&object), "one `type`: {line}");
            let kind = members["type"].as_str().unwrap_or_default();
            let mut known =
                forms.get(kind).unwrap_or_else(|| panic!("{arguments:?}: no type {kind:?}: {line}")).clone();
            known.insert("type".to_owned());
            if kind == "done" {
                let done = members["done"].as_str().unwrap();
                known.insert("done".to_owned());
                known.extend(forms.get(done).unwrap_or_else(|| panic!("not documented: {line}")).clone());
                seen.insert(done.to_owned());
            }
            let unknown: Vec<&String> = members.keys().filter(|name| !known.contains(*name)).collect();
            assert!(unknown.is_empty(), "{arguments:?}: {kind} has members that docs/json.md lacks: {unknown:?}");
            assert_one_case(&object, line);
            if let Some(stream) = members.get("stream").filter(|_| !OF_A_MANIFEST.contains(&kind)) {
                assert!(stream.as_object().is_some_and(|stream| stream.contains_key("variant")), "{line}");
            }
            seen.insert(kind.to_owned());
        }
    }
    let types = forms.keys().filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    let lines: BTreeSet<String> =
        types.filter(|name| lines_table().contains(&format!("| `{name}`"))).cloned().collect();
    assert!(lines.len() > 25, "{lines:?}");
    let missing: Vec<&String> =
        lines.iter().filter(|name| !seen.contains(*name) && !ELSEWHERE.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "no command printed these types: {missing:?}");
}

/// The part of the page about lines of the command.
fn lines_table() -> &'static str {
    let page = include_str!("../../../docs/json.md");
    page.split("## The command's lines").nth(1).unwrap().split("## Forms of the library").next().unwrap()
}

/// Members named `type` below the top: those of schemas.
fn depth_of_types(value: &Value) -> usize {
    let here = |value: &Value| match value {
        Value::Object(members) => members.contains_key("type").into(),
        _ => 0,
    };
    match value {
        Value::Object(members) => members.values().map(|value| here(value) + depth_of_types(value)).sum(),
        Value::Array(elements) => elements.iter().map(|value| here(value) + depth_of_types(value)).sum(),
        _ => 0,
    }
}

fn assert_one_case(value: &Value, line: &str) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                assert!(name.chars().all(good), "{name:?} in {line}");
                if !CHOSEN_BY_OTHERS.contains(&name.as_str()) {
                    assert_one_case(value, line);
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|value| assert_one_case(value, line)),
        _ => {}
    }
}
