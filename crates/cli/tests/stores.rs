//! Stores that a host made: compressed, encrypted, with variants, damaged.
#![allow(clippy::disallowed_methods)]

mod support;

use std::path::Path;

use highwater::codecs::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater::stores::{SqliteStore, rusqlite::Connection};
use highwater::{Store, StoreOptions, StreamKey, WriteBatch};
use support::{highwater, run, text};

const KEY: &str = "4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b";

fn make(path: &Path, codec: highwater::codecs::CodecBuilder, streams: &[StreamKey]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let options = StoreOptions::new().codec(codec.build());
        let store = SqliteStore::builder(path).options(options).open().unwrap();
        let mut batch = WriteBatch::new();
        for stream in streams {
            for n in 0..3 {
                batch.on(stream).upsert(payload(n));
            }
        }
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    });
}

fn payload(n: usize) -> String {
    format!(r#"{{"id":"{n}","title":"{}"}}"#, format!("a title that many have, {n}, ").repeat(10))
}

fn issues() -> StreamKey {
    StreamKey::new("github-cargo", "Issue")
}

fn told(here: &Path, arguments: &[&str], key: &str) -> (bool, String) {
    let output = highwater(here, arguments).env("KEY", key).output().unwrap();
    (output.status.success(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat())
}

#[test]
fn a_path_is_a_path_and_no_uri() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(&here.join("file:app.db"), Codec::builder(), &[issues()]);
    // What a URI would lead to, which is no store.
    Connection::open(here.join("app.db")).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(text(here, &["doctor", "--db", "file:app.db"]).contains("3 entries, all well"));
    assert!(text(here, &["get", "Issue", "2", "--db", "file:app.db"]).contains("many have"));
    let view = text(here, &["sql-view", "github", "Issue", "--db", "file:app.db"]);
    assert!(view.contains("view issue"), "{view}");
    // `sqlite3` takes `file:app.db` for a URI.
    assert!(view.contains("sqlite3 './file:app.db' "), "{view}");
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"app-\xff.db");
    make(&folder.path().join(name), Codec::builder(), &[issues()]);
    for (arguments, wanted) in [(&["status"][..], "3 records"), (&["records", "Issue"], "many have")] {
        let output = highwater(folder.path(), arguments).arg("--db").arg(name).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(wanted), "{output:?}");
    }
    let missing = std::ffi::OsStr::from_bytes(b"none-\xff.db");
    let output = highwater(folder.path(), &["status"]).arg("--db").arg(missing).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none-"), "{output:?}");
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|file| { !file.as_ref().unwrap().file_name().as_bytes().starts_with(b"app-\xff.db") })
            .count(),
        0
    );
}

#[test]
fn compressed_payloads_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(&here.join("app.db"), Codec::builder().compress(Compression::new()), &[issues()]);
    assert!(text(here, &["doctor", "--db", "app.db"]).contains("3 entries, all well"));
    assert!(text(here, &["get", "Issue", "2", "--db", "app.db"]).contains("many have"));
    let view = text(here, &["sql-view", "github", "Issue", "--db", "app.db"]);
    assert!(view.contains("encrypted or compressed"), "{view}");

    let samples: Vec<String> = (0..2000).map(payload).collect();
    let dictionary = Dictionary::train(&samples, 4096).unwrap();
    std::fs::write(here.join("titles.zdict"), dictionary.bytes()).unwrap();
    make(&here.join("with.db"), Codec::builder().compress(Compression::new().dictionary(dictionary)), &[issues()]);
    let (well, said) = told(here, &["doctor", "--db", "with.db"], "");
    assert!(!well && said.contains("dictionary that the codec lacks"), "{said}");
    let (well, said) = told(here, &["doctor", "--db", "with.db", "--dictionary", "titles.zdict"], "");
    assert!(well && said.contains("all well"), "{said}");
    let (well, said) = told(here, &["doctor", "--db", "with.db", "--dictionary", "with.db"], "");
    assert!(!well && said.contains("not a zstd dictionary") && said.contains("with.db"), "{said}");
}

