//! An engine with a scripted receiver of its webhooks, and a clock by hand.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{Environment, Error, ErrorKind, MemoryStore, Result, Store};
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, Engine, RunOptions, Secret};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, SyncContext, Template, TemplateInfo};
use serde_json::Value;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const HOUR: u64 = 3_600_000;

#[derive(Debug)]
pub struct Clock(pub AtomicU64, /** Whether chance gives the same number each time. */ pub AtomicBool);

impl Environment for Clock {
    fn now(&self) -> highwater_core::Timestamp {
        highwater_core::Timestamp::from_unix_ms(self.0.load(Ordering::Relaxed))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        if self.1.load(Ordering::Relaxed) {
            return bytes.fill(0xff);
        }
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
pub struct Receiver {
    pub answers: Mutex<VecDeque<(u16, Option<&'static str>)>>,
    pub seen: Mutex<Vec<HttpRequest>>,
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
    pub fn will_answer(&self, answers: &[(u16, Option<&'static str>)]) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn last(&self) -> HttpRequest {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

pub fn body_of(request: &HttpRequest) -> Value {
    serde_json::from_slice(request.body.as_ref().unwrap()).unwrap()
}

pub fn header<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    &request.headers.iter().find(|(known, _)| known == name).unwrap().1
}

pub struct World {
    pub store: Arc<MemoryStore>,
    pub clock: Arc<Clock>,
    pub receiver: Arc<Receiver>,
    pub pages: Arc<Mutex<Vec<&'static str>>>,
    pub engine: Engine,
    pub outbox: Outbox,
}

impl World {
    pub async fn new() -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let clock = Arc::new(Clock(AtomicU64::new(1_700_000_000_000), AtomicBool::new(false)));
        let (receiver, pages) = (Arc::new(Receiver::default()), Arc::new(Mutex::new(Vec::new())));
        let engine = engine(Arc::<MemoryStore>::clone(&store), &pages, &receiver, &clock);
        engine.connect(ConnectionSettings::new("demo", "notes")).await.unwrap();
        let outbox = Outbox::new(&engine);
        outbox.add(Destination::new("crm", "https://crm.example/hook")).await.unwrap();
        outbox.set_secrets("crm", vec![Secret::new(SECRET)]).unwrap();
        World { store, clock, receiver, pages, engine, outbox }
    }

    /// Another process, which sees the store so.
    pub fn another(&self, store: Arc<dyn Store>) -> Engine {
        engine(store, &self.pages, &self.receiver, &self.clock)
    }

    pub async fn run(&self, pages: &[&'static str]) {
        *self.pages.lock().unwrap() = pages.to_vec();
        let outcome = self.engine.sync("demo", "notes/all").unwrap().run_once(RunOptions::default()).await;
        assert_eq!(outcome.is_err(), pages.contains(&"fail"));
        self.pass_time(1);
    }

    pub fn pass_time(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub async fn deliver(&self) -> (u64, u64) {
        let pass = self.outbox.deliver_due().await.unwrap();
        (pass.delivered, pass.failed)
    }

    pub async fn waiting(&self) -> usize {
        self.outbox.waiting("crm", "", 1000).await.unwrap().len()
    }
}

pub fn engine(
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
