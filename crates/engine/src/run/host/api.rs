//! What a template may ask of its run: requests, pages saved, progress, lines in the log.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{BadRecords, Error, ErrorKind, Result, StreamCommit};
use highwater_template::{
    ApiHost, HttpRequest, HttpResponse, LogLevel, PageOfChanges, Progress, RunHost, Secret, SecretRenewal,
};

use super::{Host, raw};
use crate::engine::lock;
use crate::logs;
use crate::run::report::RunReport;
use crate::timer;
use crate::versions;

#[async_trait]
impl RunHost for Host<'_> {
    async fn commit(&self, page: PageOfChanges) -> Result<StreamCommit> {
        let mut batch = self.batch();
        self.refresh_holder(&mut batch, self.engine.parts().lease_ttl / 3)?;
        let mut open = None;
        if self.full {
            open = Some(self.put_open(&mut batch, &page)?);
        } else {
            let report = RunReport { progress: self.progress_with(&page), ..self.report() };
            logs::put_run(&mut batch, self.key, &report, false)?;
            if let Some(checkpoint) = &page.checkpoint {
                batch.put_document(self.key.checkpoint_key(), &*raw(checkpoint)?)?;
            }
        }
        self.forget_saved(&page, &mut batch)?;
        let stream = self.open_stream(&page.model, &mut batch);
        stream.bad_records(BadRecords::Quarantine);
        self.fence_page(&page, stream);
        let models = &self.engine.template(&self.key.template)?.info().models;
        let info = models.iter().find(|model| model.name == page.model);
        for record in page.records {
            versions::upsert(stream, info, record);
        }
        for deleted in page.deleted {
            versions::delete(stream, deleted);
        }
        for record in page.aside {
            let stream = self.open_stream(&record.model, &mut batch);
            self.set_aside(stream, record);
        }
        let commit = self.write(batch).await?;
        if let Some(open) = open {
            *lock(&self.open) = open;
        }
        for stream in &commit.streams {
            self.count(stream.stream.model(), stream);
            self.tell_set_aside(stream);
        }
        // The page's own stream is the first of the batch.
        let own = commit.streams.into_iter().next();
        own.ok_or_else(|| Error::new(ErrorKind::Internal, "a commit came back without its stream"))
    }

    fn incomplete(&self, model: &str, reason: &str, again: bool) {
        self.note_incomplete(model, reason, again);
    }

    async fn commit_checkpoint(&self, checkpoint: Bytes) -> Result<()> {
        // It becomes durable with the end of the run.
        lock(&self.open).checkpoint = Some(raw(&checkpoint)?);
        Ok(())
    }

    fn progress(&self, progress: Progress) {
        let sum = sum(self.before, progress);
        lock(&self.report).progress = sum;
        self.tell(None);
    }
}

#[async_trait]
impl ApiHost for Host<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let note = |level: LogLevel, message: &str| {
            self.note_limit();
            self.log(level, message);
        };
        self.note_ends().await?;
        let answer = self.client.ask(request, &note).await;
        lock(&self.report).progress.rate_limited_until_ms = None;
        answer
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.client.secret(name)
    }

    async fn renew_secret(&self, name: &str, secret: Secret) -> Result<()> {
        self.client.session().renew_secret(name, secret).await
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

    fn now_ms(&self) -> u64 {
        self.engine.parts().environment.now().unix_ms()
    }
}

/// What a run did before it was interrupted, and what it did since.
fn sum(before: Progress, mut now: Progress) -> Progress {
    now.pages += before.pages;
    now.fetched += before.fetched;
    now.added += before.added;
    now.updated += before.updated;
    now.unchanged += before.unchanged;
    now.deleted += before.deleted;
    now.set_aside += before.set_aside;
    now.total = now.total.or(before.total);
    now
}
