//! Answers of `GET /records` that are kept: they equal those made fresh, and are never older than their request, whoever writes.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use highwater_core::{Maintenance, PageRequest, PruneWhat, Store, StreamKey, WriteBatch};
use highwater_engine::{ConnectionSettings, Engine};
use highwater_server::Limits;
use highwater_store_sqlite::SqliteStore;
use support::{Running, start_with};

/// Where the other process finds the store.
const FILE: &str = "HIGHWATER_TEST_CACHED_FILE";

fn note(variant: &str) -> StreamKey {
    StreamKey::new("main", "Note").with_variant(variant)
}

/// Executes a command, such as `save base 3 17`.
async fn execute(store: &dyn Store, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let stream = note(words[1]);
    let mut batch = WriteBatch::new();
    match words[0] {
        "save" => {
            batch.on(&stream).upsert(format!(r#"{{"id":"{}","n":{}}}"#, words[2], words[3]));
        }
        "delete" => {
            batch.on(&stream).delete(words[2]);
        }
        "clear" => {
            store.maintain(Maintenance::Clear(stream)).await.unwrap();
        }
        what => {
            let what = if what == "payloads" { PruneWhat::Payloads } else { PruneWhat::Tombstones };
            let place = PageRequest::new(stream.clone()).limit(words[2].parse().unwrap());
            let up_to = store.page(place).await.unwrap().next_cursor;
            store.maintain(Maintenance::Prune { stream, what, up_to }).await.unwrap();
        }
    }
    store.commit(batch).await.unwrap();
}

/// Another process that writes to the store.
struct Writer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Writer {
    fn start(file: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "writer_in_another_process", "--nocapture"])
            .env(FILE, file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Writer { process, input, output: BufReader::new(output) }
    }

    fn execute(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
        let mut line = String::new();
        // The test harness prints lines of its own.
        while !line.contains("executed") {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the other process ended");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
#[ignore = "a part of the other tests"]
async fn writer_in_another_process() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let store = SqliteStore::open(&file).unwrap();
    for line in std::io::stdin().lock().lines() {
        execute(&store, &line.unwrap()).await;
        println!("executed");
    }
}

async fn server(store: Arc<dyn Store>, cache_bytes: usize) -> Running {
    let provider = highwater_template::Provider::new("crm", "https://crm.example");
    let engine = Engine::builder(store).provider(provider).build().unwrap();
    let limits = Limits::default().cache_bytes(cache_bytes).requests_per_minute(u32::MAX);
    start_with(engine, |server| server.limits(limits)).await
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_kept_equals_one_made_fresh() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file).unwrap());
    let other: Arc<dyn Store> = Arc::new(SqliteStore::open(&file).unwrap());
    // Small enough that answers go, too.
    let (kept, fresh) = (server(Arc::clone(&store), 24 << 10).await, server(Arc::clone(&other), 0).await);
    kept.engine.connect(ConnectionSettings::new("main", "crm")).await.unwrap();
    let mut process = Writer::start(&file);
    let mut cursors = vec![String::new()];
    for seed in 1..=3 {
        let mut dice = Dice(seed);
        for step in 0..50 {
            let variant = *dice.pick(&["base", "base", "other"]);
            let (id, number) = (dice.roll(6), dice.roll(1000));
            let command = match dice.roll(12) {
                0..=6 => format!("save {variant} {id} {number}"),
                7 => format!("delete {variant} {id}"),
                8 => format!("payloads {variant} {}", 1 + id),
                9 => format!("tombstones {variant} {}", 1 + id),
                10 => format!("clear {variant}"),
                _ => format!("save {variant} {id} 0"),
            };
            match dice.roll(3) {
                0 => execute(&*store, &command).await,
                1 => execute(&*other, &command).await,
                _ => process.execute(&command),
            }
            for _ in 0..6 {
                let cursor = dice.pick(&cursors).clone();
                let narrowed = dice.pick(&["", "", "&limit=2", "&filter=deleted", "&ids=1&ids=4", "&wait=10ms"]);
                let since = if dice.roll(8) == 0 { "&modified_after=2026-01-01T00:00:00Z" } else { "" };
                let path = format!("/records?model=Note&variant={variant}{narrowed}{since}{cursor}");
                // Kept from the second on.
                for turn in 0..3 {
                    let (had, made) = (kept.get(&path).await, fresh.get(&path).await);
                    let what = format!("seed {seed}, step {step}, after {command}: {path}, turn {turn}");
                    assert_eq!(had.status, made.status, "{what}\n{had:?}\n{made:?}");
                    assert_eq!(had.text(), made.text(), "{what}");
                    assert_eq!(had.header("content-type"), made.header("content-type"), "{what}");
                    if made.status == 200 && cursors.len() < 12 {
                        let cursor = made.json()["resume_cursor"].as_str().unwrap().to_owned();
                        cursors.push(format!("&cursor={cursor}"));
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_kept_is_never_older_than_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file).unwrap());
    let kept = Arc::new(server(Arc::clone(&store), 1 << 20).await);
    kept.engine.connect(ConnectionSettings::new("main", "crm")).await.unwrap();
    let (written, ended) = (Arc::new([AtomicU64::new(0), AtomicU64::new(0)]), Arc::new(AtomicBool::new(false)));
    for writer in ["0", "1"] {
        execute(&*store, &format!("save base {writer} 0")).await;
    }
    let writers = [
        tokio::spawn({
            let (written, store) = (Arc::clone(&written), Arc::clone(&store));
            async move {
                for number in 1..=150 {
                    execute(&*store, &format!("save base 0 {number}")).await;
                    written[0].store(number, Ordering::SeqCst);
                }
            }
        }),
        tokio::task::spawn_blocking({
            let written = Arc::clone(&written);
            move || {
                let mut process = Writer::start(&file);
                for number in 1..=150 {
                    process.execute(&format!("save base 1 {number}"));
                    written[1].store(number, Ordering::SeqCst);
                }
            }
        }),
    ];
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (kept, written, ended) = (Arc::clone(&kept), Arc::clone(&written), Arc::clone(&ended));
            tokio::spawn(async move {
                let mut last = false;
                while !last {
                    last = ended.load(Ordering::SeqCst);
                    let least = [0, 1].map(|writer: usize| written[writer].load(Ordering::SeqCst));
                    let answer = kept.get("/records?model=Note").await.json();
                    for record in answer["records"].as_array().unwrap() {
                        let writer: usize = record["id"].as_str().unwrap().parse().unwrap();
                        let number = record["n"].as_u64().unwrap();
                        assert!(
                            number >= least[writer],
                            "{number} of writer {writer}, who had written {}",
                            least[writer]
                        );
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    ended.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}
