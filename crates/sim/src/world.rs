//! One simulation, from its plan to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{
    Cursor, Inline, Maintenance, MemoryBackend, PageRequest, PruneWhat, Store, StoreOptions, StreamKey, WriteBatch,
};
use highwater_engine::webhooks::Outbox;
use highwater_engine::{Engine, RunOptions};
use highwater_vault::GivenKeys;
use tokio::time::Instant;

use crate::api::{Api, SimTransport};
use crate::consumers::{Consumer, Kind};
use crate::credentials::Removed;
use crate::disk::{NAMES, stream};
use crate::integrations;
use crate::mischief::Pages;
use crate::oracle::{Known, Oracle};
use crate::plan::{Action, CONNECTIONS, Knob, Plan, SignInEvent};
use crate::process::{Process, Taken, sign_in, template};
use crate::receivers::{Kept, Receivers};
use crate::shared::{ALWAYS, Broken, Shared, SimEnvironment, Watch};
use crate::toggles::{self, Toggles};
use crate::told::{self, LEAVING};

/// The result of a simulation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) broken: Option<Broken>,
    pub(crate) trace: u64,
    pub(crate) lines: Vec<String>,
    pub(crate) hazards: BTreeMap<&'static str, u64>,
}

/// Runs a plan in virtual time, on this thread only.
pub(crate) fn simulate(plan: &Plan, watch: Watch) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            let what = format!("no runtime: {source}");
            let (broken, hazards) = (Some(Broken { property: "the simulation", what }), BTreeMap::new());
            return Outcome { broken, trace: 0, lines: Vec::new(), hazards };
        }
    };
    runtime.block_on(async {
        let shared = Shared::new(plan.clone(), watch);
        if let Err(error) = World::run(&shared).await {
            shared.broken("the simulation", format!("{error} ({})", error.operation()));
        }
        let (trace, lines) = shared.trace();
        Outcome { broken: shared.first_broken(), trace, lines, hazards: shared.hazards() }
    })
}

/// An engine without faults.
fn calm_engine(
    shared: &Arc<Shared>,
    process: &Process,
    apis: &[Arc<Api>],
    receivers: &Arc<Receivers>,
) -> highwater_core::Result<Engine> {
    let (apis, receivers) = (apis.to_vec(), Arc::clone(receivers));
    Engine::builder(Arc::new(process.store.inner.clone()))
        .transport(Arc::new(SimTransport {
            shared: Arc::clone(shared),
            apis,
            receivers,
            life: ALWAYS,
            pages: Pages::default(),
        }))
        .environment(Arc::new(SimEnvironment::of_engine(shared)))
        .template(Arc::new(template(&shared.plan)))
        .build()
}

pub(crate) struct World {
    pub(crate) shared: Arc<Shared>,
    backend: MemoryBackend,
    backup: Option<(MemoryBackend, Known, Kept)>,
    oracle: Arc<Mutex<Oracle>>,
    pub(crate) apis: Vec<Arc<Api>>,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) process: Process,
    pub(crate) consumers: Vec<Consumer>,
    /// Cursors from lost histories.
    lost: BTreeSet<String>,
    /// Every cursor that the consumers received.
    given: BTreeMap<String, StreamKey>,
    /// Events that were taken, by connection.
    taken: Taken,
    keys: Arc<GivenKeys>,
    pub(crate) removed: Removed,
}

impl World {
    async fn run(shared: &Arc<Shared>) -> highwater_core::Result<()> {
        let mut world = World::new(shared).await?;
        for (pause, action) in shared.plan.actions.clone() {
            world.wait(Duration::from_millis(pause)).await?;
            shared.note(|| format!("{action:?}"));
            world.act(&action).await?;
            if shared.first_broken().is_some() {
                return Ok(());
            }
        }
        world.end().await
    }

