//! Changes of keys and dictionaries: none by the way, each named when it is missing, none lost when the change is killed.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_codec::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater_core::{
    CodecHealth, ErrorKind, History, Maintenance, MaintenanceReport, MemoryBackend, PayloadCodec, PayloadContext,
    Result, Store, StoreExt, StoreOptions, StreamKey, StreamOptions, Threaded, WriteBatch,
};
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;

const ROLE: &str = "HIGHWATER_TEST_RECODE";
/// More than a slice of the log, and more than one of the history.
const RECORDS: usize = 1100;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes(&[byte; 32]).unwrap()
}

/// Encrypts with the first key, reads with all.
fn keys(numbers: &[u8]) -> Option<Arc<dyn PayloadCodec>> {
    let ring = KeyRing::new(numbers[0], key(numbers[0]));
    let ring = numbers.iter().skip(1).fold(ring, |ring, number| ring.also_decrypt(*number, key(*number)));
    Some(Codec::builder().encrypt(ring).build())
}

fn dictionaries(known: &[&Dictionary]) -> Option<Arc<dyn PayloadCodec>> {
    let first = Compression::new().dictionary(known[0].clone());
    let all = known.iter().skip(1).fold(first, |all, known| all.also_decompress((*known).clone()));
    Some(Codec::builder().compress(all).build())
}

