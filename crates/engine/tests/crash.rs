//! Processes killed at any moment, on a real file, reading a real server. `HIGHWATER_KILLS` says how often (20).
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::{Query, State};
use axum::routing::get;
use highwater_core::{Action, Cursor, ErrorKind, Maintenance, MaintenanceReport, Result, Store, StoreExt, StreamKey};
use highwater_engine::syncs::DeletePolicy;
use highwater_engine::{ConnectionSettings, Engine, RunOptions, RunState, SyncOptions};
use highwater_store_sqlite::SqliteStore;
use highwater_template::{HttpRequest, SyncContext, Template, TemplateInfo};

const SYNC: &str = "crash/items";
const LEASE: Duration = Duration::from_millis(600);
const PAGE: usize = 10;

fn kills() -> u64 {
    std::env::var("HIGHWATER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20)
}

// ---- the server, in the parent ----

#[derive(Debug, Default)]
struct Source {
    items: BTreeMap<u64, u64>,
    removed: BTreeSet<u64>,
    changes: u64,
    /// Processes in a run, as the runs say themselves.
    inside: BTreeSet<u32>,
    overlaps: u64,
    begun: BTreeMap<u32, u64>,
    pages: u64,
}

impl Source {
    fn put(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.changes += 1;
            self.items.insert(id, self.changes);
        }
    }

    fn remove(&mut self, id: u64) {
        if self.items.remove(&id).is_some() {
            self.removed.insert(id);
        }
    }
}

type Shared = Arc<Mutex<Source>>;

#[derive(serde::Deserialize)]
struct Asked {
    since: Option<u64>,
    process: Option<u32>,
}

async fn items(State(source): State<Shared>, Query(asked): Query<Asked>) -> String {
    tokio::time::sleep(Duration::from_millis(4)).await;
    let mut source = source.lock().unwrap();
    source.pages += 1;
    let since = asked.since.unwrap_or(0);
    let mut found: Vec<(u64, u64)> =
        source.items.iter().filter(|(_, change)| **change > since).map(|(id, change)| (*change, *id)).collect();
    found.sort_unstable();
    found.truncate(PAGE);
    let records: Vec<String> = found.iter().map(|(change, id)| format!(r#"{{"id":{id},"change":{change}}}"#)).collect();
    format!("[{}]", records.join(","))
}

async fn begin(State(source): State<Shared>, Query(asked): Query<Asked>) {
    let mut source = source.lock().unwrap();
    let process = asked.process.unwrap();
    *source.begun.entry(process).or_default() += 1;
    source.overlaps += u64::from(source.inside.iter().any(|other| *other != process));
    source.inside.insert(process);
}

async fn end(State(source): State<Shared>, Query(asked): Query<Asked>) {
    source.lock().unwrap().inside.remove(&asked.process.unwrap());
}

fn serve(source: &Shared) -> String {
    let app = axum::Router::new()
        .route("/items", get(items))
        .route("/begin", get(begin))
        .route("/end", get(end))
        .with_state(Arc::clone(source));
    server::serve(app)
}

// ---- the child ----

#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let process = std::process::id().to_string();
        context.send(HttpRequest::get("/begin").query("process", &process)).await?;
        let mut since: u64 = context.last_checkpoint()?.unwrap_or(0);
        loop {
            let page = context.send(HttpRequest::get("/items").query("since", since.to_string())).await?;
            let changes: Vec<serde_json::Value> = page.json()?;
            let Some(last) = changes.last() else { break };
            since = last["change"].as_u64().unwrap();
            context.checkpoint(&since)?;
            context.save("Item", page.elements()?).await?;
        }
        if context.is_full_refresh() {
            context.complete("Item").await?;
        }
        context.send(HttpRequest::get("/end").query("process", &process)).await.map(drop)
    }
}

fn engine(store: &Arc<SqliteStore>, base_url: &str) -> Engine {
    let info = TemplateInfo::new("crash", "items", base_url).model("Item", "an item");
    let store = Arc::clone(store) as Arc<dyn Store>;
    Engine::builder(store).template(Arc::new(Items(info))).lease(LEASE).build().unwrap()
}

fn open(db: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::builder(db).shared().open().unwrap())
}

/// Not a test: what the children run.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let (Ok(db), Ok(base_url), Ok(job)) =
        (std::env::var("CRASH_DB"), std::env::var("CRASH_URL"), std::env::var("CRASH_JOB"))
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = engine(&open(Path::new(&db)), &base_url);
        engine.connect(ConnectionSettings::new("c", "crash")).await.unwrap();
        if job == "schedule" {
            let _running = engine.start(&tokio::runtime::Handle::current());
            std::future::pending::<()>().await;
        }
        let policy = DeletePolicy::default().guard(u64::MAX, 1.0);
        loop {
            let options = RunOptions::default().full(job == "full").deletes(policy);
            match engine.sync("c", SYNC).unwrap().run_once(options).await {
                Ok(_) => return,
                Err(error) if error.kind() == ErrorKind::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    });
}

