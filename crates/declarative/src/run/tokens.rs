//! Tokens that a read, or a source, caches.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, FixedOffset};
use highwater_core::locks::lock;
use highwater_interpolation::Value;

/// A token and until when it is good.
#[derive(Clone)]
pub(crate) struct Token {
    pub text: String,
    pub expires: Option<DateTime<FixedOffset>>,
}

/// The tokens of one read, by what they are for.
#[derive(Default)]
pub(super) struct TokenCache(Mutex<HashMap<String, Token>>);

impl TokenCache {
    /// Returns the token under `key`, expired or not.
    pub(super) fn get(&self, key: &str) -> Option<Token> {
        self.lock().get(key).cloned()
    }

    pub(super) fn set(&self, key: String, token: Token) {
        self.lock().insert(key, token);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Token>> {
        lock(&self.0)
    }
}

/// The config since tokens in it were renewed. Shared by all reads of a source: a refresh token may work once.
#[derive(Default)]
pub(crate) struct RenewedConfig(Mutex<Renewed>);

#[derive(Default)]
struct Renewed {
    config: Option<Value>,
    /// The config's access token that was used last.
    used: Option<String>,
    /// The one that the API did not take.
    refused: Option<String>,
}

impl RenewedConfig {
    /// The config with the tokens that were renewed since; `original` where none were.
    pub(super) fn or(&self, original: &Value) -> Value {
        self.lock().config.as_ref().unwrap_or(original).clone()
    }

    pub(super) fn set(&self, config: Value) {
        self.lock().config = Some(config);
    }

    /// Returns whether an access token of the config may be used: the API has not refused it. Notes its use.
    pub(super) fn use_token(&self, token: &str) -> bool {
        let mut renewed = self.lock();
        if renewed.refused.as_deref() == Some(token) {
            return false;
        }
        renewed.used = Some(token.to_owned());
        true
    }

    /// Notes that the API did not take the token that was used last.
    pub(super) fn refuse_used(&self) {
        let mut renewed = self.lock();
        renewed.refused = renewed.used.take();
    }

    fn lock(&self) -> MutexGuard<'_, Renewed> {
        lock(&self.0)
    }
}

/// Without what it keeps: that is secret.
impl fmt::Debug for RenewedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewedConfig").finish_non_exhaustive()
    }
}
