//! What a template sees and does during a run.

mod incomplete;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::host::{LogLevel, Progress, RunHost, SecretRenewal};
use super::http::HttpRequest;
use super::page::{PageDelete, PageOfChanges, PageRecord, SetAside};
use super::response::HttpResponse;
use super::secret::Secret;
use highwater_core::Json;
use highwater_core::StreamCommit;
use highwater_core::{Error, ErrorKind, Result};

/// The beginning of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunSetup {
    /// The connection's id.
    pub connection: String,
    /// The template's settings, defaults filled in.
    pub config: BTreeMap<String, String>,
    /// The last checkpoint; `None` on the first run and at the beginning of a full refresh.
    pub checkpoint: Option<Json>,
    /// The sync's variant, if it is not the default one.
    pub variant: Option<String>,
    /// A full refresh that goes on at its checkpoint after an interruption.
    pub resumed: bool,
    /// When the run began, before it was ever interrupted: Unix milliseconds.
    pub started_ms: u64,
}

impl RunSetup {
    /// A run of `connection` without settings and checkpoint.
    pub fn new(connection: impl Into<String>) -> Self {
        RunSetup { connection: connection.into(), ..RunSetup::default() }
    }

    /// With settings.
    #[must_use]
    pub fn config(mut self, config: BTreeMap<String, String>) -> Self {
        self.config = config;
        self
    }

    /// With a checkpoint.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: Option<Json>) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// Of a variant.
    #[must_use]
    pub fn variant(mut self, variant: Option<String>) -> Self {
        self.variant = variant;
        self
    }

    /// As the continuation of an interrupted full refresh.
    #[must_use]
    pub fn resumed(mut self, resumed: bool) -> Self {
        self.resumed = resumed;
        self
    }

    /// Begun at this time.
    #[must_use]
    pub fn started_ms(mut self, started_ms: u64) -> Self {
        self.started_ms = started_ms;
        self
    }
}

/// A run, as its template sees it.
pub struct SyncContext<'h> {
    host: &'h dyn RunHost,
    setup: RunSetup,
    pending: Option<Bytes>,
    /// Records that wait for the next commit.
    aside: Vec<SetAside>,
    /// Set once records are missing: the next run has to begin at or before them.
    checkpoint_is_final: bool,
    progress: Progress,
}

impl<'h> SyncContext<'h> {
    /// A run on `host`.
    pub fn new(host: &'h dyn RunHost, setup: RunSetup) -> Self {
        SyncContext {
            host,
            setup,
            pending: None,
            aside: Vec::new(),
            checkpoint_is_final: false,
            progress: Progress::default(),
        }
    }

    /// The connection's id.
    pub fn connection(&self) -> &str {
        &self.setup.connection
    }