fn spawn(db: &Path, base_url: &str, job: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("CRASH_DB", db)
        .env("CRASH_URL", base_url)
        .env("CRASH_JOB", job)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill(mut child: Child, source: &Shared) {
    let process = child.id();
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    source.lock().unwrap().inside.remove(&process);
}

// ---- what must hold ----

/// A consumer with its own copy and cursor.
struct Replica {
    cursor: Cursor,
    held: BTreeMap<String, String>,
    positions: BTreeSet<Cursor>,
}

impl Replica {
    async fn catch_up(&mut self, store: &SqliteStore, removed: &BTreeSet<u64>) {
        loop {
            let page = store.records(&stream()).since(self.cursor).limit(100).page().await.unwrap();
            for change in &page.changes {
                let id = change.record.id.to_string();
                assert!(self.positions.insert(change.record.metadata.cursor), "delivered twice: {id}");
                if change.record.metadata.last_action == Action::Deleted {
                    assert!(removed.contains(&id.parse().unwrap()), "a false delete of {id}");
                    self.held.remove(&id);
                } else {
                    self.held.insert(id, change.record.payload.as_ref().unwrap().to_string());
                }
            }
            self.cursor = page.next_cursor;
            if page.caught_up {
                return;
            }
        }
    }
}

fn stream() -> StreamKey {
    StreamKey::new("c", "Item")
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn p26_p29_killed_at_any_moment_nothing_is_lost_repeated_or_falsely_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("app.db");
    let source: Shared = Arc::default();
    source.lock().unwrap().put(1..=300);
    let base_url = serve(&source);
    let (mut seed, mut replica) =
        (7, Replica { cursor: Cursor::START, held: BTreeMap::new(), positions: BTreeSet::new() });
    let (mut ended, mut resumed) = (0_u64, 0_u64);
    let mut killed = 0;
    for round in 0.. {
        if killed == kills() {
            break;
        }
        let full = round % 3 != 1;
        let mut child = spawn(&db, &base_url, if full { "full" } else { "next" });
        // From before the store is open to after the run's end.
        let until = Instant::now() + Duration::from_millis(10 + random(&mut seed) % 600);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "round {round}");
            ended += 1;
            let mut source = source.lock().unwrap();
            source.remove(random(&mut seed) % 300 + 1);
            let changed = random(&mut seed) % 300 + 1;
            if source.items.contains_key(&changed) {
                source.put([changed]);
            }
            source.put([1000 + round]);
        } else {
            kill(child, &source);
            killed += 1;
        }
        let store = open(&db);
        match store.maintain(Maintenance::Verify(stream())).await.unwrap() {
            MaintenanceReport::Verified(found) => assert!(found.is_clean(), "{found:?}"),
            other => panic!("{other:?}"),
        }
        let removed = source.lock().unwrap().removed.clone();
        replica.catch_up(&store, &removed).await;
        store.close().await.unwrap();
    }
    let status = tokio::task::spawn_blocking({
        let (db, base_url) = (db.clone(), base_url.clone());
        move || [spawn(&db, &base_url, "next").wait().unwrap(), spawn(&db, &base_url, "full").wait().unwrap()]
    });
    assert!(status.await.unwrap().iter().all(std::process::ExitStatus::success));
    let store = open(&db);
    let removed = source.lock().unwrap().removed.clone();
    replica.catch_up(&store, &removed).await;
    let wanted: BTreeMap<String, String> = source
        .lock()
        .unwrap()
        .items
        .iter()
        .map(|(id, change)| (id.to_string(), format!(r#"{{"id":{id},"change":{change}}}"#)))
        .collect();
    assert_eq!(replica.held, wanted);
    assert_eq!(store.head(&stream()).await.unwrap().live, wanted.len() as u64);
    let engine = engine(&store, &base_url);
    for run in engine.sync("c", SYNC).unwrap().runs().await.unwrap() {
        assert_ne!(run.state, RunState::Running, "every run that died is told");
        resumed += u64::from(run.resumed > 0);
    }
    println!("{killed} processes killed, {ended} ended well; {resumed} of the kept runs had gone on after a kill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn h49_two_processes_on_one_file_never_overlap_a_run_and_one_takes_over_from_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("app.db");
    let source: Shared = Arc::default();
    source.lock().unwrap().put(1..=100);
    let base_url = serve(&source);
    {
        let store = open(&db);
        let engine = engine(&store, &base_url);
        engine.connect(ConnectionSettings::new("c", "crash")).await.unwrap();
        let options = SyncOptions::default().schedule(Duration::from_millis(100));
        engine.sync("c", SYNC).unwrap().enable(options).await.unwrap();
        store.close().await.unwrap();
    }
    let mut children = vec![spawn(&db, &base_url, "schedule"), spawn(&db, &base_url, "schedule")];
    let mut seed = 11;
    for round in 0..kills().div_ceil(4) {
        let processes: Vec<u32> = children.iter().map(Child::id).collect();
        let wait_for = |what: &str, done: &dyn Fn(&Source) -> bool| {
            let patience = Instant::now() + Duration::from_secs(60);
            while !done(&source.lock().unwrap()) {
                assert!(Instant::now() < patience, "round {round}: {what}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for("nobody runs", &|source| processes.iter().any(|process| source.begun.contains_key(process)));
        std::thread::sleep(Duration::from_millis(random(&mut seed) % 200));
        // The one in a run, if one is; the other must go on with what it left.
        let inside = source.lock().unwrap().inside.first().copied();
        let place = children.iter().position(|child| Some(child.id()) == inside).unwrap_or(0);
        kill(children.swap_remove(place), &source);
        let other = children[0].id();
        let before = source.lock().unwrap().begun.get(&other).copied().unwrap_or(0);
        wait_for("the other does not take over", &|source| source.begun.get(&other).is_some_and(|now| *now > before));
        source.lock().unwrap().put([5000 + round]);
        children.push(spawn(&db, &base_url, "schedule"));
    }
    std::thread::sleep(Duration::from_millis(500));
    for child in children {
        kill(child, &source);
    }
    let store = open(&db);
    let overlaps = source.lock().unwrap().overlaps;
    assert_eq!(overlaps, 0);
    let engine = engine(&store, &base_url);
    tokio::time::sleep(LEASE).await;
    engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    let wanted = source.lock().unwrap().items.len() as u64;
    let head = store.head(&stream()).await.unwrap();
    assert_eq!((head.live, head.deleted), (wanted, 0));
}