    async fn new(shared: &Arc<Shared>) -> highwater_core::Result<Self> {
        let backend = MemoryBackend::default();
        let oracle = Arc::new(Mutex::new(Oracle::new(shared)));
        let apis: Vec<Arc<Api>> = NAMES.into_iter().map(|name| Api::new(shared, name)).collect();
        let receivers = Receivers::new(shared);
        let (keys, removed) = (Arc::default(), Removed::default());
        let process = Process::start(shared, &backend, &oracle, &apis, &receivers, &keys, &removed).await?;
        // The connections and the receivers exist before faults begin.
        let engine = calm_engine(shared, &process, &apis, &receivers)?;
        for place in told::places().filter(|_| shared.plan.has(Knob::Outbox)) {
            Outbox::new(&engine).add(told::destination(place)).await?;
        }
        integrations::turn_on(&engine, &shared.plan).await?;
        for name in NAMES {
            toggles::connect(&engine, &shared.plan, name).await?;
        }
        for (place, name) in NAMES.into_iter().enumerate() {
            if let Some(vault) = process.vaults.first() {
                sign_in(shared, &apis[place], vault, name).await;
            }
        }
        let toggles = Toggles::of(&process.store.inner).await?;
        lock(&oracle).toggles = toggles;
        let consumers = [
            (Kind::Stateless, 0),
            (Kind::Named, 0),
            (Kind::Twin, 0),
            (Kind::Filtered, 0),
            (Kind::Slow, 0),
            (Kind::Hoarder, 0),
            (Kind::Stateless, 1),
        ];
        let consumers = consumers.map(|(kind, connection)| Consumer::new(shared, kind, stream(connection))).into();
        Ok(World {
            shared: Arc::clone(shared),
            backend,
            backup: None,
            oracle,
            apis,
            receivers,
            process,
            consumers,
            lost: BTreeSet::new(),
            given: BTreeMap::new(),
            taken: Taken::default(),
            keys,
            removed,
        })
    }

