//! The doors of a read: requests go out through one, pages of records come out of the other.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{Error, Result};
use highwater_interpolation::Value;
use highwater_template::{HttpRequest, HttpResponse};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// To read records.
    Records,
    /// To get or check a token.
    Authentication,
}

/// A request, complete with its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// What to send. Values are not yet encoded in `query`; the URL may have a query of its own.
    pub http: HttpRequest,
    /// What it is for.
    pub purpose: Purpose,
}

impl Request {
    pub(crate) fn new(http: HttpRequest, purpose: Purpose) -> Self {
        Request { http, purpose }
    }
}

/// The one door to the network.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Sends one request and returns its response, whatever the status. The manifest's error handler decides what a
    /// status means; an error here means that there was no response.
    async fn send(&self, request: Request) -> Result<HttpResponse>;

    /// Waits, as the manifest or the server asked for.
    async fn sleep(&self, duration: Duration);

    /// Renews what a `refresh_token_updater` keeps in the config: `renewal` alone, with the config as it is now, and what it
    /// gives back kept before this returns. Unless told otherwise, it is kept until the read ends and no longer.
    async fn renew_config(&self, renewal: &mut dyn ConfigRenewal) -> Result<()> {
        renewal.renew(None).await.map(drop)
    }
}

/// Tokens of the config, to be renewed.
#[async_trait]
pub trait ConfigRenewal: Send {
    /// The new values and their paths in the config; none where `config`, as it is now, has good ones already. `None`
    /// for the config that the read began with, and what was renewed since.
    async fn renew(&mut self, config: Option<Value>) -> Result<Vec<(Vec<String>, Value)>>;
}

/// Records that belong together, and how far the stream was read with them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// JSON objects; untransformed records share the response's bytes.
    pub records: Vec<Bytes>,
    /// Where to go on: the state of the reference implementation, with the place within it where a slice is open.
    pub state: Value,
    /// Why records exist that were not read until here: the API told of an error in their place. A later read finds them if
    /// it begins at the state of a page before, so keep that one.
    pub incomplete: Option<String>,
}

impl Page {
    pub(crate) fn new(records: Vec<Bytes>, state: Value) -> Self {
        Page { records, state, incomplete: None }
    }
}

/// Where pages go.
#[async_trait]
pub trait Sink: Send {
    /// Takes a page. The records and the state belong together: keep both or none.
    async fn page(&mut self, page: Page) -> Result<()>;

    /// Takes what stood among the records of the next page and is none, as the API gave it, with the reason. The read goes
    /// on and ends with [`Summary::sound`] false. By default it is dropped.
    async fn set_aside(&mut self, _payload: Bytes, _reason: &Error) -> Result<()> {
        Ok(())
    }

    /// Something is not as it should be; the read goes on.
    fn warn(&mut self, _message: &str) {}
}

/// How a read ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Records given to the sink.
    pub records: u64,
    /// Pages asked for.
    pub pages: u64,
    /// The final state.
    pub state: Value,
    /// Whether what was read is everything there is: every page had the path to the records and nothing but records
    /// there, and no response was passed over.
    pub sound: bool,
    /// Why it is not.
    pub unsound: Option<String>,
    /// What was odd, each once.
    pub warnings: Vec<String>,
}
