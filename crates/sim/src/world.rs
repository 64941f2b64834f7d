//! One simulation, from its plan to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::{
    Cursor, Inline, Maintenance, MaintenanceReport, MemoryBackend, PageRequest, PruneWhat, Store, StoreOptions,
    StreamKey, WriteBatch,
};
use highwater_engine::{ConnectionSettings, Engine, RunOptions, SyncOptions};
use tokio::time::Instant;

use crate::api::{Api, SimTransport, kind};
use crate::consumers::{Consumer, Kind};
use crate::disk::{NAMES, stream};
use crate::oracle::{Model, Oracle};
use crate::plan::{Action, CONNECTIONS, Knob, Plan, Style};
use crate::process::{Process, Taken, lock, templates};
use crate::shared::{ALWAYS, Broken, Shared, SimEnvironment};

/// How long the last phase may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// What became of a simulation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) broken: Option<Broken>,
    pub(crate) trace: u64,
    pub(crate) lines: Vec<String>,
    pub(crate) hazards: BTreeMap<&'static str, u64>,
}

/// Runs a plan, in virtual time, on this thread alone.
pub(crate) fn simulate(plan: &Plan, keep_lines: bool) -> Outcome {
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
        let shared = Shared::new(plan.clone(), keep_lines);
        if let Err(error) = World::run(&shared).await {
            shared.broken("the simulation", format!("{error} ({})", error.operation()));
        }
        let (trace, lines) = shared.trace();
        Outcome { broken: shared.first_broken(), trace, lines, hazards: shared.hazards() }
    })
}

