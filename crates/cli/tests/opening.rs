//! Commands that read: they wait for nobody, need no permission to write, and change nothing, whatever they are given.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Output;

use highwater::codecs::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater::maintenance::Maintenance;
use highwater::store::PayloadCodec;
use highwater::stores::rusqlite::Connection;
use highwater::stores::{RedbStore, SqliteStore};
use highwater::{Store, StoreExt, StoreOptions, StreamKey, WriteBatch};
use std::sync::Arc;
use support::highwater;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn fill(store: &dyn Store, from: usize, to: usize) {
    let mut batch = WriteBatch::new();
    for n in from..to {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"the text of note {n}, of note {n}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

fn open(kind: &str, path: &Path, codec: Option<Arc<dyn PayloadCodec>>) -> Arc<dyn Store> {
    let mut options = StoreOptions::new().recoding();
    options.codec = codec;
    match kind {
        "redb" => Arc::new(RedbStore::builder(path).options(options).open().unwrap()),
        _ => Arc::new(SqliteStore::builder(path).options(options).open().unwrap()),
    }
}

fn make(kind: &str, path: &Path, codec: Option<Arc<dyn PayloadCodec>>) {
    block_on(async {
        let store = open(kind, path, codec);
        fill(&*store, 0, 5).await;
        store.consumer(&notes(), "reader").poll().await.unwrap();
        store.close().await.unwrap();
    });
}

/// Commands that read.
const READING: [&[&str]; 9] = [
    &["records", "Note"],
    &["get", "Note", "1"],
    &["get", "Note", "none"],
    &["status"],
    &["doctor"],
    &["runs"],
    &["logs"],
    &["webhooks"],
    &["records", "NoSuchModel"],
];

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// Whether the command finds what is asked for, if all is well.
fn finds(command: &[&str]) -> bool {
    !command.iter().any(|word| ["none", "NoSuchModel"].contains(word))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Every file of the folder: a hash of its bytes, and when it was written.
fn files(folder: &Path) -> BTreeMap<String, (u64, std::time::SystemTime)> {
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        (path.file_name().unwrap().display().to_string(), (hash(&fs::read(&path).unwrap()), written))
    };
    fs::read_dir(folder).unwrap().map(file).collect()
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

#[test]
fn r1_reading_with_a_key_or_dictionary_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let samples: Vec<String> = (0..2000).map(|n| format!(r#"{{"id":"{n}","text":"text of note {n}"}}"#)).collect();
    let words = here.join("words.zdict");
    fs::write(&words, Dictionary::train(&samples, 2048).unwrap().bytes()).unwrap();
    for kind in ["sqlite", "redb"] {
        for given in [["--key-env", "KEY"], ["--dictionary", words.to_str().unwrap()]] {
            let place = tempfile::tempdir().unwrap();
            let db = place.path().join("app");
            make(kind, &db, None);
            let at = ["--db", db.to_str().unwrap(), "--store", kind];
            let before = fs::read(&db).unwrap();
            for command in READING.iter().copied().chain([&["tail", "Note", "--once"][..], &["runs", "approve", "x"]]) {
                let reads = READING.contains(&command);
                let output =
                    highwater(here, &[command, &at[..], &given[..]].concat()).env("KEY", hex(7)).output().unwrap();
                let text = said(&output);
                assert!(!output.status.success() && text.contains("highwater recode"), "{command:?}: {text}");
                assert!(!text.contains(&hex(7)), "{text}");
                // redb notes in its file that it was opened for writing.
                let same = fs::read(&db).unwrap() == before;
                assert!(same || (kind == "redb" && !reads), "{kind} {command:?} {given:?} changed the store");
            }
            let output = highwater(here, &[&["records", "Note"], &at[..]].concat()).output().unwrap();
            assert!(output.status.success() && said(&output).contains("note 4"), "{}", said(&output));
        }
    }
}

#[test]
fn reading_waits_for_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make("sqlite", &here.join("app.db"), None);
    let other = Connection::open(here.join("app.db")).unwrap();
    other.execute_batch("CREATE TABLE theirs (n); BEGIN IMMEDIATE; INSERT INTO theirs VALUES (1)").unwrap();
    for command in READING {
        let output = highwater(here, &[command, &["--db", "app.db"]].concat()).output().unwrap();
        assert_eq!(output.status.success(), finds(command), "{command:?}: {}", said(&output));
        assert!(!said(&output).contains("another process"), "{command:?}: {}", said(&output));
    }
    other.execute_batch("COMMIT").unwrap();
}

#[test]
fn reading_leaves_the_files_as_they_were() {
    for kind in ["sqlite", "redb"] {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        make(kind, &here.join("app.db"), None);
        let before = files(here);
        for command in READING {
            let output = highwater(here, &[command, &["--db", "app.db", "--store", kind]].concat()).output().unwrap();
            assert_eq!(output.status.success(), finds(command), "{command:?}: {}", said(&output));
            assert_eq!(files(here), before, "{kind} {command:?}");
        }
    }
}

#[test]
fn reading_makes_nothing() {
    for kind in ["sqlite", "redb", "sled"] {
        let folder = tempfile::tempdir().unwrap();
        for command in READING.iter().copied().chain([&["tail", "Note", "--once"][..], &["recode"]]) {
            let arguments = [command, &["--db", "none", "--store", kind]].concat();
            let output = highwater(folder.path(), &arguments).output().unwrap();
            assert!(
                !output.status.success() && said(&output).contains("the store does not exist"),
                "{}",
                said(&output)
            );
        }
        assert!(files(folder.path()).is_empty(), "{kind}");
    }
}

#[cfg(unix)]
mod permissions {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// The command as another user, who may read here and write nothing; as ourselves where we are no one to change that.
    fn as_stranger(here: &Path, arguments: &[&str]) -> Command {
        let mut command = highwater(here, arguments);
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
            command.uid(65534).gid(65534);
        }
        command
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Whether a stranger can run the command at all, and whether the file system minds permissions.
    fn can_be_tried(here: &Path) -> bool {
        let probe = as_stranger(here, &["templates", "list"]).output();
        let minded =
            fs::File::create(here.join("probe")).is_err() || fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        let _ = fs::remove_file(here.join("probe"));
        let can = minded && probe.is_ok_and(|output| output.status.success());
        if !can {
            println!("skipped: permissions cannot be tried here");
        }
        can
    }

    fn shut(here: &Path) {
        for entry in fs::read_dir(here).unwrap() {
            allow(&entry.unwrap().path(), 0o444);
        }
        allow(here, 0o555);
    }

    #[test]
    fn what_may_not_be_written_is_read() {
        for (kind, journal) in [("sqlite", "wal"), ("sqlite", "delete"), ("redb", "")] {
            for folder_mode in [0o555, 0o777] {
                let folder = tempfile::tempdir().unwrap();
                let here = folder.path();
                let db = here.join("app.db");
                make(kind, &db, None);
                if kind == "sqlite" {
                    let host = Connection::open(&db).unwrap();
                    host.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(())).unwrap();
                }
                shut(here);
                if !can_be_tried(here) {
                    return;
                }
                allow(here, folder_mode);
                let before = files(here);
                for command in READING.iter().copied().chain([&["tail", "Note", "--once"][..]]) {
                    let arguments = [command, &["--db", "app.db", "--store", kind]].concat();
                    let output = as_stranger(here, &arguments).output().unwrap();
                    let text = said(&output);
                    assert_eq!(
                        output.status.success(),
                        finds(command),
                        "{kind} {journal} {folder_mode:o} {command:?}: {text}"
                    );
                    assert_eq!(files(here), before, "{kind} {journal} {folder_mode:o} {command:?}");
                }
                allow(here, 0o755);
            }
        }
    }

    /// A reader that took the file for one that does not change, when somebody begins to write it.
    #[test]
    fn who_may_not_write_follows_who_does() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        make("sqlite", &here.join("app.db"), None);
        shut(here);
        if !can_be_tried(here) || fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
            return;
        }
        let mut tail = as_stranger(here, &["tail", "Note", "--from", "start", "--json", "--db", "app.db"]);
        let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut until =
            |wanted: &str| lines.by_ref().find(|line| line.contains(wanted)).is_some_and(|line| line.len() > 10);
        assert!(until("of note 4"));
        let store = SqliteStore::open(here.join("app.db")).unwrap();
        for round in 0..20 {
            block_on(fill(&store, 5 + round, 6 + round));
            assert!(until(&format!("of note {}\"", 5 + round)), "{round}");
            if round % 5 == 0 {
                let host = Connection::open(here.join("app.db")).unwrap();
                host.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            }
        }
        block_on(store.close()).unwrap();
        tail.kill().unwrap();
        tail.wait().unwrap();
        allow(here, 0o755);
    }

    #[test]
    fn a_wal_that_may_not_be_written_is_read_or_its_lack_told() {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.db");
        make("sqlite", &live, None);
        let store = SqliteStore::open(&live).unwrap();
        block_on(fill(&store, 5, 9));
        for (ends, wanted) in [(&["", "-wal", "-shm"][..], Some("note 8")), (&["", "-wal"], None)] {
            let here = tempfile::tempdir().unwrap();
            for end in ends {
                let name = here.path().join(format!("app.db{end}"));
                fs::copy(folder.path().join(format!("live.db{end}")), name).unwrap();
            }
            shut(here.path());
            if !can_be_tried(here.path()) {
                return;
            }
            let before = files(here.path());
            let output = as_stranger(here.path(), &["records", "Note", "--db", "app.db"]).output().unwrap();
            let text = said(&output);
            match wanted {
                Some(wanted) => assert!(output.status.success() && text.contains(wanted), "{text}"),
                // The commits in it must not be left out without a word.
                None => assert!(!output.status.success() && text.contains("last commits are in its WAL"), "{text}"),
            }
            assert_eq!(files(here.path()), before);
            allow(here.path(), 0o755);
        }
        block_on(store.close()).unwrap();
    }
}

