//! Actions and requests by proxy in the log: found by the same filters as runs, without a secret, and without harm to
//! what they did when the store fails.

#[path = "support/staged.rs"]
mod staged;
#[path = "support/world.rs"]
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::logs::{LogFilter, LogPolicy};
use highwater_engine::runs::RunMode;
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, RunState, Secret};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, LogLevel, SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};
use staged::Staged;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use world::{Clock, sleep};

const TOKEN: &str = "a-token-nobody-may-see";

#[derive(Debug)]
struct Notes(TemplateInfo);

#[async_trait]
impl Template for Notes {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        context.save("Note", vec![r#"{"id":1}"#.into()]).await?;
        context.complete("Note").await
    }
}

#[derive(Debug)]
struct AddNote(ActionInfo);

#[async_trait]
impl ActionTemplate for AddNote {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        context.log(LogLevel::Info, format!("adds {} with {TOKEN}", input["text"]));
        context.send(HttpRequest::post_json("/notes?draft=yes", &input)?).await?.json()
    }
}

/// Answers with a status; with none before it is told to.
#[derive(Debug, Default)]
struct Api {
    status: Mutex<u16>,
    asked: Mutex<u64>,
    answer: Notify,
}

/// The status of an API that takes its time.
const LATER: u16 = 1;

