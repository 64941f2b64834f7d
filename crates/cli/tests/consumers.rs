//! The readers whose position a store keeps, from the command line.
#![allow(clippy::disallowed_methods)]

mod support;

use std::path::Path;
use std::time::Duration;

use highwater::consumer::PollOptions;
use highwater::stores::SqliteStore;
use highwater::{Store, StoreExt, StreamKey, WriteBatch};
use serde_json::{Value, json};
use support::{failure, highwater, one_line, text};

fn note() -> StreamKey {
    StreamKey::new("a", "Note")
}

/// Two streams with a reader `mail` each; that of notes set one record aside. A reader `slow` has a lease.
fn make(here: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::builder(here.join("app.db")).open().unwrap();
        let issue = StreamKey::new("b", "Issue");
        let mut batch = WriteBatch::new();
        for n in 0..3 {
            batch.on(&note()).upsert(format!(r#"{{"id":"note-{n}"}}"#));
        }
        batch.on(&issue).upsert(r#"{"id":"issue"}"#);
        store.commit(batch).await.unwrap();
        let options = PollOptions::default().limit(1).max_attempts(1).backoff(Duration::ZERO, Duration::ZERO);
        let reader = store.consumer(&note(), "mail").options(options);
        let token = reader.poll().await.unwrap().token;
        reader.nack(token).await.unwrap();
        let token = reader.poll().await.unwrap().token;
        reader.ack(token).await.unwrap();
        let other = store.consumer(&issue, "mail");
        let token = other.poll().await.unwrap().token;
        other.ack(token).await.unwrap();
        let lease = PollOptions::default().lease(Duration::from_secs(3600));
        store.consumer(&issue, "slow").options(lease).poll().await.unwrap();
        store.close().await.unwrap();
    });
}

fn consumers(here: &Path, arguments: &[&str]) -> String {
    text(here, &[&["consumers"], arguments, &["--db", "app.db"]].concat())
}

fn objects(here: &Path, arguments: &[&str]) -> Vec<Value> {
    consumers(here, &[arguments, &["--json"]].concat())
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn consumers_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(here);
    let list = consumers(here, &["list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains("a/Note mail: at ") && list.contains(", 1 behind, 1 record parked\n"), "{list}");
    assert!(list.contains("b/Issue slow: at ") && list.contains(", 1 behind, leased\n"), "{list}");
    assert_eq!(consumers(here, &[]), list);
    let told = objects(here, &["list"]);
    assert_eq!(told.len(), 3);
    assert_eq!(told[0]["consumer"], "mail");
    assert_eq!(told[0]["stream"], stream_of_notes());
    assert_eq!((&told[0]["lag"], &told[0]["parked"]), (&json!(1), &json!(["note-0"])));
    assert_eq!((&told[0]["leased"], &told[2]["leased"]), (&json!(false), &json!(true)));
    assert_eq!((&told[0]["evicted"], &told[0]["backoff_ms"]), (&json!(false), &Value::Null));
    let shown = consumers(here, &["show", "mail", "--model", "note"]);
    assert!(shown.ends_with(" 1 behind, 1 record parked\n  parked: note-0\n"), "{shown}");
    assert_eq!(objects(here, &["show", "slow"]).len(), 1);
    // What `status` has of them is the same.
    let status = text(here, &["status", "--json", "--db", "app.db"]);
    let of_status: Vec<Value> = status.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(of_status.iter().any(|line| line["consumer"] == "mail" && line["parked"] == json!(["note-0"])), "{status}");
}

fn stream_of_notes() -> Value {
    json!({ "connection": "a", "model": "Note", "variant": "base" })
}

#[test]
fn consumers_are_moved_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(here);
    let of_note = |command: &'static str, further: &[&'static str]| {
        objects(here, &[&[command, "mail"], further, &["--connection", "a"]].concat()).remove(0)
    };
    assert_eq!(
        of_note("unpark", &[]),
        json!({ "type": "done", "done": "unparked", "consumer": "mail", "stream": stream_of_notes(), "ids": ["note-0"] })
    );
    assert_eq!(of_note("seek", &["end"])["lag"], 0);
    assert_eq!(of_note("seek", &["start"])["lag"], 3);
    assert_eq!(of_note("seek", &["2020-01-01T00:00:00Z"])["lag"], 3);
    let cursor = objects(here, &["show", "mail", "--connection", "b"])[0]["acknowledged"].as_str().unwrap().to_owned();
    let foreign = failure(here, &["consumers", "seek", "mail", &cursor, "--connection", "a", "--db", "app.db"]);
    assert!(foreign.contains("cursor"), "{foreign}");
    let moved = consumers(here, &["seek", "mail", &cursor, "--connection", "b"]);
    assert!(moved.contains(", 0 behind"), "{moved}");
    assert_eq!(
        of_note("remove", &[]),
        json!({ "type": "done", "done": "removed", "consumer": "mail", "stream": stream_of_notes() })
    );
    assert_eq!(objects(here, &["list"]).len(), 2);
    // The name is that of one consumer alone now.
    consumers(here, &["remove", "mail"]);
    consumers(here, &["remove", "slow"]);
    assert_eq!(consumers(here, &["list"]), "");
}

#[test]
fn consumers_that_are_not_there_are_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(here);
    for command in [&["show", "male"][..], &["unpark", "male"], &["seek", "male", "end"], &["remove", "male"]] {
        let told = failure(here, &[&["consumers"], command, &["--db", "app.db"]].concat());
        assert!(told.contains("no such consumer") && told.contains("mail"), "{told}");
    }
    let several = failure(here, &["consumers", "show", "mail", "--db", "app.db"]);
    assert!(several.contains("--connection") && several.contains("a/Note, b/Issue"), "{several}");
    let nonsense = highwater(here, &["consumers", "seek", "mail", "yesterday", "--db", "app.db"]).output().unwrap();
    assert_eq!(nonsense.status.code(), Some(2));
    one_line(highwater(here, &["consumers", "--db", "none.db"]).output().unwrap(), 1);
    assert!(!here.join("none.db").exists());
    assert_eq!(objects(here, &["list"]).len(), 3);
}

#[cfg(unix)]
#[test]
fn consumers_are_listed_where_nothing_may_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(here);
    let path = here.join("app.db");
    let before = (std::fs::read(&path).unwrap(), std::fs::read_dir(here).unwrap().count());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(objects(here, &["list"]).len(), 3);
    assert_eq!(objects(here, &["show", "slow"]).len(), 1);
    assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(here).unwrap().count()), before);
}
