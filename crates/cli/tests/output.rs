//! What the command prints, where it goes, and how it ends: nothing that a record holds is obeyed by a terminal, a result
//! that cannot be printed is an error, and wrong usage has an exit code of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;

use highwater::stores::rusqlite::Connection;
use highwater::{SqliteStore, Store, StreamKey, WriteBatch};
use serde_json::Value;
use support::{GitHub, Mood, highwater, run, sync_arguments, text};

/// A store with these ids, each with a payload that holds it.
fn store_of(folder: &Path, ids: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(folder.join("app.db")).unwrap();
        let mut batch = WriteBatch::new();
        for id in ids {
            let payload = serde_json::to_string_pretty(&serde_json::json!({"id": id, "text": format!("of {id}")}));
            batch.on(&StreamKey::new("demo", "Note")).upsert(payload.unwrap());
        }
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    });
}

const FORGED: [&str; 6] = [
    "1\u{1b}[2K\u{1b}]0;owned\u{7}",
    "2\n12:00:00 deleted Note 3",
    "3\r12:00:00 deleted Note 3",
    "4\u{9b}2J",
    "5\u{202e}gpj.exe",
    "6\u{2028}line\u{85}next",
];

#[test]
fn a_record_cannot_forge_lines_or_move_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &FORGED);
    let mut get = vec!["get", "Note", "--db", "app.db", "--"];
    get.extend(FORGED);
    for (arguments, lines) in [
        (vec!["records", "Note", "--db", "app.db"], 7),
        (vec!["tail", "Note", "--db", "app.db", "--once"], 6),
        (get, 12),
    ] {
        let printed = text(here, &arguments);
        assert_eq!(printed.lines().count(), lines, "{arguments:?}: {printed}");
        assert_clean(&printed);
        for id in FORGED {
            assert!(printed.contains(&highwater::printable(id).to_string()), "{arguments:?}: {id:?} in {printed}");
        }
    }
    let missing = run(here, &["get", "Note", "--db", "app.db", "--", "7\u{1b}[31m\u{202e}"]);
    let told = String::from_utf8(missing.stderr).unwrap();
    assert!(told.contains(r"7\u{1b}[31m\u{202e}") && told.lines().count() == 1, "{told}");
    assert_clean(&told);
    // For machines it stays what it was.
    let json = text(here, &["records", "Note", "--db", "app.db", "--json"]);
    let ids: Vec<Value> =
        json.lines().take(6).map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, FORGED);
}

fn assert_clean(printed: &str) {
    let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2028}');
    assert!(!printed.contains(bad), "{printed:?}");
}

#[test]
fn what_a_provider_says_is_cleaned_too() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(3, Mood::Hostile);
    let arguments = sync_arguments(&server);
    let failed = run(here, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let told = String::from_utf8(failed.stderr).unwrap();
    assert!(told.contains("entry") && told.contains("403"), "{told}");
    assert_clean(&told);
    for arguments in [["runs", "--db", "app.db"], ["logs", "--db", "app.db"], ["status", "--db", "app.db"]] {
        assert_clean(&text(here, &arguments));
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &["1", "2"]);
    let server = GitHub::start(3, Mood::Well);
    let syncing = sync_arguments(&server);
    for arguments in [
        vec!["records", "Note", "--db", "app.db"],
        vec!["records", "Note", "--db", "app.db", "--json"],
        vec!["get", "Note", "--db", "app.db", "1"],
        vec!["status", "--db", "app.db"],
        vec!["doctor", "--db", "app.db"],
        vec!["templates"],
        vec!["completions", "bash"],
        vec!["tail", "Note", "--db", "app.db", "--once"],
        syncing.iter().map(String::as_str).collect(),
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = highwater(here, &arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("could not be written"), "{arguments:?}: {told}");
    }
    let again = text(here, &["tail", "Note", "--db", "app.db", "--once"]);
    assert_eq!(again.lines().count(), 2, "what was not printed was not acknowledged: {again}");
}

