//! `highwater serve` and `highwater keys`, as real processes: what they print, and what they say of what is in use.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)] // signals

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::served::Served;
use support::{failure, text};

#[test]
fn a_demo_that_was_killed_starts_again_on_its_store() {
    let folder = tempfile::tempdir().unwrap();
    Served::demo(folder.path()).kill();
    let served = Served::demo(folder.path());
    let members: Vec<&String> = served.line.as_object().unwrap().keys().collect();
    assert_eq!(members, ["api_key", "dashboard", "type", "url"], "{}", served.line);
    assert_eq!(served.get("/records?model=Deal").unwrap()["records"].as_array().unwrap().len(), 100);
}

#[test]
fn a_port_in_use_and_a_store_in_use_are_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let served = Served::start(here, &["--store", "sled"]);
    let port = failure(here, &["serve", "--listen", &served.address, "--db", "other.db"]);
    assert!(port.contains("another program listens here") && port.contains("--listen"), "{port}");
    assert!(!here.join("other.db").exists());
    let store = failure(here, &["serve", "--listen", "127.0.0.1:0", "--db", "app.db", "--store", "sled"]);
    assert!(store.contains("process"), "{store}");
    for (argument, value) in [("--host", "*"), ("--origin", "*")] {
        let refused = failure(here, &["serve", "--listen", "127.0.0.1:0", "--db", "third.db", argument, value]);
        assert!(refused.contains("such as"), "{refused}");
    }
}

#[test]
fn a_key_is_made_used_and_revoked_by_commands_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut served = Served::start(here, &["--demo", "--compat", "nango"]);
    let made: Value =
        serde_json::from_str(&text(here, &["keys", "create", "backend", "--db", "app.db", "--json"])).unwrap();
    served.key = made["secret"].as_str().unwrap().to_owned();
    let contacts = served.get("/records?model=Contact&limit=3").unwrap();
    assert!(contacts["records"][2]["_nango_metadata"]["cursor"].is_string(), "{contacts}");
    assert_eq!(served.get("/records?model=Company").unwrap()["records"].as_array().unwrap().len(), 100);
    let listed = text(here, &["keys", "--db", "app.db", "--json"]);
    assert!(!listed.contains(&served.key) && listed.contains("\"scope\":\"read\""), "{listed}");
    let id = made["id"].as_str().unwrap();
    text(here, &["keys", "revoke", id, "--db", "app.db"]);
    assert_eq!(served.get("/records?model=Contact").unwrap()["error"]["code"], json!("unknown_account"));
    let twice = failure(here, &["keys", "revoke", id, "--db", "app.db"]);
    assert!(twice.contains("list the keys"), "{twice}");
    assert!(failure(here, &["keys", "create", "", "--db", "app.db"]).contains("1 to 200 bytes"));
}

/// Holds the write lock of a SQLite file until its standard input ends.
const HOLD: &str = "import sqlite3, sys
store = sqlite3.connect('app.db', isolation_level=None)
store.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
sys.stdin.read()
store.execute('ROLLBACK')";

#[test]
fn while_another_program_writes_to_the_store_reads_are_answered_and_writes_say_when_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // Without the demo, whose users write all the time.
    Served::demo(here).kill();
    let served = Served::start(here, &[]);
    let mut python = Command::new("python3");
    python.current_dir(here).args(["-c", HOLD]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut holder) = python.spawn() else {
        println!("skipped: there is no python3");
        return;
    };
    let mut held = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut held).unwrap();
    assert_eq!(held, "held\n");
    let body =
        json!({ "connection_id": "demo", "provider_config_key": "demo-crm", "metadata": { "a": 1 } }).to_string();
    let write = || served.call("PATCH", "/connections/metadata", &body);
    assert_eq!(served.call("GET", "/records?model=Deal", "").status, 200);
    let refused = write();
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"), "{refused:?}");
    assert!(refused.head.contains("\r\nretry-after: "), "{}", refused.head);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(write().status, 200);
}
