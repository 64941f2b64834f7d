//! The host of a running template: every page is one commit, with its checkpoint, under the run's fence.

mod api;
mod aside;
mod trace;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aside::Aside;
use highwater_core::locks::lock;
use highwater_core::{
    Cursor, Error, ErrorKind, Fence, Merging, Result, RunId, Store, StreamBatch, Timestamp, WriteBatch,
};
use highwater_template::LogLevel;
use highwater_template::host::{ChangeSet, Progress};
use serde_json::value::RawValue;

use super::begin::Begun;
use super::deletes::Settlement;
use crate::documents::{Holder, OpenRefresh, RunMode, RunPhaseKind, RunReport, RunState, SyncKey, count_page, fetched};
use crate::engine::Engine;
use crate::events::{RunEvent, SyncChange, SyncEvent};
use crate::http::Client;
use crate::logs;
use crate::logs::{Lines, Trace};
use crate::mutants::mutant;
use crate::timer;
use crate::webhooks::outbox::Tally;

pub(crate) struct Host<'e> {
    pub(super) engine: &'e Engine,
    pub(super) key: &'e SyncKey,
    pub(super) run: RunId,
    pub(super) fence: Fence,
    pub(super) full: bool,
    client: Client,
    holder: Mutex<Holder>,
    report: Mutex<RunReport>,
    /// The run's progress. A full refresh stores it with each page, so that it can be resumed there; an incremental run keeps
    /// its deferred checkpoint and its incomplete models here until its end.
    open: Mutex<OpenRefresh>,
    lines: Mutex<Lines>,
    trace: Mutex<Trace>,
    /// The deletes at the end of the run.
    settlement: Mutex<Settlement>,
    /// The changes to report by webhooks.
    tally: Tally,
    /// Set-aside records.
    aside: Mutex<Aside>,
    asked: Mutex<Asked>,
    /// The sync was offline before: this probe is reported only if the API is back.
    probing: bool,
    /// Whether watchers know that the run has begun.
    told_start: AtomicBool,
}

/// The ends of the streams when the current pages were requested: later writes by others are fresher (H40).
#[derive(Debug, Default)]
struct Asked {
    ends: BTreeMap<String, Cursor>,
    /// Whether pages were saved since: the next request records the ends again.
    saved: bool,
}

impl<'e> Host<'e> {
    pub(super) fn new(engine: &'e Engine, key: &'e SyncKey, client: Client, begun: &Begun, tally: Tally) -> Self {
        let run = &begun.run;
        let report = run.report.clone();
        Host {
            engine,
            key,
            run: run.id,
            fence: begun.fence.clone(),
            full: report.mode == RunMode::Initial,
            client,
            holder: Mutex::new(run.holder.clone()),
            lines: Mutex::new(Lines::of_attempt(report.resumed)),
            trace: Mutex::new(Trace::of_attempt(report.resumed, engine.parts().logs.requests_per_run)),
            report: Mutex::new(report),
            open: Mutex::new(run.open.clone()),
            settlement: Mutex::default(),
            tally,
            aside: Mutex::default(),
            asked: Mutex::new(Asked { saved: true, ..Asked::default() }),
            probing: run.status.offline_since.is_some(),
            told_start: AtomicBool::new(false),
        }
    }