#[test]
fn a_verdict_outlives_a_reader_that_went_away() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &["1", "2", "3"]);
    let unread = |arguments: &[&str]| {
        // The reading end is closed before the command can write.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = highwater(here, arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(unread(&["records", "Note", "--db", "app.db"]).0, Some(0), "only a pipe that closed is quiet");
    assert_eq!(unread(&["doctor", "--db", "app.db"]).0, Some(0));
    assert_eq!(unread(&["tail", "Note", "--db", "app.db"]).0, Some(0), "nothing is left to do");
    let server = GitHub::start(3, Mood::StatusFrom(1, 500));
    let arguments: Vec<String> = sync_arguments(&server).into_iter().chain(["--json".to_owned()]).collect();
    let (code, told) = unread(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code, Some(1), "{told}");
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(told["error"]["kind"], "remote", "{told}");
    let database = Connection::open(here.join("app.db")).unwrap();
    database.execute_batch("UPDATE hw_log SET directory = substr(directory, 1, 88)").unwrap();
    drop(database);
    let (code, told) = unread(&["doctor", "--db", "app.db"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("damaged"), "{told}");
}

#[test]
fn a_verdict_outlives_whoever_reads_errors() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &["1"]);
    let unread = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        highwater(here, arguments).stdout(Stdio::piped()).stderr(writer).output().unwrap()
    };
    assert_eq!(unread(&["get", "Note", "--db", "app.db", "nope"]).status.code(), Some(1));
    assert_eq!(unread(&["get", "Note", "--db", "app.db", "--json", "nope"]).status.code(), Some(1));
    assert_eq!(unread(&["records", "Note", "--db", "app.db", "--limit", "0"]).status.code(), Some(2));
    let server = GitHub::start(3, Mood::Well);
    let arguments = sync_arguments(&server);
    let synced = unread(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(synced.status.code(), Some(0), "notes that nobody reads stop no sync");
    assert!(String::from_utf8_lossy(&synced.stdout).contains("3 added"));
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &["1"]);
    for arguments in [
        vec!["records", "Note", "--db", "app.db", "--limit", "0"],
        vec!["records", "Note", "--db", "app.db", "--since", "nonsense"],
        vec!["records", "Note", "--db", "app.db", "--modified-after", "yesterday"],
        vec!["records", "Note", "--db", "app.db", "--filter", "gone"],
        vec!["tail", "Note", "--db", "app.db", "--from", "nonsense"],
        vec!["runs", "--db", "app.db", "--limit", "0"],
        vec!["runs", "--db", "app.db", "--since", "nonsense"],
        vec!["logs", "--db", "app.db", "--limit", "0"],
        vec!["webhooks", "dead", "x", "--db", "app.db", "--limit", "0"],
        vec!["enable", "c", "github/issues", "--db", "app.db", "--cron", "whenever"],
        vec!["templates", "trial", "--all", "--jobs", "0"],
    ] {
        let output = run(here, &arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_key_is_hexadecimal_digits_alone() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &["1"]);
    for key in ["+1".repeat(32), "-1".repeat(32), " 1".repeat(32), "1".repeat(63), "1".repeat(65)] {
        let arguments = ["status", "--db", "app.db", "--key-env", "THE_KEY"];
        let output = highwater(here, &arguments).env("THE_KEY", &key).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains("64 hexadecimal digits"), "{key}: {told}");
    }
}

#[test]
fn an_empty_no_color_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    store_of(here, &["1"]);
    let coloured = |variables: &[(&str, &str)]| {
        let mut command = highwater(here, &["records", "Note", "--db", "app.db"]);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR").env_remove("CLICOLOR_FORCE").env("TERM", "xterm");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        output.stdout.contains(&0x1b)
    };
    assert!(!coloured(&[]), "a pipe is no terminal");
    assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "0"), ("NO_COLOR", "")]));
}

#[test]
fn a_view_tells_what_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let members: Vec<String> = (0..130).map(|n| format!("\"m{n:03}\":{n}")).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(here.join("app.db")).unwrap();
        let mut batch = WriteBatch::new();
        batch.on(&StreamKey::new("demo", "Note")).upsert(format!(r#"{{"id":"1",{}}}"#, members.join(",")));
        batch.on(&StreamKey::new("other", "Note")).upsert(r#"{"id":"2"}"#);
        store.commit(batch).await.unwrap();
    });
    let view = |further: &[&str]| {
        let arguments = ["sql-view", "demo", "Note", "--name", "n", "--db", "app.db"];
        text(here, &[&arguments[..], further].concat())
    };
    let told = view(&[]);
    assert!(told.contains("30 members") && told.contains("m100") && told.contains("--columns"), "{told}");
    assert!(view(&["--columns", "m129,m001"]).contains("view n: id, m129, m001\n"));
    let told: Value = serde_json::from_str(&view(&["--json", "--columns", "all"])).unwrap();
    assert_eq!((told["columns"].as_array().unwrap().len(), &told["left_out_total"]), (130, &0.into()));
    let told: Value = serde_json::from_str(&view(&["--json"])).unwrap();
    assert_eq!((told["left_out"].as_array().unwrap().len(), &told["left_out_total"]), (30, &30.into()));
    let unknown = run(here, &["sql-view", "demo", "Note", "--db", "app.db", "--columns", "nope"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nope"));
    let taken = run(here, &["sql-view", "other", "Note", "--name", "n", "--db", "app.db"]);
    let told = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.code() == Some(1) && told.contains("another stream"), "{told}");
}

#[test]
fn a_connection_is_removed_with_its_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let server = GitHub::start(3, Mood::Well);
    let arguments = sync_arguments(&server);
    text(here, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    text(here, &["enable", "github-o-r", "github/issues", "--db", "app.db"]);
    assert!(text(here, &["disconnect", "github-o-r", "--db", "app.db"]).contains("kept"));
    let status = text(here, &["status", "--db", "app.db"]);
    assert!(status.contains("3 records") && !status.contains("last run"), "{status}");
    let again = run(here, &["disconnect", "github-o-r", "--db", "app.db", "--json"]);
    let told: Value = serde_json::from_slice(&again.stderr).unwrap();
    assert_eq!((again.status.code(), &told["error"]["kind"]), (Some(1), &"not_found".into()));
}

/// What a host's `main` would return.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn host() -> highwater::Result<()> {
    let cause = std::io::Error::other("the socket\nis closed");
    Err(highwater::Error::new(highwater::ErrorKind::Unavailable, "the API could not be reached")
        .with("url", "https://api.example")
        .because(cause))
}

#[test]
fn a_main_that_returns_an_error_prints_one_plain_line() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("Error: ")).collect();
    let expected = r"Error: the API could not be reached (url: https://api.example): the socket\nis closed";
    assert_eq!(lines, [expected], "{told}");
}
