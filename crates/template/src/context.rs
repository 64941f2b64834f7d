//! What a template sees and does during a run.

mod incomplete;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::auth::SecretRenewal;
use super::changes::{SourceDelete, SourceRecord};
use super::host::{ChangeSet, LogLevel, Progress, RunHost, RunSetup, SetAsideRecord};
use super::http::{HttpRequest, HttpResponse};
use super::secret::Secret;
use highwater_core::{Error, ErrorKind, Json, RecordId, Result, StreamCommit, Timestamp};

/// A run, as its template sees it: requests go out, pages of records are saved, and a checkpoint says where the next run begins.
///
/// ```
/// use highwater_template::{HttpRequest, Result, SyncContext};
///
/// async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
///     // A feed of changes: each response says where the next one begins.
///     let mut position = context.last_checkpoint::<String>()?.unwrap_or_default();
///     loop {
///         let page = context.send(HttpRequest::get("/changes").query("after", &position)).await?;
///         let notes = page.elements_at("/notes")?;
///         if notes.is_empty() {
///             break;
///         }
///         position = page.string_at("/next")?;
///         context.checkpoint(&position)?; // becomes durable together with the page
///         context.save("Note", notes).await?;
///     }
///     if context.is_full_refresh() { context.complete("Note").await } else { Ok(()) }
/// }
/// # let _ = fetch;
/// ```
pub struct SyncContext<'h> {
    host: &'h dyn RunHost,
    setup: RunSetup,
    pending_checkpoint: Option<Bytes>,
    /// Records that wait for the next commit.
    set_aside: Vec<SetAsideRecord>,
    /// Set once records are missing: the next run has to begin at or before them.
    checkpoint_is_final: bool,
}

impl<'h> SyncContext<'h> {
    /// Begins a run on `host`.
    pub fn new(host: &'h dyn RunHost, setup: RunSetup) -> Self {
        SyncContext { host, setup, pending_checkpoint: None, set_aside: Vec::new(), checkpoint_is_final: false }
    }

    /// Returns the connection's id.
    pub fn connection(&self) -> &str {
        &self.setup.connection
    }

