//! The engine: its parts, connections, single runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Document, Environment, Error, ErrorKind, Maintenance, Result, RunId, Store, Timestamp};
use highwater_template::actions::ActionTemplate;
use highwater_template::http::Transport;
use highwater_template::{Provider, Template, TemplateInfo};
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};

use crate::builder::{EngineBuilder, unknown_template};
use crate::cancel::CancelToken;
use crate::events::SyncEvent;
use crate::http::{RequestLimits, Sessions};
use crate::logs::LogPolicy;
use crate::run::{Outcome, Run, RunEvent, RunOptions, RunReport};
use crate::slots::Slots;
use crate::sync::{SyncHandle, SyncKey};
use crate::timer::millis;

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
    pub(crate) providers: Vec<Provider>,
    pub(crate) templates: BTreeMap<String, Arc<dyn Template>>,
    pub(crate) actions: BTreeMap<String, Arc<dyn ActionTemplate>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: RequestLimits,
    pub(crate) logs: LogPolicy,
    pub(crate) lease_ttl: Duration,
    pub(crate) slots: Slots,
    /// By chance; tells this engine's leases from others'.
    pub(crate) name: String,
    pub(crate) sessions: Sessions,
    last_run: Mutex<RunId>,
    /// The runs of this engine, and how to stop each.
    pub(crate) running: Mutex<HashMap<SyncKey, CancelToken>>,
    pub(crate) queued: Mutex<HashSet<SyncKey>>,
    /// Actions and requests of this engine that are on their way.
    pub(crate) calls: Mutex<HashSet<RunId>>,
    /// Counts runs that ended.
    pub(crate) ended: watch::Sender<u64>,
    pub(crate) events: broadcast::Sender<RunEvent>,
    pub(crate) sync_events: broadcast::Sender<SyncEvent>,
    /// Syncs whose settings changed, for the schedulers of this process.
    pub(crate) changes: broadcast::Sender<SyncKey>,
}

/// What the builder decides.
pub(crate) struct Ingredients {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) templates: BTreeMap<String, Arc<dyn Template>>,
    pub(crate) actions: BTreeMap<String, Arc<dyn ActionTemplate>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: RequestLimits,
    pub(crate) logs: LogPolicy,
    pub(crate) lease_ttl: Duration,
    pub(crate) slots: Slots,
    pub(crate) sessions: Sessions,
}

impl Engine {
    /// An engine on `store`.
    pub fn builder(store: Arc<dyn Store>) -> EngineBuilder {
        EngineBuilder::new(store)
    }

