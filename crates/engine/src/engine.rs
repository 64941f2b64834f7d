//! The engine: connections, the toggle, runs.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater_core::template::{Secret, Template, TemplateInfo, Transport};
use highwater_core::{
    Document, Environment, Error, ErrorKind, Json, Maintenance, Result, Store, StreamKey, WriteBatch,
};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use crate::builder::{EngineBuilder, unknown_template};
use crate::http::{Credentials, RequestLimits, Sessions};
use crate::run::{Run, RunEvent, RunOptions, RunReport};
use crate::settings::{
    ConnectionSettings, SyncSettings, SyncStatus, checkpoint_key, connection_key, runs_prefix, status_key, sync_key,
};

/// Events kept for a watcher that is slow.
const EVENTS: usize = 1024;

/// Documents read at a time.
const PAGE: usize = 500;

/// Syncs APIs into a store. A clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) templates: BTreeMap<String, Arc<dyn Template>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: RequestLimits,
    pub(crate) sessions: Sessions,
    running: Mutex<HashSet<(String, String)>>,
    events: broadcast::Sender<RunEvent>,
}

impl Engine {
    /// An engine on `store`.
    pub fn builder(store: Arc<dyn Store>) -> EngineBuilder {
        EngineBuilder::new(store)
    }

    pub(crate) fn new(
        store: Arc<dyn Store>,
        templates: BTreeMap<String, Arc<dyn Template>>,
        transport: Arc<dyn Transport>,
        environment: Arc<dyn Environment>,
        limits: RequestLimits,
        sessions: Sessions,
    ) -> Self {
        let running = Mutex::default();
        let events = broadcast::channel(EVENTS).0;
        Engine {
            parts: Arc::new(Parts { store, templates, transport, environment, limits, sessions, running, events }),
        }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }

    /// The catalogue, by id.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateInfo> {
        self.parts.templates.values().map(|template| template.info())
    }

    /// Keeps a connection's settings. The provider must have a template in the catalogue.
    pub async fn connect(&self, settings: ConnectionSettings) -> Result<()> {
        settings.check()?;
        if !self.templates().any(|info| info.provider.name == settings.provider) {
            return Err(unknown_template(&settings.provider, self.parts.templates.keys().cloned()));
        }
        let mut batch = WriteBatch::new();
        batch.put_document(connection_key(&settings.id), &settings)?;
        self.parts.store.commit(batch).await.map(drop)
    }

    /// Gives a connection its token, until this engine ends. It is never stored.
    pub fn set_token(&self, connection: impl AsRef<str>, token: Secret) {
        self.set_credentials(connection, Credentials::token(token));
    }

    /// Gives a connection its credentials, until this engine ends. They are never stored; where the
    /// engine has a [`CredentialStore`](crate::CredentialStore), that is told when tokens are refreshed.
    pub fn set_credentials(&self, connection: impl AsRef<str>, credentials: Credentials) {
        self.parts.sessions.of(connection.as_ref()).set(credentials);
    }

    /// A connection's settings.
    pub async fn connection(&self, id: &str) -> Result<ConnectionSettings> {
        let document = self.parts.store.document(&connection_key(id)).await?;
        let document = document.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no such connection: connect it first").with("connection", id)
        })?;
        document.to()
    }

    /// Every connection.
    pub async fn connections(&self) -> Result<Vec<ConnectionSettings>> {
        self.documents("connection/").await
    }

    /// Turns a template on for a connection: from now on it runs at its interval (the template's own, unless given).
    pub async fn enable(&self, connection: &str, template: &str, interval: Option<Duration>) -> Result<SyncSettings> {
        let found = self.template(template)?;
        self.connection(connection).await?.config_for(found.info())?;
        let interval = interval.unwrap_or(found.info().interval);
        let settings = SyncSettings {
            connection: connection.to_owned(),
            template: template.to_owned(),
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(100),
        };
        let mut batch = WriteBatch::new();
        batch.put_document(sync_key(connection, template), &settings)?;
        self.parts.store.commit(batch).await?;
        Ok(settings)
    }

    /// Turns a template off. Its records stay unless `clear` is set: then its streams are emptied and
    /// the next run starts over.
    pub async fn disable(&self, connection: &str, template: &str, clear: bool) -> Result<()> {
        let found = self.template(template)?;
        let mut batch = WriteBatch::new();
        batch.remove_document(sync_key(connection, template));
        if clear {
            batch.remove_document(checkpoint_key(connection, template));
            batch.remove_document(status_key(connection, template));
        }
        // A run in progress loses its lease and commits nothing more.
        self.parts.store.lease(&format!("run/{connection}/{template}")).await?;
        self.parts.store.commit(batch).await?;
        if clear {
            for model in &found.info().models {
                self.parts.store.maintain(Maintenance::Clear(StreamKey::new(connection, model.name.as_str()))).await?;
            }
        }
        Ok(())
    }

    /// Every sync that is turned on.
    pub async fn enabled(&self) -> Result<Vec<SyncSettings>> {
        self.documents("sync/").await
    }

    /// What became of a sync's runs so far. Readable without any network.
    pub async fn status(&self, connection: &str, template: &str) -> Result<SyncStatus> {
        let document = self.parts.store.document(&status_key(connection, template)).await?;
        document.map_or_else(|| Ok(SyncStatus::default()), |document| document.to())
    }

    /// The kept runs of a sync, oldest first, as JSON.
    pub async fn runs(&self, connection: &str, template: &str) -> Result<Vec<Json>> {
        let prefix = runs_prefix(connection, template);
        Ok(self.parts.store.documents(&prefix, "", PAGE).await?.into_iter().map(|document| document.value).collect())
    }

    /// Runs a template for a connection, now. Enabling it is not needed.
    pub async fn run_once(&self, connection: &str, template: &str, options: RunOptions) -> Result<RunReport> {
        let found = Arc::clone(self.template(template)?);
        let connection = self.connection(connection).await?;
        let _slot = self.occupy(&connection.id, template)?;
        Run { engine: self, connection, template: found, options }.execute().await
    }

    /// News of every run of this engine. A watcher that falls behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<RunEvent> {
        self.parts.events.subscribe()
    }

    pub(crate) fn publish(&self, event: RunEvent) {
        // Nobody watching is fine.
        let _ = self.parts.events.send(event);
    }

    fn template(&self, id: &str) -> Result<&Arc<dyn Template>> {
        self.parts.templates.get(id).ok_or_else(|| unknown_template(id, self.parts.templates.keys().cloned()))
    }

    fn occupy(&self, connection: &str, template: &str) -> Result<Slot> {
        let key = (connection.to_owned(), template.to_owned());
        if !lock(&self.parts.running).insert(key.clone()) {
            return Err(Error::new(ErrorKind::Busy, "a run of this sync is in progress: wait for it, or cancel it")
                .with("connection", connection)
                .with("template", template));
        }
        Ok(Slot { parts: Arc::clone(&self.parts), key })
    }

    async fn documents<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page: Vec<Document> = self.parts.store.documents(prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for document in &page {
                found.push(document.value.to()?);
            }
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.parts.store)
            .field("templates", &self.parts.templates.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A sync's place among the running ones; free again when dropped.
struct Slot {
    parts: Arc<Parts>,
    key: (String, String),
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.parts.running).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
