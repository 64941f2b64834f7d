//! What a crash, a bad disk or a careless copy leaves of a WAL file: what opens is a prefix of the commits.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_conformance::TestEnvironment;
use highwater_core::{
    ConsumerCommand, ConsumerReply, Cursor, ErrorKind, Maintenance, MaintenanceReport, PollOptions, Result, Store,
    StoreExt, StoreOptions, StreamKey, WriteBatch,
};
use highwater_store_sqlite::SqliteStore;
use highwater_store_sqlite::rusqlite::{self, Connection};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// How long a record lives, in commits.
const LIFE: usize = 10;

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// The clock stands, or went back: what comes after a loss takes the very positions that were lost.
fn open(path: &Path) -> Result<SqliteStore> {
    static OPENINGS: AtomicU64 = AtomicU64::new(0);
    let opening = OPENINGS.fetch_add(1, Ordering::Relaxed);
    let environment = Arc::new(TestEnvironment::new(opening));
    environment.step_ms(-i64::try_from(opening).unwrap());
    SqliteStore::builder(path).options(StoreOptions::new().environment(environment).readers(1)).open()
}

fn text(n: usize) -> String {
    format!(r#"{{"id":"{n}","text":"{}"}}"#, format!("{n} ").repeat(if n.is_multiple_of(3) { 8000 } else { 10 }))
}

/// The commit after `n` others: one record comes, one changes, one goes, a document counts.
async fn commit(store: &SqliteStore, n: usize) {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(text(n)).upsert(format!(r#"{{"id":"shared","n":{n}}}"#));
    if n >= LIFE {
        batch.on(&notes()).delete((n - LIFE).to_string());
    }
    batch.put_document("count", &(n + 1)).unwrap();
    store.commit(batch).await.unwrap();
}

/// The ids behind the cursor of after `since` commits, in order, when `count` were made.
fn expected(since: usize, count: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for n in 0..count {
        // Of what came and went only the end is told.
        if n >= since && n + LIFE >= count {
            ids.push(n.to_string());
        }
        if n + 1 == count && n >= since {
            ids.push("shared".to_owned());
        }
        if n >= LIFE && n >= since {
            ids.push((n - LIFE).to_string());
        }
    }
    ids
}

async fn read(store: &SqliteStore, since: Cursor) -> Result<Vec<String>> {
    let page = store.records(&notes()).since(since).limit(1000).page().await?;
    assert!(page.caught_up);
    assert!(
        page.changes.is_sorted_by(|a, b| a.record.metadata.cursor.position() < b.record.metadata.cursor.position())
    );
    for change in page.changes.iter().filter(|change| &*change.record.id != "shared") {
        let payload = change.record.payload.as_ref().unwrap();
        assert_eq!(payload.as_str(), text(change.record.id.parse().unwrap()));
    }
    Ok(page.changes.iter().map(|change| change.record.id.to_string()).collect())
}

/// Files as they lay there at a moment, and what had been committed.
struct Fixture {
    folder: tempfile::TempDir,
    main: Vec<u8>,
    wal: Vec<u8>,
    shm: Vec<u8>,
    /// Commits that the main file has.
    checkpointed: usize,
    /// Where each later commit ends in the WAL.
    ends: Vec<usize>,
    /// The stream's end after each commit.
    cursors: Vec<Cursor>,
    images: std::cell::Cell<usize>,
}

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

impl Fixture {
    /// `first` commits that are in the main file, `then` others that are in the WAL only.
    async fn new(first: usize, then: usize) -> (Self, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let store = open(&path).unwrap();
        let (mut cursors, mut ends, mut older) = (Vec::new(), Vec::new(), None);
        for n in 0..first + then {
            if n == first && first > 0 {
                older = Some(std::fs::read(beside(&path, "-wal")).unwrap());
                let busy: i64 = Connection::open(&path)
                    .unwrap()
                    .query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0))
                    .unwrap();
                assert_eq!(busy, 0, "the WAL begins anew");
            }
            commit(&store, n).await;
            cursors.push(store.head(&notes()).await.unwrap().high_water);
            if n >= first {
                ends.push(end_of_newest(&std::fs::read(beside(&path, "-wal")).unwrap()));
            }
            if n % 5 == 4 {
                let poll = ConsumerCommand::Poll(PollOptions::default().limit(3));
                let reply = store.consumer_command(&notes(), "reader", poll).await.unwrap();
                let ConsumerReply::Delivery(delivery) = reply else { panic!("{reply:?}") };
                store.consumer_command(&notes(), "reader", ConsumerCommand::Ack(delivery.token)).await.unwrap();
            }
        }
        let of = |end| std::fs::read(beside(&path, end));
        // Who has a WAL file for himself keeps its index in memory.
        let (main, wal, shm) = (of("").unwrap(), of("-wal").unwrap(), of("-shm").unwrap_or_default());
        drop(store);
        let images = std::cell::Cell::new(0);
        (Fixture { folder, main, wal, shm, checkpointed: first, ends, cursors, images }, older)
    }

    /// Commits that are whole when the WAL can be read up to `byte`.
    fn kept(&self, byte: usize) -> usize {
        self.checkpointed + self.ends.iter().filter(|end| **end <= byte).count()
    }

    fn page_size(&self) -> usize {
        u32::from_be_bytes(self.wal[8..12].try_into().unwrap()) as usize
    }

    /// Where frames of the newest generation begin: some forty of them.
    fn frames(&self) -> Vec<usize> {
        let all = (HEADER..*self.ends.last().unwrap()).step_by(FRAME_HEADER + self.page_size());
        let one_in = all.len().div_ceil(40);
        all.step_by(one_in).collect()
    }

    fn image(&self, main: &[u8], wal: Option<&[u8]>, shm: Option<&[u8]>) -> PathBuf {
        self.images.set(self.images.get() + 1);
        let path = self.folder.path().join(format!("image{}.db", self.images.get()));
        std::fs::write(&path, main).unwrap();
        for (end, bytes) in [("-wal", wal), ("-shm", shm)] {
            if let Some(bytes) = bytes {
                std::fs::write(beside(&path, end), bytes).unwrap();
            }
        }
        path
    }

    async fn damaged(&self, what: &str, wal: &[u8], kept: usize) {
        self.opens_with(what, &self.image(&self.main, Some(wal), None), kept).await;
    }

    /// Exactly the first `kept` commits are there, whole; the cursors of the others are refused, also once the
    /// store has gone on beyond them.
    async fn opens_with(&self, what: &str, path: &Path, kept: usize) {
        let store = open(path).unwrap_or_else(|error| panic!("{what}: {error}"));
        let count = store.document("count").await.unwrap().map_or(0, |count| count.as_str().parse().unwrap());
        assert_eq!(count, kept, "{what}: commits");
        assert_eq!(read(&store, Cursor::START).await.unwrap(), expected(0, kept), "{what}");
        self.cursors_are_told_apart(what, &store, kept, &[]).await;
        let before = store.head(&notes()).await.unwrap();
        assert_eq!((before.live, before.deleted), counted(kept), "{what}: counters");
        consumer_stands_well(what, &store).await;
        assert_clean(what, &store).await;
        let mut last = before.high_water;
        let mut added = Vec::new();
        // More positions than were lost.
        for round in 0..3 {
            let mut batch = WriteBatch::new();
            for n in 0..3 * LIFE {
                let id = 1000 + 100 * round + 3 * n + 1;
                batch.on(&notes()).upsert(text(id));
                added.push(id.to_string());
            }
            store.commit(batch).await.unwrap();
            let head = store.head(&notes()).await.unwrap();
            assert!(head.high_water.position() > last.position(), "{what}: positions ascend");
            last = head.high_water;
        }
        self.cursors_are_told_apart(what, &store, kept, &added).await;
        store.close().await.unwrap();
        let store = open(path).unwrap();
        self.cursors_are_told_apart(what, &store, kept, &added).await;
        assert_clean(what, &store).await;
        store.close().await.unwrap();
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(path, end));
        }
    }

    async fn cursors_are_told_apart(&self, what: &str, store: &SqliteStore, kept: usize, added: &[String]) {
        for (n, cursor) in self.cursors.iter().enumerate() {
            match read(store, *cursor).await {
                Ok(ids) => {
                    assert!(n < kept, "{what}: a cursor of commit {n} is good, {kept} were kept");
                    assert_eq!(ids, [expected(n + 1, kept), added.to_vec()].concat(), "{what}: behind commit {n}");
                }
                Err(error) => {
                    assert!(n >= kept, "{what}: the cursor of commit {n} of {kept}: {error}");
                    let lost = [ErrorKind::CursorForked, ErrorKind::CursorFuture, ErrorKind::CursorForeign];
                    assert!(lost.contains(&error.kind()), "{what}: {error:?}");
                }
            }
        }
    }
}

