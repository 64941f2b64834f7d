//! An API that needs a setting, and engines on one store whose connections belong to integrations, in virtual time.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::syncs::SyncSettings;
use highwater_engine::{ConnectionSettings, Engine, EngineBuilder, IntegrationHandle, IntegrationSettings};
use highwater_template::{ConfigKey, SyncContext, Template, TemplateInfo};

use crate::world::{Clock, sleep};

/// The templates of the provider; the last needs the setting `owner`.
pub const SYNCS: [&str; 3] = ["crm/people", "crm/deals", "crm/notes"];

/// Saves a record at each page, for as long as it is told to.
#[derive(Debug)]
pub struct Pages {
    info: TemplateInfo,
    pub api: Arc<Api>,
}

/// What the templates do.
#[derive(Debug, Default)]
pub struct Api {
    pub pages: AtomicU64,
    pub delay_ms: AtomicU64,
    /// When each run began, by virtual time.
    pub begun_ms: Mutex<Vec<(String, u64)>>,
    /// The last record that was saved for sure, by connection and template.
    pub saved: Mutex<BTreeMap<String, u64>>,
    next: AtomicU64,
}

#[async_trait]
impl Template for Pages {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let name = format!("{}/{}", context.connection(), self.info.id());
        self.api.begun_ms.lock().unwrap().push((name.clone(), context.now().unix_ms()));
        for _ in 0..self.api.pages.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.api.delay_ms.load(Ordering::Relaxed))).await;
            let id = self.api.next.fetch_add(1, Ordering::Relaxed);
            context.checkpoint(&id)?;
            let model = self.info.models[0].name.clone();
            context.save(&model, vec![format!(r#"{{"id":{id}}}"#).into()]).await?;
            self.api.saved.lock().unwrap().insert(name.clone(), id);
        }
        Ok(())
    }
}

pub struct Members {
    pub clock: Arc<Clock>,
    pub store: Arc<dyn Store>,
    pub api: Arc<Api>,
    pub engine: Engine,
    pub crm: IntegrationHandle,
}

impl Members {
    pub async fn new() -> Self {
        let clock = Clock::new();
        let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
        Members::on(clock, store).await
    }

    pub async fn on(clock: Arc<Clock>, store: Arc<dyn Store>) -> Self {
        let api = Arc::new(Api::default());
        api.pages.store(1, Ordering::Relaxed);
        let engine = engine(&clock, &store, &api, |builder| builder);
        let crm = engine.create_integration(IntegrationSettings::new("main", "crm")).await.unwrap();
        Members { clock, store, api, engine, crm }
    }

    /// Another engine on the same store, as another process would have.
    pub fn another(&self) -> Engine {
        self.another_on(Arc::clone(&self.store))
    }

    /// Another engine, on a way of its own to the store.
    pub fn another_on(&self, store: Arc<dyn Store>) -> Engine {
        engine(&self.clock, &store, &self.api, |builder| builder)
    }

    pub fn built(&self, change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
        engine(&self.clock, &self.store, &self.api, change)
    }

    pub async fn connect(&self, id: &str) {
        self.engine.connect(ConnectionSettings::of_integration(id, "main").config("owner", "me")).await.unwrap();
    }

    /// The enabled syncs, by connection.
    pub async fn enabled(&self) -> BTreeMap<String, Vec<SyncSettings>> {
        let mut found: BTreeMap<String, Vec<SyncSettings>> = BTreeMap::new();
        for settings in self.engine.enabled_syncs().await.unwrap() {
            found.entry(settings.connection.clone()).or_default().push(settings);
        }
        found
    }

    /// How often runs of a connection's sync have begun.
    pub fn begun(&self, name: &str) -> usize {
        self.api.begun_ms.lock().unwrap().iter().filter(|(begun, _)| begun == name).count()
    }

    /// Every document but the log of runs.
    pub async fn documents(&self) -> BTreeMap<String, String> {
        let all = self.store.documents("", "", 10_000).await.unwrap();
        let kept = all.into_iter().map(|document| (document.key.to_string(), document.value.to_string()));
        kept.filter(|(key, _)| !["run/", "op/", "log/"].iter().any(|log| key.starts_with(log))).collect()
    }

    pub async fn wait(&self, seconds: f64) {
        sleep(seconds).await;
    }
}

fn engine(
    clock: &Arc<Clock>,
    store: &Arc<dyn Store>,
    api: &Arc<Api>,
    change: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Engine {
    let mut builder = Engine::builder(Arc::clone(store)).environment(Arc::clone(clock) as Arc<dyn Environment>);
    for (name, model) in [("people", "Person"), ("deals", "Deal"), ("notes", "Note")] {
        let mut info = TemplateInfo::new("crm", name, "http://127.0.0.1:9")
            .model(model, "one of them")
            .interval(Duration::from_secs(60));
        if name == "notes" {
            info = info.config(ConfigKey::required("owner", "whose notes"));
        }
        builder = builder.template(Arc::new(Pages { info, api: Arc::clone(api) }) as Arc<dyn Template>);
    }
    let info = TemplateInfo::new("erp", "items", "http://127.0.0.1:8").model("Item", "of another provider");
    builder = builder.template(Arc::new(Pages { info, api: Arc::clone(api) }) as Arc<dyn Template>);
    change(builder).build().unwrap()
}
