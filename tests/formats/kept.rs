//! The kept stores: how they are made, and copies of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use highwater::batch::{BadRecords, SourceVersion};
use highwater::consumer::PollOptions;
use highwater::content::ContentRules;
use highwater::maintenance::{History, Maintenance, PruneWhat};
use highwater::store::{PayloadCodec, StreamOptions};
use highwater::{Result, RunId, Store, StoreExt, StoreOptions, StreamKey, WriteBatch};
use highwater_codec::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater_conformance::TestEnvironment;
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::SqliteStore;
use serde_json::Value;

/// When the kept stores were made, and two hours later.
const MADE_MS: u64 = 1_780_000_000_000;
pub(crate) const LATER_MS: u64 = MADE_MS + 7_200_000;
pub(crate) const RUN: u128 = 0x0190_0000_0000_0000_0000_0000_0000_0001;

const KINDS: [&str; 4] = ["sqlite", "sqlite-codec", "redb", "sled"];

pub(crate) fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

pub(crate) fn tasks() -> StreamKey {
    StreamKey::new("demo", "Task").with_variant("open")
}

pub(crate) fn note(id: &str, n: usize) -> String {
    format!(r#"{{"id":"{id}","text":"a note that says {n} things about the water in the cellar","n":{n}}}"#)
}

pub(crate) fn task(n: usize) -> String {
    format!(r#"{{"id":{n},"title":"task number {n} of a list that many have","etag":"etag-{n}","done":false}}"#)
}

pub(crate) fn environment(now_ms: u64) -> Arc<TestEnvironment> {
    chance(7, now_ms)
}

/// The same moment with other randomness.
pub(crate) fn chance(seed: u64, now_ms: u64) -> Arc<TestEnvironment> {
    let environment = TestEnvironment::new(seed);
    environment.set_ms(now_ms);
    Arc::new(environment)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// A copy of a kept store.
pub(crate) struct Kept {
    folder: PathBuf,
    kind: &'static str,
    _copy: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// A copy of every kept store.
pub(crate) fn copies() -> Vec<Kept> {
    let mut copies = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/kept"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    for folder in folders {
        for kind in KINDS {
            let copy = tempfile::tempdir().unwrap();
            let path = copy.path().join("store");
            unpack(&folder.join(kind), &path);
            copies.push(Kept { folder: folder.clone(), kind, _copy: copy, path });
        }
    }
    copies
}

impl Kept {
    /// Format and kind.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.folder.file_name().unwrap().display(), self.kind)
    }

    /// What the code that made it read from it.
    pub(crate) fn facts(&self) -> Value {
        let facts: Value = serde_json::from_slice(&fs::read(self.folder.join("facts.json")).unwrap()).unwrap();
        facts[if self.kind == "sqlite-codec" { "with_codec" } else { "plain" }].clone()
    }

    pub(crate) fn options(&self, environment: &Arc<TestEnvironment>) -> StoreOptions {
        let codec = (self.kind == "sqlite-codec").then(|| codec(&self.folder));
        options(codec, environment)
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn Store>> {
        self.open_under(&environment(MADE_MS + 100_000))
    }

    pub(crate) fn open_under(&self, environment: &Arc<TestEnvironment>) -> Result<Arc<dyn Store>> {
        open(self.kind, &self.path, self.options(environment))
    }

    /// The same store at another place.
    pub(crate) fn open_at(&self, path: &Path, options: StoreOptions) -> Result<Arc<dyn Store>> {
        open(self.kind, path, options)
    }

    /// The place of the copy that a migration keeps.
    pub(crate) fn copy(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".format-");
        name.push(self.folder.file_name().unwrap());
        PathBuf::from(name)
    }
}

fn options(codec: Option<Arc<dyn PayloadCodec>>, environment: &Arc<TestEnvironment>) -> StoreOptions {
    let mut options = StoreOptions::new().environment(Arc::clone(environment) as _);
    options.codec = codec;
    options
}

fn open(kind: &str, path: &Path, options: StoreOptions) -> Result<Arc<dyn Store>> {
    Ok(match kind {
        "redb" => Arc::new(RedbStore::builder(path).options(options).open()?),
        "sled" => Arc::new(SledStore::builder(path).options(options).open()?),
        _ => Arc::new(SqliteStore::builder(path).options(options).open()?),
    })
}

fn codec(folder: &Path) -> Arc<dyn PayloadCodec> {
    let dictionary = Dictionary::from_bytes(fs::read(folder.join("titles.zdict")).unwrap()).unwrap();
    let key = EncryptionKey::from_bytes(b"a key for tests and nothing else").unwrap();
    Codec::builder().compress(Compression::new().dictionary(dictionary)).encrypt(KeyRing::new(1, key)).build()
}

/// Makes a store of each kind in `folder`.
pub(crate) fn make(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let samples: Vec<String> = (0..2000).map(task).collect();
    fs::write(folder.join("titles.zdict"), Dictionary::train(&samples, 1024).unwrap().bytes()).unwrap();
    let mut facts = serde_json::Map::new();
    for kind in KINDS {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("store");
        let environment = environment(MADE_MS);
        let with_codec = kind == "sqlite-codec";
        let store = open(kind, &path, options(with_codec.then(|| codec(folder)), &environment)).unwrap();
        block_on(fill(&*store, &environment));
        let read = block_on(crate::facts::of(&*store));
        block_on(store.maintain(Maintenance::Compact)).unwrap();
        block_on(store.close()).unwrap();
        drop(store);
        let known = facts.entry(if with_codec { "with_codec" } else { "plain" }).or_insert_with(|| read.clone());
        crate::facts::compare(kind, known, &read);
        pack(&path, &folder.join(kind));
    }
    fs::write(folder.join("facts.json"), serde_json::to_vec(&facts).unwrap()).unwrap();
}

async fn fill(store: &dyn Store, clock: &TestEnvironment) {
    let commit = async |write: &mut dyn FnMut(&mut WriteBatch)| {
        let mut batch = WriteBatch::new();
        write(&mut batch);
        clock.step_ms(1000);
        store.commit(batch).await.unwrap()
    };
    let history = StreamOptions::default().history(History::Versions(3));
    store.maintain(Maintenance::Configure(notes(), history)).await.unwrap();
    let rules = StreamOptions::default().rules(ContentRules::new().ignoring("/etag").unwrap());
    store.maintain(Maintenance::Configure(tasks(), rules)).await.unwrap();
    commit(&mut |batch| {
        for id in "abcdefghij".chars() {
            batch.on(&notes()).upsert(note(&id.to_string(), 1));
        }
        batch.on(&notes()).summarize_in("account/notes");
        batch.put_document("checkpoint/notes", &"2026-11-23T10:00:00Z").unwrap().take_lease("run/a");
    })
    .await;
    let bookmark = async |name: &str| {
        let end = store.head(&notes()).await.unwrap().high_water;
        let mut batch = WriteBatch::new();
        batch.put_document(format!("bookmark/{name}"), &end).unwrap();
        store.commit(batch).await.unwrap();
        end
    };
    bookmark("early").await;
    commit(&mut |batch| {
        let target = batch.on(&notes());
        target.upsert(note("a", 2)).at_version(SourceVersion::Number(2));
        target.upsert(note("b", 2)).at_version(SourceVersion::Text("2026-11-23".into()));
        target.delete("c").patch("d", r#"{"more":{"of":"it"}}"#).origin("webhook");
    })
    .await;
    commit(&mut |batch| {
        for n in 1..=30 {
            batch.on(&tasks()).upsert(task(n));
        }
    })
    .await;
    let up_to = store.head(&notes()).await.unwrap().high_water;
    store.maintain(Maintenance::Prune { stream: notes(), what: PruneWhat::Tombstones, up_to }).await.unwrap();
    let up_to = store.records(&tasks()).limit(5).page().await.unwrap().next_cursor;
    store.maintain(Maintenance::Prune { stream: tasks(), what: PruneWhat::Payloads, up_to }).await.unwrap();
    bookmark("middle").await;
    commit(&mut |batch| {
        batch.on(&notes()).upsert(note("a", 3)).upsert(note("f", 2)).delete("g").upsert(note("k", 1)).delete("nobody");
        batch.take_lease("run/a");
    })
    .await;
    commit(&mut |batch| {
        batch.on(&notes()).upsert(note("a", 4)).upsert(note("a", 5)).upsert(note("l", 1));
    })
    .await;
    commit(&mut |batch| {
        let target = batch.on(&tasks());
        target.bad_records(BadRecords::Quarantine).upsert(r#"{"title":"no id"}"#).upsert(r#"{"id":"7","broken""#);
    })
    .await;
    let index =
        store.consumer(&notes(), "index").options(PollOptions::default().limit(3).lease(Duration::from_secs(3600)));
    let delivery = index.poll().await.unwrap();
    index.ack(delivery.token).await.unwrap();
    index.poll().await.unwrap();
    let options = PollOptions::default().limit(3).max_attempts(1).backoff(Duration::ZERO, Duration::ZERO);
    let poison = store.consumer(&notes(), "poison").options(options);
    let delivery = poison.poll().await.unwrap();
    poison.ack(delivery.token).await.unwrap();
    // With others first, then alone.
    for _ in 0..2 {
        let delivery = poison.poll().await.unwrap();
        poison.nack(delivery.token).await.unwrap();
    }
    let delivery = poison.poll().await.unwrap();
    poison.ack(delivery.token).await.unwrap();
    let gone = store.consumer(&tasks(), "gone");
    gone.poll().await.unwrap();
    gone.remove().await.unwrap();
    commit(&mut |batch| {
        let target = batch.on(&tasks());
        target.begin_run(RunId::from_u128(RUN));
        for n in 6..=20 {
            target.upsert(task(n));
        }
    })
    .await;
}

/// Keeps a store: a file as it is, of a folder the files with content.
fn pack(store: &Path, to: &Path) {
    if store.is_file() {
        fs::copy(store, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(store).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
        }
    }
}

fn unpack(kept: &Path, to: &Path) {
    if kept.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(kept).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
        }
    } else {
        fs::copy(kept, to).unwrap();
    }
}
