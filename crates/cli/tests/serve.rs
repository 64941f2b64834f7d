//! `highwater serve` and `highwater keys`, as real processes: what they print, how they end, and that a reader loses nothing when
//! the server is killed.
#![allow(clippy::disallowed_methods)]
#![cfg(unix)] // signals

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Value, json};
use support::served::Served;
use support::{failure, text};

/// What a reader holds: each record's last version, and where it continues.
#[derive(Default)]
struct Copy {
    records: BTreeMap<String, Value>,
    /// The cursors of what arrived: none may come twice.
    cursors: Vec<String>,
    resume: Option<String>,
}

impl Copy {
    fn take(&mut self, record: &Value) {
        let cursor = record["_highwater_metadata"]["cursor"].as_str().unwrap().to_owned();
        assert!(!self.cursors.contains(&cursor), "{cursor} came twice");
        self.cursors.push(cursor);
        self.records.insert(record["id"].as_str().unwrap().to_owned(), record.clone());
    }

    fn holds_the_same_as(&self, served: &Served) {
        let all = served.get("/records?model=Contact&limit=10000").unwrap();
        let live = |record: &&Value| record["_highwater_metadata"]["last_action"] != "DELETED";
        let ids = |records: &mut dyn Iterator<Item = &Value>| -> Vec<String> {
            records.map(|record| without_metadata(record).to_string()).collect()
        };
        let mut there = ids(&mut all["records"].as_array().unwrap().iter().filter(live));
        let mut here = ids(&mut self.records.values().filter(live));
        there.sort();
        here.sort();
        assert_eq!(here.len(), there.len());
        assert_eq!(here, there);
    }
}

fn without_metadata(record: &Value) -> Value {
    let mut record = record.clone();
    record.as_object_mut().unwrap().remove("_highwater_metadata");
    record
}

/// Reads the rest of what the store has after the last kill, and compares.
fn continue_and_compare(folder: &Path, mut copy: Copy) {
    let served = Served::start(folder, &[]);
    let cursor = copy.resume.take().unwrap();
    let rest = served.get(&format!("/records?model=Contact&limit=10000&cursor={cursor}")).unwrap();
    rest["records"].as_array().unwrap().iter().for_each(|record| copy.take(record));
    copy.holds_the_same_as(&served);
}

#[test]
fn a_reader_by_long_polls_loses_nothing_and_gets_nothing_twice_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let poll = |served: &Served, copy: &mut Copy| {
        let cursor = copy.resume.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/records?model=Contact&limit=50&wait=20s{cursor}");
        let page = served.get(&path).expect("an answer");
        page["records"].as_array().unwrap().iter().for_each(|record| copy.take(record));
        copy.resume = Some(page["resume_cursor"].as_str().unwrap().to_owned());
        path
    };
    let (mut live, mut late) = (Copy::default(), Copy::default());
    let served = Served::demo(folder.path());
    while live.cursors.len() < 606 {
        poll(&served, &mut live);
    }
    // In the middle of a poll that waits.
    let waiting =
        served.open(&format!("/records?model=Contact&wait=300s&cursor={}", live.resume.as_ref().unwrap()), "");
    served.kill();
    drop(waiting);
    for pages in [2, 3, 4] {
        let served = Served::start(folder.path(), &[]);
        let mut path = String::new();
        for _ in 0..pages {
            path = poll(&served, &mut late);
        }
        // In the middle of an answer: what did not arrive whole is asked for again.
        let mut open = served.open(&path, "");
        let mut some = [0; 512];
        open.read_exact(&mut some).unwrap();
        served.kill();
    }
    continue_and_compare(folder.path(), live);
    continue_and_compare(folder.path(), late);
}

#[test]
fn a_reader_of_events_loses_nothing_and_gets_nothing_twice_when_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let follow = |served: &Served, copy: &mut Copy, count: usize| {
        let last = copy.resume.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let mut lines = BufReader::new(served.open("/stream?model=Contact", &last)).lines();
        for _ in 0..count {
            let data = loop {
                let line = lines.next().unwrap().unwrap();
                if let Some(id) = line.strip_prefix("id: ") {
                    copy.resume = Some(id.to_owned());
                }
                if let Some(data) = line.strip_prefix("data: ") {
                    break data.to_owned();
                }
            };
            copy.take(&serde_json::from_str(&data).unwrap());
        }
    };
    let (mut live, mut late) = (Copy::default(), Copy::default());
    let served = Served::demo(folder.path());
    follow(&served, &mut live, 606);
    served.kill();
    for count in [7, 150, 300] {
        let served = Served::start(folder.path(), &[]);
        follow(&served, &mut late, count);
        served.kill();
    }
    continue_and_compare(folder.path(), live);
    continue_and_compare(folder.path(), late);
}

#[test]
fn a_demo_that_was_killed_starts_again_on_its_store() {
    let folder = tempfile::tempdir().unwrap();
    Served::demo(folder.path()).kill();
    let served = Served::demo(folder.path());
    assert_eq!(served.get("/records?model=Deal").unwrap()["records"].as_array().unwrap().len(), 100);
}

#[test]
fn a_server_that_is_asked_to_stop_ends_well_with_requests_open() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::demo(folder.path());
        let mut open = served.open("/stream?model=Deal", "");
        let mut first = [0; 64];
        open.read_exact(&mut first).unwrap();
        served.signal(signal);
        // The stream ends, and with it the process.
        let mut rest = Vec::new();
        open.read_to_end(&mut rest).unwrap();
        assert_eq!(served.ended().code(), Some(0), "{signal}");
    }
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
