//! One read: its inputs, its limits, and what it keeps while it lasts.

use chrono::{DateTime, FixedOffset, Utc};
use highwater_core::{Environment, Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, Map, Value};
use highwater_template::redact::Redactor;
use highwater_template::{HttpResponse, Secret};

use super::answers::AnswerCache;
use super::counters::QuotaCounters;
use super::notes::Notes;
use super::slice::Slice;
use super::spent::Spent;
use super::tokens::{RenewedConfig, TokenCache};
use crate::exchange::Exchange;
use crate::manifest::Manifest;
use crate::model::Scope;

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

/// What a read is given: all of it belongs to the source, or to the caller.
pub(crate) struct RunInputs<'r> {
    pub manifest: &'r Manifest,
    pub config: &'r Value,
    pub interpolator: &'r Interpolator,
    pub environment: &'r dyn Environment,
    pub exchange: &'r dyn Exchange,
    /// What was used of the manifest's budget of requests.
    pub spent: &'r Spent,
    /// The state the read begins with: `stream_state` of older manifests.
    pub state: &'r Value,
    /// Secret values of the config, which messages never show.
    pub secrets: &'r [String],
    pub renewed: &'r RenewedConfig,
}

/// One read: what it was given, and what it keeps while it lasts.
pub(crate) struct Run<'r> {
    pub manifest: &'r Manifest,
    pub config: &'r Value,
    pub interpolator: &'r Interpolator,
    pub environment: &'r dyn Environment,
    pub exchange: &'r dyn Exchange,
    pub spent: &'r Spent,
    pub state: &'r Value,
    pub secrets: &'r [String],
    pub(super) renewed: &'r RenewedConfig,
    pub limits: Limits,
    pub(super) answers: AnswerCache,
    pub(super) tokens: TokenCache,
    pub(super) quotas: QuotaCounters,
    pub(super) notes: Notes,
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
    pub(crate) fn new(inputs: RunInputs<'r>) -> Self {
        let RunInputs { manifest, config, interpolator, environment, exchange, spent, state, secrets, renewed } =
            inputs;
        Run {
            manifest,
            config,
            interpolator,
            environment,
            exchange,
            spent,
            state,
            secrets,
            renewed,
            limits: Limits::default(),
            answers: AnswerCache::default(),
            tokens: TokenCache::default(),
            quotas: QuotaCounters::default(),
            notes: Notes::default(),
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

    /// Forgets the tokens that the API no longer takes.
    pub(crate) fn drop_tokens(&self) {
        self.tokens.clear();
        self.renewed.refuse_used();
    }

    /// A text without the secrets of the config.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let secrets: Vec<Secret> = self.secrets.iter().map(Secret::new).collect();
        Redactor::new(&secrets).redact(text)
    }

    pub(crate) fn remote(&self, kind: ErrorKind, message: &str) -> Error {
        Error::new(kind, self.redacted(&crate::wording::one_line(message)))
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