#[async_trait]
impl Transport for Api {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse> {
        *self.asked.lock().unwrap() += 1;
        let status = *self.status.lock().unwrap();
        match status {
            LATER => {
                self.answer.notified().await;
                Ok(HttpResponse::new(201, Vec::new(), r#"{"id":7}"#))
            }
            0 => Err(Error::new(ErrorKind::Unavailable, format!("nobody there for {TOKEN}"))),
            status => Ok(HttpResponse::new(status, Vec::new(), r#"{"id":7}"#)),
        }
    }
}

async fn engine(store: &Arc<dyn Store>, api: &Arc<Api>, policy: LogPolicy) -> Engine {
    engine_at(&Clock::new(), store, api, policy).await
}

async fn engine_at(clock: &Arc<Clock>, store: &Arc<dyn Store>, api: &Arc<Api>, policy: LogPolicy) -> Engine {
    let info = TemplateInfo::new("notes", "notes", "https://notes.example").model("Note", "a note");
    let action = AddNote(info.provider.action("add_note").input(json!({"required": ["text"]})));
    let engine = Engine::builder(Arc::clone(store))
        .template(Arc::new(Notes(info)))
        .actions([Arc::new(action) as Arc<dyn ActionTemplate>])
        .transport(Arc::clone(api) as Arc<dyn Transport>)
        .environment(Arc::clone(clock) as Arc<dyn Environment>)
        .logs(policy)
        .build()
        .unwrap();
    engine.connect(ConnectionSettings::new("c", "notes")).await.unwrap();
    engine.use_credentials("c", Credentials::token(Secret::new(TOKEN)));
    engine
}

fn of(mode: RunMode) -> LogFilter {
    let mut filter = LogFilter::default();
    filter.mode = Some(mode);
    filter
}

#[tokio::test(start_paused = true)]
async fn actions_and_requests_are_in_the_log() {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let api = Arc::new(Api { status: Mutex::new(201), ..Api::default() });
    let engine = engine(&store, &api, LogPolicy::default()).await;
    engine.sync("c", "notes/notes").unwrap().run_once(RunOptions::default()).await.unwrap();
    engine.act("c", "notes/add_note", json!({"text": "a"})).await.unwrap();
    engine.proxy("c", HttpRequest::get("/me?key=hidden")).await.unwrap();
    *api.status.lock().unwrap() = 404;
    assert_eq!(engine.proxy("c", HttpRequest::get("/gone")).await.unwrap().status, 404);
    *api.status.lock().unwrap() = 0;
    engine.act("c", "notes/add_note", json!({"text": "b"})).await.unwrap_err();

    let all = engine.runs_matching(&LogFilter::default().connection("c")).await.unwrap().runs;
    let modes: Vec<RunMode> = all.iter().map(|report| report.mode).collect();
    let mut sorted = modes.clone();
    sorted.sort_by_key(|mode| format!("{mode:?}"));
    assert_eq!(sorted, [RunMode::Action, RunMode::Action, RunMode::Initial, RunMode::Proxy, RunMode::Proxy]);
    let actions = engine.runs_matching(&of(RunMode::Action).sync("notes/add_note")).await.unwrap().runs;
    let failed = engine.runs_matching(&of(RunMode::Action).state(RunState::Error)).await.unwrap().runs;
    assert_eq!((actions.len(), failed.len()), (2, 1));
    assert!(actions.iter().all(|report| report.ended_at.is_some() && report.template == "notes/add_note"));
    let requests = engine.runs_matching(&of(RunMode::Proxy).state(RunState::Success)).await.unwrap().runs;
    assert_eq!((requests.len(), requests[0].template.as_str()), (1, "notes/proxy"));
    let refused = engine.runs_matching(&of(RunMode::Proxy).text("404")).await.unwrap().runs;
    assert_eq!((refused.len(), refused[0].state), (1, RunState::Error));

    let lines = async |filter: LogFilter| engine.log_lines(&filter).await.unwrap().lines;
    let found = lines(LogFilter::default().text("GET /me")).await;
    assert_eq!((found.len(), found[0].line.message.as_str()), (1, "GET /me: 201"));
    assert_eq!(lines(LogFilter::default().text("POST")).await.len(), 2);
    // Neither the token nor a query is anywhere in the store.
    for document in store.documents("", "", 1000).await.unwrap() {
        assert!(!document.value.as_str().contains(TOKEN), "{}", document.key);
        assert!(!document.value.as_str().contains("hidden"), "{}", document.key);
    }
}

#[tokio::test(start_paused = true)]
async fn many_calls_hide_no_run_and_are_kept_within_bounds() {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let api = Arc::new(Api { status: Mutex::new(200), ..Api::default() });
    let few = engine(&store, &api, LogPolicy::default().runs_per_sync(5)).await;
    few.sync("c", "notes/notes").unwrap().run_once(RunOptions::default()).await.unwrap();
    for _ in 0..30 {
        few.proxy("c", HttpRequest::get("/me")).await.unwrap();
    }
    let kept = few.runs_matching(&LogFilter::default().limit(100)).await.unwrap().runs;
    assert_eq!(kept.iter().filter(|report| report.mode == RunMode::Proxy).count(), 5);
    assert_eq!(kept.len(), 6);
    let none = engine(&store, &api, LogPolicy::default().calls(false)).await;
    none.act("c", "notes/add_note", json!({"text": "a"})).await.unwrap();
    assert!(none.runs_matching(&of(RunMode::Action)).await.unwrap().runs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_done_though_it_cannot_be_logged() {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let api = Arc::new(Api { status: Mutex::new(200), ..Api::default() });
    // The connection is the first write, the beginning of the action the second, its end the third.
    let failing: Arc<dyn Store> = Staged::over(&store, |number| {
        let full = (number == 1 || number == 2).then(|| Error::new(ErrorKind::Full, "no space is left"));
        Box::pin(std::future::ready(full.map_or(Ok(()), Err)))
    });
    let engine = engine(&failing, &api, LogPolicy::default()).await;
    assert_eq!(engine.act("c", "notes/add_note", json!({"text": "a"})).await.unwrap(), json!({"id": 7}));
    assert_eq!(*api.asked.lock().unwrap(), 1);
    assert!(engine.runs_matching(&of(RunMode::Action)).await.unwrap().runs.is_empty());
    engine.act("c", "notes/add_note", json!({"text": "b"})).await.unwrap();
    assert_eq!(engine.runs_matching(&of(RunMode::Action)).await.unwrap().runs.len(), 1);
}

/// The record of the action, and whether the store still takes it for one in progress.
async fn record(engine: &Engine) -> (RunState, Option<String>) {
    let found = engine.runs_matching(&of(RunMode::Action)).await.unwrap().runs.remove(0);
    assert_eq!(found.ended_at.is_some(), found.state != RunState::Running);
    (found.state, found.error)
}

const INTERRUPTED: &str = "interrupted: outcome unknown; check the API before you repeat it";

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cut_off_is_told_by_whoever_looks_next() {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let api = Arc::new(Api { status: Mutex::new(LATER), ..Api::default() });
    let clock = Clock::new();
    let one = engine_at(&clock, &store, &api, LogPolicy::default()).await;
    let two = engine_at(&clock, &store, &api, LogPolicy::default()).await;
    let _working = two.start(&Handle::current());
    // As long as its process lives it is in progress, however long it takes.
    let calling = one.clone();
    let call = Handle::current().spawn(async move { calling.act("c", "notes/add_note", json!({"text": "a"})).await });
    for _ in 0..20 {
        sleep(30.0).await;
        assert_eq!(record(&two).await, (RunState::Running, None));
    }
    // The process is gone: another may say so once its last sign of life is old enough.
    call.abort();
    sleep(10.0).await;
    assert_eq!(record(&two).await, (RunState::Running, None));
    sleep(60.0).await;
    assert_eq!(record(&two).await, (RunState::Error, Some(INTERRUPTED.to_owned())));
    assert!(store.documents("call/", "", 1).await.unwrap().is_empty());
    assert_eq!(*api.asked.lock().unwrap(), 1, "it is not done again");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cut_off_by_its_own_host_is_told_by_the_next() {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let api = Arc::new(Api { status: Mutex::new(LATER), ..Api::default() });
    let engine = engine(&store, &api, LogPolicy::default()).await;
    let call = engine.act("c", "notes/add_note", json!({"text": "a"}));
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err(), "the host lost patience");
    assert_eq!(record(&engine).await.0, RunState::Running);
    *api.status.lock().unwrap() = 200;
    engine.proxy("c", HttpRequest::get("/me")).await.unwrap();
    assert_eq!(record(&engine).await, (RunState::Error, Some(INTERRUPTED.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_only_seemed_cut_off_is_told_as_it_ended() {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let api = Arc::new(Api { status: Mutex::new(LATER), ..Api::default() });
    let clock = Clock::new();
    let one = engine_at(&clock, &store, &api, LogPolicy::default()).await;
    let two = engine_at(&clock, &store, &api, LogPolicy::default()).await;
    let calling = one.clone();
    let call = Handle::current().spawn(async move { calling.act("c", "notes/add_note", json!({"text": "a"})).await });
    sleep(1.0).await;
    // The machine slept, and the other process awoke first.
    clock.jump(100_000);
    let _working = two.start(&Handle::current());
    sleep(1.0).await;
    assert_eq!(record(&two).await, (RunState::Error, Some(INTERRUPTED.to_owned())));
    api.answer.notify_one();
    call.await.unwrap().unwrap();
    assert_eq!(record(&two).await, (RunState::Success, None));
    assert!(store.documents("call/", "", 1).await.unwrap().is_empty());
}
