//! What all requests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::Environment;
use highwater_engine::webhooks::Outbox;
use highwater_engine::{CancelToken, Engine};

use crate::connect::ConnectSessions;
use crate::error::ApiError;
use crate::guard::Guard;
use crate::keys::{self, Key, Keys, NewKey, Scope};
use crate::limits::Limits;
use crate::rate::RateLimit;
use crate::routes::{AnswerCache, Followed};
use crate::server::Compat;

/// Whose bucket of requests those with unknown keys take from: no key has this id.
const STRANGERS: &str = "";

/// What all requests share.
pub(crate) struct State {
    pub(crate) engine: Engine,
    pub(crate) outbox: Outbox,
    pub(crate) keys: Keys,
    pub(crate) limits: Limits,
    pub(crate) guard: Guard,
    pub(crate) compat: Compat,
    pub(crate) rate: RateLimit,
    pub(crate) connect: ConnectSessions,
    /// Answers of pages that are kept.
    pub(crate) cache: AnswerCache,
    /// What event streams of one model share.
    pub(crate) followed: Followed,
    /// The requests that were answered.
    #[cfg(feature = "metrics")]
    pub(crate) served: crate::routes::Served,
    /// Under which URL people reach the server, without a slash at the end; otherwise as their requests say.
    pub(crate) public_url: Option<String>,
    /// Where files are made that last as long as an answer.
    pub(crate) temporary_folder: PathBuf,
    /// Cancelled when the server is to stop: requests that wait answer at once.
    pub(crate) stopping: CancelToken,
    /// A key that lasts as long as the process, and its hash.
    pub(crate) temporary: Option<(Key, String)>,
}

impl State {
    pub(crate) fn environment(&self) -> &Arc<dyn Environment> {
        self.engine.environment()
    }

    /// Makes the key that lasts as long as the process.
    pub(crate) fn make_temporary_key(&mut self, scope: Scope) -> NewKey {
        let made = self.keys.temporary("temporary", scope);
        self.temporary = Some((made.key.clone(), keys::hash(made.secret.expose())));
        made
    }

    /// Returns the key of a request that names it in `Authorization`, if it has the scope and requests left.
    pub(crate) async fn authorize(&self, authorization: Option<&str>, needed: Scope) -> Result<Key, ApiError> {
        let text = authorization.ok_or_else(|| {
            ApiError::unauthenticated("missing_auth_header", "send the key in the header Authorization: Bearer KEY")
        })?;
        let text = match text.split_once(' ') {
            Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") => text.trim(),
            _ => {
                let message = "the header Authorization must be: Bearer KEY";
                return Err(ApiError::unauthenticated("malformed_auth_header", message));
            }
        };
        let Some(id) = keys::id_of(text) else {
            let message = "this is not the form of a key: pass it exactly as it was given out";
            return Err(ApiError::unauthenticated("invalid_secret_key_format", message));
        };
        let key = match &self.temporary {
            Some((key, hash)) if key.id == id && keys::is_hash_of(hash, text) => Some(key.clone()),
            _ => self.keys.find(text).await?,
        };
        let now = self.elapsed();
        let Some(key) = key else {
            // Counted together, so that guesses cost no memory, and never against a key that exists.
            self.admit_stranger()?;
            return Err(unknown_key());
        };
        self.rate.take(&key.id, now)?;
        if key.scope < needed {
            let message = format!("this needs a key of the scope {needed}; this one has the scope {}", key.scope);
            return Err(ApiError::new(axum::http::StatusCode::FORBIDDEN, "forbidden", message));
        }
        Ok(key)
    }

    /// Counts a request of somebody who could not say who it is. They share one bucket.
    pub(crate) fn admit_stranger(&self) -> Result<(), ApiError> {
        self.rate.take(STRANGERS, self.elapsed())
    }

    /// The time since some moment, by a clock that never goes back where there is one.
    pub(crate) fn elapsed(&self) -> Duration {
        let environment = self.environment();
        environment.elapsed().unwrap_or_else(|| environment.now().duration_since(Default::default()))
    }

    /// Refuses a key that was revoked since its request began.
    pub(crate) async fn check_key<'k>(&self, key: impl Into<Option<&'k Key>>) -> Result<(), ApiError> {
        let Some(key) = key.into() else { return Ok(()) };
        let temporary = self.temporary.as_ref().is_some_and(|(known, _)| known.id == key.id);
        if temporary || self.keys.is_known(&key.id).await? { Ok(()) } else { Err(unknown_key()) }
    }
}

fn unknown_key() -> ApiError {
    ApiError::unauthenticated("unknown_account", "the key is unknown here, or was revoked: create another")
}
