//! What authors of templates use: trying one out, asking an API, checking and comparing manifests.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{GitHub, Mood, failure, run, text};

const REPOSITORY: &str = "owner=o,repo=r";

#[test]
fn a_dry_run_shows_records_and_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(25, Mood::Well);
    let arguments = ["dryrun", "github/issues", "--config", REPOSITORY, "--base-url", &server.url];
    let told = text(here, &[&arguments[..], &["--validate", "--limit", "3"]].concat());
    assert_eq!(told.lines().filter(|line| line.starts_with("Issue ")).count(), 3, "{told}");
    assert!(std::fs::read_dir(here).unwrap().next().is_none(), "nothing was written");
    let lines = text(here, &[&arguments[..], &["--json", "--limit", "1"]].concat());
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["id"], &first["payload"]["title"]), (&"1000".into(), &"Issue 0".into()));
    server.set_mood(Mood::StatusFrom(0, 404));
    let told = failure(here, &arguments);
    assert!(told.contains("404"), "{told}");
    let told = failure(here, &["dryrun", "github/isues", "--config", REPOSITORY]);
    assert!(told.contains("github/issues"), "{told}");
}

#[test]
fn records_that_do_not_fit_their_schema_fail_a_dry_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = GitHub::start(3, Mood::StatelessOn(1));
    let arguments = ["dryrun", "github/issues", "--config", REPOSITORY, "--base-url", &server.url, "--validate"];
    let output = run(folder.path(), &arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("state") && told.contains("Issue 7"), "{told}");
    assert!(run(folder.path(), &arguments[..6]).status.success(), "without --validate it is shown as it is");
}

#[test]
fn actions_and_requests_reach_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(2, Mood::Well);
    let to = ["--base-url", &server.url, "--config", REPOSITORY];
    let made = text(here, &[&["act", "github/create_issue", r#"{"title":"A leak"}"#], &to[..]].concat());
    assert!(made.contains("A leak"), "{made}");
    let told = failure(here, &[&["act", "github/create_issue", "{}"], &to[..]].concat());
    assert!(told.contains("title"), "{told}");
    let told = failure(here, &[&["act", "github/create_isue", "{}"], &to[..]].concat());
    assert!(told.contains("github/create_issue"), "{told}");
    let found = text(here, &[&["proxy", "github", "GET", "/repos/o/r/issues?page=1"], &to[..]].concat());
    assert!(found.contains("Issue 2"), "the issue that was made: {found}");
    let refused = run(here, &[&["proxy", "github", "GET", "https://elsewhere.example/x"], &to[..]].concat());
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_crate_to_begin_with_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    text(here, &["templates", "new", "acme"]);
    let manifest = std::fs::read_to_string(here.join("acme/Cargo.toml")).unwrap();
    assert!(manifest.contains("highwater-template"), "{manifest}");
    let source = std::fs::read_to_string(here.join("acme/src/lib.rs")).unwrap();
    assert!(source.contains("impl Template for"), "{source}");
    failure(here, &["templates", "new", "acme"]);
}

#[test]
fn manifests_are_checked_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../declarative/tests/reference");
    let (connectors, cassettes) = (reference.join("connectors"), reference.join("cassettes"));
    let (connectors, cassettes) = (connectors.to_str().unwrap(), cassettes.to_str().unwrap());
    let told = text(here, &["templates", "replay", "--connectors", connectors, "--cassettes", cassettes]);
    let last: Vec<&str> = told.lines().last().unwrap().split(' ').collect();
    assert!(matches!(last.as_slice(), [same, "of", all, "streams", "identical"] if same == all), "{told}");
    assert!(text(here, &["templates", "check", &format!("{connectors}/sub")]).contains('a'));
    std::fs::write(here.join("broken.yaml"), "streams: [{name: s, retriever: {$ref: '#/nowhere'}}]").unwrap();
    let told = failure(here, &["templates", "check", "broken.yaml"]);
    assert!(told.contains("streams[0].retriever"), "{told}");
    // One stream's fault is told beside those that can run.
    let rest = "record_selector: {extractor: {field_path: []}}";
    let stream = |name: &str, path: &str| {
        format!(
            "  - {{name: {name}, retriever: {{requester: {{url_base: \"https://x.example\", path: \"{path}\"}}, {rest}}}}}\n"
        )
    };
    std::fs::write(here.join("broken.yaml"), format!("streams:\n{}{}", stream("a", "{{ x[ }}"), stream("b", "/x")))
        .unwrap();
    let output = run(here, &["templates", "check", "broken.yaml"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("does not parse") && told.contains("1 of 2 streams can run"), "{told}");
    assert_eq!(output.status.code(), Some(1));
    // What would fail only once it is used.
    std::fs::write(
        here.join("broken.yaml"),
        format!("definitions: {{idle: {{}}}}\nstreams:\n{}", stream("a", "{{ confg.x }}")),
    )
    .unwrap();
    let output = run(here, &["templates", "check", "broken.yaml"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("1 of 1 stream can run") && told.contains("did you mean `config`?"), "{told}");
    assert!(told.contains("note: definitions.idle: nothing refers to it"), "{told}");
    assert_eq!(output.status.code(), Some(1));
    // Another answer than the recorded one is noticed.
    std::fs::create_dir_all(here.join("cassettes")).unwrap();
    let cassette = std::fs::read_to_string(format!("{cassettes}/filter.json")).unwrap();
    std::fs::write(here.join("cassettes/filter.json"), cassette.replace("\"per_page\",\"10\"", "\"per_page\",\"11\""))
        .unwrap();
    let output = run(here, &["templates", "replay", "--connectors", connectors, "--cassettes", "cassettes"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.lines().last().unwrap().starts_with("0 of 1 stream identical"), "{told}");
}
