//! The engine's side of a running template.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::template::{
    ApiHost, HttpRequest, HttpResponse, LogLevel, PageOfChanges, Progress, RunHost, Secret,
};
use highwater_core::{DeleteGuard, Error, ErrorKind, Fence, Result, RunId, Store, StreamCommit, StreamKey, WriteBatch};
use serde_json::value::RawValue;

use super::{LogLine, RunEvent, RunMode, RunReport, RunState};
use crate::engine::Engine;
use crate::http::Client;
use crate::outbox::Tally;
use crate::settings::{checkpoint_key, runs_prefix};

/// Log lines kept with a run.
const KEPT_LINES: usize = 200;

pub(super) struct Host<'e> {
    engine: &'e Engine,
    client: Client,
    fence: Fence,
    run: RunId,
    guard: DeleteGuard,
    report: Mutex<RunReport>,
    /// Models whose streams have this run open.
    begun: Mutex<HashSet<String>>,
    tally: Tally,
}

impl<'e> Host<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        client: Client,
        fence: Fence,
        run: RunId,
        guard: DeleteGuard,
        report: RunReport,
        tally: Tally,
    ) -> Self {
        Host { engine, client, fence, run, guard, report: Mutex::new(report), begun: Mutex::default(), tally }
    }

    /// Stores the run's account, along with `batch`.
    pub(super) async fn store_report(&self, batch: Option<WriteBatch>) -> Result<()> {
        let mut batch = batch.unwrap_or_default();
        let report = lock(&self.report).clone();
        batch.put_document(format!("{}{}", runs_prefix(&report.connection, &report.template), report.id), &report)?;
        self.store().commit(batch).await.map(drop)
    }

    /// Adds what the webhooks tell of the run to the batch that ends it.
    pub(super) async fn conclude(
        &self,
        report: &RunReport,
        error: Option<&Error>,
        batch: &mut WriteBatch,
    ) -> Result<()> {
        self.tally.conclude(self.store(), &*self.engine.parts().environment, report, error, batch).await
    }

    /// The account of a run that ended.
    pub(super) fn ended(&self, now_ms: u64, error: Option<&Error>) -> RunReport {
        let mut report = lock(&self.report);
        report.ended_ms = Some(now_ms);
        report.error = error.map(|error| self.client.session().redact(&error.to_string()));
        report.state = match error.map(Error::kind) {
            None => RunState::Success,
            Some(ErrorKind::Cancelled) => RunState::Cancelled,
            Some(ErrorKind::AwaitingApproval) => RunState::AwaitingApproval,
            Some(_) => RunState::Error,
        };
        let report = report.clone();
        self.tell(&report, report.error.clone());
        report
    }

    /// The source forgot where we were: the next run reads everything.
    pub(super) async fn forget_checkpoint(&self) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.fence(self.fence.clone()).remove_document(self.checkpoint_key());
        self.store().commit(batch).await.map(drop)
    }

    fn store(&self) -> &dyn Store {
        &*self.engine.parts().store
    }

    fn checkpoint_key(&self) -> String {
        let report = lock(&self.report);
        checkpoint_key(&report.connection, &report.template)
    }

    fn batch(&self, checkpoint: Option<&Bytes>) -> Result<WriteBatch> {
        let mut batch = WriteBatch::new();
        batch.fence(self.fence.clone());
        if let Some(checkpoint) = checkpoint {
            let raw: &RawValue = serde_json::from_slice(checkpoint)
                .map_err(|source| Error::new(ErrorKind::Internal, "a checkpoint is not JSON").because(source))?;
            batch.put_document(self.checkpoint_key(), raw)?;
        }
        Ok(batch)
    }

    fn tell(&self, report: &RunReport, message: Option<String>) {
        self.engine.publish(RunEvent {
            run: report.id.clone(),
            connection: report.connection.clone(),
            template: report.template.clone(),
            state: report.state,
            progress: report.progress,
            message,
        });
    }
}

#[async_trait]
impl RunHost for Host<'_> {
    async fn commit(&self, page: PageOfChanges) -> Result<StreamCommit> {
        let (connection, full) = {
            let report = lock(&self.report);
            (report.connection.clone(), report.mode == RunMode::Initial)
        };
        let mut batch = self.batch(page.checkpoint.as_ref())?;
        let stream = batch.on(&StreamKey::new(connection, page.model.as_str()));
        if full {
            // Only a run that reads everything keeps account of what it saw.
            let first = !lock(&self.begun).contains(&page.model);
            if first {
                stream.begin_run(self.run)
            } else {
                stream.in_run(self.run)
            };
        }
        for record in page.records {
            match record.id {
                Some(id) => stream.upsert_as(id, record.payload),
                None => stream.upsert(record.payload),
            };
        }
        for id in page.deleted {
            stream.delete(id);
        }
        if page.complete {
            stream.complete_run(self.run, self.guard);
        }
        self.tally.begin(self.store(), &page.model, &mut batch).await?;
        let mut commit = self.store().commit(batch).await?;
        if let Some(commit) = commit.streams.first() {
            self.tally.note(&page.model, commit);
        }
        if full {
            let mut begun = lock(&self.begun);
            if page.complete {
                begun.remove(&page.model)
            } else {
                begun.insert(page.model)
            };
        }
        commit.streams.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "a commit came back without its stream"))
    }

    async fn commit_checkpoint(&self, checkpoint: Bytes) -> Result<()> {
        let batch = self.batch(Some(&checkpoint))?;
        self.store().commit(batch).await.map(drop)
    }

    fn progress(&self, progress: Progress) {
        let mut report = lock(&self.report);
        report.progress = progress;
        let report = report.clone();
        self.tell(&report, None);
    }
}

#[async_trait]
impl ApiHost for Host<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.client.send(request, &|level, message| self.log(level, message)).await
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.client.session().known()?.named(name)
    }

    async fn renew_secret(&self, name: &str, secret: Secret) -> Result<()> {
        self.client.session().renew_secret(name, secret).await
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn log(&self, level: LogLevel, message: &str) {
        let message = &self.client.session().redact(message);
        match level {
            LogLevel::Debug => tracing::debug!(target: "highwater::run", "{message}"),
            LogLevel::Info => tracing::info!(target: "highwater::run", "{message}"),
            LogLevel::Warning => tracing::warn!(target: "highwater::run", "{message}"),
            LogLevel::Error => tracing::error!(target: "highwater::run", "{message}"),
        }
        let mut report = lock(&self.report);
        let at_ms = self.engine.parts().environment.now_ms();
        if report.log.len() >= KEPT_LINES {
            report.log.remove(0);
        }
        report.log.push(LogLine { at_ms, level, message: message.to_owned() });
        let report = report.clone();
        self.tell(&report, Some(message.to_owned()));
    }

    fn now_ms(&self) -> u64 {
        self.engine.parts().environment.now_ms()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
