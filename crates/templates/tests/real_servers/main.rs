//! Templates against servers that this project did not write, over real sockets. Where the registries cannot be
//! reached, a test says so and passes.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod emulate;
mod kinto;
mod manifests;
mod radicale;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::{Cursor, MemoryStore, Result, Store, StoreExt, StreamKey};
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, RunReport};
use highwater_template::{HttpRequest, HttpResponse};
use serde_json::Value;

/// An engine with one connection to a running server.
struct Bench {
    engine: Engine,
    store: Arc<MemoryStore>,
}

impl Bench {
    async fn new(provider: &str, base_url: String, config: &[(&str, &str)], credentials: Credentials) -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>)
            .templates(highwater_templates::all())
            .actions(highwater_templates::actions())
            .build()
            .unwrap();
        let settings = ConnectionSettings::new("c", provider).base_url(base_url);
        let settings = config.iter().fold(settings, |settings, (name, value)| settings.config(*name, *value));
        engine.connect(settings).await.unwrap();
        engine.use_credentials("c", credentials);
        Bench { engine, store }
    }

    async fn try_run(&self, template: &str, full: bool) -> Result<RunReport> {
        let options = RunOptions::default().full(full).approve_deletes(true);
        self.engine.sync("c", template).unwrap().run_once(options).await
    }

    /// Added, updated, deleted.
    async fn run(&self, template: &str) -> (u64, u64, u64) {
        let progress = self.try_run(template, false).await.unwrap().progress;
        (progress.counts.added, progress.counts.updated, progress.counts.deleted)
    }

    async fn refresh(&self, template: &str) -> (u64, u64, u64) {
        let progress = self.try_run(template, true).await.unwrap().progress;
        (progress.counts.added, progress.counts.updated, progress.counts.deleted)
    }

    /// The same server, through the proxy: for what no action does.
    async fn ask(&self, request: HttpRequest) -> HttpResponse {
        let response = self.engine.proxy("c", request).await.unwrap();
        assert!(response.status < 400, "{}: {}", response.status, String::from_utf8_lossy(&response.body));
        response
    }

    /// The live records of a model.
    async fn records(&self, model: &str) -> BTreeMap<String, Value> {
        live_records(&self.store, model).await
    }
}

/// The live records of a model of the connection `c`.
async fn live_records(store: &MemoryStore, model: &str) -> BTreeMap<String, Value> {
    let stream = StreamKey::new("c", model);
    let (mut found, mut cursor) = (BTreeMap::new(), Cursor::START);
    loop {
        let page = store.records(&stream).since(cursor).limit(1000).page().await.unwrap();
        cursor = page.next_cursor;
        for change in page.changes {
            if change.record.metadata.deleted_at.is_none() {
                found.insert(change.record.id.to_string(), change.record.to().unwrap());
            }
        }
        if page.caught_up {
            return found;
        }
    }
}
