//! The commands, as a person and as a script use them.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{GitHub, Mood, highwater, record_count, run, sync, text};

#[test]
fn a_sync_and_what_changed_since() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(25, Mood::Well);
    let told = String::from_utf8(sync(here, &server, &[]).stdout).unwrap();
    assert!(told.contains("25 added") && told.contains("highwater tail Issue"), "{told}");
    assert_eq!(record_count(here), 25);
    let report: Value = serde_json::from_slice(&sync(here, &server, &["--json"]).stdout).unwrap();
    assert_eq!(report["mode"], "incremental");
    assert_eq!((&report["progress"]["added"], &report["state"]), (&0.into(), &"success".into()));

    let page = text(here, &["records", "Issue", "--db", "app.db", "--limit", "10", "--json"]);
    let lines: Vec<Value> = page.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (end, records) = lines.split_last().unwrap();
    assert_eq!((records.len(), &end["has_more"], &end["caught_up"]), (10, &true.into(), &false.into()));
    let rest =
        text(here, &["records", "Issue", "--db", "app.db", "--since", end["next_cursor"].as_str().unwrap(), "--json"]);
    assert_eq!(rest.lines().count(), 16, "fifteen records and the end of the page");
    let one = text(here, &["get", "Issue", "--db", "app.db", "--json", "--", "1003"]);
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap()["payload"]["title"], "Issue 3");
    let status = text(here, &["status", "--db", "app.db"]);
    assert!(status.contains("25 records") && status.contains("last run succeeded"), "{status}");
}

#[test]
fn a_tail_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(5, Mood::Well);
    assert!(sync(here, &server, &[]).status.success());
    let tail = |further: &[&str]| {
        let mut arguments = vec!["tail", "Issue", "--db", "app.db", "--json"];
        arguments.extend(further);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let arguments = tail(&[]);
    let mut live = highwater(here, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(live.stdout.take().unwrap()).lines();
    for _ in 0..5 {
        lines.next().unwrap().unwrap();
    }
    server.set_issues(7);
    assert!(sync(here, &server, &[]).status.success(), "another process writes while the tail reads");
    for number in [6, 7] {
        let change: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&change["net"], &change["payload"]["number"]), (&"added".into(), &number.into()));
    }
    let stopped = Command::new("kill").args(["-INT", &live.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    live.wait().unwrap();
    server.set_issues(8);
    assert!(sync(here, &server, &[]).status.success());
    let once = tail(&["--once"]);
    let rest = text(here, &once.iter().map(String::as_str).collect::<Vec<_>>());
    let numbers: Vec<Value> =
        rest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"]["number"].clone()).collect();
    assert_eq!(numbers, [8], "just what came after the tail ended");
}

#[test]
fn the_demo_ends_with_its_counts() {
    let folder = tempfile::tempdir().unwrap();
    let printed = text(folder.path(), &["demo", "--for", "1500ms", "--json", "--db", "demo.db"]);
    let last: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let number = |name: &str| last[name].as_u64().unwrap();
    assert_eq!(number("records"), number("added") - number("deleted"), "{last}");
    assert!(number("updated") > 0 && number("records") > 100, "{last}");
    assert!(last["last_cursor"].as_str().unwrap().contains('.') && last["db"] == "demo.db");
    let status = text(folder.path(), &["status", "--db", "demo.db"]);
    assert!(status.contains("Contact"), "what the demo left can be looked at: {status}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        highwater(folder.path(), &["templates"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn completions_name_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(folder.path(), &["completions", shell]);
        assert!(script.contains("tail") && script.contains("sql-view"), "{shell}");
    }
    assert!(run(folder.path(), &["--version"]).status.success());
}

#[test]
fn a_view_can_be_queried() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    assert!(sync(here, &GitHub::start(4, Mood::Well), &[]).status.success());
    let made = text(here, &["sql-view", "github", "Issue", "--db", "app.db"]);
    assert!(made.contains("title"), "{made}");
    let database = highwater::stores::rusqlite::Connection::open(here.join("app.db")).unwrap();
    let count: i64 = database
        .query_row("SELECT count(*) FROM issue WHERE state = 'open' AND number > 2", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 2);
}
