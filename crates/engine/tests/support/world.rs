//! A small API in memory, a template that reads it, and an engine in virtual time.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{
    Environment, Error, ErrorKind, Inline, MemoryBackend, RecordId, Result, Store, StoreOptions, StreamKey, Timestamp,
};
use highwater_engine::{ConnectionSettings, Engine, EngineBuilder, RunOptions, RunReport};
use highwater_template::auth::CredentialUse;
use highwater_template::{LogLevel, SyncContext, Template, TemplateInfo};
use tokio::time::Instant;

pub const SYNC: &str = "shop/items";

/// The wall clock, in step with tokio's; it can be moved.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    base_ms: AtomicI64,
    random: AtomicU64,
}

impl Clock {
    pub fn new() -> Arc<Self> {
        Arc::new(Clock {
            began: Instant::now(),
            base_ms: AtomicI64::new(1_795_000_000_000),
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        })
    }

    pub fn jump(&self, by_ms: i64) {
        self.base_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Environment for Clock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_unix_ms(u64::try_from(self.base_ms.load(Ordering::Relaxed) + passed).unwrap())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.random.load(Ordering::Relaxed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.random.store(next, Ordering::Relaxed);
            *byte = (next >> 56) as u8;
        }
    }
}

/// What the API has, and how it behaves.
#[derive(Debug, Default)]
pub struct Api {
    /// Id to the number of its last change.
    pub items: BTreeMap<u64, u64>,
    /// There, but left out of pages.
    pub hidden: BTreeSet<u64>,
    pub changes: u64,
    /// What happens to the next pages, in order; `None`: nothing in particular.
    pub faults: VecDeque<Option<ErrorKind>>,
    /// Time a page takes.
    pub delay: Duration,
    /// The first change of each page that was asked for.
    pub asked: Vec<u64>,
    /// When each run began, by virtual time.
    pub begun_ms: Vec<u64>,
    pub at_once: u64,
    pub most_at_once: u64,
}

impl Api {
    pub fn put(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.changes += 1;
            self.items.insert(id, self.changes);
        }
    }
}

#[derive(Debug)]
pub struct Items {
    info: TemplateInfo,
    pub api: Arc<Mutex<Api>>,
}

pub const PAGE: usize = 10;

impl Items {
    fn record(id: u64, change: u64) -> Bytes {
        format!(r#"{{"id":{id},"change":{change}}}"#).into()
    }

    fn page(&self, since: u64) -> Result<Vec<(u64, u64)>> {
        let mut api = self.api.lock().unwrap();
        api.asked.push(since);
        if let Some(Some(kind)) = api.faults.pop_front() {
            return Err(Error::new(kind, "the API was told to fail"));
        }
        let mut found: Vec<(u64, u64)> = api
            .items
            .iter()
            .filter(|(id, change)| **change > since && !api.hidden.contains(id))
            .map(|(id, change)| (*change, *id))
            .collect();
        found.sort_unstable();
        found.truncate(PAGE);
        Ok(found)
    }
}

struct Inside<'a>(&'a Mutex<Api>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().at_once -= 1;
    }
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        {
            let mut api = self.api.lock().unwrap();
            let now_ms = context.now().unix_ms();
            api.begun_ms.push(now_ms);
            api.at_once += 1;
            api.most_at_once = api.most_at_once.max(api.at_once);
        }
        let _inside = Inside(&self.api);
        let mut since: u64 = context.last_checkpoint()?.unwrap_or(0);
        loop {
            let delay = self.api.lock().unwrap().delay;
            tokio::time::sleep(delay).await;
            let page = self.page(since)?;
            context.log(LogLevel::Info, format!("page behind {since}: {} records", page.len()));
            let Some((last, _)) = page.last() else { break };
            since = *last;
            context.checkpoint(&since)?;
            context.save("Item", page.iter().map(|(change, id)| Self::record(*id, *change)).collect()).await?;
        }
        if context.is_full_refresh() {
            context.save("Shelf", vec![Bytes::from_static(br#"{"id":"only"}"#)]).await?;
            context.complete("Shelf").await?;
            context.complete("Item").await?;
        }
        Ok(())
    }

    async fn verify(&self, _: &mut SyncContext<'_>, model: &str, ids: &[RecordId]) -> Result<Option<Vec<Bytes>>> {
        if model != "Item" {
            return Ok(None);
        }
        let api = self.api.lock().unwrap();
        let found = ids.iter().filter_map(|id| {
            let id = id.parse().ok()?;
            api.items.get(&id).map(|change| Self::record(id, *change))
        });
        Ok(Some(found.collect()))
    }
}

pub struct World {
    pub clock: Arc<Clock>,
    pub store: Arc<dyn Store>,
    pub api: Arc<Mutex<Api>>,
    pub template: Arc<Items>,
    pub engine: Engine,
}

impl World {
    /// With so many items, and the connections `c` and `d`.
    pub async fn new(items: u64) -> Self {
        World::built(items, |builder| builder).await
    }

    pub async fn built(items: u64, change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Self {
        let clock = Clock::new();
        let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
        let api = Arc::new(Mutex::new(Api::default()));
        api.lock().unwrap().put(1..=items);
        let info = TemplateInfo::new("shop", "items", "http://127.0.0.1:9")
            .model("Item", "an item")
            .model("Shelf", "a shelf")
            .interval(Duration::from_secs(60));
        let template = Arc::new(Items { info, api: Arc::clone(&api) });
        let engine = engine_on(&clock, &store, &template, change);
        for connection in ["c", "d"] {
            engine.connect(ConnectionSettings::new(connection, "shop")).await.unwrap();
        }
        World { clock, store, api, template, engine }
    }

    /// An engine on another way to the store.
    pub fn engine_over(&self, store: Arc<dyn Store>) -> Engine {
        engine_on(&self.clock, &store, &self.template, |builder| builder)
    }

    /// An engine on another way to the store, built otherwise.
    pub fn engine_with(&self, store: Arc<dyn Store>, change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
        engine_on(&self.clock, &store, &self.template, change)
    }

    /// Another engine on the same store, as another process would have.
    pub fn another(&self) -> Engine {
        engine_on(&self.clock, &self.store, &self.template, |builder| builder)
    }

    /// Another engine on the same store, whose template needs a token.
    pub fn needing_a_token(&self) -> Engine {
        let info = self.template.info.clone().credentials(CredentialUse::Required);
        let template = Items { info, api: Arc::clone(&self.api) };
        engine_on(&self.clock, &self.store, &Arc::new(template), |builder| builder)
    }

    pub fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    pub async fn run(&self, options: RunOptions) -> Result<RunReport> {
        self.engine.sync("c", SYNC).unwrap().run_once(options).await
    }

    pub async fn live(&self) -> u64 {
        self.store.head(&StreamKey::new("c", "Item")).await.unwrap().live
    }

    pub async fn deleted(&self) -> u64 {
        self.store.head(&StreamKey::new("c", "Item")).await.unwrap().deleted
    }

    /// How often runs have begun.
    pub fn begun(&self) -> usize {
        self.api().begun_ms.len()
    }
}

fn engine_on(
    clock: &Arc<Clock>,
    store: &Arc<dyn Store>,
    template: &Arc<Items>,
    change: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Engine {
    let builder = Engine::builder(Arc::clone(store))
        .environment(Arc::clone(clock) as Arc<dyn Environment>)
        .template(Arc::clone(template) as Arc<dyn Template>);
    change(builder).build().unwrap()
}

pub async fn sleep(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}