    /// Redacts the connection's secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.client.session().redact(text)
    }

    /// Redacts the connection's secrets, causes included.
    pub(super) fn redact_error(&self, error: Error) -> Error {
        self.client.session().redact_error(error)
    }

    /// Waits until no credential renewal is in progress.
    pub(super) async fn renewed(&self) {
        self.client.renewed().await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.parts().environment.now()
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.engine.parts().store
    }

    pub(super) fn report(&self) -> RunReport {
        lock(&self.report).clone()
    }

    pub(super) fn change_report(&self, change: impl FnOnce(&mut RunReport)) {
        change(&mut lock(&self.report));
    }

    /// Reads whether the run has to be reported, and what earlier runs left unreported.
    pub(super) async fn open_tally(&self) -> Result<()> {
        self.tally.open(self.store(), &*self.engine.parts().environment).await
    }

    /// Records a batch's changes of a model, for webhooks.
    pub(super) fn account(&self, model: &str, stream: &mut StreamBatch) {
        self.tally.account(model, stream);
    }

    /// Adds the webhooks about the run to the batch that ends it.
    pub(super) fn conclude(&self, report: &RunReport, error: Option<&Error>, batch: &mut WriteBatch) -> Result<()> {
        self.tally.conclude(report, error, batch)
    }

    /// Turns them into deliveries, once the run has ended.
    pub(super) async fn tell_now(&self) {
        self.tally.tell_now(self.store(), &*self.engine.parts().environment).await;
    }

    pub(super) fn settle(&self, settlement: Settlement) {
        *lock(&self.settlement) = settlement;
    }

    pub(super) fn take_settlement(&self) -> Settlement {
        std::mem::take(&mut lock(&self.settlement))
    }

    pub(super) fn open(&self) -> OpenRefresh {
        lock(&self.open).clone()
    }

    /// A batch of this run: refused once another holder has the lease.
    pub(super) fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.fence(self.fence.clone());
        batch
    }

    /// Commits, with the pending log lines, and with the time of the API's clock.
    pub(super) async fn write(&self, mut batch: WriteBatch) -> Result<highwater_core::Commit> {
        if let Some(server_ms) = self.client.server_ms() {
            batch.clock_witness(Timestamp::from_unix_ms(server_ms));
        }
        let taken = lock(&self.lines).take(self.run, &mut batch)?;
        let begun = self.elapsed();
        let outcome = self.store().commit(batch).await;
        self.spend(RunPhaseKind::Save, 1, begun);
        match &outcome {
            Ok(commit) => self.engine.parts().counting.changed(&commit.streams),
            Err(_) => {
                lock(&self.lines).put_back(taken);
                lock(&self.trace).put_back();
            }
        }
        outcome
    }

    /// Sends heartbeats until the lease is lost.
    pub(super) async fn keep_alive(&self) -> Error {
        let every = self.engine.parts().lease_ttl / 3;
        loop {
            timer::sleep(every).await;
            if let Err(error) = self.beat().await {
                if error.kind() == ErrorKind::Fenced {
                    return error;
                }
                // The lease still lasts for a while: the failure may be temporary, and the next page will show.
                tracing::warn!(target: "highwater::run", sync = %self.key, "heartbeat: {error}");
            }
        }
    }

    /// Writes the pending lines.
    pub(super) async fn flush(&self) -> Result<()> {
        self.write(self.batch()).await.map(drop)
    }

    pub(super) async fn beat(&self) -> Result<()> {
        let mut batch = self.batch();
        self.refresh_holder(&mut batch, Duration::ZERO)?;
        logs::put_run(&mut batch, self.key, &self.report(), false)?;
        self.put_trace(&mut batch)?;
        self.write(batch).await.map(drop)
    }

    /// Renews the lease along with `batch`, if the last renewal is this old.
    fn refresh_holder(&self, batch: &mut WriteBatch, older_than: Duration) -> Result<()> {
        let until = self.now() + self.engine.parts().lease_ttl;
        let mut holder = lock(&self.holder);
        if until >= holder.until + older_than {
            holder.until = until;
            batch.put_document(self.key.holder_key(), &*holder)?;
        }
        Ok(())
    }

    /// Adds a line to the run's log, and returns it without secrets.
    pub(super) fn note(&self, level: LogLevel, message: &str) -> String {
        let message = self.redact(message);
        match level {
            LogLevel::Debug => tracing::debug!(target: "highwater::run", "{message}"),
            LogLevel::Info => tracing::info!(target: "highwater::run", "{message}"),
            LogLevel::Warning => tracing::warn!(target: "highwater::run", "{message}"),
            LogLevel::Error => tracing::error!(target: "highwater::run", "{message}"),
        }
        lock(&self.lines).push(&self.engine.parts().logs, self.now(), level, &message);
        message
    }

    pub(super) fn tell(&self, message: Option<String>) {
        let report = lock(&self.report);
        let running = report.state == RunState::Running;
        if self.probing && running && report.progress.pages == 0 {
            return;
        }
        self.engine.publish(RunEvent::of(&report, message));
        let event = SyncEvent { run: Some(self.run), ..SyncEvent::new(self.key, SyncChange::Started) };
        if !self.told_start.swap(true, Ordering::Relaxed) {
            self.engine.publish_change(event.clone());
        }
        if !running {
            let (state, error_kind) = (Some(report.state), report.error_kind);
            self.engine.publish_change(SyncEvent { change: SyncChange::Ended, state, error_kind, ..event });
        }
    }

    /// Publishes the end of a run that could not store it, unless watchers never learned of its beginning.
    pub(super) fn tell_end(&self) {
        if self.told_start.load(Ordering::Relaxed) {
            self.tell(None);
        }
    }

    /// Reports until when the run waits for the API's rate limit, if it does.
    fn note_limit(&self) {
        let until_ms = lock(&self.client.session().budget).quiet_until_ms();
        let until = Timestamp::from_unix_ms(until_ms);
        lock(&self.report).progress.rate_limited_until = Some(until).filter(|until| *until > self.now());
    }

    /// Opens a full refresh on its models' streams before the first request: records that others write from then on may be
    /// missing from its pages, and must not be deleted (H40).
    pub(super) async fn open_streams(&self, models: impl Iterator<Item = &str>) -> Result<()> {
        let mut open = self.open();
        let mut batch = self.batch();
        for model in models.filter(|model| !mutant!("opened-late") && open.begun.insert((*model).to_owned())) {
            batch.on(&self.key.stream(model)).begin_run(self.run);
        }
        if batch.is_empty() {
            return Ok(());
        }
        batch.put_document(self.key.open_key(), &open)?;
        self.write(batch).await?;
        *lock(&self.open) = open;
        Ok(())
    }

    /// Before a request: records the ends of the streams, if its answer may be the next page to be saved.
    async fn note_ends(&self) -> Result<()> {
        if !lock(&self.asked).saved || mutant!("asked-unnoted") {
            return Ok(());
        }
        let mut ends = BTreeMap::new();
        for model in &self.engine.template(&self.key.template)?.info().models {
            let head = self.store().head(&self.key.stream(&model.name)).await?;
            ends.insert(model.name.clone(), head.high_water);
        }
        *lock(&self.asked) = Asked { ends, saved: false };
        Ok(())
    }

    /// Keeps writes by others since the page was requested.
    fn fence_page(&self, changes: &ChangeSet, stream: &mut StreamBatch) {
        let mut asked = lock(&self.asked);
        asked.saved = true;
        if let Some(end) = asked.ends.get(&changes.model) {
            stream.merging(Merging::KeepOthersAfter(*end));
        }
    }

    /// Returns the run's progress after a page is saved, to be stored with the page. The page's changes are not
    /// known before the commit: they are in the summaries.
    fn progress_with(&self, fetched: u64) -> Progress {
        let mut progress = lock(&self.report).progress;
        count_page(&mut progress, fetched);
        progress
    }

    /// Stores the progress of a full refresh, with `batch`.
    fn put_open(&self, batch: &mut WriteBatch, changes: &ChangeSet) -> Result<OpenRefresh> {
        let mut open = self.open();
        open.begun.insert(changes.model.clone());
        open.begun.extend(changes.set_aside.iter().map(|record| record.model.clone()));
        if changes.complete {
            open.complete.insert(changes.model.clone());
        }
        if let Some(checkpoint) = &changes.checkpoint {
            open.checkpoint = Some(raw(checkpoint)?);
        }
        open.progress = self.progress_with(fetched(changes));
        open.saved_at = self.now();
        open.tries = 0;
        batch.put_document(self.key.open_key(), &open)?;
        Ok(open)
    }
}

pub(super) fn raw(checkpoint: &[u8]) -> Result<Box<RawValue>> {
    serde_json::from_slice(checkpoint)
        .map_err(|source| Error::new(ErrorKind::Internal, "a checkpoint is not JSON").because(source))
}
