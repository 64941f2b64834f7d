//! Clocks and pruning from the command line.
#![allow(clippy::disallowed_methods)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater::maintenance::{History, Maintenance};
use highwater::store::{Environment, StreamOptions};
use highwater::stores::SqliteStore;
use highwater::{Store, StoreOptions, StreamKey, Timestamp, WriteBatch};
use support::{GitHub, Mood, failure, record_count, run, sync, text};

const DAY: u64 = 24 * 3600;

#[derive(Debug)]
struct At(u64);

impl Environment for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// A store that was written some days from now: before where negative.
fn written(path: &Path, days: i64, stream: &StreamKey) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = now.as_secs().saturating_add_signed(days * DAY as i64);
    let options = StoreOptions::new().environment(Arc::new(At(Duration::from_secs(at).as_millis() as u64)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::builder(path).options(options).open().unwrap();
        let history = StreamOptions::default().history(History::Versions(9));
        store.maintain(Maintenance::Configure(stream.clone(), history)).await.unwrap();
        for n in 0..3 {
            let mut batch = WriteBatch::new();
            batch
                .on(stream)
                .upsert(format!(r#"{{"id":"kept","n":{n}}}"#))
                .upsert(format!(r#"{{"id":"gone","n":"ERASED{n}"}}"#));
            store.commit(batch).await.unwrap();
        }
        let mut batch = WriteBatch::new();
        batch.on(stream).delete("gone");
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn clock_a_store_that_lay_in_a_drawer_for_years_syncs_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    written(&here.join("app.db"), -900, &StreamKey::new("other", "Note"));
    let told = run(here, &["doctor", "--db", "app.db"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("nothing has changed for 900 days"), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).contains("If that is right, nothing needs to be done"), "{told:?}");
    let synced = sync(here, &GitHub::start(12, Mood::Well), &[]);
    assert!(synced.status.success(), "{}", String::from_utf8_lossy(&synced.stderr));
    assert_eq!(record_count(here), 12);
    assert!(text(here, &["doctor", "--db", "app.db"]).contains("clock: in step with the log"));
}

#[test]
fn clock_that_was_ahead_is_told_and_can_be_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    written(&here.join("app.db"), 900, &StreamKey::new("other", "Note"));
    let told = run(here, &["doctor", "--db", "app.db"]);
    let said = [told.stdout, told.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("ahead") && said.contains("Order is not harmed") && said.contains("rebase-clock"), "{said}");
    text(here, &["maintain", "accept-clock", "--db", "app.db"]);
    text(here, &["maintain", "rebase-clock", "--db", "app.db"]);
    assert!(text(here, &["doctor", "--db", "app.db"]).contains("clock: in step with the log"));
}

#[test]
fn maintain_removes_what_it_is_told_to_and_leaves_no_byte_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    written(&here.join("app.db"), -40, &StreamKey::new("other", "Note"));
    let prune = |what: &str, further: &[&str]| {
        text(here, &[&["maintain", "prune", "Note", "--what", what, "--db", "app.db"], further].concat())
    };
    let doctor = || text(here, &["doctor", "--db", "app.db"]);
    assert!(doctor().contains("2 entries, 5 kept versions"), "{}", doctor());
    assert_eq!(prune("deleted", &["--older-than", "50"]), "removed 0 deleted records and 0 superseded versions\n");
    assert_eq!(prune("deleted", &["--older-than", "30"]), "removed 1 deleted record and 3 superseded versions\n");
    let told: serde_json::Value = serde_json::from_str(&prune("history", &["--json"])).unwrap();
    assert_eq!(
        told,
        serde_json::json!({ "type": "done", "done": "pruned", "removed": 0, "versions": 2, "held_by": null })
    );
    text(here, &["maintain", "compact", "--db", "app.db"]);
    for file in std::fs::read_dir(here).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"ERASED"));
    }
    assert!(text(here, &["get", "Note", "kept", "--db", "app.db"]).contains(r#""n":2"#), "payloads stay");
    prune("payloads", &[]);
    assert!(text(here, &["get", "Note", "kept", "--db", "app.db"]).contains("payload pruned"));
    let missing = failure(here, &["maintain", "compact", "--db", "none.db"]);
    assert!(missing.contains("none.db") && !here.join("none.db").exists());
}

#[test]
fn compact_tells_that_a_reader_held_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    written(&here.join("app.db"), -40, &StreamKey::new("other", "Note"));
    let compact = |further: &[&str]| run(here, &[&["maintain", "compact", "--db", "app.db"], further].concat());
    let reader = highwater::stores::rusqlite::Connection::open(here.join("app.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM hw_meta").unwrap();
    let held = compact(&["--json"]);
    assert_eq!(held.status.code(), Some(0), "{held:?}");
    let told: serde_json::Value = serde_json::from_slice(&held.stdout).unwrap();
    assert_eq!(told, serde_json::json!({ "type": "done", "done": "compacted", "compaction": "held" }));
    assert!(String::from_utf8_lossy(&held.stderr).contains("run it again"), "{held:?}");
    reader.execute_batch("COMMIT").unwrap();
    let done = compact(&[]);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "free space was released\n");
    assert!(done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_backup_is_a_store_of_its_own_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let notes = StreamKey::new("other", "Note");
    written(&here.join("app.db"), -1, &notes);
    let told = text(here, &["backup", "copy.db", "--db", "app.db", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let bytes = std::fs::metadata(here.join("copy.db")).unwrap().len();
    assert_eq!(told, serde_json::json!({ "type": "done", "done": "backed_up", "file": "copy.db", "bytes": bytes }));
    let listed = |db: &str| text(here, &["records", "Note", "--db", db, "--json"]);
    assert_eq!(listed("copy.db"), listed("app.db"), "with the same cursors");
    let refused = failure(here, &["backup", "copy.db", "--db", "app.db"]);
    assert!(refused.contains("refused to overwrite"), "{refused}");
    assert_eq!(std::fs::metadata(here.join("copy.db")).unwrap().len(), bytes);
}