fn codec(keys: &[u8]) -> Option<Arc<dyn PayloadCodec>> {
    let key = |byte: u8| EncryptionKey::from_bytes(&[byte; 32]).unwrap();
    let ring = keys.iter().skip(1).fold(KeyRing::new(keys[0], key(keys[0])), |ring, n| ring.also_decrypt(*n, key(*n)));
    Some(Codec::builder().encrypt(ring).compress(Compression::new()).build())
}

#[test]
fn a_rotation_is_told_named_and_finished() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let run = |arguments: &[&str]| {
        let mut command = highwater(here, &[arguments, &["--db", "app.db"]].concat());
        let output = command.env("OLD", hex(1)).env("NEW", hex(2)).output().unwrap();
        let text = said(&output);
        assert!(!text.contains(&hex(1)) && !text.contains(&hex(2)), "{text}");
        (output.status.success(), text)
    };
    // Encryption is switched on by an act of its own.
    make("sqlite", &here.join("app.db"), None);
    let (well, text) = run(&["recode", "--key-env", "OLD"]);
    assert!(well && text.contains("5 payloads") && text.contains("key 1 ("), "{text}");
    let (well, text) = run(&["records", "Note"]);
    assert!(!well && text.contains("--key-env"), "{text}");
    // A rotation that ended in the middle.
    block_on(async {
        let store = open("sqlite", &here.join("app.db"), codec(&[2, 1]));
        fill(&*store, 5, 7).await;
        store.close().await.unwrap();
    });
    for (given, missing) in [("1=OLD", "key 2 ("), ("2=NEW", "key 1 (")] {
        for command in [&["doctor"][..], &["status"], &["records", "Note"]] {
            let (well, text) = run(&[command, &["--key-env", given]].concat());
            assert!(!well && text.contains(missing) && text.contains("being moved"), "{text}");
            assert!(!text.contains("damaged") && !text.contains("restore a backup"), "{text}");
        }
    }
    for keys in [["1=OLD", "2=NEW"], ["2=NEW", "1=OLD"]] {
        let with = ["--key-env", keys[0], "--key-env", keys[1]];
        for command in [&["doctor"][..], &["status"]] {
            let (well, text) = run(&[command, &with].concat());
            assert!(well && text.contains("highwater recode") && text.contains("key 2 ("), "{text}");
        }
        assert!(run(&[&["get", "Note", "0", "6"][..], &with].concat()).0);
    }
    let (well, text) = run(&["recode", "--key-env", "2=NEW", "--key-env", "1=OLD"]);
    assert!(well && text.contains("7 payloads"), "{text}");
    let (well, text) = run(&["doctor", "--key-env", "NEW", "--key-number", "2"]);
    assert!(well && !text.contains("recode"), "{text}");
    let (well, text) = run(&["doctor", "--key-env", "1=OLD"]);
    assert!(!well && text.contains("key 2 (") && !text.contains("restore a backup"), "{text}");
    // Mistakes on the way.
    let (well, text) = run(&["doctor", "--key-env", "NEW", "--key-env", "OLD"]);
    assert!(!well && text.contains("same number"), "{text}");
    let (well, text) = run(&["doctor", "--key-env", "300=NEW"]);
    assert!(!well && text.contains("0 to 255"), "{text}");
    // And back to a plain store.
    let (well, text) = run(&["recode", "--plain", "--key-env", "2=NEW"]);
    assert!(well && text.contains("no key and no dictionary"), "{text}");
    let (well, text) = run(&["records", "Note"]);
    assert!(well && text.contains("note 6"), "{text}");
}