#[test]
fn encrypted_payloads_are_read_with_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let key = EncryptionKey::from_bytes(&[0x4b; 32]).unwrap();
    make(&here.join("app.db"), Codec::builder().encrypt(KeyRing::new(2, key)), &[issues()]);
    let doctor = |further: &[&str], key: &str| told(here, &[&["doctor", "--db", "app.db"], further].concat(), key);
    let with_key = ["--key-env", "KEY", "--key-number", "2"];
    let (well, said) = doctor(&[], KEY);
    assert!(!well && said.contains("--key-env"), "{said}");
    let (well, said) = doctor(&with_key, KEY);
    assert!(well && said.contains("3 entries, all well"), "{said}");
    for (key, wanted) in [("4b", "64 hexadecimal digits"), (&*"zz".repeat(32), "64 hex"), (&*"00".repeat(32), "key")] {
        let (well, said) = doctor(&with_key, key);
        assert!(!well && said.contains(wanted) && !said.contains(KEY), "{said}");
    }
    assert!(doctor(&["--key-env", "NO_SUCH_VARIABLE"], KEY).1.contains("NO_SUCH_VARIABLE"));
    // One that was changed is told, and nothing of the key.
    let change = "UPDATE hw_log SET payloads = CAST(substr(payloads, 1, 60) || X'00' || substr(payloads, 62) AS BLOB)";
    Connection::open(here.join("app.db")).unwrap().execute_batch(change).unwrap();
    let (well, said) = doctor(&with_key, KEY);
    assert!(!well && said.contains("record \"0\"") && said.contains("the store is damaged"), "{said}");
    assert!(!said.contains(KEY) && !said.contains("record \"1\""), "{said}");
}

#[test]
fn streams_that_are_alike_can_be_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let open = StreamKey::new("github-cargo", "Issue").with_variant("open");
    let odd = StreamKey::new("gh", "it's \"odd\"");
    let streams = [StreamKey::new("github", "Issue"), StreamKey::new("github-x", "Issue"), issues(), open, odd];
    make(&here.join("my app.db"), Codec::builder(), &streams);
    let records = |further: &[&str]| {
        let command = ["records", "issue", "--db", "my app.db", "--connection", "github-cargo"];
        told(here, &[&command, further].concat(), "")
    };
    let (well, said) = records(&[]);
    assert!(!well && said.contains("--variant"), "{said}");
    assert!(records(&["--variant", "open"]).0 && records(&["--variant", "base"]).0);
    let view = |arguments: &[&str]| told(here, &[&["sql-view", "--db", "my app.db"], arguments].concat(), "");
    // A connection that is named in full is meant, though others begin like it.
    assert!(view(&["github", "Issue"]).1.contains("view issue_github: id, title"));
    assert!(view(&["github-x", "issue"]).1.contains("view issue_github-x: id, title"));
    let (well, said) = view(&["github-cargo", "Issue"]);
    assert!(!well && said.contains("--variant"), "{said}");
    assert!(
        view(&["github-cargo", "Issue", "--variant", "open"]).1.contains("view issue_github-cargo_open: id, title")
    );
    let (_, said) = view(&["gh", "it's \"odd\""]);
    let next = r#"Next: sqlite3 'my app.db' 'SELECT * FROM "it'\''s ""odd""" LIMIT 5'"#;
    assert!(said.contains(next), "{said}");
    assert!(view(&["gh", "Issue"]).1.contains("no such model"));
}

#[test]
fn damaged_counters_are_told_to_machines_too() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make(&here.join("app.db"), Codec::builder(), &[issues()]);
    // A block with its last record cut off.
    let change = "UPDATE hw_log SET directory = substr(directory, 1, 88)";
    Connection::open(here.join("app.db")).unwrap().execute_batch(change).unwrap();
    let output = run(here, &["doctor", "--json", "--db", "app.db"]);
    assert_eq!(output.status.code(), Some(1));
    let mut lines = output.stdout.split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap());
    let found: serde_json::Value = lines.find(|line: &serde_json::Value| line["type"] == "verification").unwrap();
    assert_eq!(
        (&found["stream"], &found["entries"]),
        (&serde_json::json!({ "connection": "github-cargo", "model": "Issue", "variant": "base" }), &2.into())
    );
    let problems = found["problems"].to_string();
    for wanted in ["live records: counted 2, on record 3", "payload bytes: counted", "checksum: counted"] {
        assert!(problems.contains(wanted), "{problems}");
    }
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "corrupt");
    assert!(error["error"]["message"].as_str().unwrap().contains("restore a backup"), "{error}");
}

#[test]
fn reading_commands_leave_the_databases_of_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = here.join("theirs.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    std::fs::write(here.join("empty.db"), "").unwrap();
    let before = std::fs::read(&path).unwrap();
    for command in
        [&["doctor"][..], &["status"], &["records", "Issue"], &["tail", "Issue"], &["sql-view", "github", "Issue"]]
    {
        for db in ["theirs.db", "empty.db"] {
            let (well, said) = told(here, &[command, &["--db", db]].concat(), "");
            assert!(!well && said.contains("contains no store") && said.contains(db), "{command:?}: {said}");
        }
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::metadata(here.join("empty.db")).unwrap().len(), 0);
}
