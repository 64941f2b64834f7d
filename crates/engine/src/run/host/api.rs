//! A template's operations in its run: sending requests, saving pages, writing to the log.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::locks::lock;
use highwater_core::{BadRecords, Error, ErrorKind, Result, StreamCommit, Timestamp};
use highwater_template::auth::SecretRenewal;
use highwater_template::host::{ApiHost, ChangeSet, NextRun, Progress, RunHost};
use highwater_template::{HttpRequest, HttpResponse, LogLevel, Secret};

use super::{Host, raw};
use crate::documents::{RunReport, RunRequest, fetched};
use crate::http::Listener;
use crate::logs;
use crate::timer;
use crate::versions;

#[async_trait]
impl RunHost for Host<'_> {
    async fn commit(&self, changes: ChangeSet) -> Result<StreamCommit> {
        let fetched = fetched(&changes);
        let mut batch = self.batch();
        self.refresh_holder(&mut batch, self.engine.parts().lease_ttl / 3)?;
        let mut open = None;
        if self.full {
            open = Some(self.put_open(&mut batch, &changes)?);
        } else {
            let report = RunReport { progress: self.progress_with(fetched), ..self.report() };
            logs::put_run(&mut batch, self.key, &report, false)?;
            if let Some(checkpoint) = &changes.checkpoint {
                batch.put_document(self.key.checkpoint_key(), &*raw(checkpoint)?)?;
            }
        }
        self.forget_saved(&changes, &mut batch)?;
        let stream = self.open_stream(&changes.model, &mut batch);
        stream.bad_records(BadRecords::Quarantine);
        self.fence_page(&changes, stream);
        let models = &self.engine.template(&self.key.template)?.info().models;
        let info = models.iter().find(|model| model.name == changes.model);
        for record in changes.records {
            versions::upsert(stream, info, record);
        }
        for deleted in changes.deleted {
            versions::delete(stream, deleted);
        }
        for record in changes.set_aside {
            let stream = self.open_stream(&record.model, &mut batch);
            self.set_aside(stream, record);
        }
        let commit = self.write(batch).await?;
        if let Some(open) = open {
            *lock(&self.open) = open;
        }
        self.change_report(|report| report.count(fetched, &commit.streams));
        for stream in &commit.streams {
            self.tell_set_aside(stream);
        }
        self.tell(None);
        // The page's own stream is the first of the batch.
        let own = commit.streams.into_iter().next();
        own.ok_or_else(|| Error::new(ErrorKind::Internal, "a commit came back without its stream"))
    }

    fn defer_checkpoint(&self, checkpoint: Bytes) -> Result<()> {
        lock(&self.open).checkpoint = Some(raw(&checkpoint)?);
        Ok(())
    }

    fn mark_incomplete(&self, model: &str, reason: &str, next: NextRun) {
        self.note_incomplete(model, reason, next);
    }

    fn expect_total(&self, total: u64) {
        self.change_report(|report| report.progress.total = Some(total));
        self.tell(None);
    }

    fn progress(&self) -> Progress {
        lock(&self.report).progress
    }
}

/// What a client tells goes into the run's log and trace.
struct Told<'h, 'e>(&'h Host<'e>);

impl Listener for Told<'_, '_> {
    fn line(&self, level: LogLevel, message: &str) {
        self.0.note_limit();
        self.0.log(level, message);
    }

    fn exchanged(&self, request: RunRequest) {
        lock(&self.0.trace).push(request);
    }
}

#[async_trait]
impl ApiHost for Host<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.note_ends().await?;
        let (begun, waited) = (self.elapsed(), lock(&self.trace).waited());
        let answer = self.client.send(request, &Told(self)).await;
        self.fetched_since(begun, waited);
        lock(&self.report).progress.rate_limited_until = None;
        answer
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.client.secret(name)
    }

    async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()> {
        self.client.renew_secrets(renewal).await
    }

    async fn sleep(&self, time: Duration) {
        timer::sleep(time).await;
    }

    fn log(&self, level: LogLevel, message: &str) {
        let message = self.note(level, message);
        self.tell(Some(message));
    }

    fn now(&self) -> Timestamp {
        self.engine.parts().environment.now()
    }
}
