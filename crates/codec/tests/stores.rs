//! The codec under every store: what lies in the files, and what happens without the right key.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use highwater_codec::{Codec, Compression, Dictionary, EncryptionKey, KeyRing};
use highwater_core::{
    BadRecords, ErrorKind, History, Maintenance, MaintenanceReport, MemoryBackend, PayloadCodec, Result, Store,
    StoreExt, StoreOptions, StreamKey, StreamOptions, Threaded, WriteBatch,
};
use highwater_store_redb::RedbStore;
use highwater_store_sled::SledStore;
use highwater_store_sqlite::{SqliteStore, rusqlite};

const SECRET: &str = "the cellar is under water";

/// A place where a store can be opened again and again.
struct Place {
    kind: &'static str,
    memory: MemoryBackend,
    folder: tempfile::TempDir,
}

impl Place {
    fn all() -> Vec<Place> {
        ["memory", "sqlite", "redb", "sled"]
            .into_iter()
            .map(|kind| Place { kind, memory: MemoryBackend::default(), folder: tempfile::tempdir().unwrap() })
            .collect()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn open(&self, codec: Option<Arc<dyn PayloadCodec>>) -> Result<Arc<dyn Store>> {
        self.open_with(codec, StoreOptions::new())
    }

    /// Opens it for a change of its codec.
    fn recoding(&self, codec: Option<Arc<dyn PayloadCodec>>) -> Arc<dyn Store> {
        self.open_with(codec, StoreOptions::new().recoding()).unwrap()
    }

    fn open_with(&self, codec: Option<Arc<dyn PayloadCodec>>, mut options: StoreOptions) -> Result<Arc<dyn Store>> {
        options.codec = codec;
        Ok(match self.kind {
            "memory" => Arc::new(Threaded::open(self.memory.clone(), options)?),
            "sqlite" => Arc::new(SqliteStore::builder(self.path()).options(options).open()?),
            "redb" => Arc::new(RedbStore::builder(self.path()).options(options).open()?),
            _ => Arc::new(SledStore::builder(self.path()).options(options).open()?),
        })
    }

    /// Whether the text is anywhere in the files.
    fn holds(&self, text: &str) -> bool {
        files(self.folder.path()).iter().any(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes(&[byte; 32]).unwrap()
}

fn encrypting(number: u8) -> Option<Arc<dyn PayloadCodec>> {
    Some(Codec::builder().compress(Compression::new()).encrypt(KeyRing::new(number, key(number))).build())
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

fn payload(n: usize, text: &str) -> String {
    format!(r#"{{"id":"{n}","text":"{text}","n":{n}}}"#)
}

async fn save(store: &dyn Store, range: std::ops::Range<usize>, text: &str) {
    let mut batch = WriteBatch::new();
    for n in range {
        batch.on(&notes()).upsert(payload(n, text));
    }
    store.commit(batch).await.unwrap();
}

async fn texts(store: &dyn Store) -> Result<Vec<String>> {
    let page = store.records(&notes()).limit(10_000).page().await?;
    Ok(page
        .changes
        .iter()
        .map(|change| String::from_utf8(change.record.payload.as_ref().unwrap().as_bytes().to_vec()).unwrap())
        .collect())
}

async fn problems(store: &dyn Store) -> Vec<String> {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => found.problems,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_of_a_payload_lies_in_the_files() {
    for place in Place::all() {
        let store = place.open(encrypting(1)).unwrap();
        store
            .maintain(Maintenance::Configure(notes(), StreamOptions::default().history(History::Versions(5))))
            .await
            .unwrap();
        save(&*store, 0..50, SECRET).await;
        // A merge, a deletion, a record that is refused: each handles the payload in its own way.
        let mut batch = WriteBatch::new();
        let target = batch.on(&notes());
        target.bad_records(BadRecords::Quarantine);
        target.patch("3", r#"{"more":"merged"}"#);
        target.delete("4");
        target.upsert(format!(r#"{{"no id":"{SECRET}"}}"#));
        target.upsert(format!(r#"{{"id":"5","broken":"{SECRET}""#));
        let commit = store.commit(batch).await.unwrap();
        assert_eq!(commit.streams[0].rejected.len(), 2, "{}", place.kind);
        let versions = store.versions(&notes(), "3").await.unwrap();
        let seen: Vec<_> = versions.iter().map(|v| v.record.payload.as_ref().unwrap().as_bytes()).collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1], payload(3, SECRET).as_bytes());
        assert!(String::from_utf8_lossy(seen[0]).contains("merged"));
        assert_eq!(problems(&*store).await, Vec::<String>::new());
        let before = texts(&*store).await.unwrap();
        assert_eq!(before.len(), 50);
        assert!(!place.holds(SECRET), "{} while open", place.kind);
        store.close().await.unwrap();
        drop(store);
        assert!(!place.holds(SECRET) && !place.holds("merged"), "{}", place.kind);
        let store = place.open(encrypting(1)).unwrap();
        assert_eq!(texts(&*store).await.unwrap(), before, "{}", place.kind);
        // Unchanged records are known by their hashes, without a look at what is stored.
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(payload(7, SECRET));
        assert_eq!(store.commit(batch).await.unwrap().streams[0].unchanged, 1);
    }
}

#[tokio::test]
async fn without_the_right_key_the_store_does_not_open() {
    for place in Place::all() {
        let store = place.open(encrypting(1)).unwrap();
        save(&*store, 0..5, SECRET).await;
        store.close().await.unwrap();
        drop(store);
        let wrong = Codec::builder().encrypt(KeyRing::new(1, key(9))).build();
        let compressing = Codec::builder().compress(Compression::new()).build();
        for codec in [None, Some(wrong), encrypting(2), Some(compressing)] {
            let error = place.open(codec).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongKey, "{}: {error}", place.kind);
            assert!(error.to_string().contains("key"), "{error}");
        }
        let store = place.open(encrypting(1)).unwrap();
        assert_eq!(texts(&*store).await.unwrap().len(), 5);
    }
}

#[tokio::test]
async fn keys_rotate_and_the_old_one_retires() {
    for place in Place::all() {
        let store = place.open(encrypting(1)).unwrap();
        store
            .maintain(Maintenance::Configure(notes(), StreamOptions::default().history(History::Versions(5))))
            .await
            .unwrap();
        save(&*store, 0..2500, "first").await;
        save(&*store, 0..10, SECRET).await;
        let before = store.records(&notes()).limit(10_000).page().await.unwrap();
        store.close().await.unwrap();
        drop(store);

        let both = Codec::builder().encrypt(KeyRing::new(2, key(2)).also_decrypt(1, key(1))).build();
        let store = place.recoding(Some(both));
        let report = store.maintain(Maintenance::Recode).await.unwrap();
        assert_eq!(report, MaintenanceReport::Recoded { payloads: 2510 }, "{}", place.kind);
        let after = store.records(&notes()).limit(10_000).page().await.unwrap();
        assert_eq!(after.changes, before.changes);
        assert_eq!(problems(&*store).await, Vec::<String>::new());
        store.close().await.unwrap();
        drop(store);

        let store = place.open(encrypting(2)).unwrap();
        assert_eq!(texts(&*store).await.unwrap().len(), 2500);
        assert_eq!(store.versions(&notes(), "9").await.unwrap().len(), 2);
        store.close().await.unwrap();
        drop(store);
        assert_eq!(place.open(encrypting(1)).unwrap_err().kind(), ErrorKind::WrongKey);

        // And back: decrypted for good, no codec needed any more.
        let back = Codec::builder().encrypt(KeyRing::decrypt_only(2, key(2))).build();
        let store = place.open(Some(back)).unwrap();
        store.maintain(Maintenance::Recode).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let store = place.open(None).unwrap();
        assert_eq!(store.records(&notes()).limit(10_000).page().await.unwrap().changes, before.changes);
        assert_eq!(problems(&*store).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_page_ends_by_the_bytes_that_its_reader_gets() {
    for codec in [encrypting(1), Some(Codec::builder().compress(Compression::new()).build())] {
        for place in Place::all() {
            let store = place.open(codec.clone()).unwrap();
            save(&*store, 0..20, &"so much water ".repeat(700)).await;
            let one = payload(10, &"so much water ".repeat(700)).len();
            let page = store.records(&notes()).max_bytes(3 * one).page().await.unwrap();
            assert_eq!((page.changes.len(), page.has_more), (3, true), "{}", place.kind);
            let page = store.records(&notes()).max_bytes(one / 2).page().await.unwrap();
            assert_eq!(page.changes.len(), 1, "one always fits");
            let page = store.records(&notes()).max_bytes(1).metadata_only().page().await.unwrap();
            assert_eq!(page.changes.len(), 20, "what is not read does not count");
        }
    }
}

/// A slice of the one, a batch of the other.
async fn recode_beside_deletes(store: &dyn Store) {
    let mut recode = std::pin::pin!(store.maintain(Maintenance::Recode));
    let mut last = 2500;
    loop {
        let step = std::future::poll_fn(|context| Poll::Ready(recode.as_mut().poll(context))).await;
        if let Poll::Ready(recoded) = step {
            recoded.unwrap();
            break;
        }
        let mut batch = WriteBatch::new();
        for n in last - 20..last {
            batch.on(&notes()).delete(n.to_string()).delete((n - 1000).to_string());
        }
        last -= 20;
        store.commit(batch).await.unwrap();
    }
    assert!(last < 2480, "nothing was deleted meanwhile");
}

/// What is deleted meanwhile takes its payload, as it is stored, to the end of the log.
#[tokio::test]
async fn a_key_can_be_rotated_beside_deletes() {
    for place in Place::all().into_iter().take(2) {
        let store = place.open(encrypting(1)).unwrap();
        save(&*store, 0..2500, SECRET).await;
        store.close().await.unwrap();
        drop(store);
        let both = Codec::builder().encrypt(KeyRing::new(2, key(2)).also_decrypt(1, key(1))).build();
        let store = place.recoding(Some(both));
        recode_beside_deletes(&*store).await;
        store.close().await.unwrap();
        drop(store);
        let store = place.open(encrypting(2)).unwrap();
        assert_eq!(texts(&*store).await.unwrap().len(), 2500, "{}", place.kind);
        assert_eq!(problems(&*store).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn encryption_can_be_switched_on_for_a_store_that_has_records() {
    for place in Place::all() {
        let store = place.open(None).unwrap();
        save(&*store, 0..20, SECRET).await;
        store.close().await.unwrap();
        drop(store);
        // The search finds what is there to be found.
        assert_eq!(place.holds(SECRET), place.kind != "memory");
        let store = place.recoding(encrypting(1));
        assert_eq!(texts(&*store).await.unwrap()[0], payload(0, SECRET));
        store.maintain(Maintenance::Recode).await.unwrap();
        store.maintain(Maintenance::Compact).await.unwrap();
        assert_eq!(problems(&*store).await, Vec::<String>::new());
        store.close().await.unwrap();
        drop(store);
        // SQLite's VACUUM writes the file anew; redb and sled may keep old pages until they reuse them.
        if place.kind == "sqlite" {
            assert!(!place.holds(SECRET));
        }
        let strict = Codec::builder().encrypt(KeyRing::new(1, key(1))).require_encryption().build();
        let store = place.open(Some(strict)).unwrap();
        assert_eq!(texts(&*store).await.unwrap().len(), 20);
    }
}

/// Changes the stored payloads of the first block, given where each lies.
fn change_stored(host: &rusqlite::Connection, change: impl FnOnce(&mut [u8], &[std::ops::Range<usize>])) {
    let sql = "SELECT key, directory, payloads FROM hw_log";
    let (key, directory, mut payloads): (i64, Vec<u8>, Vec<u8>) =
        host.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let end = |entry: &[u8]| u32::from_be_bytes(entry[38..42].try_into().unwrap()) as usize;
    let ends: Vec<usize> = directory.chunks(44).map(end).collect();
    let places: Vec<_> = std::iter::once(0).chain(ends.clone()).zip(ends).map(|(start, end)| start..end).collect();
    change(&mut payloads, &places);
    host.execute("UPDATE hw_log SET payloads = ?1 WHERE key = ?2", (payloads, key)).unwrap();
}

#[tokio::test]
async fn moved_and_changed_payloads_are_noticed() {
    let place = Place::all().swap_remove(1);
    let path = place.path();
    let store = place.open(encrypting(1)).unwrap();
    save(&*store, 0..5, SECRET).await;
    let host = rusqlite::Connection::open(&path).unwrap();
    // Record 1's payload in the place of record 2's.
    change_stored(&host, |payloads, of| payloads.copy_within(of[1].clone(), of[2].start));
    let error = store.get(&notes(), &["2"]).await.unwrap_err();
    assert_eq!((error.kind(), error.context("id")), (ErrorKind::Corrupt, Some("2")), "{error}");
    assert_eq!(problems(&*store).await.len(), 1);
    // A merge into it is refused, and nothing of the batch written.
    let mut batch = WriteBatch::new();
    batch.on(&notes()).patch("2", r#"{"x":1}"#);
    batch.on(&notes()).upsert(payload(77, "new"));
    assert_eq!(store.commit(batch).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.get(&notes(), &["77"]).await.unwrap()[0].is_none());

    change_stored(&host, |payloads, of| payloads[of[3].start + 40] ^= 1);
    assert_eq!(store.get(&notes(), &["3"]).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // Someone who can write to the file puts a plain payload there.
    change_stored(&host, |payloads, of| {
        let plain = format!("{:1$}", r#"{"id":"4"}"#, of[4].len());
        payloads[of[4].clone()].copy_from_slice(plain.as_bytes());
    });
    assert!(store.get(&notes(), &["4"]).await.unwrap()[0].is_some());
    store.close().await.unwrap();
    drop(store);
    let strict = Codec::builder().encrypt(KeyRing::new(1, key(1))).require_encryption().build();
    let store = place.open(Some(strict)).unwrap();
    let error = store.get(&notes(), &["4"]).await.unwrap_err();
    assert_eq!((error.kind(), error.context("id")), (ErrorKind::Corrupt, Some("4")));
}

#[tokio::test]
async fn a_damaged_byte_in_any_stores_file_is_noticed() {
    for place in Place::all().into_iter().skip(1) {
        let store = place.open(Some(Codec::builder().encrypt(KeyRing::new(1, key(1))).build())).unwrap();
        save(&*store, 0..1, &SECRET.repeat(20)).await;
        store.close().await.unwrap();
        drop(store);
        // Every copy of the stored payload, wherever the store keeps it: tag, key number, check.
        let mark = {
            let mut stored = Vec::new();
            let codec = Codec::builder().encrypt(KeyRing::new(1, key(1))).build();
            codec.encode(&highwater_core::PayloadContext { stream: &notes(), id: "0" }, b"{}", &mut stored).unwrap();
            stored[..6].to_vec()
        };
        let mut changed = 0;
        for file in files(place.folder.path()) {
            let mut bytes = std::fs::read(&file).unwrap();
            let places: Vec<usize> =
                (0..bytes.len().saturating_sub(200)).filter(|at| bytes[*at..].starts_with(&mark)).collect();
            for at in &places {
                bytes[at + 100] ^= 1;
            }
            changed += places.len();
            std::fs::write(&file, bytes).unwrap();
        }
        assert!(changed > 0, "{}", place.kind);
        // The store may notice by itself (redb, sled: checksums), or the codec does.
        let codec = Codec::builder().encrypt(KeyRing::new(1, key(1))).build();
        match place.open(Some(codec)) {
            Ok(store) => match store.get(&notes(), &["0"]).await {
                // sled takes a damaged end of its log for a torn write and drops it.
                Ok(found) => assert!(place.kind == "sled" && found[0].is_none(), "{}", place.kind),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal), "{error}"),
            },
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
        }
    }
}

#[tokio::test]
async fn views_show_encoded_payloads_as_null() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let plain = SqliteStore::open(&path).unwrap();
    save(&plain, 0..2, "plain").await;
    plain.close().await.unwrap();
    let options = StoreOptions::new().codec(encrypting(1).unwrap()).recoding();
    let store = SqliteStore::builder(&path).options(options).open().unwrap();
    save(&store, 2..5, SECRET).await;
    let columns = store.create_view(&notes(), "notes", Vec::new()).await.unwrap();
    assert_eq!(columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["n", "text"]);
    let host = rusqlite::Connection::open(&path).unwrap();
    let row = host.query_row("SELECT count(*), count(text), max(text) FROM notes", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    });
    assert_eq!(row.unwrap(), (5, 2, "plain".to_owned()));
}

#[tokio::test]
async fn compression_alone_shrinks_every_store_and_reopens_plainly_explained() {
    let samples: Vec<String> = (0..3000).map(|n| payload(n, &format!("{SECRET}, says user {}", n % 13))).collect();
    let dictionary = Dictionary::train(&samples, 16 << 10).unwrap();
    for place in Place::all() {
        let codec = Codec::builder().compress(Compression::new().dictionary(dictionary.clone())).build();
        let store = place.open(Some(Arc::clone(&codec))).unwrap();
        let mut batch = WriteBatch::new();
        for sample in &samples {
            batch.on(&notes()).upsert(sample.clone());
        }
        store.commit(batch).await.unwrap();
        assert_eq!(texts(&*store).await.unwrap(), samples);
        store.close().await.unwrap();
        drop(store);
        assert!(!place.holds(&payload(1, SECRET)), "{}", place.kind);
        for without in [None, Some(Codec::builder().compress(Compression::new()).build())] {
            let error = place.open(without).unwrap_err();
            let named = error.context("needs").is_some_and(|needs| needs.starts_with("dictionary "));
            assert!(error.kind() == ErrorKind::WrongKey && named, "{error}");
        }
        assert_eq!(texts(&*place.open(Some(codec)).unwrap()).await.unwrap().len(), 3000);
    }
}
