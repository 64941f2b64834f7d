//! A template with everything it needs, in memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Environment, Inline, MemoryBackend, Record, Result, Store, StoreExt, StoreOptions, StreamKey};
use highwater_engine::transport::RequestLimits;
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, RunReport};
use highwater_template::actions::ActionTemplate;
use highwater_template::http::Transport;
use highwater_template::{Secret, Template};
use serde_json::Value;

use crate::clock::TestEnvironment;
use crate::fake::{FakeApi, FakeTransport};

/// The connection's id.
const CONNECTION: &str = "trial";

/// When a trial's clock begins: 2026-01-01T00:00:00Z.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// A template with a fake API, an engine and a store, all in memory.
///
/// Its clock begins at 2026-01-01T00:00:00Z and follows tokio's. The engine sends a request up to three times. There is one
/// connection, `trial`, with the token `token`.
pub struct Trial<A> {
    /// The engine.
    pub engine: Engine,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The transport to the API, with the API's state and the requests so far.
    pub api: FakeTransport<A>,
    /// The clock.
    pub environment: Arc<TestEnvironment>,
    template: String,
}

impl<A> fmt::Debug for Trial<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("template", &self.template).finish_non_exhaustive()
    }
}

impl<A: FakeApi> Trial<A> {
    /// Makes a trial without settings.
    ///
    /// # Errors
    ///
    /// Those of [`with_actions`](Trial::with_actions).
    pub async fn new(template: Arc<dyn Template>, api: A) -> Result<Self> {
        Trial::with_config(template, api, &[]).await
    }

    /// Makes a trial with settings.
    ///
    /// # Errors
    ///
    /// Those of [`with_actions`](Trial::with_actions).
    pub async fn with_config(template: Arc<dyn Template>, api: A, config: &[(&str, &str)]) -> Result<Self> {
        Trial::with_actions(template, Vec::new(), api, config).await
    }

    /// Makes a trial of a template and of actions, with settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](highwater_core::ErrorKind::Invalid) for a setting that the template does not have.
    pub async fn with_actions(
        template: Arc<dyn Template>,
        actions: Vec<Arc<dyn ActionTemplate>>,
        api: A,
        config: &[(&str, &str)],
    ) -> Result<Self> {
        let api = FakeTransport::new(api);
        let environment = Arc::new(TestEnvironment::new(BEGIN_MS));
        let clock = Arc::clone(&environment) as Arc<dyn Environment>;
        let options = StoreOptions::default().environment(Arc::clone(&clock));
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options)?);
        let (id, provider) = (template.info().id(), template.info().provider.name.clone());
        let limits = RequestLimits::default().attempts(3).backoff(Duration::from_millis(20));
        let engine = Engine::builder(Arc::clone(&store))
            .template(template)
            .actions(actions)
            .transport(Arc::new(api.clone()) as Arc<dyn Transport>)
            .environment(clock)
            .limits(limits)
            .build()?;
        let settings = config.iter().fold(ConnectionSettings::new(CONNECTION, provider), |settings, (name, value)| {
            settings.config(*name, *value)
        });
        engine.connect(settings).await?;
        engine.use_credentials(CONNECTION, Credentials::token(Secret::new("token")));
        Ok(Trial { engine, store, api, environment, template: id })
    }

    /// Runs the template once: incrementally where there is a checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the run.
    pub async fn run(&self) -> Result<RunReport> {
        self.run_with(RunOptions::default()).await
    }

    /// Runs a full refresh, and approves its deletes, however many there are.
    ///
    /// # Errors
    ///
    /// Those of the run.
    pub async fn refresh(&self) -> Result<RunReport> {
        self.run_with(RunOptions::default().full(true).approve_deletes(true)).await
    }

    /// Runs the template with these options.
    ///
    /// # Errors
    ///
    /// Those of the run.
    pub async fn run_with(&self, options: RunOptions) -> Result<RunReport> {
        self.engine.sync(CONNECTION, &self.template)?.run_once(options).await
    }

    /// Runs an action.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::act`].
    pub async fn act(&self, action: &str, input: Value) -> Result<Value> {
        self.engine.act(CONNECTION, action, input).await
    }

    /// Replaces the connection's credentials.
    pub fn use_credentials(&self, credentials: Credentials) {
        self.engine.use_credentials(CONNECTION, credentials);
    }

    /// Returns the live records of a model, sorted by id.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn records(&self, model: &str) -> Result<Vec<Record>> {
        let stream = StreamKey::new(CONNECTION, model);
        let mut records = Vec::new();
        let mut cursor = highwater_core::Cursor::START;
        loop {
            let page = self.store.records(&stream).since(cursor).limit(1000).page().await?;
            cursor = page.next_cursor;
            records.extend(page.changes.into_iter().map(|change| change.record));
            if page.caught_up {
                break;
            }
        }
        records.retain(|record| record.metadata.deleted_at.is_none());
        records.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }

    /// Returns the ids of the live records of a model, sorted.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn ids(&self, model: &str) -> Result<Vec<String>> {
        Ok(self.records(model).await?.into_iter().map(|record| record.id.to_string()).collect())
    }

    /// Returns a live record's payload; `None` if there is no such record.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn record(&self, model: &str, id: &str) -> Result<Option<Value>> {
        let found = self.records(model).await?.into_iter().find(|record| *record.id == *id);
        found.map(|record| record.to()).transpose()
    }
}