struct World {
    shared: Arc<Shared>,
    backend: MemoryBackend,
    backup: Option<(MemoryBackend, BTreeMap<StreamKey, Model>)>,
    oracle: Arc<Mutex<Oracle>>,
    apis: Vec<Arc<Api>>,
    process: Process,
    consumers: Vec<Consumer>,
    /// Cursors of histories that are lost.
    lost: BTreeSet<String>,
    /// Every cursor the consumers were given.
    given: BTreeMap<String, StreamKey>,
    /// Events that were taken, by connection.
    taken: Taken,
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
        let apis: Vec<Arc<Api>> = (0..CONNECTIONS).map(|_| Api::new(shared)).collect();
        let process = Process::start(shared, &backend, &oracle, &apis)?;
        // The connections are there before anything goes wrong.
        let engine = Engine::builder(Arc::new(process.store.inner.clone()))
            .transport(Arc::new(SimTransport { shared: Arc::clone(shared), apis: apis.clone(), life: ALWAYS }))
            .environment(Arc::new(SimEnvironment(Arc::clone(shared))))
            .templates(templates(&shared.plan))
            .build()?;
        for name in NAMES {
            engine.connect(ConnectionSettings::new(name, name)).await?;
            let options = SyncOptions::default().schedule(Duration::from_secs(120)).jitter(Duration::from_secs(30));
            engine.enable_with(name, &format!("{name}/items"), options).await?;
        }
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
            process,
            consumers,
            lost: BTreeSet::new(),
            given: BTreeMap::new(),
            taken: Taken::default(),
        })
    }

    /// Lets the others work; a process that dies meanwhile is started again.
    async fn wait(&mut self, time: Duration) -> highwater_core::Result<()> {
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
        self.process = Process::start(&self.shared, &self.backend, &self.oracle, &self.apis)?;
        // What lies on the disk is what was committed.
        for connection in 0..CONNECTIONS {
            let stream = stream(connection);
            let (page, head) = self.process.store.whole(&stream).await?;
            self.process.store.oracle().untouched(&stream, &page, &head);
        }
        Ok(())
    }

    async fn act(&mut self, action: &Action) -> highwater_core::Result<()> {
        match *action {
            Action::Source { connection, writes } => self.apis[connection].write(writes),
            Action::Run { connection, engine, full } => self.process.run(&self.shared, connection, engine, full, false),
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
            Action::Backup => {
                let models = self.process.store.oracle().models.clone();
                self.backup = Some((self.backend.backup(), models));
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
                // Often at once: in the middle of a run, after the page was read and before it came.
                if pick % 2 == 0 {
                    self.apis[connection].write(3);
                }
                if let Some(event) = self.apis[connection].event(pick) {
                    self.process.receive(&self.shared, &self.taken, connection, engine, event);
                }
            }
            Action::ForgetFeed { connection } => self.apis[connection].forget_feed(),
            Action::StoreFault(fault) => self.shared.set_fault(fault),
        }
        Ok(())
    }

    async fn prune(&mut self, connection: usize, percent: u8, payloads: bool) -> highwater_core::Result<()> {
        let (stream, store) = (stream(connection), Arc::clone(&self.process.store));
        let (page, _) = store.whole(&stream).await?;
        let place = page.changes.len() * usize::from(percent) / 100;
        let Some(change) = page.changes.get(place.saturating_sub(1)) else { return Ok(()) };
        let up_to = change.record.metadata.cursor;
        let what = if payloads { PruneWhat::Payloads } else { PruneWhat::Tombstones };
        store.inner.maintain(Maintenance::Prune { stream: stream.clone(), what, up_to }).await?;
        let (page, head) = store.whole(&stream).await?;
        store.oracle().pruned(&stream, up_to, payloads, &page, &head);
        Ok(())
    }

    /// The disk is what it was when it was backed up. What was given out since belongs to a lost history.
    async fn restore(&mut self) -> highwater_core::Result<()> {
        let Some((backup, models)) = &self.backup else { return Ok(()) };
        let backup = (backup.backup(), models.clone());
        for (text, stream) in &self.given {
            let known = backup.1.get(stream).and_then(|model| model.end);
            let cursor: Cursor = text.parse()?;
            if known.is_none_or(|end| cursor.ulid() > end.ulid()) {
                self.lost.insert(text.clone());
            }
        }
        for consumer in &mut self.consumers {
            consumer.store_restored();
        }
        self.shared.die();
        self.process.end().await;
        // What came since may come again.
        lock(&self.taken).clear();
        self.backend = backup.0;
        self.process.store.oracle().models = backup.1;
        self.wait(Duration::ZERO).await
    }

    /// Made-up cursors, those of other streams and of a clone are refused (P32).
    async fn forge(&mut self, connection: usize) -> highwater_core::Result<()> {
        let (stream, other) = (stream(connection), stream(1 - connection));
        let store = &self.process.store;
        let options = || StoreOptions::new().environment(Arc::new(SimEnvironment(Arc::clone(&self.shared))));
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

    /// Faults stop, writes stop: everything comes to the same.
    async fn end(&mut self) -> highwater_core::Result<()> {
        self.shared.note(|| "the end begins".to_owned());
        self.shared.calm_down();
        self.shared.die();
        self.wait(Duration::from_secs(600)).await?;
        for connection in 0..CONNECTIONS {
            self.apis[connection].narrow(false);
            self.converge(connection).await?;
        }
        for number in 0..self.consumers.len() {
            if self.consumers[number].kind != Kind::Twin {
                self.drain(number).await?;
            }
        }
        if let Some(hoarder) = self.consumers.iter_mut().find(|consumer| consumer.kind == Kind::Hoarder) {
            hoarder.replay_hoard(&self.process.store).await;
        }
        Ok(())
    }

    async fn converge(&mut self, connection: usize) -> highwater_core::Result<()> {
        let plan = self.shared.plan.clone();
        let stream = stream(connection);
        // Without a full refresh first: what the template promises by itself. The first run may but end a listing
        // that was interrupted.
        self.run_until_well(connection, false).await?;
        self.run_until_well(connection, false).await?;
        let narrowed = plan.actions.iter().any(|(_, action)| matches!(action, Action::Narrow { .. }));
        let exact = match plan.styles[connection] {
            Style::Offset | Style::Keyset => true,
            Style::Feed => !narrowed,
            Style::Since => false,
        };
        let reads_all = !plan.has(Knob::ClockJumps) && !narrowed;
        if exact {
            self.compare(connection, &stream, "the source and the log differ after a run", false);
        } else if plan.styles[connection] == Style::Since && reads_all {
            self.compare(connection, &stream, "an incremental run missed a change", true);
        }
        self.run_until_well(connection, true).await?;
        self.compare(connection, &stream, "the source and the log differ after a full refresh", false);
        let before = self.process.store.inner.head(&stream).await?;
        self.run_until_well(connection, true).await?;
        let after = self.process.store.inner.head(&stream).await?;
        if (before.high_water, &before.checksum) != (after.high_water, &after.checksum) {
            self.shared.broken("P6", "a second refresh of an unchanged source emitted something".to_owned());
        }
        match self.process.store.inner.maintain(Maintenance::Verify(stream.clone())).await? {
            MaintenanceReport::Verified(found) if found.is_clean() => {}
            other => self.shared.broken("P37", format!("the recount of {stream} finds {other:?}")),
        }
        self.check_checksum(&stream, &after.checksum).await
    }

    /// A consumer that has the same records has the same checksum (P37).
    async fn check_checksum(&self, stream: &StreamKey, expected: &str) -> highwater_core::Result<()> {
        let (page, _) = self.process.store.whole(stream).await?;
        if page.changes.iter().any(|change| change.record.metadata.pruned_at.is_some()) {
            return Ok(());
        }
        let copy = Inline::open(MemoryBackend::default(), StoreOptions::new())?;
        let mut batch = WriteBatch::new();
        let live = page.changes.iter().filter(|change| change.record.metadata.deleted_at.is_none());
        for payload in live.filter_map(|change| change.record.payload.as_ref()) {
            batch.on(stream).upsert(payload.as_bytes().to_vec());
        }
        copy.commit(batch).await?;
        let found = copy.head(stream).await?.checksum;
        if found != expected {
            self.shared.broken("P37", format!("the checksum is {expected}, that of the same records {found}"));
        }
        Ok(())
    }

    async fn run_until_well(&mut self, connection: usize, full: bool) -> highwater_core::Result<()> {
        let begun = Instant::now();
        let name = NAMES[connection];
        let template = format!("{name}/items");
        loop {
            let options = RunOptions::default().full(full).approve_deletes(true);
            match self.process.engines[0].run_once(name, &template, options).await {
                Ok(_) => return Ok(()),
                Err(error) => self.shared.note(|| format!("at the end: {error}")),
            }
            if begun.elapsed() > PATIENCE {
                self.shared.broken("P27", format!("no run of {template} succeeds although nothing fails any more"));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    fn compare(&self, connection: usize, stream: &StreamKey, what: &str, only_there: bool) {
        let live = self.process.store.oracle().live(stream);
        let live: BTreeMap<String, (u64, u64)> = live
            .into_iter()
            .map(|(id, value)| (id, (value["version"].as_u64().unwrap_or(0), value["value"].as_u64().unwrap_or(0))))
            .collect();
        let mut truth = self.apis[connection].truth();
        if only_there {
            truth.retain(|id, item| live.get(id) != Some(item));
        }
        let same = if only_there { truth.is_empty() } else { truth == live };
        if !same {
            self.shared.broken("P17", format!("{what}: {stream} has {live:?}, the source {truth:?}"));
        }
        debug_assert!(live.values().all(|(_, value)| matches!(kind(*value), 'x' | 'y')));
    }

    async fn drain(&mut self, number: usize) -> highwater_core::Result<()> {
        self.consumers[number].go_back();
        for _ in 0..20_000 {
            let caught_up = self.consumers[number].step(&self.process.store).await;
            if caught_up {
                // The last acknowledgement.
                if matches!(self.consumers[number].kind, Kind::Named) {
                    self.consumers[number].step(&self.process.store).await;
                }
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // The twins share what they were told between them.
        if !matches!(self.consumers[number].kind, Kind::Named | Kind::Twin) {
            self.consumers[number].check_replica(&self.process.store);
        }
        Ok(())
    }
}