/// Where the frames that have the salts of the WAL's header end.
fn end_of_newest(wal: &[u8]) -> usize {
    let page = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    let frames = wal[HEADER..].chunks_exact(FRAME_HEADER + page);
    let newest = frames.take_while(|frame| frame[8..16] == wal[16..24]).count();
    HEADER + newest * (FRAME_HEADER + page)
}

/// Live and deleted records after so many commits.
fn counted(count: usize) -> (u64, u64) {
    let shared = u64::from(count > 0);
    (count.min(LIFE) as u64 + shared, count.saturating_sub(LIFE) as u64)
}

/// What it acknowledged is a position of this history, and from there it reads on.
async fn consumer_stands_well(what: &str, store: &SqliteStore) {
    if store.consumers(&notes()).await.unwrap().is_empty() {
        return;
    }
    let reply = store.consumer_command(&notes(), "reader", ConsumerCommand::Status).await.unwrap();
    let ConsumerReply::Status(status) = reply else { panic!("{reply:?}") };
    let end = store.head(&notes()).await.unwrap().high_water;
    assert!(status.acknowledged.position() <= end.position(), "{what}: acknowledged what is not there");
    let behind = read(store, status.acknowledged).await.unwrap();
    assert_eq!(status.lag, behind.len() as u64, "{what}");
}

