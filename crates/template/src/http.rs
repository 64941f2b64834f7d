//! Requests as templates make them, and the door they go through.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use super::response::{HttpResponse, Validator};
use highwater_core::{Error, ErrorKind, Result};

/// A request. The path is taken relative to the connection's base URL; a whole URL must be of the
/// same origin. Credentials are added later and never seen by the template.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// A path, or a whole URL (such as a `next` link).
    pub url: String,
    /// Added to the URL's query, encoded.
    pub query: Vec<(String, String)>,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Bytes>,
    /// Whether every status is an answer. Without it whatever is no success is an error, after the
    /// tries that may help; with it there is one try, and the caller judges. Redirects are followed either way; one that
    /// cannot be followed, and a 304 that nothing was asked for, are errors either way.
    pub any_status: bool,
    /// Statuses that are answers beside the successes. See [`HttpRequest::accepting`].
    pub accepted: Vec<u16>,
    /// Whether sending it twice does no harm. Otherwise it is not tried again once it may have arrived.
    pub repeatable: bool,
    /// How many bytes of the answer's body are wanted; all of them by default. See [`HttpRequest::read_at_most`].
    pub body_limit: Option<u64>,
    /// Whether it may go to globally routable addresses only. See [`HttpRequest::global_only`].
    pub global_only: bool,
}

impl HttpRequest {
    /// A request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        HttpRequest {
            method: method.into(),
            url: url.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            any_status: false,
            accepted: Vec::new(),
            repeatable: true,
            body_limit: None,
            global_only: false,
        }
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        HttpRequest::new("GET", url)
    }

    /// A `POST` of JSON.
    pub fn post_json<T: Serialize + ?Sized>(url: impl Into<String>, body: &T) -> Result<Self> {
        HttpRequest::new("POST", url).json(body)
    }

    /// With a JSON body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Result<Self> {
        let text = serde_json::to_vec(body)
            .map_err(|source| Error::new(ErrorKind::Invalid, "the body cannot be written as JSON").because(source))?;
        self.body = Some(text.into());
        Ok(self.header("content-type", "application/json"))
    }

    /// With any body.
    #[must_use]
    pub fn body(mut self, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// With a form as its body.
    #[must_use]
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs =
            fields.into_iter().map(|(name, value)| format!("{}={}", escape(name.as_ref()), escape(value.as_ref())));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Takes every status as an answer: one try, and the caller judges. What the answer says about
    /// limits is kept before the next request all the same.
    #[must_use]
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// Takes this status as an answer too, for callers that know what it means of this request (a sync token that is over,
    /// a feed that may not be read). Everything else is as ever: limits are waited out, also those told with this status, and
    /// what may pass is tried again.
    #[must_use]
    pub fn accepting(mut self, status: u16) -> Self {
        self.accepted.push(status);
        self
    }

    /// Says whether sending it twice does no harm.
    #[must_use]
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    /// Reads at most so many bytes of the answer's body, for callers that want the status. The transport leaves the rest
    /// where it is, and a body that cannot be read beyond what came of it is no error.
    #[must_use]
    pub fn read_at_most(mut self, bytes: u64) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// Connects to globally routable addresses only, for URLs that people chose who must not reach the host's own network.
    /// The transport checks the addresses that it connects to, not the name, which may lead elsewhere the next time; a proxy
    /// resolves names by itself.
    #[must_use]
    pub fn global_only(mut self, global_only: bool) -> Self {
        self.global_only = global_only;
        self
    }

    /// Whether it asks for an answer only if something changed (`If-None-Match`, `If-Modified-Since`): only then may the
    /// answer be a 304.
    pub fn is_conditional(&self) -> bool {
        self.headers.iter().any(|(name, _)| is_condition(name))
    }

    /// Without what [`if_changed_since`](HttpRequest::if_changed_since) added.
    pub(super) fn unconditional(&mut self) {
        self.headers.retain(|(name, _)| !is_condition(name));
    }

    /// Asks for an answer only if something changed since the one that had `validator`; otherwise the
    /// answer's status is 304 (see [`HttpResponse::is_unchanged`]).
    #[must_use]
    pub fn if_changed_since(self, validator: &Validator) -> Self {
        let request = match &validator.etag {
            Some(etag) => self.header("if-none-match", etag),
            None => self,
        };
        match &validator.last_modified {
            Some(time) => request.header("if-modified-since", time),
            None => request,
        }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

fn is_condition(header: &str) -> bool {
    header.eq_ignore_ascii_case("if-none-match") || header.eq_ignore_ascii_case("if-modified-since")
}

impl fmt::Debug for HttpRequest {
    /// Shows names only of what may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .field("query", &self.query.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish()
    }
}

/// Escapes everything but unreserved characters: for queries, forms and path segments.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Sends requests. Auth, retries and limits are not its business; tests put their own in place.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request whose `url` is whole and whose `query` is empty. An answer with any status is an answer. Redirects
    /// are not followed.
    ///
    /// The body is handed over as it came, with its `Content-Encoding` header: the engine undoes the codings and bounds
    /// what comes of them. A transport that undoes them by itself removes the header too, undoes nothing where there is no
    /// body (204, 304, HEAD), and bounds the result. More than 64 MiB need not be read: what is longer is refused.
    ///
    /// # Errors
    ///
    /// No answer is [`ErrorKind::Unavailable`], which counts as being offline: the host cannot be found or connected to,
    /// or closes the connection without a word. What did arrive and cannot be read (no HTTP, a header that is too long, a
    /// body that breaks off) is [`ErrorKind::Remote`]. What cannot be sent is [`ErrorKind::Invalid`].
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse>;
}