/// What a former version left that was killed in a rotation: two keys, and one of them told.
#[test]
fn doctor_calls_a_missing_key_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    make("sqlite", &here.join("app.db"), codec(&[1]));
    block_on(async {
        let store = open("sqlite", &here.join("app.db"), codec(&[2, 1]));
        fill(&*store, 5, 7).await;
        assert!(store.maintain(Maintenance::CheckCodec).await.is_ok());
        store.close().await.unwrap();
    });
    let former =
        "UPDATE hw_meta SET value = 3; DELETE FROM hw_state WHERE key = X'78' OR (key > X'6B' AND key < X'6C');
        UPDATE hw_state SET value = CAST(X'01' || substr(value, 2) AS BLOB) WHERE key = X'69'";
    Connection::open(here.join("app.db")).unwrap().execute_batch(former).unwrap();
    let doctor = |keys: &[&str]| {
        let arguments = [&["doctor", "--db", "app.db"], keys].concat();
        let output = highwater(here, &arguments).env("OLD", hex(1)).env("NEW", hex(2)).output().unwrap();
        (output.status.success(), said(&output))
    };
    let (well, text) = doctor(&["--key-env", "1=OLD"]);
    assert!(!well && text.contains("2 payloads not checked: reading needs key 2 ("), "{text}");
    assert!(!text.contains("damaged") && !text.contains("restore a backup"), "{text}");
    let (well, text) = doctor(&["--key-env", "1=OLD", "--key-env", "2=NEW"]);
    assert!(well, "{text}");
}