async fn assert_clean(what: &str, store: &dyn Store) {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new(), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// Whether this SQLite may have several connections on one WAL file.
fn several_connections() -> bool {
    let able = rusqlite::version_number() >= 3_051_003;
    if !able {
        println!("skipped: SQLite {} has a WAL file for itself", rusqlite::version());
    }
    able
}

#[tokio::test]
async fn p29_a_torn_wal_shows_a_prefix() {
    let (fixture, _) = Fixture::new(0, 24).await;
    let frame = FRAME_HEADER + fixture.page_size();
    for (n, begin) in fixture.frames().into_iter().enumerate() {
        // Nothing of a frame, half a header, a header, half a page.
        for part in [0, 12, FRAME_HEADER, frame / 2].into_iter().skip(n % 2).step_by(2) {
            let torn = &fixture.wal[..begin + part];
            fixture.damaged(&format!("frame {n} torn at {part}"), torn, fixture.kept(begin)).await;
        }
    }
    fixture.damaged("whole", &fixture.wal, 24).await;
    let longer = [&fixture.wal[..], &vec![0; frame + 100]].concat();
    fixture.damaged("zeros behind", &longer, 24).await;
}

#[tokio::test]
async fn p29_a_flipped_or_zeroed_wal_shows_a_prefix() {
    let (fixture, _) = Fixture::new(0, 16).await;
    for (n, begin) in fixture.frames().into_iter().enumerate() {
        // Page number, size after the commit, salts, checksums, the page itself.
        let place = [0, 3, 6, 9, 14, 17, 23, 30, 5000][n % 9];
        let mut wal = fixture.wal.clone();
        wal[begin + place] ^= 1 << (n % 8);
        fixture.damaged(&format!("frame {n} flipped at {place}"), &wal, fixture.kept(begin)).await;
    }
    for block in (1..fixture.wal.len() / 4096).step_by(fixture.wal.len() / 4096 / 30) {
        let mut wal = fixture.wal.clone();
        wal[block * 4096..(block + 1) * 4096].fill(0);
        // A page may have had zeros there already.
        let first = fixture.wal.iter().zip(&wal).position(|(was, is)| was != is).unwrap_or(wal.len());
        fixture.damaged(&format!("block {block} zeroed"), &wal, fixture.kept(first)).await;
    }
}

#[tokio::test]
async fn p29_a_wal_without_its_header_is_no_wal() {
    let (fixture, _) = Fixture::new(0, 12).await;
    for byte in 0..HEADER {
        let mut wal = fixture.wal.clone();
        wal[byte] ^= 0x11;
        fixture.damaged(&format!("header flipped at {byte}"), &wal, 0).await;
    }
    fixture.damaged("header torn", &fixture.wal[..20], 0).await;
    fixture.opens_with("no WAL", &fixture.image(&fixture.main, None, None), 0).await;
}

#[tokio::test]
async fn p29_frames_of_an_older_generation_are_not_taken() {
    if !several_connections() {
        return;
    }
    let (fixture, older) = Fixture::new(18, 8).await;
    let older = older.unwrap();
    let end = *fixture.ends.last().unwrap();
    assert!(older.len() > end && fixture.wal.len() == older.len(), "older frames lie behind the newest");
    fixture.damaged("older frames behind", &fixture.wal, 26).await;
    let frame = FRAME_HEADER + fixture.page_size();
    for (n, begin) in fixture.frames().into_iter().enumerate() {
        let mut wal = fixture.wal.clone();
        let what = if n % 2 == 0 {
            wal[begin + 8..begin + 16].copy_from_slice(&older[16..24]);
            "old salts"
        } else {
            wal[begin..begin + frame].copy_from_slice(&older[begin..begin + frame]);
            "a frame that was never overwritten"
        };
        fixture.damaged(&format!("{what} in frame {n}"), &wal, fixture.kept(begin)).await;
    }
    for byte in [1, 6, 10, 14, 17, 22, 25, 30] {
        let mut wal = fixture.wal.clone();
        wal[byte] ^= 0x20;
        fixture.damaged(&format!("header flipped at {byte}"), &wal, 18).await;
    }
    // The main file has everything of the older WAL.
    fixture.damaged("the older WAL", &older, 18).await;
    fixture.opens_with("no WAL", &fixture.image(&fixture.main, None, None), 18).await;
}

#[tokio::test]
async fn p29_a_wal_index_is_made_anew_whatever_lies_there() {
    if !several_connections() {
        return;
    }
    let (one, _) = Fixture::new(0, 12).await;
    let (two, _) = Fixture::new(18, 8).await;
    let garbage: Vec<u8> = (0..32_768_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for (fixture, other, count) in [(&one, &two, 12), (&two, &one, 26)] {
        for (what, shm) in [
            ("no index", None),
            ("its own index", Some(&fixture.shm)),
            ("another generation's index", Some(&other.shm)),
            ("an empty index", Some(&Vec::new())),
            ("half an index", Some(&fixture.shm[..fixture.shm.len() / 2].to_vec())),
            ("garbage for an index", Some(&garbage)),
        ] {
            let path = fixture.image(&fixture.main, Some(&fixture.wal), shm.map(Vec::as_slice));
            fixture.opens_with(what, &path, count).await;
            // The WAL is shorter than the index says.
            let kept = fixture.kept(fixture.ends[2]);
            let path = fixture.image(&fixture.main, Some(&fixture.wal[..fixture.ends[2]]), shm.map(Vec::as_slice));
            fixture.opens_with(what, &path, kept).await;
        }
    }
}

/// Not a crash but a mistake: a main file restored from a backup, beside the WAL of later.
#[tokio::test]
async fn a_wal_of_another_file_is_noticed() {
    if !several_connections() {
        return;
    }
    let (one, _) = Fixture::new(0, 12).await;
    let (two, _) = Fixture::new(18, 8).await;
    let path = one.image(&one.main, Some(&two.wal), None);
    let noticed = match open(&path) {
        Err(error) => Some(error),
        Ok(store) => {
            let verified = store.maintain(Maintenance::Verify(notes())).await;
            let page = store.records(&notes()).limit(1000).page().await;
            match (verified, page) {
                (Err(error), _) | (_, Err(error)) => Some(error),
                (Ok(MaintenanceReport::Verified(found)), _) => {
                    assert!(!found.is_clean(), "a mixture passes for a store");
                    None
                }
                other => panic!("{other:?}"),
            }
        }
    };
    if let Some(error) = noticed {
        assert_eq!(error.context("path"), Some(&*path.display().to_string()), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible), "{error:?}");
    }
}
