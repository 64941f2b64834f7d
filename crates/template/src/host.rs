//! What stands behind a run: the way to the API, and where its pages go.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::http::HttpRequest;
use super::page::PageOfChanges;
use super::response::HttpResponse;
use super::secret::Secret;
use highwater_core::Result;
use highwater_core::StreamCommit;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For whoever looks closely.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be; the run goes on.
    Warning,
    /// Something failed.
    Error,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Progress {
    /// Pages saved.
    pub pages: u64,
    /// Records fetched.
    pub fetched: u64,
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
    /// How many records there are to fetch, where the API tells.
    pub total: Option<u64>,
    /// Until when the run waits for the API's rate limit: Unix milliseconds.
    pub rate_limited_until_ms: Option<u64>,
}

/// How secret settings of a connection are renewed, such as a refresh token that works once. The host sees to it that
/// one run at a time does it.
///
/// ```
/// use highwater_template::async_trait::async_trait;
/// use highwater_template::{HttpRequest, Secret, SecretRenewal, SyncContext};
/// use highwater_core::{Error, ErrorKind, Result};
///
/// /// A key that the API changes for another.
/// struct Exchanged<'c, 'h> {
///     context: &'c SyncContext<'h>,
///     used: Option<Secret>,
/// }
///
/// #[async_trait]
/// impl SecretRenewal for Exchanged<'_, '_> {
///     async fn renew(
///         &mut self,
///         current: &(dyn for<'n> Fn(&'n str) -> Option<Secret> + Sync),
///     ) -> Result<Vec<(String, Secret)>> {
///         let key = current("key").ok_or_else(|| Error::new(ErrorKind::Invalid, "there is no key: give one"))?;
///         if self.used.as_ref() != Some(&key) {
///             return Ok(Vec::new()); // somebody was faster
///         }
///         let request = HttpRequest::new("POST", "/keys/exchange").form([("key", key.expose())]);
///         let key: String = self.context.send(request).await?.json()?;
///         Ok(vec![("key".to_owned(), Secret::new(key))])
///     }
/// }
///
/// async fn renew(context: &SyncContext<'_>) -> Result<()> {
///     context.renew_secrets(&mut Exchanged { context, used: context.secret("key") }).await
/// }
/// # let _ = renew;
/// ```
#[async_trait]
pub trait SecretRenewal: Send {
    /// The secret settings that changed; none if they were renewed already. `current` reads one as it is now: another run
    /// may have renewed it while this one waited. What is returned is kept before anything else happens.
    async fn renew(
        &mut self,
        current: &(dyn for<'n> Fn(&'n str) -> Option<Secret> + Sync),
    ) -> Result<Vec<(String, Secret)>>;
}

/// The way to the API of one connection: the engine, or a test's own.
#[async_trait]
pub trait ApiHost: Send + Sync {
    /// Sends a request with the connection's credentials, within its limits.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse>;
    /// A secret setting of the connection.
    fn secret(&self, name: &str) -> Option<Secret>;
    /// Keeps a secret setting that changed, such as a refresh token that works once.
    async fn renew_secret(&self, name: &str, secret: Secret) -> Result<()>;
    /// Renews secret settings while nobody else renews any of the connection.
    async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()>;
    /// Waits.
    async fn sleep(&self, time: Duration);
    /// Notes a line of the log.
    fn log(&self, level: LogLevel, message: &str);
    /// Unix time in milliseconds.
    fn now_ms(&self) -> u64;
}

/// What stands behind a [`SyncContext`](super::SyncContext): the engine, or a test's own.
#[async_trait]
pub trait RunHost: ApiHost {
    /// Commits a page. The checkpoint and the records become durable together.
    async fn commit(&self, page: PageOfChanges) -> Result<StreamCommit>;
    /// Removes or sets the checkpoint alone, at the end of a run.
    async fn commit_checkpoint(&self, checkpoint: Bytes) -> Result<()>;
    /// Remembers that the run has not seen all of a model, and why: it deletes nothing of it. `again`: the records are to
    /// be read again, so a full refresh leaves no checkpoint.
    fn incomplete(&self, model: &str, reason: &str, again: bool);
    /// Tells how far the run has come.
    fn progress(&self, progress: Progress);
}
