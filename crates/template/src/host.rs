//! What stands behind a run or an action: the traits that the engine implements, and the types that only they need.
//!
//! Templates do not need this module. A request takes one way: [`SyncContext::send`](crate::SyncContext::send) (or
//! [`ActionContext::send`](crate::actions::ActionContext::send)) calls [`ApiHost::send`], which adds credentials, waits for
//! limits and retries, and sends each attempt through a [`Transport`](crate::http::Transport).

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auth::SecretRenewal;
use super::changes::{SourceDelete, SourceRecord};
use super::http::{HttpRequest, HttpResponse};
use super::secret::Secret;
use highwater_core::timestamp::unix_ms;
use highwater_core::{Json, RecordId, Result, StreamCommit, Timestamp};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// A detail, for debugging.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is wrong, and the run continues.
    Warning,
    /// Something failed.
    Error,
}

/// What became of the records of a run, or of one of its models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Records added.
    pub added: u64,
    /// Records updated.
    pub updated: u64,
    /// Records found unchanged.
    pub unchanged: u64,
    /// Records deleted.
    pub deleted: u64,
    /// Records set aside because they could not be saved.
    pub set_aside: u64,
}

impl From<&StreamCommit> for Counts {
    fn from(commit: &StreamCommit) -> Self {
        let StreamCommit { added, updated, unchanged, deleted, .. } = *commit;
        Counts { added, updated, unchanged, deleted, set_aside: commit.rejected.len() as u64 }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.added += more.added;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.deleted += more.deleted;
        self.set_aside += more.set_aside;
    }
}

/// How far a run has come, in all its attempts.
///
/// Serialises as one flat object: the counts are members beside the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenProgress", into = "WrittenProgress")]
#[non_exhaustive]
pub struct Progress {
    /// Pages saved.
    pub pages: u64,
    /// Records fetched.
    pub fetched: u64,
    /// What became of the records.
    pub counts: Counts,
    /// How many records there are to fetch, where the API says so.
    pub total: Option<u64>,
    /// Until when the run waits for the API's rate limit.
    pub rate_limited_until: Option<Timestamp>,
}

/// [`Progress`] as it is stored. Flat without `#[serde(flatten)]`, which cannot read numbers where a host builds `serde_json`
/// with its feature `arbitrary_precision`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct WrittenProgress {
    pages: u64,
    fetched: u64,
    added: u64,
    updated: u64,
    unchanged: u64,
    deleted: u64,
    set_aside: u64,
    total: Option<u64>,
    #[serde(with = "unix_ms::option")]
    rate_limited_until_ms: Option<Timestamp>,
}

impl From<WrittenProgress> for Progress {
    fn from(written: WrittenProgress) -> Self {
        let WrittenProgress { added, updated, unchanged, deleted, set_aside, .. } = written;
        Progress {
            pages: written.pages,
            fetched: written.fetched,
            counts: Counts { added, updated, unchanged, deleted, set_aside },
            total: written.total,
            rate_limited_until: written.rate_limited_until_ms,
        }
    }
}

impl From<Progress> for WrittenProgress {
    fn from(progress: Progress) -> Self {
        let Counts { added, updated, unchanged, deleted, set_aside } = progress.counts;
        WrittenProgress {
            pages: progress.pages,
            fetched: progress.fetched,
            added,
            updated,
            unchanged,
            deleted,
            set_aside,
            total: progress.total,
            rate_limited_until_ms: progress.rate_limited_until,
        }
    }
}

/// What a run begins with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunSetup {
    /// The connection's id.
    pub connection: String,
    /// The template's settings, with defaults filled in.
    pub config: BTreeMap<String, String>,
    /// The connection's metadata.
    pub metadata: Map<String, Value>,
    /// The last checkpoint; `None` in the first run and at the beginning of a full refresh.
    pub checkpoint: Option<Json>,
    /// The sync's variant, if it is not the default one.
    pub variant: Option<String>,
    /// Whether this is a full refresh that was interrupted and continues at its checkpoint.
    pub resumed: bool,
    /// When the run's first attempt began.
    pub started_at: Timestamp,
}

impl RunSetup {
    /// Begins a run of `connection` without settings and checkpoint.
    pub fn new(connection: impl Into<String>) -> Self {
        RunSetup { connection: connection.into(), ..RunSetup::default() }
    }

