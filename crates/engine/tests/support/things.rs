//! Things of an API whose pages a test writes, record by record, and a template that reads them.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

#[path = "world.rs"]
mod world;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{
    Cursor, Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreExt, StoreOptions, StreamKey,
};
use highwater_engine::syncs::SyncStatus;
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, RunReport, Secret};
use highwater_template::records::{string_at, text_at};
use highwater_template::{LogLevel, SourceRecord, SyncContext, Template, TemplateInfo, Window};
use world::Clock;

pub const SYNC: &str = "shop/things";

/// How the template reads.
#[derive(Debug, Default)]
pub struct Things {
    /// By the time of each record's last change, with a checkpoint.
    pub times: bool,
    /// Sets every record aside for this reason.
    pub reason: Option<String>,
    pub api: Arc<Mutex<Api>>,
}

#[derive(Debug, Default)]
pub struct Api {
    pub pages: Vec<Vec<String>>,
    /// The page that cannot be read.
    pub fails_at: Option<usize>,
    /// Said before the page of this number: the list has an end that is not its own.
    pub incomplete_at: Option<usize>,
    /// The same for a part that nobody may read.
    pub uncertain_at: Option<usize>,
    pub runs: u32,
}

#[derive(Debug)]
struct Reader(TemplateInfo, Things);

#[async_trait]
impl Template for Reader {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let Things { times, reason, api } = &self.1;
        api.lock().unwrap().runs += 1;
        let last: Option<String> = context.last_checkpoint()?;
        let mut window = Window::new(last.as_deref(), Duration::ZERO, context.started_at())?;
        let pages = api.lock().unwrap().pages.clone();
        for (number, page) in pages.into_iter().enumerate() {
            let (fails_at, incomplete_at, uncertain_at) = {
                let api = api.lock().unwrap();
                (api.fails_at, api.incomplete_at, api.uncertain_at)
            };
            if fails_at == Some(number) {
                return Err(Error::new(ErrorKind::Remote, "the API was told to fail"));
            }
            if incomplete_at == Some(number) {
                context.mark_incomplete("Thing", "the list ends at 10,000");
            }
            if uncertain_at == Some(number) {
                context.mark_uncertain("Thing", "a part is closed");
            }
            let mut records = Vec::new();
            for record in page.into_iter().map(Bytes::from) {
                let read = match (times, reason) {
                    (_, Some(reason)) => Err(Error::new(ErrorKind::Remote, reason.clone())),
                    (true, None) => string_at(&record, "/at").and_then(|at| window.observe(&at)),
                    (false, None) => Ok(()),
                };
                match (read, text_at(&record, "/id")) {
                    (Ok(()), _) => records.push(SourceRecord::from(record)),
                    (Err(error), Ok(Some(id))) => context.set_aside_as("Thing", id, record, &error),
                    (Err(error), _) => context.set_aside("Thing", record, &error),
                }
            }
            if let Some(at) = window.checkpoint().filter(|_| *times) {
                context.checkpoint(at)?;
            }
            context.log(LogLevel::Info, format!("page {number}"));
            context.apply("Thing", records, Vec::new()).await?;
        }
        if context.is_full_refresh() { context.complete("Thing").await } else { Ok(()) }
    }
}

/// A record, changed at this second.
pub fn good(id: &str, at: u64) -> String {
    format!(r#"{{"id":"{id}","at":"2026-01-01T00:00:{at:02}Z"}}"#)
}

pub fn full() -> RunOptions {
    RunOptions::default().full(true)
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub engine: Engine,
    api: Arc<Mutex<Api>>,
}

impl World {
    pub async fn new(things: Things) -> Self {
        let clock = Clock::new();
        let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
        let api = Arc::clone(&things.api);
        let info = TemplateInfo::new("shop", "things", "http://127.0.0.1:9").model("Thing", "a thing");
        let engine = Engine::builder(Arc::clone(&store))
            .environment(clock as Arc<dyn Environment>)
            .template(Arc::new(Reader(info, things)))
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "shop")).await.unwrap();
        engine.use_credentials("c", Credentials::token(Secret::new("tok-123456789")));
        World { store, engine, api }
    }

    pub fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    pub async fn run(&self, options: RunOptions) -> Result<RunReport> {
        self.engine.sync("c", SYNC).unwrap().run_once(options).await
    }

    /// The report of the last run, as it is kept.
    pub async fn last(&self) -> RunReport {
        self.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0)
    }

    pub async fn status(&self) -> SyncStatus {
        self.engine.sync("c", SYNC).unwrap().state().await.unwrap().status
    }

    pub async fn checkpoint(&self) -> Option<String> {
        let document = self.store.document("checkpoint/c/shop/things").await.unwrap();
        document.map(|document| document.as_str().to_owned())
    }

    /// The ids of the records that are there, in order.
    pub async fn live(&self) -> Vec<String> {
        let request = self.store.records(&StreamKey::new("c", "Thing")).since(Cursor::START).limit(1000);
        let changes = request.page().await.unwrap().changes;
        let live = changes.iter().filter(|change| change.record.metadata.deleted_at.is_none());
        let mut ids: Vec<String> = live.map(|change| change.record.id.to_string()).collect();
        ids.sort();
        ids
    }
}