    /// Returns a setting that the template cannot do without.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it was not given and has no default.
    pub fn config(&self, name: &str) -> Result<&str> {
        self.optional_config(name).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a setting of the template is missing: give it in the connection's config")
                .with("setting", name)
        })
    }

    /// Returns a setting, if it was given or has a default.
    pub fn optional_config(&self, name: &str) -> Option<&str> {
        self.setup.config.get(name).map(String::as_str)
    }

    /// Returns every setting that was given or has a default.
    pub fn config_values(&self) -> &BTreeMap<String, String> {
        &self.setup.config
    }

    /// Returns the connection's metadata: JSON of the host's, as it was when the run began. Empty where there is none.
    ///
    /// ```
    /// # fn example(context: &highwater_template::SyncContext<'_>) {
    /// let labels = context.metadata().get("labels").and_then(|labels| labels.as_array());
    /// # let _ = labels;
    /// # }
    /// ```
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.setup.metadata
    }

    /// Returns a secret setting, if it was given with the connection's credentials.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.host.secret(name)
    }

    /// Renews secret settings, such as a refresh token that works once.
    ///
    /// At most one renewal of a connection runs at a time, in all processes on the store. It sees what the one before it
    /// left, and what it returns is stored before this returns.
    ///
    /// # Errors
    ///
    /// The renewal's own; and those of the store of credentials, which then does not have the new ones.
    pub async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()> {
        self.host.renew_secrets(renewal).await
    }

    /// Returns the host of the run, for work that outlasts a borrow of the context.
    pub fn host(&self) -> &'h dyn RunHost {
        self.host
    }

    /// Returns the sync's variant, if it is not the default one.
    pub fn variant(&self) -> Option<&str> {
        self.setup.variant.as_deref()
    }

    /// Returns whether the run is to read everything: the first run, or a full refresh. One that was interrupted stays
    /// a full refresh, and continues from its own last checkpoint.
    pub fn is_full_refresh(&self) -> bool {
        self.setup.resumed || self.setup.checkpoint.is_none()
    }

    /// Returns when the run's first attempt began. Whatever changes at the API from then on belongs to the next run: see
    /// [`Window`](super::Window).
    pub fn started_at(&self) -> Timestamp {
        self.setup.started_at
    }

    /// Returns the checkpoint of the last run; in a full refresh that was interrupted, its own last one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the stored checkpoint is not a `T`.
    pub fn last_checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let checkpoint = self.setup.checkpoint.as_ref();
        checkpoint.map(Json::to).transpose().map_err(|source| {
            Error::new(ErrorKind::Invalid, "the stored checkpoint has another shape: run a full refresh once")
                .because(source)
        })
    }

    /// Sets where the next run begins.
    ///
    /// The checkpoint becomes durable together with the records of the next [`save`](SyncContext::save), so set it just
    /// before the save that it covers. One that is set after the last save is stored when the run ends well. After
    /// [`mark_incomplete`](SyncContext::mark_incomplete), checkpoints are ignored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it cannot be written as JSON.
    pub fn checkpoint<T: Serialize + ?Sized>(&mut self, checkpoint: &T) -> Result<()> {
        self.set_checkpoint(serde_json::to_vec(checkpoint))
    }

    fn set_checkpoint(&mut self, text: serde_json::Result<Vec<u8>>) -> Result<()> {
        let text = text.map_err(|source| {
            Error::new(ErrorKind::Invalid, "the checkpoint cannot be written as JSON").because(source)
        })?;
        if !self.checkpoint_is_final {
            self.pending_checkpoint = Some(text.into());
        }
        Ok(())
    }

    /// Saves a page of records: JSON objects with a member `id`, as the API wrote them.
    ///
    /// A record that cannot be saved (no id, no JSON object, too large) does not fail the page: it is set aside, and named
    /// in [`StreamCommit::rejected`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Fenced`] once another process runs the sync, and any error of the store. Return them from
    /// [`Template::fetch`](super::Template::fetch).
    pub async fn save(&mut self, model: &str, records: Vec<Bytes>) -> Result<StreamCommit> {
        self.apply(model, records.into_iter().map(SourceRecord::from).collect(), Vec::new()).await
    }

    /// Saves and deletes in one commit, with the checkpoint that was set before: for a page of a change feed, and for
    /// records whose id is not their member `id`.
    ///
    /// # Errors
    ///
    /// Those of [`save`](SyncContext::save).
    pub async fn apply(
        &mut self,
        model: &str,
        records: Vec<SourceRecord>,
        deleted: Vec<RecordId>,
    ) -> Result<StreamCommit> {
        self.commit(model, records, deleted.into_iter().map(SourceDelete::from).collect(), false).await
    }

    /// Saves a page of typed records, which serialise to JSON objects with a member `id`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if one cannot be written as JSON, and those of [`save`](SyncContext::save).
    pub async fn save_typed<T: Serialize>(&mut self, model: &str, records: &[T]) -> Result<StreamCommit> {
        let records =
            records.iter().map(|record| serde_json::to_vec(record).map(Bytes::from)).collect::<Result<_, _>>();
        let records = records
            .map_err(|source| Error::new(ErrorKind::Invalid, "a record cannot be written as JSON").because(source))?;
        self.save(model, records).await
    }

    /// Deletes records that the API says are gone.
    ///
    /// Takes ids, or [`SourceDelete`]s with the versions at which the source deleted them, for models with a
    /// [`version`](super::ModelInfo::version_pointer): then nothing older that comes late, such as a webhook, restores them.
    ///
    /// # Errors
    ///
    /// Those of [`save`](SyncContext::save).
    pub async fn delete<D: Into<SourceDelete>>(
        &mut self,
        model: &str,
        deleted: impl IntoIterator<Item = D>,
    ) -> Result<StreamCommit> {
        let deleted = deleted.into_iter().map(Into::into).collect();
        self.commit(model, Vec::new(), deleted, false).await
    }

    /// Declares that this run has seen every record of `model`: what it did not see is deleted when the run ends, unless
    /// that is more than the sync's guard allows. Never call it after a page failed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] in an incremental run, which sees only changes, and those of [`save`](SyncContext::save).
    pub async fn complete(&mut self, model: &str) -> Result<()> {
        if !self.is_full_refresh() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "only a full refresh can be complete: an incremental run sees nothing but changes",
            )
            .with("model", model));
        }
        self.commit(model, Vec::new(), Vec::new(), true).await.map(drop)
    }

    /// Waits, for APIs that ask for it in a way of their own. Rate limits are waited for without it.
    pub async fn sleep(&self, time: Duration) {
        self.host.sleep(time).await;
    }

    /// Sends a request to the API, and returns the response with its whole body.
    ///
    /// Adds the connection's credentials and the provider's headers, waits for the rate limit, follows redirects within
    /// the provider's origins, refreshes an access token that expired, and retries what may succeed later. To handle
    /// failures by status, see [`HttpRequest::accept_status`] and [`HttpRequest::any_status`].
    ///
    /// # Errors
    ///
    /// For a status of 400 or above: see [`HttpResponse::error_for_status`]. Otherwise [`ErrorKind::Unavailable`] without a
    /// response, [`ErrorKind::RateLimited`] if the wait is too long, [`ErrorKind::Invalid`] for a URL that is none or at
    /// another origin, [`ErrorKind::Remote`] for a response that cannot be read. Return them from
    /// [`Template::fetch`](super::Template::fetch): the engine runs the sync again when it makes sense.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.host.send(request).await
    }

    /// Adds a line to the run's log. Secrets of the connection are removed from it; other secrets do not belong there.
    pub fn log(&self, level: LogLevel, message: impl AsRef<str>) {
        self.host.log(level, message.as_ref());
    }

    /// Sets how many records there are to fetch, for those who watch the run.
    pub fn expect_total(&mut self, total: u64) {
        self.host.expect_total(total);
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }

    /// Returns how far the run has come, in all its attempts.
    pub fn progress(&self) -> Progress {
        self.host.progress()
    }

    /// Stores what no save took along: a checkpoint, records set aside. The engine calls it when the fetch ended well.
    ///
    /// # Errors
    ///
    /// Those of [`save`](SyncContext::save).
    pub async fn finish(&mut self) -> Result<()> {
        if let Some(first) = self.set_aside.first() {
            let (model, checkpoint) = (first.model.clone(), self.pending_checkpoint.take());
            self.commit(&model, Vec::new(), Vec::new(), false).await?;
            self.pending_checkpoint = checkpoint;
        }
        match self.pending_checkpoint.take() {
            Some(checkpoint) => self.host.defer_checkpoint(checkpoint),
            None => Ok(()),
        }
    }

    async fn commit(
        &mut self,
        model: &str,
        records: Vec<SourceRecord>,
        deleted: Vec<SourceDelete>,
        complete: bool,
    ) -> Result<StreamCommit> {
        let changes = ChangeSet {
            model: model.to_owned(),
            records,
            deleted,
            set_aside: self.set_aside.clone(),
            checkpoint: self.pending_checkpoint.clone(),
            complete,
        };
        let commit = self.host.commit(changes).await?;
        self.pending_checkpoint = None;
        self.set_aside.clear();
        Ok(commit)
    }
}

impl fmt::Debug for SyncContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncContext")
            .field("setup", &self.setup)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