    /// Sets the template's settings.
    #[must_use]
    pub fn config(mut self, config: BTreeMap<String, String>) -> Self {
        self.config = config;
        self
    }

    /// Sets the connection's metadata. Empty by default.
    #[must_use]
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets the last checkpoint.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: Option<Json>) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// Sets the sync's variant.
    #[must_use]
    pub fn variant(mut self, variant: Option<String>) -> Self {
        self.variant = variant;
        self
    }

    /// Sets whether this is a full refresh that was interrupted. False by default.
    #[must_use]
    pub fn resumed(mut self, resumed: bool) -> Self {
        self.resumed = resumed;
        self
    }

    /// Sets when the run's first attempt began. The Unix epoch by default.
    #[must_use]
    pub fn started_at(mut self, started_at: Timestamp) -> Self {
        self.started_at = started_at;
        self
    }
}

/// What a run saves in one commit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChangeSet {
    /// The records' model.
    pub model: String,
    /// Records to save.
    pub records: Vec<SourceRecord>,
    /// Records to delete.
    pub deleted: Vec<SourceDelete>,
    /// Records, of any model, that cannot be saved.
    pub set_aside: Vec<SetAsideRecord>,
    /// Where a run continues after these changes.
    pub checkpoint: Option<Bytes>,
    /// Whether the run has seen every record of the model.
    pub complete: bool,
}

/// A record that cannot be saved, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAsideRecord {
    /// The record's model.
    pub model: String,
    /// The record's id, where it is known.
    pub id: Option<RecordId>,
    /// What the API sent, or the beginning of it.
    pub payload: Bytes,
    /// Why it cannot be saved.
    pub reason: String,
}

/// What the next run does about records that a run did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRun {
    /// It begins before them: this run's checkpoint does not move past them.
    ReadsAgain,
    /// It continues behind them: reading them again would not help.
    MovesOn,
}

/// The way to the API of one connection. The engine implements it once for runs and once for actions.
#[async_trait]
pub trait ApiHost: Send + Sync {
    /// Sends a request with the connection's credentials, within its rate limit, with retries.
    ///
    /// # Errors
    ///
    /// See [`SyncContext::send`](crate::SyncContext::send).
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse>;
    /// Returns a secret setting of the connection.
    fn secret(&self, name: &str) -> Option<Secret>;
    /// Runs a renewal of secret settings when it is the only one of the connection, and stores what it returns.
    ///
    /// # Errors
    ///
    /// The renewal's own; and those of the store of credentials, which then does not have the new ones.
    async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()>;
    /// Waits.
    async fn sleep(&self, time: Duration);
    /// Adds a line to the log, without the connection's secrets.
    fn log(&self, level: LogLevel, message: &str);
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// What stands behind a [`SyncContext`](crate::SyncContext): the way to the API, and where the run's records go.
#[async_trait]
pub trait RunHost: ApiHost {
    /// Saves changes: all of them become durable and visible together, or none. Counts them in [`RunHost::progress`].
    /// Returns what became of the records of the set's own model.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) once another process runs the sync, and any error of the store.
    async fn commit(&self, changes: ChangeSet) -> Result<StreamCommit>;
    /// Keeps a checkpoint for the commit that ends the run. Nothing is stored before that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the checkpoint is not JSON.
    fn defer_checkpoint(&self, checkpoint: Bytes) -> Result<()>;
    /// Notes that the run does not see every record of a model, and why: it deletes nothing of the model.
    fn mark_incomplete(&self, model: &str, reason: &str, next: NextRun);
    /// Sets how many records there are to fetch.
    fn expect_total(&self, total: u64);
    /// Returns how far the run has come.
    fn progress(&self) -> Progress;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_stored_as_one_flat_object() {
        let text = r#"{"pages":1,"fetched":2,"added":3,"updated":4,"unchanged":5,"deleted":6,"set_aside":7,"total":8,"rate_limited_until_ms":9}"#;
        let progress: Progress = serde_json::from_str(text).unwrap();
        assert_eq!((progress.counts.added, progress.counts.set_aside), (3, 7));
        assert_eq!(progress.rate_limited_until, Some(Timestamp::from_unix_ms(9)));
        assert_eq!(serde_json::to_string(&progress).unwrap(), text);
        // Documents of earlier versions lack members.
        assert_eq!(serde_json::from_str::<Progress>("{}").unwrap(), Progress::default());
    }
}