    pub(crate) fn new(from: Ingredients) -> Self {
        let mut random = [0; 8];
        from.environment.fill_random(&mut random);
        Engine {
            parts: Arc::new(Parts {
                store: from.store,
                providers: from.providers,
                templates: from.templates,
                actions: from.actions,
                transport: from.transport,
                environment: from.environment,
                limits: from.limits,
                logs: from.logs,
                lease_ttl: from.lease_ttl,
                slots: from.slots,
                name: format!("{:016x}", u64::from_le_bytes(random)),
                sessions: from.sessions,
                last_run: Mutex::default(),
                running: Mutex::default(),
                queued: Mutex::default(),
                calls: Mutex::default(),
                ended: watch::channel(0).0,
                events: broadcast::channel(EVENTS).0,
                sync_events: broadcast::channel(EVENTS).0,
                changes: broadcast::channel(EVENTS).0,
            }),
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

    /// Returns the providers of the catalogue by name: those that were added by themselves, and those of templates and actions.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        let mut known: BTreeMap<&str, &Provider> = BTreeMap::new();
        for (provider, _) in self.parts.described() {
            known.entry(&provider.name).or_insert(provider);
        }
        known.into_values()
    }

    /// Accepts what the clock shows as the current time, where runs fail with [`ErrorKind::ClockImplausible`] although it is right.
    /// Cursors stay valid.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ClockImplausible`] for a time after 2065, and those of the store.
    pub async fn accept_clock(&self) -> Result<()> {
        self.parts.store.maintain(Maintenance::AcceptClock).await.map(drop)
    }

    /// One run, if none is in progress in this engine.
    pub(crate) async fn run_sync(&self, key: &SyncKey, options: RunOptions) -> Result<Option<Outcome>> {
        let template = Arc::clone(self.template(&key.template)?);
        let connection = self.connection(&key.connection).await?;
        let Some(active) = Active::begin(self, key) else { return Ok(None) };
        let place = match self.parts.slots.try_enter(key.provider()) {
            Some(place) => place,
            None => {
                self.tell_queued(key);
                let _queued = Queued::begin(self, key);
                tokio::select! {
                    biased;
                    () = options.cancel.cancelled() => return Err(cancelled_in_queue()),
                    () = active.stop.cancelled() => return Err(cancelled_in_queue()),
                    place = self.parts.slots.enter(key.provider()) => place?,
                }
            }
        };
        let run = Run { engine: self, key, connection, template, options, stop: active.stop.clone() };
        let outcome = run.execute().await;
        drop(place);
        outcome.map(Some)
    }

    /// Tells this process's schedulers that a sync is to be looked at again.
    pub(crate) fn announce(&self, key: &SyncKey) {
        // No scheduler at work is fine: the next one reads everything.
        let _ = self.parts.changes.send(key.clone());
    }

    pub(crate) fn template(&self, id: &str) -> Result<&Arc<dyn Template>> {
        self.parts.templates.get(id).ok_or_else(|| unknown_template(id, self.parts.templates.keys().cloned()))
    }

    /// Asks this engine's run of a sync to stop; whether there is one.
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
        let mut ended = self.parts.ended.subscribe();
        while lock(&self.parts.running).contains_key(key) {
            if ended.changed().await.is_err() {
                return;
            }
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
        // None twice, even where chance gives the same number each time.
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

impl SyncHandle {
    /// Runs the sync now, once there is room for it, and returns its report. The sync need not be enabled.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::RunOptions;
    /// let report = engine.sync("main", "github/issues")?.run_once(RunOptions::default().full(true)).await?;
    /// println!("{} added", report.progress.counts.added);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The reason for which the run failed; its report is kept and lists it too. [`ErrorKind::Busy`] while a run of this sync
    /// is in progress, [`ErrorKind::NotFound`] for an unknown connection or template, [`ErrorKind::Cancelled`] and
    /// [`ErrorKind::TimedOut`] for a run that was stopped, [`ErrorKind::AwaitingApproval`] for one whose deletes wait for
    /// [`Engine::approve`].
    pub async fn run_once(&self, options: RunOptions) -> Result<RunReport> {
        match self.engine.run_sync(&self.key, RunOptions { scheduled: false, ..options }).await? {
            Some(Outcome::Ran(outcome)) => outcome.map(|report| *report),
            Some(Outcome::NotDue(_) | Outcome::NotWanted) | None => Err(busy(&self.key)),
        }
    }
}

fn busy(key: &SyncKey) -> Error {
    Error::new(ErrorKind::Busy, "a run of this sync is in progress: wait for it, or cancel it")
        .with("connection", &key.connection)
        .with("sync", key.sync_name())
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.parts.store)
            .field("templates", &self.parts.templates.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A sync's place among those that run; free again when dropped.
struct Active<'e> {
    engine: &'e Engine,
    key: &'e SyncKey,
    stop: CancelToken,
}

impl<'e> Active<'e> {
    fn begin(engine: &'e Engine, key: &'e SyncKey) -> Option<Self> {
        let stop = CancelToken::new();
        let mut running = lock(&engine.parts.running);
        if running.contains_key(key) {
            return None;
        }
        running.insert(key.clone(), stop.clone());
        Some(Active { engine, key, stop })
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        lock(&self.engine.parts.running).remove(self.key);
        self.engine.parts.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// A sync that waits for a place.
struct Queued<'e>(&'e Engine, &'e SyncKey);

impl<'e> Queued<'e> {
    fn begin(engine: &'e Engine, key: &'e SyncKey) -> Self {
        lock(&engine.parts.queued).insert(key.clone());
        Queued(engine, key)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        lock(&self.0.parts.queued).remove(self.1);
    }
}

fn cancelled_in_queue() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was asked to stop before it began")
}
