//! The outbox: what is told, to whom, how often, and what an answer does. A scripted receiver, a clock by hand.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/staged.rs"]
mod staged;

use std::collections::VecDeque;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::template::{HttpRequest, HttpResponse, SyncContext, Template, TemplateInfo, Transport};
use highwater_core::{Cursor, Environment, Error, ErrorKind, MemoryStore, Result, Store, StoreExt, StreamKey};
use highwater_engine::{
    ConnectionSettings, Destination, Engine, Outbox, RunOptions, SIGNATURE_TOLERANCE, Secret, verify,
};
use serde_json::Value;
use staged::Staged;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HOUR: u64 = 3_600_000;

#[derive(Debug)]
struct Clock(AtomicU64);

impl Environment for Clock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        highwater_core::SystemEnvironment.fill_random(bytes);
    }
}

/// Saves what it is given; fails when the last thing given is `fail`.
#[derive(Debug)]
struct Notes(TemplateInfo, Arc<Mutex<Vec<&'static str>>>);

#[async_trait]
impl Template for Notes {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let pages = self.1.lock().unwrap().clone();
        for page in pages {
            match page {
                "fail" => return Err(Error::new(ErrorKind::Remote, "the API is out of order")),
                "hang" => std::future::pending::<()>().await,
                "complete" => context.complete("Note").await?,
                page => {
                    let records = page.split(';').map(|record| Bytes::from(record.to_owned())).collect();
                    context.save("Note", records).await?;
                }
            }
        }
        context.checkpoint(&1)
    }
}

/// Answers from a script, 200 behind its end.
#[derive(Debug, Default)]
struct Receiver {
    answers: Mutex<VecDeque<(u16, Option<&'static str>)>>,
    seen: Mutex<Vec<HttpRequest>>,
}

#[async_trait]
impl Transport for Receiver {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        tokio::task::yield_now().await;
        self.seen.lock().unwrap().push(request);
        match self.answers.lock().unwrap().pop_front() {
            Some((0, _)) => Err(Error::new(ErrorKind::Unavailable, "nobody there")),
            Some((status, retry_after)) => {
                let headers = retry_after.map(|value| ("Retry-After".to_owned(), value.to_owned()));
                Ok(HttpResponse::new(status, headers.into_iter().collect(), ""))
            }
            None => Ok(HttpResponse::new(200, Vec::new(), "")),
        }
    }
}