    /// A setting that was given or has a default.
    pub fn config(&self, name: &str) -> Result<&str> {
        self.optional_config(name).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a setting of the template is missing: give it in the connection's config")
                .with("setting", name)
        })
    }

    /// A setting, if it was given.
    pub fn optional_config(&self, name: &str) -> Option<&str> {
        self.setup.config.get(name).map(String::as_str)
    }

    /// Every setting that was given or has a default.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.setup.config
    }

    /// A secret setting, if it was given with the connection's credentials.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.host.secret(name)
    }

    /// Keeps a secret setting that changed, such as a refresh token that works once. Call it before
    /// the new one is used.
    pub async fn renew_secret(&self, name: &str, secret: Secret) -> Result<()> {
        self.host.renew_secret(name, secret).await
    }

    /// Renews secret settings that work once: of all runs of the connection, in this process and others on the store, one
    /// at a time, each with what the one before it left.
    pub async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()> {
        self.host.renew_secrets(renewal).await
    }

    /// What stands behind this context: for work that lasts while the context is used otherwise.
    pub fn host(&self) -> &'h dyn RunHost {
        self.host
    }

    /// The sync's variant, if it is not the default one.
    pub fn variant(&self) -> Option<&str> {
        self.setup.variant.as_deref()
    }

    /// Whether the run is to read everything: the first run, or a full refresh. One that was
    /// interrupted goes on from its own last checkpoint and is still one.
    pub fn is_full_refresh(&self) -> bool {
        self.setup.resumed || self.setup.checkpoint.is_none()
    }

    /// When the run began, before it was ever interrupted: Unix milliseconds. What changes at the
    /// API from then on belongs to the next run; see [`Window`](super::Window).
    pub fn started_ms(&self) -> u64 {
        self.setup.started_ms
    }

    /// The checkpoint of the last run; on a full refresh, that of the same run before it was interrupted.
    pub fn last_checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let checkpoint = self.setup.checkpoint.as_ref();
        checkpoint.map(Json::to).transpose().map_err(|source| {
            Error::new(ErrorKind::Invalid, "the stored checkpoint is of another shape: run a full refresh once")
                .because(source)
        })
    }

    /// Sets where the next run goes on. It becomes durable together with the records of the next
    /// [`save`](SyncContext::save), so call it just before the save it covers; a checkpoint set
    /// after the last save is stored when the run ends well. One set after [`incomplete`](SyncContext::incomplete) is
    /// ignored.
    pub fn checkpoint<T: Serialize + ?Sized>(&mut self, checkpoint: &T) -> Result<()> {
        let text = serde_json::to_vec(checkpoint).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the checkpoint cannot be written as JSON").because(source)
        })?;
        if !self.checkpoint_is_final {
            self.pending = Some(text.into());
        }
        Ok(())
    }

    /// Saves a page of records: JSON objects with an `id`, as they came.
    pub async fn save(&mut self, model: &str, records: Vec<Bytes>) -> Result<StreamCommit> {
        self.apply(model, records.into_iter().map(PageRecord::from).collect(), Vec::new()).await
    }

    /// Saves and deletes in one commit, with the checkpoint set just before: for pages of a change feed, and for records whose
    /// id is not their member `id`.
    pub async fn apply(&mut self, model: &str, records: Vec<PageRecord>, deleted: Vec<String>) -> Result<StreamCommit> {
        self.commit(model, records, deleted.into_iter().map(PageDelete::from).collect(), false).await
    }

    /// Saves a page of typed records.
    pub async fn save_typed<T: Serialize>(&mut self, model: &str, records: &[T]) -> Result<StreamCommit> {
        let records =
            records.iter().map(|record| serde_json::to_vec(record).map(Bytes::from)).collect::<Result<_, _>>();
        let records = records
            .map_err(|source| Error::new(ErrorKind::Invalid, "a record cannot be written as JSON").because(source))?;
        self.save(model, records).await
    }

    /// Deletes records that the API says are gone.
    pub async fn delete(&mut self, model: &str, ids: Vec<String>) -> Result<StreamCommit> {
        self.commit(model, Vec::new(), ids.into_iter().map(PageDelete::from).collect(), false).await
    }

    /// Deletes records at the versions at which the source deleted them, so that nothing older that comes late, such as a
    /// webhook, brings them back: for models with a [`version`](super::ModelInfo::versioned_by).
    pub async fn delete_versions(&mut self, model: &str, deleted: Vec<PageDelete>) -> Result<StreamCommit> {
        self.commit(model, Vec::new(), deleted, false).await
    }

    /// Says that this run saw every record of `model`: what it did not see is deleted, within the
    /// guard. Only on a full refresh; elsewhere it is an error. Never call it after a page failed.
    pub async fn complete(&mut self, model: &str) -> Result<()> {
        if !self.is_full_refresh() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "only a full refresh can be complete: an incremental run saw changes alone",
            )
            .with("model", model));
        }
        self.commit(model, Vec::new(), Vec::new(), true).await.map(drop)
    }

    /// Waits: for an API that asks for it in its own way.
    pub async fn sleep(&self, time: Duration) {
        self.host.sleep(time).await;
    }

    /// Sends a request once and gives back the answer, whatever its status: for who judges answers
    /// himself. Origins, credentials, the connection's budget and the pauses the API asked for hold as ever.
    pub async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.host.send(request.any_status()).await
    }

    /// Sends a request with the connection's credentials. Waits out rate limits, retries what may
    /// succeed later; any status of 400 or above comes back as an error.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.host.send(request).await
    }

    /// Notes a line of the run's log. Never a secret.
    pub fn log(&self, level: LogLevel, message: impl AsRef<str>) {
        self.host.log(level, message.as_ref());
    }

    /// Says how many records there are to fetch.
    pub fn expect_total(&mut self, total: u64) {
        self.progress.total = Some(total);
        self.host.progress(self.progress);
    }

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }

    /// How far the run has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Stores what no save took along: a checkpoint, records set aside. The host calls it when the fetch ended well.
    pub async fn finish(&mut self) -> Result<()> {
        if let Some(first) = self.aside.first() {
            let (model, checkpoint) = (first.model.clone(), self.pending.take());
            self.commit(&model, Vec::new(), Vec::new(), false).await?;
            self.pending = checkpoint;
        }
        match self.pending.take() {
            Some(checkpoint) => self.host.commit_checkpoint(checkpoint).await,
            None => Ok(()),
        }
    }

    async fn commit(
        &mut self,
        model: &str,
        records: Vec<PageRecord>,
        deleted: Vec<PageDelete>,
        complete: bool,
    ) -> Result<StreamCommit> {
        let fetched = (records.len() + self.aside.len()) as u64;
        let page = PageOfChanges {
            model: model.to_owned(),
            records,
            deleted,
            aside: self.aside.clone(),
            checkpoint: self.pending.clone(),
            complete,
        };
        // Those of the page's own model are among its rejected records.
        let others = self.aside.iter().filter(|record| record.model != model).count() as u64;
        let commit = self.host.commit(page).await?;
        self.pending = None;
        self.aside.clear();
        let progress = &mut self.progress;
        progress.pages += u64::from(fetched > 0);
        progress.fetched += fetched;
        progress.set_aside += others + commit.rejected.len() as u64;
        progress.added += commit.added;
        progress.updated += commit.updated;
        progress.unchanged += commit.unchanged;
        progress.deleted += commit.deleted;
        self.host.progress(*progress);
        Ok(commit)
    }
}

impl fmt::Debug for SyncContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncContext")
            .field("setup", &self.setup)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