fn dictionary(word: &str) -> Dictionary {
    let samples: Vec<String> = (0..2000).map(|n| format!(r#"{{"id":"{n}","{word}":"{word} of user {n}"}}"#)).collect();
    Dictionary::train(&samples, 2048).unwrap()
}

fn open(
    kind: &str,
    path: &Path,
    codec: Option<Arc<dyn PayloadCodec>>,
    options: StoreOptions,
) -> Result<Arc<dyn Store>> {
    let mut options = options;
    options.codec = codec;
    Ok(match kind {
        "sqlite" => Arc::new(SqliteStore::builder(path).options(options).open()?),
        "redb" => Arc::new(RedbStore::builder(path).options(options).open()?),
        _ => Arc::new(SledStore::builder(path).options(options).open()?),
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

async fn save(store: &dyn Store, from: usize, to: usize, text: &str) {
    let mut batch = WriteBatch::new();
    for n in from..to {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{text}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

async fn contents(store: &dyn Store) -> Result<Vec<String>> {
    let page = store.records(&notes()).limit(10_000).page().await?;
    let mut all = Vec::new();
    for change in page.changes {
        for version in store.versions(&notes(), &change.record.id).await? {
            all.push(version.record.payload.unwrap().as_str().to_owned());
        }
    }
    Ok(all)
}

async fn health(store: &dyn Store) -> CodecHealth {
    match store.maintain(Maintenance::CheckCodec).await.unwrap() {
        MaintenanceReport::Codec(health) => health,
        other => panic!("{other:?}"),
    }
}

async fn fill(store: &dyn Store) {
    let history = StreamOptions::default().history(History::Versions(2));
    store.maintain(Maintenance::Configure(notes(), history)).await.unwrap();
    save(store, 0, RECORDS, "first").await;
    save(store, 0, RECORDS, "second").await;
}

/// A codec that has this process killed at its n-th encoding; at the check that ends the rotation, where n is 0.
#[derive(Debug)]
struct Killed {
    inner: Arc<dyn PayloadCodec>,
    left: AtomicUsize,
    /// The opening asks for two.
    checks_left: AtomicUsize,
}

impl PayloadCodec for Killed {
    fn encode(&self, context: &PayloadContext<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let left = if context.id == "check" { &self.checks_left } else { &self.left };
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let me = std::process::id().to_string();
            Command::new("kill").args(["-9", &me]).status().unwrap();
            std::thread::park();
        }
        self.inner.encode(context, payload, out)
    }
    fn decode(&self, context: &PayloadContext<'_>, stored: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.inner.decode(context, stored, out)
    }
    fn needs(&self) -> Vec<String> {
        self.inner.needs()
    }
    fn need_of(&self, stored: &[u8]) -> Option<String> {
        self.inner.need_of(stored)
    }
    fn has(&self, need: &str) -> bool {
        self.inner.has(need)
    }
}

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let [kind, path, left] = *role.split('|').collect::<Vec<_>>() else { panic!("{role}") };
    let codec = Killed {
        inner: keys(&[2, 1]).unwrap(),
        left: AtomicUsize::new(left.parse().unwrap()),
        checks_left: AtomicUsize::new(3),
    };
    let store = open(kind, Path::new(path), Some(Arc::new(codec)), StoreOptions::new().recoding()).unwrap();
    block_on(store.maintain(Maintenance::Recode)).unwrap();
    panic!("it was not killed");
}

#[cfg(unix)]
#[test]
fn a_rotation_that_is_killed_loses_nothing_and_says_what_it_needs() {
    for kind in ["sqlite", "redb", "sled"] {
        let made = tempfile::tempdir().unwrap();
        let before = block_on(async {
            let store = open(kind, &made.path().join("store"), keys(&[1]), StoreOptions::new()).unwrap();
            fill(&*store).await;
            let before = contents(&*store).await.unwrap();
            store.close().await.unwrap();
            before
        });
        // Behind each of the commits that it takes: of its beginning, of slices of the log and of the history.
        for left in [1, 1001, 1101, 2101, 2200, 0] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            copy(&made.path().join("store"), &path);
            let role = format!("{kind}|{}|{left}", path.display());
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--nocapture"])
                .env(ROLE, role)
                .output()
                .unwrap();
            assert_eq!(child.status.code(), None, "{kind} {left}: {}", String::from_utf8_lossy(&child.stderr));
            let place = format!("{kind} at {left}");
            block_on(after_the_kill(kind, &path, &before, &place));
        }
    }
}

async fn after_the_kill(kind: &str, path: &Path, before: &[String], place: &str) {
    // Either key alone is refused, and the other one named; never called damage.
    for (alone, missing) in [(1, "key 2 ("), (2, "key 1 (")] {
        let error = open(kind, path, keys(&[alone]), StoreOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey, "{place}: {error}");
        assert!(error.context("needs").is_some_and(|needs| needs.contains(missing)), "{place}: {error}");
        assert!(error.to_string().contains("being moved"), "{place}: {error}");
    }
    // With both it opens, in either order, for reading too.
    for both in [[1, 2], [2, 1]] {
        let store = open(kind, path, keys(&both), StoreOptions::new().read_only()).unwrap();
        assert_eq!(contents(&*store).await.unwrap(), before, "{place}");
        let health = health(&*store).await;
        assert!(health.unfinished && health.needs.len() == 2, "{place}: {health:?}");
        store.close().await.unwrap();
        drop(store);
    }
    let store = open(kind, path, keys(&[2, 1]), StoreOptions::new()).unwrap();
    store.maintain(Maintenance::Recode).await.unwrap();
    assert!(!health(&*store).await.unfinished, "{place}");
    store.close().await.unwrap();
    drop(store);
    let store = open(kind, path, keys(&[2]), StoreOptions::new()).unwrap();
    assert_eq!(contents(&*store).await.unwrap(), before, "{place}");
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert!(found.is_clean(), "{place}: {found:?}"),
        other => panic!("{other:?}"),
    }
    store.close().await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// What is opened, and what it is given by mistake.
fn memory(
    backend: &MemoryBackend,
    codec: Option<Arc<dyn PayloadCodec>>,
    options: StoreOptions,
) -> Result<Threaded<MemoryBackend>> {
    let mut options = options;
    options.codec = codec;
    Threaded::open(backend.clone(), options)
}

#[tokio::test]
async fn r1_a_key_or_dictionary_that_the_store_was_not_told_of_is_refused() {
    let (words, titles) = (dictionary("word"), dictionary("title"));
    let key_and_words = Codec::builder().compress(Compression::new().dictionary(words.clone()));
    let key_and_words = key_and_words.encrypt(KeyRing::new(1, key(1))).build();
    let cases = [
        ("a plain store", None, keys(&[1])),
        ("a plain store", None, dictionaries(&[&words])),
        ("an encrypted store", keys(&[1]), keys(&[2, 1])),
        ("a store with a dictionary", dictionaries(&[&words]), dictionaries(&[&titles, &words])),
        ("a store with a dictionary", dictionaries(&[&words]), Some(key_and_words)),
    ];
    for (what, made_with, given) in cases {
        let backend = MemoryBackend::default();
        let store = memory(&backend, made_with.clone(), StoreOptions::new()).unwrap();
        save(&store, 0, 3, "text").await;
        store.close().await.unwrap();
        let error = memory(&backend, given.clone(), StoreOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey, "{what}: {error}");
        assert!(error.to_string().contains("StoreOptions::recoding"), "{what}: {error}");
        // The refusal, and reading, changed nothing.
        let _ = memory(&backend, given, StoreOptions::new().read_only());
        let store = memory(&backend, made_with, StoreOptions::new()).unwrap();
        assert_eq!(contents(&store).await.unwrap().len(), 3, "{what}");
        assert!(!health(&store).await.unfinished, "{what}");
    }
}

#[tokio::test]
async fn r1_reading_with_a_key_leaves_a_plain_store_as_it_is() {
    let backend = MemoryBackend::default();
    let store = memory(&backend, None, StoreOptions::new()).unwrap();
    save(&store, 0, 3, "text").await;
    store.close().await.unwrap();
    let error = memory(&backend, keys(&[1]), StoreOptions::new().read_only()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey, "{error}");
    assert!(memory(&backend, None, StoreOptions::new()).is_ok());
    // Of an encrypted one, a ring whose first key is not in use yet reads as well.
    let backend = MemoryBackend::default();
    let store = memory(&backend, keys(&[1]), StoreOptions::new()).unwrap();
    save(&store, 0, 3, "text").await;
    store.close().await.unwrap();
    let store = memory(&backend, keys(&[2, 1]), StoreOptions::new().read_only()).unwrap();
    assert_eq!(contents(&store).await.unwrap().len(), 3);
    assert_eq!(health(&store).await.needs.len(), 1);
    store.close().await.unwrap();
    memory(&backend, keys(&[1]), StoreOptions::new()).unwrap();
}

/// Plain, encrypted, plain again, under another key, and twice with the same.
#[tokio::test]
async fn changes_in_a_row_end_where_the_last_one_says() {
    let backend = MemoryBackend::default();
    let store = memory(&backend, None, StoreOptions::new()).unwrap();
    fill(&store).await;
    let before = contents(&store).await.unwrap();
    store.close().await.unwrap();
    let plainly = || Some(Codec::builder().encrypt(KeyRing::decrypt_only(1, key(1))).build());
    let steps = [(keys(&[1]), keys(&[1])), (plainly(), None), (keys(&[2]), keys(&[2])), (keys(&[1, 2]), keys(&[1]))];
    for (change, after) in steps {
        let store = memory(&backend, change, StoreOptions::new().recoding()).unwrap();
        for _ in 0..2 {
            store.maintain(Maintenance::Recode).await.unwrap();
            assert_eq!(contents(&store).await.unwrap(), before);
        }
        store.close().await.unwrap();
        let store = memory(&backend, after, StoreOptions::new()).unwrap();
        assert_eq!(contents(&store).await.unwrap(), before);
        assert!(!health(&store).await.unfinished);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn one_of_two_dictionaries_is_missed_by_its_name() {
    let (words, titles) = (dictionary("word"), dictionary("title"));
    let backend = MemoryBackend::default();
    let store = memory(&backend, dictionaries(&[&words]), StoreOptions::new()).unwrap();
    save(&store, 0, 5, &"word of user ".repeat(9)).await;
    store.close().await.unwrap();
    let store = memory(&backend, dictionaries(&[&titles, &words]), StoreOptions::new().recoding()).unwrap();
    save(&store, 5, 10, &"title of user ".repeat(9)).await;
    assert_eq!(health(&store).await.needs.len(), 2);
    store.close().await.unwrap();
    for one in [&words, &titles] {
        let error = memory(&backend, dictionaries(&[one]), StoreOptions::new()).unwrap_err();
        let named = error.context("needs").is_some_and(|needs| needs.starts_with("dictionary "));
        assert!(error.kind() == ErrorKind::WrongKey && named, "{error}");
    }
    // From now on both are known, in whatever order.
    let store = memory(&backend, dictionaries(&[&words, &titles]), StoreOptions::new()).unwrap();
    assert_eq!(contents(&store).await.unwrap().len(), 10);
    store.maintain(Maintenance::Recode).await.unwrap();
    store.close().await.unwrap();
    let store = memory(&backend, dictionaries(&[&words]), StoreOptions::new()).unwrap();
    assert_eq!(contents(&store).await.unwrap().len(), 10);
}

/// A store whose rotation a former version was killed in: nothing tells of the second key but the payloads.
#[tokio::test]
async fn verification_names_what_is_missing_and_calls_it_no_damage() {
    use highwater_core::backend::{Backend, BackendRead, BackendWrite, Table};
    let mut backend = MemoryBackend::default();
    let store = memory(&backend, keys(&[1]), StoreOptions::new()).unwrap();
    save(&store, 0, 5, "text").await;
    store.close().await.unwrap();
    let store = memory(&backend, keys(&[2, 1]), StoreOptions::new().recoding()).unwrap();
    save(&store, 5, 8, "text").await;
    store.close().await.unwrap();
    let mut write = backend.begin().unwrap();
    let mut told = Vec::new();
    write
        .range(Table::State, b"k\0", b"l", &mut |key, _| {
            told.push(key.to_vec());
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    told.push(b"x".to_vec());
    told.iter().for_each(|key| write.remove(Table::State, key).unwrap());
    let identity = write.get(Table::State, b"i").unwrap().unwrap();
    write.put(Table::State, b"i", &[&[1], &identity[1..]].concat()).unwrap();
    write.commit().unwrap();
    for options in [StoreOptions::new().read_only(), StoreOptions::new()] {
        let store = memory(&backend, keys(&[1]), options).unwrap();
        let MaintenanceReport::Verified(found) = store.maintain(Maintenance::Verify(notes())).await.unwrap() else {
            panic!()
        };
        assert_eq!(found.problems, Vec::<String>::new());
        let missing: Vec<_> = found.missing.iter().collect();
        assert!(matches!(*missing, [(name, 3)] if name.starts_with("key 2 (")), "{missing:?}");
        assert!(!found.is_clean());
        store.close().await.unwrap();
    }
    // With both keys it opens, as it did before, and from then on it names what it needs.
    let store = memory(&backend, keys(&[2, 1]), StoreOptions::new()).unwrap();
    assert_eq!(contents(&store).await.unwrap().len(), 8);
    let health = health(&store).await;
    assert!(health.unfinished && health.needs.len() == 2, "{health:?}");
}