impl Receiver {
    fn will_answer(&self, answers: &[(u16, Option<&'static str>)]) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn last(&self) -> HttpRequest {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

fn body_of(request: &HttpRequest) -> Value {
    serde_json::from_slice(request.body.as_ref().unwrap()).unwrap()
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    &request.headers.iter().find(|(known, _)| known == name).unwrap().1
}

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<Clock>,
    receiver: Arc<Receiver>,
    pages: Arc<Mutex<Vec<&'static str>>>,
    engine: Engine,
    outbox: Outbox,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let clock = Arc::new(Clock(AtomicU64::new(1_700_000_000_000)));
        let (receiver, pages) = (Arc::new(Receiver::default()), Arc::new(Mutex::new(Vec::new())));
        let engine = engine(Arc::<MemoryStore>::clone(&store), &pages, &receiver, &clock);
        engine.connect(ConnectionSettings::new("demo", "notes")).await.unwrap();
        let outbox = Outbox::new(&engine);
        outbox.add(Destination::new("crm", "https://crm.example/hook")).await.unwrap();
        outbox.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
        World { store, clock, receiver, pages, engine, outbox }
    }

    /// Another process, which sees the store so.
    fn another(&self, store: Arc<dyn Store>) -> Engine {
        engine(store, &self.pages, &self.receiver, &self.clock)
    }

    async fn run(&self, pages: &[&'static str]) {
        *self.pages.lock().unwrap() = pages.to_vec();
        let outcome = self.engine.run_once("demo", "notes/all", RunOptions::default()).await;
        assert_eq!(outcome.is_err(), pages.contains(&"fail"));
        self.pass_time(1);
    }

    fn pass_time(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    async fn deliver(&self) -> (u64, u64) {
        let pass = self.outbox.deliver_due().await.unwrap();
        (pass.delivered, pass.failed)
    }

    async fn waiting(&self) -> usize {
        self.outbox.waiting("crm", "", 1000).await.unwrap().len()
    }
}

fn engine(
    store: Arc<dyn Store>,
    pages: &Arc<Mutex<Vec<&'static str>>>,
    receiver: &Arc<Receiver>,
    clock: &Arc<Clock>,
) -> Engine {
    let info = TemplateInfo::new("notes", "all", "https://notes.example").model("Note", "A note");
    Engine::builder(store)
        .template(Arc::new(Notes(info, Arc::clone(pages))))
        .transport(Arc::<Receiver>::clone(receiver))
        .environment(Arc::<Clock>::clone(clock))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_run_is_told_signed_and_once() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"}"#, r#"{"id":"a","x":1}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    assert_eq!(world.deliver().await, (0, 0));
    let request = world.receiver.last();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://crm.example/hook"));
    let now = i64::try_from(world.clock.now_ms() / 1000).unwrap();
    let body = request.body.clone().unwrap();
    let verified = verify(&request.headers, &body, &[Secret::new(SECRET)], now, SIGNATURE_TOLERANCE).unwrap();
    assert!(verified.id.starts_with("msg_"));
    assert_eq!(header(&request, "X-Highwater-Hmac-Sha256").len(), 64);
    let told = body_of(&request);
    for (pointer, value) in [
        ("/connectionId", "demo".into()),
        ("/providerConfigKey", "notes".into()),
        ("/syncName", "all".into()),
        ("/syncVariant", "base".into()),
        ("/model", "Note".into()),
        ("/syncType", "INITIAL".into()),
        ("/success", true.into()),
        ("/modifiedAfter", "2023-11-14T22:13:20.000Z".into()),
        ("/responseResults/added", 2.into()),
        ("/responseResults/updated", 1.into()),
        ("/responseResults/deleted", 0.into()),
    ] {
        assert_eq!(told.pointer(pointer), Some::<&Value>(&value), "{pointer} of {told}");
    }
    // The cursor range is what the receiver is to read.
    let from: Cursor = told.pointer("/cursor/from").unwrap().as_str().unwrap().parse().unwrap();
    let page = world.store.records(&StreamKey::new("demo", "Note")).since(from).page().await.unwrap();
    assert_eq!(page.changes.len(), 2);
    assert_eq!(told.pointer("/cursor/to").unwrap(), &page.high_water.to_string());
    // Members in order, at every depth: the same facts have the same text.
    let sorted: std::collections::BTreeMap<String, Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(serde_json::to_vec(&sorted).unwrap(), body);

    // A run that changes nothing is not told of, unless wanted; one that fails is.
    world.run(&[r#"{"id":"a","x":1}"#]).await;
    assert_eq!(world.waiting().await, 0);
    world.outbox.add(Destination::new("crm", "https://crm.example/hook").on_unchanged(true)).await.unwrap();
    world.run(&[r#"{"id":"a","x":1}"#]).await;
    assert_eq!(world.waiting().await, 1);
    world.run(&["fail"]).await;
    assert_eq!(world.deliver().await, (2, 0));
    let told = body_of(&world.receiver.last());
    assert_eq!(told.pointer("/success"), Some(&false.into()));
    assert!(told.pointer("/error/description").unwrap().as_str().unwrap().contains("out of order"));
    world.outbox.add(Destination::new("crm", "https://crm.example/hook").connection("other")).await.unwrap();
    world.run(&[r#"{"id":"c"}"#]).await;
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn what_a_lost_run_changed_is_told_by_the_next() {
    let world = World::new().await;
    *world.pages.lock().unwrap() = vec![r#"{"id":"a"};{"id":"b"}"#, "hang"];
    let run = world.engine.run_once("demo", "notes/all", RunOptions::default());
    assert!(tokio::time::timeout(Duration::from_millis(50), run).await.is_err(), "the run was to hang");
    world.run(&[r#"{"id":"b","x":1}"#, "fail"]).await;
    world.pass_time(1);
    world.run(&[r#"{"id":"c"}"#]).await;
    assert_eq!(world.deliver().await, (2, 0));
    let told = body_of(&world.receiver.last());
    assert_eq!(told.pointer("/responseResults"), Some(&serde_json::json!({"added": 3, "updated": 1, "deleted": 0})));
    let from: Cursor = told.pointer("/cursor/from").unwrap().as_str().unwrap().parse().unwrap();
    assert!(from.is_start());
}

/// What is told together: how much was added, and the range from its least to its greatest cursor.
fn sum<'b>(bodies: impl Iterator<Item = &'b str>) -> (u64, Option<(Cursor, Cursor)>) {
    let (mut added, mut range) = (0, None::<(Cursor, Cursor)>);
    for body in bodies {
        let body: Value = serde_json::from_str(body).unwrap();
        added += body.pointer("/responseResults/added").unwrap().as_u64().unwrap();
        let Some(cursor) = body.get("cursor") else { continue };
        let [from, to] = ["from", "to"].map(|end| cursor[end].as_str().unwrap().parse::<Cursor>().unwrap());
        range = Some(range.map_or((from, to), |(least, most)| (least.min(from), most.max(to))));
    }
    (added, range)
}

/// The store fails a run, or the process dies, at each of its writes: the next run tells what was not told.
#[tokio::test]
async fn nothing_goes_untold_whichever_write_is_the_last() {
    for write in 0..12 {
        for dies in [false, true] {
            let world = World::new().await;
            let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&world.store);
            let staged = if dies { Staged::stuck_at(&store, write) } else { Staged::failing_at(&store, write) };
            *world.pages.lock().unwrap() = vec![r#"{"id":"a"};{"id":"b"}"#, r#"{"id":"c"}"#];
            let engine = world.another(staged);
            let run = engine.run_once("demo", "notes/all", RunOptions::default());
            let _ = tokio::time::timeout(Duration::from_millis(20), run).await;
            world.pass_time(100_000);
            world.run(&[r#"{"id":"a"};{"id":"b"}"#, r#"{"id":"c"}"#, r#"{"id":"d"}"#]).await;
            while world.waiting().await > 0 {
                assert_eq!(world.deliver().await.1, 0);
            }
            let seen: Vec<String> = {
                let seen = world.receiver.seen.lock().unwrap();
                seen.iter().map(|request| String::from_utf8(request.body.clone().unwrap().to_vec()).unwrap()).collect()
            };
            let (added, range) = sum(seen.iter().map(String::as_str));
            let end = world.store.records(&StreamKey::new("demo", "Note")).page().await.unwrap().high_water;
            assert_eq!((added, range), (4, Some((Cursor::START, end))), "write {write}, dies: {dies}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn the_range_covers_the_deletes_of_the_run_itself() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"};{"id":"c"}"#]).await;
    *world.pages.lock().unwrap() = vec![r#"{"id":"a"};{"id":"b"}"#, "complete"];
    world.engine.run_once("demo", "notes/all", RunOptions::default().full(true)).await.unwrap();
    let rows = world.outbox.waiting("crm", "", 10).await.unwrap();
    let told: Value = serde_json::from_str(&rows[1].body).unwrap();
    assert_eq!(told["responseResults"], serde_json::json!({"added": 0, "updated": 0, "deleted": 1}));
    let [from, to] = ["from", "to"].map(|end| told["cursor"][end].as_str().unwrap().parse::<Cursor>().unwrap());
    let page = world.store.records(&StreamKey::new("demo", "Note")).since(from).page().await.unwrap();
    assert_eq!((page.changes.len(), page.next_cursor), (1, to), "whoever reads that far has seen the delete");
}

#[tokio::test]
async fn deletes_that_were_approved_are_told() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"};{"id":"b"};{"id":"c"}"#]).await;
    *world.pages.lock().unwrap() = vec!["complete"];
    let run = world.engine.run_once("demo", "notes/all", RunOptions::default().full(true)).await.unwrap_err();
    assert_eq!(run.kind(), ErrorKind::AwaitingApproval);
    let parked = world.engine.runs("demo", "notes/all").await.unwrap().remove(0);
    world.pass_time(1);
    world.engine.approve(&parked.id).await.unwrap();
    let rows = world.outbox.waiting("crm", "", 10).await.unwrap();
    let told: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
    assert_eq!(told.iter().map(|body| body["success"] == true).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(told[2]["responseResults"]["deleted"], 3);
}

#[tokio::test]
async fn a_receiver_that_is_away_for_long_does_not_fill_the_disk() {
    const MOST: usize = 20;
    let world = World::new().await;
    world.outbox.add(Destination::new("crm", "https://crm.example/hook").max_rows(MOST)).await.unwrap();
    let ids: Vec<String> = (0..30 * 24).map(|hour| format!(r#"{{"id":"{hour}"}}"#)).collect();
    // Leaked: a page of this template is a constant text.
    for page in &ids {
        let page: &'static str = Box::leak(page.clone().into_boxed_str());
        world.run(&[page]).await;
        if world.receiver.seen() % 10 == 3 {
            world.run(&["fail"]).await;
        }
        world.receiver.will_answer(&[(503, None)]);
        world.deliver().await;
        world.pass_time(HOUR);
        let dead = world.outbox.dead_letters("crm", "", 1000).await.unwrap();
        assert!(world.waiting().await <= MOST && dead.len() <= MOST);
    }
    let rows = |rows: Vec<highwater_engine::OutboxRow>| rows.into_iter().map(|row| row.body).collect::<Vec<_>>();
    let mut kept = rows(world.outbox.waiting("crm", "", 100).await.unwrap());
    kept.extend(rows(world.outbox.dead_letters("crm", "", 100).await.unwrap()));
    let end = world.store.records(&StreamKey::new("demo", "Note")).limit(5000).page().await.unwrap().high_water;
    assert_eq!(sum(kept.iter().map(String::as_str)), (ids.len() as u64, Some((Cursor::START, end))));
    let collapsed = |body: &String| serde_json::from_str::<Value>(body).unwrap()["collapsed"].as_u64().unwrap_or(1);
    assert!(kept.iter().map(collapsed).sum::<u64>() > ids.len() as u64, "failures are counted too");
    // Back again, it is told everything.
    world.receiver.answers.lock().unwrap().clear();
    world.outbox.replay_all("crm").await.unwrap();
    world.pass_time(24 * HOUR);
    while world.waiting().await > 0 {
        assert_eq!(world.deliver().await.1, 0);
    }
}

#[tokio::test]
async fn failures_are_tried_again_with_growing_pauses() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.receiver.will_answer(&[(500, None), (404, None), (0, None), (302, None), (429, Some("7200"))]);
    let mut ids = Vec::new();
    for pause in [0, 6_500, 19_000, 57_000, 170_000] {
        world.pass_time(pause);
        assert_eq!(world.deliver().await, (0, 1));
        assert_eq!(world.deliver().await, (0, 0), "a pause was not kept");
        ids.push(header(&world.receiver.last(), "webhook-id").to_owned());
    }
    // The receiver asked for two hours.
    world.pass_time(2 * HOUR - 1);
    assert_eq!(world.deliver().await, (0, 0));
    world.pass_time(1);
    assert_eq!(world.deliver().await, (1, 0));
    ids.push(header(&world.receiver.last(), "webhook-id").to_owned());
    ids.dedup();
    assert_eq!(ids.len(), 1, "each try has the same id");
    assert_eq!((world.receiver.seen(), world.waiting().await), (6, 0));
}

#[tokio::test]
async fn one_delivery_that_always_fails_does_not_hold_up_the_others_for_long() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.pass_time(1);
    world.run(&[r#"{"id":"b"}"#]).await;
    for _ in 0..5 {
        world.receiver.will_answer(&[(400, None)]);
        world.deliver().await;
        world.pass_time(61_000);
    }
    world.receiver.will_answer(&[(400, None)]);
    while world.waiting().await > 1 {
        world.deliver().await;
        world.pass_time(61_000);
    }
    assert!(world.receiver.seen() < 12);
}

#[tokio::test]
async fn after_three_days_it_is_a_dead_letter_that_can_be_replayed() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    let begun = world.clock.now_ms();
    for _ in 0..200 {
        world.receiver.will_answer(&[(503, None)]);
        let pass = world.outbox.deliver_due().await.unwrap();
        if pass.dead > 0 {
            break;
        }
        world.clock.0.store(pass.next_ms.unwrap(), Ordering::Relaxed);
    }
    assert!(world.clock.now_ms() - begun >= 24 * HOUR);
    assert_eq!(world.waiting().await, 0);
    let dead = world.outbox.dead_letters("crm", "", 10).await.unwrap();
    assert!(dead[0].last_error.as_ref().unwrap().contains("503") && dead[0].attempts > 10);
    assert_eq!(world.outbox.replay("crm", "nonsense").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.receiver.answers.lock().unwrap().clear();
    world.outbox.replay("crm", &dead[0].id).await.unwrap();
    assert_eq!(world.deliver().await, (1, 0));
    assert_eq!(world.outbox.replay_all("crm").await.unwrap(), 0);
}

#[tokio::test]
async fn gone_disables_until_the_host_says_otherwise() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.receiver.will_answer(&[(410, None)]);
    assert_eq!(world.deliver().await, (0, 1));
    world.pass_time(HOUR);
    assert_eq!(world.deliver().await, (0, 0));
    assert!(world.outbox.destinations().await.unwrap()[0].disabled.as_ref().unwrap().contains("410"));
    world.run(&[r#"{"id":"b"}"#]).await;
    assert_eq!(world.waiting().await, 1, "a disabled destination is told nothing more");
    world.outbox.add(Destination::new("crm", "https://crm.example/hook")).await.unwrap();
    assert_eq!(world.deliver().await, (1, 0));
    world.outbox.remove("crm").await.unwrap();
    assert!(world.store.documents("outbox/", "", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn secrets_change_without_a_gap_and_never_touch_the_store() {
    let world = World::new().await;
    let new = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    world.outbox.set_secrets("crm", vec![Secret::new(new), Secret::new(SECRET)]).unwrap();
    assert!(world.outbox.set_secrets("crm", Vec::new()).is_err());
    assert!(world.outbox.set_secrets("crm", vec![Secret::new("whsec_ no base64")]).is_err());
    world.run(&[r#"{"id":"a"}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    let request = world.receiver.last();
    let now = i64::try_from(world.clock.now_ms() / 1000).unwrap();
    for secret in [new, SECRET] {
        let secrets = [Secret::new(secret)];
        verify(&request.headers, request.body.as_ref().unwrap(), &secrets, now, SIGNATURE_TOLERANCE).unwrap();
    }
    let documents = world.store.documents("", "", 1000).await.unwrap();
    assert!(documents.iter().all(|document| !document.value.as_str().contains("whsec_")));
    assert!(!format!("{:?}", world.outbox).contains("whsec_"));
    // Without a secret nothing is sent, and nothing is lost.
    let forgetful = Outbox::new(&world.engine);
    world.run(&[r#"{"id":"b"}"#]).await;
    assert_eq!(forgetful.deliver_due().await.unwrap().failed, 1);
    assert_eq!((world.receiver.seen(), world.waiting().await), (1, 1));
}

#[tokio::test]
async fn of_two_processes_one_delivers() {
    let world = World::new().await;
    for page in [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, r#"{"id":4}"#, r#"{"id":5}"#, r#"{"id":6}"#] {
        world.run(&[page]).await;
    }
    let other = Outbox::new(&world.engine);
    other.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
    let (one, two) = tokio::join!(world.outbox.deliver_due(), other.deliver_due());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.delivered + two.delivered, one.delivered.min(two.delivered)), (6, 0));
    assert_eq!(world.receiver.seen(), 6);
}

#[tokio::test]
async fn a_pause_holds_in_every_process_and_over_restarts() {
    let world = World::new().await;
    world.run(&[r#"{"id":"a"}"#]).await;
    world.run(&[r#"{"id":"b"}"#]).await;
    world.receiver.will_answer(&[(429, Some("7200"))]);
    assert_eq!(world.deliver().await, (0, 1));
    let other = Outbox::new(&world.another(Arc::<MemoryStore>::clone(&world.store)));
    other.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
    for _ in 0..3 {
        world.pass_time(HOUR / 2);
        assert_eq!(other.deliver_due().await.unwrap().failed, 0);
        assert_eq!(world.receiver.seen(), 1, "it asked for two hours");
    }
    world.pass_time(HOUR);
    assert_eq!(other.deliver_due().await.unwrap().delivered, 2);
}

#[tokio::test]
async fn in_the_background_news_leave_at_once() {
    let world = World::new().await;
    let delivering = world.outbox.start(&tokio::runtime::Handle::current());
    world.run(&[r#"{"id":"a"}"#]).await;
    while world.receiver.seen() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    delivering.shutdown().await.unwrap();
    world.run(&[r#"{"id":"b"}"#]).await;
    assert_eq!(world.waiting().await, 1);
}

/// Two verifiers of others agree with our signatures.
#[tokio::test]
async fn the_published_verifiers_accept_a_delivery() {
    let world = World::new().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    world.clock.0.store(u64::try_from(now).unwrap(), Ordering::Relaxed);
    world.run(&[r#"{"id":"ä","text":"ünï\n\"quoted\""}"#]).await;
    assert_eq!(world.deliver().await, (1, 0));
    let request = world.receiver.last();
    let folder = tempfile::tempdir().unwrap();
    let headers: serde_json::Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    std::fs::write(folder.path().join("headers.json"), serde_json::to_vec(&headers).unwrap()).unwrap();
    std::fs::write(folder.path().join("body"), request.body.as_ref().unwrap()).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };

    let script = format!(
        "const {{ Webhook }} = require('standardwebhooks'); const fs = require('fs');\
         const check = (body) => new Webhook('{SECRET}').verify(body, JSON.parse(fs.readFileSync('headers.json', 'utf8')));\
         const body = fs.readFileSync('body', 'utf8'); check(body);\
         let refused = false; try {{ check(body + ' ') }} catch {{ refused = true }}; console.log('checked', refused)"
    );
    match run("npm", &["install", "--silent", "--no-audit", "--no-fund", "standardwebhooks@1.1.1"]) {
        Some(_) => assert_eq!(run("node", &["-e", &script]).as_deref(), Some("checked true\n")),
        None => println!("skipped: standardwebhooks could not be installed from npm"),
    }

    let script = format!(
        "import json\nfrom standardwebhooks.webhooks import Webhook\nbody = open('body', 'rb').read().decode()\n\
         headers = {{k.lower(): v for k, v in json.load(open('headers.json')).items()}}\n\
         Webhook('{SECRET}').verify(body, headers)\ntry:\n    Webhook('{SECRET}').verify(body + ' ', headers)\n\
         except Exception:\n    print('checked')\n"
    );
    let python = if cfg!(windows) { "v/Scripts/python" } else { "v/bin/python" };
    let installed = run("python3", &["-m", "venv", "v"])
        .and_then(|_| run(python, &["-m", "pip", "install", "-q", "standardwebhooks==1.1.0"]));
    match installed {
        Some(_) => assert_eq!(run(python, &["-c", &script]).as_deref(), Some("checked\n")),
        None => println!("skipped: standardwebhooks could not be installed from PyPI"),
    }
}
