//! An API in memory that answers as a function says, and an engine in virtual time that has a sync, an action and
//! requests by proxy to it.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use highwater_core::{Environment, Inline, MemoryBackend, Result, Store, StoreOptions, StreamKey};
use highwater_engine::transport::RequestLimits;
use highwater_engine::{ConnectionSettings, Engine, RunOptions, RunReport, Secret};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::auth::{AuthKind, CredentialUse};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Pages, Paging, Provider, SyncContext, Template, TemplateInfo};
use serde_json::Value;

use crate::world::Clock;

pub const SYNC: &str = "acme/items";
pub const BASE: &str = "https://api.acme.example/v3";

type Answer = Box<dyn FnMut(&HttpRequest) -> Result<HttpResponse> + Send>;

/// The API.
pub struct Script {
    answer: Mutex<Answer>,
    seen: Mutex<Vec<HttpRequest>>,
}

impl Script {
    pub fn new(answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static) -> Arc<Self> {
        Arc::new(Script { answer: Mutex::new(Box::new(answer)), seen: Mutex::default() })
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<HttpRequest> {
        self.seen.lock().unwrap().clone()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.seen.lock().unwrap().push(request.clone());
        (self.answer.lock().unwrap())(&request)
    }
}

/// An answer with JSON.
pub fn json(status: u16, body: &str) -> HttpResponse {
    with(status, body, &[])
}

/// An answer with JSON and headers.
pub fn with(status: u16, body: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    HttpResponse::new(status, headers.collect(), body.to_owned())
}

/// Reads `/items`, page by page.
#[derive(Debug)]
struct Items {
    info: TemplateInfo,
    paging: Paging,
    records: &'static str,
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let mut pages = Pages::new(HttpRequest::get("/items"), self.paging.clone()).records_at(self.records);
        while let Some(page) = pages.next(context).await? {
            if let Some(next) = &page.next {
                context.checkpoint(next)?;
            }
            context.save("Item", page.records).await?;
        }
        if context.is_full_refresh() { context.complete("Item").await } else { Ok(()) }
    }
}

/// Asks `/me`, and takes a 403 for an answer.
#[derive(Debug)]
struct Accepting(ActionInfo);

#[async_trait]
impl ActionTemplate for Accepting {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, _: Value) -> Result<Value> {
        context.send(HttpRequest::get("/me").accept_status(403)).await?.json()
    }
}

/// Posts its input to `/things`, once.
#[derive(Debug)]
struct AddThing(ActionInfo);

#[async_trait]
impl ActionTemplate for AddThing {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        context.send(HttpRequest::post_json("/things", &input)?.repeatable(false)).await?.json()
    }
}

pub struct Scene {
    pub script: Arc<Script>,
    pub engine: Engine,
    pub store: Arc<dyn Store>,
    pub clock: Arc<Clock>,
}

impl Scene {
    /// An API with one page of items at a time, each page a JSON array.
    pub async fn new(answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static) -> Self {
        Scene::with(Paging::Link, "", |provider| provider, answer).await
    }

    pub async fn with(
        paging: Paging,
        records: &'static str,
        provider: impl FnOnce(Provider) -> Provider,
        answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static,
    ) -> Self {
        let clock = Clock::new();
        let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
        let script = Script::new(answer);
        let provider = provider(
            Provider::new("acme", BASE).origin("https://files.acme.example").auth(AuthKind::bearer("a token")),
        );
        let info = provider.template("items").credentials(CredentialUse::Optional).model("Item", "an item");
        let engine = Engine::builder(Arc::clone(&store))
            .template(Arc::new(Items { info, paging, records }))
            .actions([
                Arc::new(AddThing(provider.action("add"))) as Arc<dyn ActionTemplate>,
                Arc::new(Accepting(provider.action("accepting"))),
            ])
            .transport(Arc::clone(&script) as Arc<dyn Transport>)
            .environment(Arc::clone(&clock) as Arc<dyn Environment>)
            .limits(RequestLimits::default())
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        engine.use_token("c", Secret::new("s3cret"));
        Scene { script, engine, store, clock }
    }

    /// From now on the API answers otherwise, and what it was asked before is forgotten.
    pub fn answer(&self, answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static) {
        *self.script.answer.lock().unwrap() = Box::new(answer);
        self.script.seen.lock().unwrap().clear();
    }

    pub async fn run(&self) -> Result<RunReport> {
        self.engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await
    }

    pub async fn full(&self) -> Result<RunReport> {
        self.engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default().full(true)).await
    }

    pub async fn act(&self) -> Result<Value> {
        self.engine.act("c", "acme/add", serde_json::json!({"title": "a leak"})).await
    }

    pub async fn live(&self) -> u64 {
        self.store.head(&StreamKey::new("c", "Item")).await.unwrap().live
    }

    /// What the API was asked.
    pub fn seen(&self) -> Vec<HttpRequest> {
        self.script.seen()
    }

    /// Methods and URLs of what it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.seen().iter().map(|request| format!("{} {}", request.method, request.url)).collect()
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.now().unix_ms()
    }
}

/// A header of a request.
pub fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
