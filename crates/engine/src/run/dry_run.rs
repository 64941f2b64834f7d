//! A dry run: a template reads its API, and nothing is stored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::locks::lock;
use highwater_core::{
    BadRecords, Error, ErrorKind, MemoryStore, PageRequest, Record, Result, Store, StreamCommit, StreamKey, Timestamp,
    WriteBatch,
};
use highwater_template::auth::SecretRenewal;
use highwater_template::host::{ApiHost, ChangeSet, NextRun, Progress, RunHost, RunSetup};
use highwater_template::{HttpRequest, HttpResponse, LogLevel, Secret, SyncContext};

use super::{Run, RunOptions, nothing_forgotten};
use crate::calls;
use crate::cancel::CancelToken;
use crate::documents::{LogLine, SyncKey, count_page, fetched};
use crate::engine::Engine;
use crate::http::Client;
use crate::sync::SyncHandle;
use crate::timer;
use crate::versions;

/// The most pages that a dry run reads: a template may read one model to its end before it begins another.
const MOST_PAGES: u64 = 10;

/// The most lines that are kept.
const MOST_LINES: usize = 200;

/// What a dry run read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DryRun {
    /// The first records of each model, as a run would save them.
    pub records: BTreeMap<String, Vec<Record>>,
    /// Its requests and log lines, without the connection's secrets.
    pub lines: Vec<LogLine>,
    /// How far it came.
    pub progress: Progress,
    /// Whether it read everything there is. Otherwise it stopped, because it had enough.
    pub complete: bool,
}

impl SyncHandle {
    /// Reads the first records from the API, as the sync's first run would, and stores nothing: no record, no checkpoint, no
    /// report. The sync need not be enabled. Stops when it has `records` records of each model, or has read ten pages.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// let found = engine.sync("github-main", "github/issues")?.dry_run(5).await?;
    /// for (model, records) in &found.records {
    ///     println!("{model}: {} records", records.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or template, [`ErrorKind::Unauthorized`] where the template needs
    /// credentials that the connection lacks, and those of the template and its API. An API that refuses the credentials changes
    /// the connection's health, as in a run.
    pub async fn dry_run(&self, records: usize) -> Result<DryRun> {
        let (engine, key) = (&self.engine, &*self.key);
        let connection = engine.check_known(key).await?;
        let template = Arc::clone(engine.template(&key.template)?);
        let (options, stop) = (RunOptions::default(), CancelToken::new());
        let run = Run { engine, key, connection, template, options, stop };
        let id = &run.connection.id;
        let met = engine.meet(id).await?;
        let client = match run.client().await {
            Ok(client) => client,
            Err(error) => {
                engine.settle_health(id, &met, Some(&error)).await;
                return Err(error);
            }
        };
        let host = DryHost { engine, key, client, wanted: records, store: MemoryStore::new()?, read: Mutex::default() };
        let setup = RunSetup::new(id)
            .config(run.connection.config_for(run.template.info())?)
            .metadata(run.connection.metadata.clone())
            .variant(key.variant.clone())
            .started_at(host.now());
        let mut context = SyncContext::new(&host, setup);
        let outcome = async {
            run.template.fetch(&mut context).await?;
            context.finish().await
        };
        let outcome = outcome.await.map_err(nothing_forgotten);
        let outcome = outcome.map_err(|error| host.client.session().redact_error(error));
        let stopped = lock(&host.read).stopped;
        let failed = outcome.as_ref().err().filter(|_| !stopped);
        engine.settle_health(id, &met, failed).await;
        match outcome {
            Err(error) if !stopped => Err(error),
            outcome => host.found(outcome.is_ok() && !stopped).await,
        }
    }
}

/// The host of a dry run: a store in memory takes what a run would save.
struct DryHost<'e> {
    engine: &'e Engine,
    key: &'e SyncKey,
    client: Client,
    wanted: usize,
    store: MemoryStore,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    lines: Vec<LogLine>,
    progress: Progress,
    stopped: bool,
}

impl DryHost<'_> {
    fn stream(&self, model: &str) -> StreamKey {
        self.key.stream(model)
    }

    /// Whether there are enough records of each model, or enough pages were read.
    async fn has_enough(&self) -> Result<bool> {
        if lock(&self.read).progress.pages >= MOST_PAGES {
            return Ok(true);
        }
        for model in &self.engine.template(&self.key.template)?.info().models {
            if self.store.head(&self.stream(&model.name)).await?.live < self.wanted as u64 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn found(self, complete: bool) -> Result<DryRun> {
        let mut records = BTreeMap::new();
        for model in &self.engine.template(&self.key.template)?.info().models {
            let request = PageRequest::new(self.stream(&model.name)).limit(self.wanted.max(1));
            let page = self.store.page(request).await?;
            records.insert(model.name.clone(), page.changes.into_iter().map(|change| change.record).collect());
        }
        let Read { lines, progress, .. } = self.read.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(DryRun { records, lines, progress, complete })
    }
}

#[async_trait]
impl RunHost for DryHost<'_> {
    async fn commit(&self, changes: ChangeSet) -> Result<StreamCommit> {
        count_page(&mut lock(&self.read).progress, fetched(&changes));
        let models = &self.engine.template(&self.key.template)?.info().models;
        let info = models.iter().find(|model| model.name == changes.model);
        let mut batch = WriteBatch::new();
        let stream = batch.on(&self.stream(&changes.model));
        stream.bad_records(BadRecords::Quarantine);
        for record in changes.records {
            versions::upsert(stream, info, record);
        }
        for deleted in changes.deleted {
            versions::delete(stream, deleted);
        }
        for record in &changes.set_aside {
            self.log(LogLevel::Warning, &format!("a {} could not be saved: {}", record.model, record.reason));
        }
        let commit = self.store.commit(batch).await?;
        if self.has_enough().await? {
            lock(&self.read).stopped = true;
            return Err(Error::new(ErrorKind::Cancelled, "the dry run has read enough"));
        }
        let own = commit.streams.into_iter().next();
        own.ok_or_else(|| Error::new(ErrorKind::Internal, "a commit came back without its stream"))
    }

    fn defer_checkpoint(&self, _checkpoint: Bytes) -> Result<()> {
        Ok(())
    }

    fn mark_incomplete(&self, model: &str, reason: &str, _next: NextRun) {
        self.log(LogLevel::Warning, &format!("{model} was not read completely: {reason}"));
    }

    fn expect_total(&self, total: u64) {
        lock(&self.read).progress.total = Some(total);
    }

    fn progress(&self) -> Progress {
        lock(&self.read).progress
    }
}

#[async_trait]
impl ApiHost for DryHost<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let asked = calls::asked(&request);
        let answer = self.client.send(request, &|level: LogLevel, message: &str| self.log(level, message)).await;
        match &answer {
            Ok(answer) => self.log(LogLevel::Info, &format!("{asked}: {}", answer.status)),
            Err(error) => self.log(LogLevel::Error, &format!("{asked}: {error}")),
        }
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
        let message = self.client.session().redact(message);
        let lines = &mut lock(&self.read).lines;
        if lines.len() < MOST_LINES {
            lines.push(LogLine::new(self.engine.parts().environment.now(), level, message));
        }
    }

    fn now(&self) -> Timestamp {
        self.engine.parts().environment.now()
    }
}
