//! The engine: its store, its templates, and the services that its other parts need.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Document, Environment, Maintenance, Result, RunId, Store, Timestamp};
use highwater_template::{Provider, Template, TemplateInfo};
use serde::de::DeserializeOwned;

use crate::documents::SyncKey;
use crate::errors::{busy, unknown_template};
use crate::parts::{Changed, Parts};
use crate::timer::millis;

/// Documents read at a time.
const PAGE: usize = 500;

/// Syncs APIs into a store. Clones share one engine.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        Engine { parts: Arc::new(parts) }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.parts.store
    }

    /// Returns the source of time and randomness.
    pub fn environment(&self) -> &Arc<dyn Environment> {
        &self.parts.environment
    }

    /// The catalogue, by id.
    pub fn templates(&self) -> impl Iterator<Item = &TemplateInfo> {
        self.parts.templates.values().map(|template| template.info())
    }

    /// Returns the providers of the catalogue by name: those that were added directly, and those of templates and actions.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        let mut known: BTreeMap<&str, &Provider> = BTreeMap::new();
        for (provider, _) in self.parts.described() {
            known.entry(&provider.name).or_insert(provider);
        }
        known.into_values()
    }

    /// Accepts the clock's time as correct. Call it if runs fail with
    /// [`ErrorKind::ClockImplausible`](highwater_core::ErrorKind::ClockImplausible) although the clock is right. Cursors stay valid.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ClockImplausible`](highwater_core::ErrorKind::ClockImplausible) for a time after 2065, and those of the store.
    pub async fn accept_clock(&self) -> Result<()> {
        self.parts.store.maintain(Maintenance::AcceptClock).await.map(drop)
    }

    /// Tells this process's schedulers to reload a sync.
    pub(crate) fn announce(&self, key: &SyncKey) {
        // It is fine if no scheduler is running: the next one reads everything.
        let _ = self.parts.changes.send(Changed::Sync(key.clone()));
    }

    pub(crate) fn template(&self, id: &str) -> Result<&Arc<dyn Template>> {
        self.parts.templates.get(id).ok_or_else(|| unknown_template(id, self.parts.templates.keys().cloned()))
    }

    /// Cancels this engine's run of a sync; returns whether there is one.
    pub(crate) fn cancel_run(&self, key: &SyncKey) -> bool {
        let running = lock(&self.parts.running);
        let run = running.get(key);
        if let Some(stop) = run {
            stop.cancel();
        }
        run.is_some()
    }

    /// Waits until this engine has no run of the sync.
    pub(crate) async fn until_idle(&self, key: &SyncKey) {
        loop {
            // From here on no end is missed.
            let ended = self.parts.ended.notified();
            if !lock(&self.parts.running).contains_key(key) {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn refuse_if_running(&self, key: &SyncKey) -> Result<()> {
        if lock(&self.parts.running).contains_key(key) { Err(busy(key)) } else { Ok(()) }
    }

    pub(crate) fn is_queued(&self, key: &SyncKey) -> bool {
        lock(&self.parts.queued).contains(key)
    }

    pub(crate) fn new_run_id(&self) -> RunId {
        let environment = &self.parts.environment;
        let mut random = [0; 16];
        environment.fill_random(&mut random[6..]);
        let id = RunId::new(Timestamp::from_unix_ms(environment.now().unix_ms()), u128::from_be_bytes(random));
        // Never the same twice, even if the random source repeats itself.
        let mut last = lock(&self.parts.last_run);
        *last = if last.time() == id.time() { id.max(RunId::from_u128(last.as_u128().wrapping_add(1))) } else { id };
        *last
    }

    /// A time shorter than `end`, in whole milliseconds; zero for zero.
    pub(crate) fn random_below(&self, end: Duration) -> Duration {
        let end = millis(end);
        if end == 0 {
            return Duration::ZERO;
        }
        let mut bytes = [0; 8];
        self.parts.environment.fill_random(&mut bytes);
        Duration::from_millis(u64::from_le_bytes(bytes) % end)
    }

    pub(crate) async fn read_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>> {
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
