//! Processes killed while they take webhooks and while they deliver their own, on a real file and over real sockets.
//! `HIGHWATER_KILLS` says how often in all (20); each phase gets its share.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use highwater_core::{
    Cursor, Environment, Maintenance, MaintenanceReport, Result, Store, StoreExt, StreamKey, SystemEnvironment,
    Timestamp,
};
use highwater_engine::transport::UreqTransport;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, Credentials, Engine, Secret, SyncOptions};
use highwater_store_sqlite::SqliteStore;
use highwater_template::http::Transport;
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookScheme};
use highwater_template::{HttpRequest, SyncContext, Template, TemplateInfo};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const SYNC: &str = "crash/items";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Records that the events change in turn.
const RECORDS: u64 = 5;

/// When a process is killed.
const PHASES: [&str; 4] = ["in a delivery", "behind its answer", "in taking an event", "at any time"];

fn kills() -> usize {
    std::env::var("HIGHWATER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20)
}

// ---- the source and the receiver, in the parent ----

#[derive(Debug, Default)]
struct World {
    /// Events that exist, and those of them that were taken for sure.
    events: u64,
    taken: u64,
    /// No new event comes any more.
    quiet: bool,
    repeats: u64,
    /// By its `webhook-id`: the body, and how often it came.
    deliveries: BTreeMap<String, (String, u64)>,
    asked: u64,
    /// How often each phase was entered.
    entered: [u64; PHASES.len()],
    faults: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

/// The next event, or, now and then, one that was taken long ago.
async fn event(State(world): State<Shared>) -> String {
    let mut world = world.lock().unwrap();
    world.asked += 1;
    if world.taken == world.events && !world.quiet {
        world.events += 1;
    }
    let number =
        if world.asked % 4 == 0 && world.taken > 0 { world.taken.saturating_sub(3).max(1) } else { world.taken + 1 };
    world.entered[2] += 1;
    if number > world.events { String::new() } else { number.to_string() }
}

#[derive(serde::Deserialize)]
struct Done {
    number: u64,
    duplicate: bool,
}

async fn done(State(world): State<Shared>, Query(done): Query<Done>) {
    let mut world = world.lock().unwrap();
    if done.number <= world.taken {
        world.repeats += 1;
        if !done.duplicate {
            world.faults.push(format!("event {} was taken twice", done.number));
        }
    } else {
        world.taken = done.number;
    }
}

async fn hook(State(world): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    world.lock().unwrap().entered[0] += 1;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut world = world.lock().unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let known = world.deliveries.entry(id.clone()).or_insert_with(|| (body.clone(), 0));
    known.1 += 1;
    if known.0 != body {
        world.faults.push(format!("{id} came with another body"));
    }
    world.entered[1] += 1;
    StatusCode::NO_CONTENT
}

fn serve(world: &Shared) -> String {
    let app = axum::Router::new()
        .route("/event", get(event))
        .route("/done", get(done))
        .route("/hook", post(hook))
        .with_state(Arc::clone(world));
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

    async fn fetch(&self, _: &mut SyncContext<'_>) -> Result<()> {
        Ok(())
    }

    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        Ok(WebhookReaction::new().save("Item", Bytes::copy_from_slice(event.body())))
    }
}

/// Time that runs a hundred times as fast, also over restarts: the right to deliver of a process that died is over soon.
#[derive(Debug)]
struct Fast;

impl Environment for Fast {
    fn now(&self) -> Timestamp {
        const DAYS_MS: u64 = 10 * 86_400_000;
        let real_ms = SystemEnvironment.now().unix_ms();
        Timestamp::from_unix_ms(1_790_000_000_000 + real_ms % DAYS_MS * 100)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        SystemEnvironment.fill_random(bytes);
    }
}

fn engine(store: &Arc<SqliteStore>) -> Engine {
    let mut info = TemplateInfo::new("crash", "items", "http://127.0.0.1:9").model("Item", "an item");
    info.provider = info.provider.clone().webhooks(WebhookScheme::GitHub);
    let engine = Engine::builder(Arc::clone(store) as Arc<dyn Store>)
        .template(Arc::new(Items(info)))
        .environment(Arc::new(Fast))
        .build()
        .unwrap();
    engine.use_credentials("c", Credentials::none().secret("webhook_secret", Secret::new("a secret")));
    engine
}

fn open(db: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(db).unwrap())
}

/// Not a test: what the children run.
#[test]
#[ignore = "run by the other test"]
fn child() {
    let (Ok(db), Ok(base_url)) = (std::env::var("CRASH_DB"), std::env::var("CRASH_URL")) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = engine(&open(Path::new(&db)));
        let outbox = Outbox::new(&engine);
        outbox.set_secrets("parent", vec![Secret::new(SECRET)]).unwrap();
        let _delivering = outbox.start(&tokio::runtime::Handle::current());
        let ask = async |path: String| {
            UreqTransport::new().send(HttpRequest::get(format!("{base_url}{path}"))).await.unwrap()
        };
        loop {
            let number = String::from_utf8(ask("/event".to_owned()).await.body.to_vec()).unwrap();
            let Ok(number) = number.parse::<u64>() else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let body = json!({"id": number % RECORDS, "value": number}).to_string();
            let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret").unwrap();
            mac.update(body.as_bytes());
            let hex = hex::encode(mac.finalize().into_bytes());
            let headers =
                [("X-Hub-Signature-256", format!("sha256={hex}")), ("X-GitHub-Delivery", format!("event-{number}"))];
            let received = engine.receive("c", &headers, body.as_bytes()).await.unwrap();
            ask(format!("/done?number={number}&duplicate={}", received.duplicate)).await;
        }
    });
}

