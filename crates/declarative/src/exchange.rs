//! What a host implements for a read: an [`Exchange`] that sends requests, and a [`Sink`] that takes pages of records.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{Error, Result};
use highwater_interpolation::Value;
use highwater_template::{HttpRequest, HttpResponse};

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Reads records.
    Records,
    /// Gets or checks a token.
    Authentication,
}

/// A request with its credentials, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The request. The values in `query` are not encoded yet; the URL may have a query of its own.
    pub http: HttpRequest,
    /// Its purpose.
    pub purpose: Purpose,
}

impl Request {
    pub(crate) fn new(http: HttpRequest, purpose: Purpose) -> Self {
        Request { http, purpose }
    }
}

/// Sends the requests of a read: the interpreter reaches the network in no other way.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Sends one request and returns its response, whatever the status. The manifest's error handler decides what a status
    /// means.
    ///
    /// # Errors
    /// Only where there was no response. The read ends with this error.
    async fn send(&self, request: Request) -> Result<HttpResponse>;

    /// Waits for `duration`, as the manifest or the server demands.
    async fn sleep(&self, duration: Duration);

    /// Renews the tokens that a `refresh_token_updater` keeps in the config.
    ///
    /// An implementation that stores configs lets one renewal run at a time, calls [`ConfigRenewal::renew`] with the current
    /// config, and stores the values that it returns before this method returns. The default stores nothing: new tokens last as
    /// long as the [`Source`](crate::Source).
    ///
    /// # Errors
    /// The error of `renewal`, or one of storing the new values. The read ends with it.
    async fn renew_config(&self, renewal: &mut dyn ConfigRenewal) -> Result<()> {
        renewal.renew(None).await.map(drop)
    }
}

/// A renewal of tokens in the config: see [`Exchange::renew_config`].
#[async_trait]
pub trait ConfigRenewal: Send {
    /// Gets new tokens, and returns them with their paths in the config. Returns nothing where `config` has valid ones already.
    ///
    /// `config` is the current config; `None` stands for the one that the read began with, and what was renewed since.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`](highwater_core::ErrorKind::Unauthorized) if the token endpoint refuses, and the errors of
    /// [`Exchange::send`].
    async fn renew(&mut self, config: Option<Value>) -> Result<Vec<(Vec<String>, Value)>>;
}

/// Some records of a stream, and the state after them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// JSON objects. Records without a transformation share the bytes of the response.
    pub records: Vec<Bytes>,
    /// The state after these records, for [`Source::read`](crate::Source::read): that of the reference implementation, and the
    /// position within an open slice.
    pub state: Value,
    /// Why earlier records are missing: the API reported an error in their place. A read that begins at the state of an earlier
    /// page finds them, so keep that state.
    pub incomplete: Option<String>,
}

impl Page {
    pub(crate) fn new(records: Vec<Bytes>, state: Value) -> Self {
        Page { records, state, incomplete: None }
    }
}

/// Takes the records of a read.
#[async_trait]
pub trait Sink: Send {
    /// Takes a page. Store the records and the state in one transaction, or neither.
    ///
    /// # Errors
    /// An error ends the read; [`Source::read`](crate::Source::read) returns it.
    async fn page(&mut self, page: Page) -> Result<()>;

    /// Takes an item that stood among the records of the next page and is not one, as the API sent it, with the reason. The
    /// read continues, and is not sound. Drops the item by default.
    ///
    /// # Errors
    /// An error ends the read; [`Source::read`](crate::Source::read) returns it.
    async fn set_aside(&mut self, _payload: Bytes, _reason: &Error) -> Result<()> {
        Ok(())
    }

    /// Takes a warning. The read continues. Does nothing by default.
    fn warn(&mut self, _message: &str) {}
}

/// The result of a read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// How many records the sink got.
    pub records: u64,
    /// How many pages were requested.
    pub pages: u64,
    /// The final state.
    pub state: Value,
    /// Why records may be missing; `None` where the read is sound.
    pub unsound: Option<String>,
    /// Warnings, each once.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Returns whether the read saw everything that exists: every page had the path to the records and nothing but records
    /// there, and no response was passed over. Only then do records that were not read no longer exist.
    pub fn is_sound(&self) -> bool {
        self.unsound.is_none()
    }
}