    /// Lets the others work; a process that dies in the meantime is restarted.
    pub(crate) async fn wait(&mut self, time: Duration) -> highwater_core::Result<()> {
        let until = Instant::now() + time;
        loop {
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                biased;
                () = shared.death.notified() => self.restart().await?,
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
    }

    async fn restart(&mut self) -> highwater_core::Result<()> {
        let running = self.process.runs.len();
        self.process.end().await;
        if running > 0 {
            self.shared.reached("crash in a run");
        }
        for consumer in &mut self.consumers {
            consumer.process_died();
        }
        let (keys, removed) = (&self.keys, &self.removed);
        self.process =
            Process::start(&self.shared, &self.backend, &self.oracle, &self.apis, &self.receivers, keys, removed)
                .await?;
        let toggles = Toggles::of(&self.process.store.inner).await?;
        self.process.store.oracle().toggles = toggles;
        if !self.process.store.inner.documents("outbox/draft/", "", 1).await?.is_empty() {
            self.shared.reached("crash between a run and its delivery");
        }
        // The disk holds exactly what was committed.
        for connection in (0..CONNECTIONS).filter(|_| self.shared.checks) {
            let stream = stream(connection);
            let (page, head) = self.process.store.whole(&stream).await?;
            self.process.store.oracle().untouched(&stream, &page, &head);
        }
        Ok(())
    }

    async fn act(&mut self, action: &Action) -> highwater_core::Result<()> {
        match *action {
            Action::Source { connection, writes } => self.apis[connection].write(writes),
            // What is off is left alone, so that whatever still writes is not meant to.
            Action::Run { connection, .. } if self.process.store.oracle().toggles.is_off(connection) => {}
            Action::Run { connection, engine, full, clear } => {
                let options = RunOptions::default().full(full).clear(clear);
                self.process.run(&self.shared, connection, engine, options);
            }
            Action::Consume(number) => {
                let consumer = &mut self.consumers[number];
                consumer.go_back();
                let was_lost = self.lost.contains(&consumer.cursor.to_string());
                let before = consumer.cursor;
                consumer.step(&self.process.store).await;
                if was_lost && consumer.cursor != before && !consumer.cursor.is_start() {
                    self.shared.broken("P32", format!("{before:?} of a lost history was taken"));
                }
                if !consumer.cursor.is_start() {
                    self.given.insert(consumer.cursor.to_string(), consumer.stream.clone());
                }
            }
            Action::Crash { after } => self.shared.die_after(after),
            Action::Cancel => {
                for token in self.process.cancels.drain(..) {
                    token.cancel();
                }
            }
            Action::Prune { connection, percent, payloads } => self.prune(connection, percent, payloads).await?,
            Action::Clock { offset_ms } => {
                if offset_ms < 0 {
                    self.shared.reached("clock went back");
                }
                self.shared.set_clock(offset_ms);
            }
            Action::Sleep { days, dies } => {
                self.shared.sleep(days);
                if dies {
                    self.shared.die();
                    self.wait(Duration::ZERO).await?;
                }
            }
            Action::Backup => {
                let oracle = self.process.store.oracle();
                let known = (oracle.models.clone(), oracle.began.clone());
                drop(oracle);
                self.backup = Some((self.backend.backup(), known, self.receivers.kept()));
            }
            Action::Restore => self.restore().await?,
            Action::ForgeCursors { connection } => self.forge(connection).await?,
            Action::Narrow { connection, narrow } => {
                if narrow {
                    self.shared.reached("permissions narrowed");
                }
                self.apis[connection].narrow(narrow);
            }
            Action::Webhook { connection, engine, pick } => {
                // Often at once: in the middle of a run, after the page was read and before it arrived.
                if pick % 2 == 0 {
                    self.apis[connection].write(3);
                }
                if let Some(event) = self.apis[connection].event(pick) {
                    self.process.receive(&self.shared, &self.taken, connection, engine, event);
                }
            }
            Action::ForgetFeed { connection } => self.apis[connection].forget_feed(),
            Action::Welcome => {
                let engine = calm_engine(&self.shared, &self.process, &self.apis, &self.receivers)?;
                self.receivers.welcome(LEAVING);
                Outbox::new(&engine).add(told::destination(LEAVING)).await?;
            }
            Action::Outage => {
                for day in 0..7 {
                    // On the last day they are available again.
                    self.receivers.close(day < 6);
                    self.shared.leap(Duration::from_secs(25 * 3600));
                    // The longest that the outbox sleeps is half of it.
                    self.wait(Duration::from_secs(60)).await?;
                }
            }
            Action::StoreFault(fault) => self.shared.set_fault(fault),
            Action::Toggle { connection, engine, toggle } => {
                self.process.toggle(&self.shared, connection, engine, toggle);
            }
            Action::Endpoint { engine, toggle } => self.process.toggle_endpoint(&self.shared, engine, toggle),
            Action::SignIn { connection, what } => self.sign_in_event(connection, what),
        }
        Ok(())
    }

    fn sign_in_event(&mut self, connection: usize, what: SignInEvent) {
        let issuer = &self.apis[connection].issuer;
        let Some(vault) = self.process.vaults.first().cloned() else { return };
        match what {
            SignInEvent::EndAccess => issuer.end_access(),
            SignInEvent::Revoke => issuer.revoke(),
            SignInEvent::Again if lock(&self.removed).contains(NAMES[connection]) => {}
            SignInEvent::Again => {
                let (shared, api) = (Arc::clone(&self.shared), Arc::clone(&self.apis[connection]));
                self.process.runs.spawn(async move { sign_in(&shared, &api, &vault, NAMES[connection]).await });
            }
            SignInEvent::RotateKeys => {
                let shared = Arc::clone(&self.shared);
                self.process.runs.spawn(async move {
                    let rotated = vault.rotate().await;
                    shared.note(|| format!("the vault's keys were rotated: {:?}", rotated.as_ref().err()));
                    shared.reached(if rotated.is_ok() {
                        "vault keys rotated"
                    } else {
                        "rotation of vault keys cut short"
                    });
                });
            }
        }
    }

    async fn prune(&mut self, connection: usize, percent: u8, payloads: bool) -> highwater_core::Result<()> {
        let (stream, store) = (stream(connection), Arc::clone(&self.process.store));
        let (page, _) = store.whole(&stream).await?;
        let place = page.changes.len() * usize::from(percent) / 100;
        let Some(change) = page.changes.get(place.saturating_sub(1)) else { return Ok(()) };
        let up_to = change.record.metadata.cursor;
        let what = if payloads { PruneWhat::Payloads } else { PruneWhat::Tombstones };
        store.inner.maintain(Maintenance::Prune { stream: stream.clone(), what, up_to }).await?;
        if self.shared.checks {
            let (page, head) = store.whole(&stream).await?;
            store.oracle().pruned(&stream, up_to, payloads, &page, &head);
        }
        Ok(())
    }

    /// Restores the backup of the disk. Everything delivered since belongs to a lost history.
    async fn restore(&mut self) -> highwater_core::Result<()> {
        let Some((backup, known, kept)) = &self.backup else { return Ok(()) };
        let (backup, (models, began), kept) = (backup.backup(), known.clone(), kept.clone());
        for (text, stream) in &self.given {
            let known = models.get(stream).and_then(|model| model.end);
            let cursor: Cursor = text.parse()?;
            if known.is_none_or(|end| cursor.position() > end.position()) {
                self.lost.insert(text.clone());
            }
        }
        for consumer in &mut self.consumers {
            consumer.store_restored();
        }
        self.shared.die();
        self.process.end().await;
        // Later events may come again.
        lock(&self.taken).clear();
        self.backend = backup;
        {
            // A run that was open at the backup goes on, and began when it did.
            let mut oracle = self.process.store.oracle();
            (oracle.models, oracle.began) = (models, began);
        }
        self.apis.iter().for_each(|api| api.issuer.restored());
        lock(&self.removed).clear();
        self.receivers.restore(kept);
        self.wait(Duration::ZERO).await
    }

    /// Forged cursors, and those of other streams and of a clone, are refused (P32).
    async fn forge(&mut self, connection: usize) -> highwater_core::Result<()> {
        let (stream, other) = (stream(connection), stream(1 - connection));
        let store = &self.process.store;
        let options = || StoreOptions::new().environment(Arc::new(SimEnvironment::of_store(&self.shared)));
        let clone = Inline::open(self.backend.backup(), options())?;
        let mut batch = WriteBatch::new();
        batch.on(&stream).upsert(r#"{"id":"of a clone"}"#);
        let of_clone = clone.commit(batch).await?.streams.first().map_or(Cursor::START, |commit| commit.cursor);
        let (page, head) = store.whole(&stream).await?;
        let of_clone = if self.shared.plan.has(Knob::ConstantRandom) { Cursor::START } else { of_clone };
        let mut forged = vec![of_clone.to_string(), store.inner.head(&other).await?.high_water.to_string()];
        let text = head.high_water.to_string();
        for _ in 0..4 {
            let mut bytes = text.clone().into_bytes();
            let place = self.shared.below(bytes.len());
            bytes[place] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ.u"[self.shared.below(34)];
            forged.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        for text in forged {
            let Ok(cursor) = text.parse::<Cursor>() else { continue };
            let genuine = cursor.is_start()
                || cursor == head.high_water
                || page.changes.iter().any(|change| change.record.metadata.cursor == cursor);
            if !genuine && store.inner.page(PageRequest::new(stream.clone()).since(cursor)).await.is_ok() {
                self.shared.broken("P32", format!("the forged {text} was taken by {stream}"));
            }
        }
        Ok(())
    }
}