fn spawn(db: &Path, base_url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("CRASH_DB", db)
        .env("CRASH_URL", base_url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

// ---- what must hold ----

/// A consumer with its own copy and cursor: no record ever goes back.
async fn catch_up(store: &SqliteStore, cursor: &mut Cursor, held: &mut BTreeMap<String, u64>) {
    let stream = StreamKey::new("c", "Item");
    loop {
        let page = store.records(&stream).since(*cursor).page().await.unwrap();
        for change in &page.changes {
            let value = change.record.to::<Value>().unwrap()["value"].as_u64().unwrap();
            let before = held.insert(change.record.id.to_string(), value);
            assert!(before.is_none_or(|before| before < value), "{before:?} was put in the place of {value}");
        }
        *cursor = page.next_cursor;
        if page.caught_up {
            return;
        }
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn p29_killed_in_taking_or_delivering_webhooks_nothing_is_lost_or_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("app.db");
    let world: Shared = Arc::default();
    let base_url = serve(&world);
    {
        let store = open(&db);
        let engine = engine(&store);
        engine.connect(ConnectionSettings::new("c", "crash")).await.unwrap();
        engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
        Outbox::new(&engine).add(Destination::new("parent", format!("{base_url}/hook"))).await.unwrap();
        store.close().await.unwrap();
    }
    let (mut seed, mut cursor, mut held) = (5, Cursor::START, BTreeMap::new());
    let mut killed = [0; PHASES.len()];
    for round in 0..kills() {
        let phase = round % PHASES.len();
        let mut child = spawn(&db, &base_url);
        let patience = Instant::now() + Duration::from_secs(60);
        let before = world.lock().unwrap().entered[phase];
        // Not always the first time.
        let times = 1 + random(&mut seed) % 4;
        if phase == 3 {
            std::thread::sleep(Duration::from_millis(10 + random(&mut seed) % 400));
        } else {
            while world.lock().unwrap().entered[phase] < before + times {
                assert!(
                    Instant::now() < patience && child.try_wait().unwrap().is_none(),
                    "round {round}: nothing goes on"
                );
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(random(&mut seed) % [4000, 1000, 8000][phase]));
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        killed[phase] += 1;
        let store = open(&db);
        match store.maintain(Maintenance::Verify(StreamKey::new("c", "Item"))).await.unwrap() {
            MaintenanceReport::Verified(found) => assert!(found.is_clean(), "{found:?}"),
            other => panic!("{other:?}"),
        }
        catch_up(&store, &mut cursor, &mut held).await;
        store.close().await.unwrap();
    }
    world.lock().unwrap().quiet = true;
    let mut child = spawn(&db, &base_url);
    let patience = Instant::now() + Duration::from_secs(120);
    // What the deliveries say was done, each counted once.
    let told = |world: &World| -> u64 {
        let bodies = world.deliveries.values().map(|(body, _)| serde_json::from_str::<Value>(body).unwrap());
        bodies
            .map(|body| {
                ["added", "updated"].map(|done| body["responseResults"][done].as_u64().unwrap()).iter().sum::<u64>()
            })
            .sum()
    };
    loop {
        let done = {
            let world = world.lock().unwrap();
            world.taken == world.events && told(&world) >= world.events
        };
        if done {
            break;
        }
        assert!(Instant::now() < patience, "not everything arrives: {:?}", world.lock().unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    let store = open(&db);
    catch_up(&store, &mut cursor, &mut held).await;
    let head = store.head(&StreamKey::new("c", "Item")).await.unwrap();
    let world = world.lock().unwrap();
    assert!(world.faults.is_empty(), "{:?}", world.faults);
    // Collapsed rows are delivered under a new id, including one whose response was lost: its event is then told twice.
    let bodies = world.deliveries.values().map(|(body, _)| serde_json::from_str::<Value>(body).unwrap());
    let collapsed = bodies.filter(|body| body["collapsed"].is_u64()).count() as u64;
    let once = world.events..=world.events + collapsed;
    assert!(once.contains(&told(&world)), "{} told, {once:?}: each event once, by whichever delivery", told(&world));
    let mut wanted = BTreeMap::new();
    for number in 1..=world.events {
        wanted.insert((number % RECORDS).to_string(), number);
    }
    assert_eq!(held, wanted);
    assert_eq!((head.live, head.deleted), (wanted.len() as u64, 0));
    let again = world.deliveries.values().filter(|(_, times)| *times > 1).count();
    let killed: Vec<String> = PHASES.iter().zip(killed).map(|(phase, times)| format!("{times} {phase}")).collect();
    println!(
        "killed {}; {} events, {} repeated ones refused, {} deliveries, {again} of them came again",
        killed.join(", "),
        world.events,
        world.repeats,
        world.deliveries.len()
    );
}
