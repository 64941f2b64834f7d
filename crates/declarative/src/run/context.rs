//! What one read has at hand.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, FixedOffset, Utc};
use highwater_core::{Environment, Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, Map, Value};
use highwater_template::{HttpResponse, Redactor, Secret};

use super::auth::Token;
use super::budget::Spent;
use super::quota::Counters;
use super::slice::Slice;
use crate::exchange::Exchange;
use crate::manifest::Manifest;
use crate::model::Scope;
use crate::source::Source;

/// Bounds on what a hostile or broken server can make a read do.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The largest body that is read.
    pub body_bytes: usize,
    /// Pages of one slice.
    pub pages: usize,
    /// Slices of one partition.
    pub windows: usize,
    /// Bytes of answers kept for equal requests.
    pub kept_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { body_bytes: 256 << 20, pages: 100_000, windows: 1_000_000, kept_bytes: 64 << 20 }
    }
}

pub(crate) struct Run<'r> {
    pub manifest: &'r Manifest,
    pub config: &'r Value,
    pub interpolator: &'r Interpolator,
    pub environment: &'r dyn Environment,
    pub exchange: &'r dyn Exchange,
    /// What was used of the manifest's budget of requests.
    pub budget: &'r Spent,
    pub limits: Limits,
    /// The state the read began with: `stream_state` of older manifests.
    pub state: &'r Value,
    /// Values of the config that must not be told.
    pub secrets: &'r [String],
    kept: Mutex<Kept>,
    tokens: Mutex<HashMap<String, Token>>,
    /// What is left of the quotas of tokens, by the pool they belong to.
    counters: Mutex<HashMap<String, Counters>>,
    renewed: &'r Mutex<Renewed>,
    notes: Mutex<Notes>,
}

/// The config since tokens in it were renewed.
#[derive(Default)]
pub(crate) struct Renewed {
    config: Option<Value>,
    /// The config's access token that was used last.
    used: Option<String>,
    /// The one that the API did not take.
    refused: Option<String>,
}

impl std::fmt::Debug for Renewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewed").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, HttpResponse>,
    bytes: usize,
}

#[derive(Default)]
struct Notes {
    warnings: BTreeSet<String>,
    /// Why what was read may not be everything: the first reason.
    unsound: Option<String>,
    /// Why records that there are were not read.
    lost: Option<String>,
    pages: u64,
}

/// A token as templates see it, and variables of a request.
pub(crate) struct RequestVariables<'s> {
    slice: &'s Slice,
    next_page_token: Value,
}

impl<'s> RequestVariables<'s> {
    pub(crate) fn new(slice: &'s Slice, token: Option<&Value>) -> Self {
        let next_page_token = match token {
            Some(token) => Value::Object(Map::from_iter([("next_page_token".to_owned(), token.clone())])),
            None => Value::Null,
        };
        RequestVariables { slice, next_page_token }
    }
}

impl<'r> Run<'r> {
    pub(crate) fn new(source: &'r Source, exchange: &'r dyn Exchange, state: &'r Value) -> Self {
        Run {
            manifest: source.manifest(),
            config: source.config(),
            interpolator: source.interpolator(),
            environment: source.environment(),
            exchange,
            budget: source.budget(),
            limits: Limits::default(),
            state,
            secrets: source.secrets(),
            kept: Mutex::default(),
            tokens: Mutex::default(),
            counters: Mutex::default(),
            renewed: source.renewed(),
            notes: Mutex::default(),
        }
    }

    /// Config alone.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope::new(self.interpolator, self.config)
    }

    /// Config, slice and page token.
    pub(crate) fn request_scope<'s>(&'s self, variables: &'s RequestVariables<'s>) -> Scope<'s> {
        let mut scope = variables
            .slice
            .seen(&self.scope())
            .with("next_page_token", &variables.next_page_token)
            .with("stream_state", self.state);
        for (name, value) in &variables.slice.extra {
            scope = scope.with(name, value);
        }
        scope
    }

    pub(crate) fn now(&self) -> DateTime<FixedOffset> {
        now(self.environment)
    }

    pub(crate) fn kept(&self, key: &str) -> Option<HttpResponse> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).answers.get(key).cloned()
    }

    pub(crate) fn keep(&self, key: String, response: &HttpResponse) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + response.body.len() <= self.limits.kept_bytes {
            kept.bytes += response.body.len();
            kept.answers.insert(key, response.clone());
        }
    }

    pub(crate) fn token(&self, key: &str) -> Option<Token> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn set_token(&self, key: String, token: Token) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token);
    }

    pub(crate) fn drop_tokens(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.refused = renewed.used.take();
    }

    /// The config with the tokens that were renewed since.
    pub(crate) fn renewed_config(&self) -> Value {
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.config.as_ref().unwrap_or(self.config).clone()
    }

    pub(crate) fn set_renewed(&self, config: Value) {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).config = Some(config);
    }

    /// Whether an access token of the config may be used, as far as the API has told. Notes that it is.
    pub(crate) fn use_token(&self, token: &str) -> bool {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.refused.as_deref() == Some(token) {
            return false;
        }
        renewed.used = Some(token.to_owned());
        true
    }

    pub(super) fn counters(&self) -> MutexGuard<'_, HashMap<String, Counters>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes once that something is odd.
    pub(crate) fn warn(&self, message: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.warnings.len() < 100 {
            notes.warnings.insert(message);
        }
    }

    /// What was read may not be all there is.
    pub(crate) fn unsound(&self, message: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).unsound.get_or_insert_with(|| message.clone());
        self.warn(message);
    }

    /// Records that there are were not read: what comes after them must not be taken for all that is left.
    pub(crate) fn lost(&self, message: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert_with(|| message.clone());
        self.unsound(message);
    }

    /// Why records that there are were not read.
    pub(crate) fn loss(&self) -> Option<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).lost.clone()
    }

    /// Why what was read may not be everything.
    pub(crate) fn unsoundness(&self) -> Option<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).unsound.clone()
    }

    pub(crate) fn count_page(&self) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).pages += 1;
    }

    /// Warnings, whether everything was sound, and pages.
    pub(crate) fn notes(&self) -> (Vec<String>, bool, u64) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        (notes.warnings.iter().cloned().collect(), notes.unsound.is_none(), notes.pages)
    }

    /// A text without the secrets of the config.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let secrets: Vec<Secret> = self.secrets.iter().map(Secret::new).collect();
        Redactor::new(&secrets).redact(text)
    }

    pub(crate) fn remote(&self, kind: ErrorKind, message: &str) -> Error {
        Error::new(kind, self.redacted(&crate::model::decode::one_line(message)))
    }

    pub(crate) fn check_body(&self, response: &HttpResponse, at: &str) -> Result<()> {
        if response.body.len() > self.limits.body_bytes {
            return Err(Error::new(ErrorKind::Remote, "the response is larger than the limit: ask for smaller pages")
                .with("at", at)
                .with("bytes", response.body.len()));
        }
        Ok(())
    }
}

pub(crate) fn now(environment: &dyn Environment) -> DateTime<FixedOffset> {
    let microseconds = i64::try_from(environment.unix_us()).unwrap_or(i64::MAX);
    DateTime::<Utc>::from_timestamp_micros(microseconds).unwrap_or_default().fixed_offset()
}
