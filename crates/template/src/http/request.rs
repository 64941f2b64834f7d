//! Requests as templates make them.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::escape::escape;
use super::response::Validator;
use highwater_core::{Error, ErrorKind, Result};

/// A request to an API.
///
/// A path is relative to the connection's base URL; a whole URL must have one of the template's origins. The engine adds the
/// credentials, and a template never sees them.
///
/// ```
/// use highwater_template::HttpRequest;
/// let request = HttpRequest::get("/issues").query("state", "open").header("accept", "application/json");
/// let created = HttpRequest::post_json("/issues", &serde_json::json!({"title": "Leak"}))?.repeatable(false);
/// # assert_eq!((request.method.as_str(), created.method.as_str()), ("GET", "POST"));
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// The method, such as `GET`, in upper case.
    pub method: String,
    /// A path, or a whole URL (such as a `next` link).
    pub url: String,
    /// Parameters to add to the URL's query, not yet encoded.
    pub query: Vec<(String, String)>,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Bytes>,
    /// Whether a response with any status is returned, see [`HttpRequest::any_status`]. False by default.
    pub any_status: bool,
    /// Statuses of failure that are returned all the same, see [`HttpRequest::accept_status`].
    pub accepted_statuses: Vec<u16>,
    /// Whether the request may be sent twice, see [`HttpRequest::repeatable`]. True by default.
    pub repeatable: bool,
    /// How many bytes of the response's body are wanted at most, see [`HttpRequest::body_limit`]. All of them by default.
    pub body_limit: Option<u64>,
    /// Whether to connect to globally routable addresses only, see [`HttpRequest::global_only`]. False by default.
    pub global_only: bool,
}

impl HttpRequest {
    /// Makes a request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        HttpRequest {
            method: method.into(),
            url: url.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            any_status: false,
            accepted_statuses: Vec::new(),
            repeatable: true,
            body_limit: None,
            global_only: false,
        }
    }

    /// Makes a `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        HttpRequest::new("GET", url)
    }

    /// Makes a `POST` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if `body` cannot be written as JSON.
    pub fn post_json<T: Serialize + ?Sized>(url: impl Into<String>, body: &T) -> Result<Self> {
        HttpRequest::new("POST", url).json(body)
    }

    /// Sets a JSON body, with its `Content-Type`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if `body` cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Result<Self> {
        let text = serde_json::to_vec(body)
            .map_err(|source| Error::new(ErrorKind::Invalid, "the body cannot be written as JSON").because(source))?;
        self.body = Some(text.into());
        Ok(self.header("content-type", "application/json"))
    }

    /// Sets the body and its `Content-Type`.
    #[must_use]
    pub fn body(mut self, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// Sets a form as the body, with its `Content-Type`. Names and values are encoded here.
    #[must_use]
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs =
            fields.into_iter().map(|(name, value)| format!("{}={}", escape(name.as_ref()), escape(value.as_ref())));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Returns a response with any status instead of an error, for callers that handle every status themselves.
    ///
    /// The request is sent once: no retries, and no waiting for the rate limit that the response asks for. What the response
    /// says about limits still delays the next request. Redirects are followed; one that cannot be followed is an error, as
    /// is a 304 to a request without a condition.
    #[must_use]
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// Returns a response with this status instead of an error, for callers that know what it means here (a sync token
    /// that expired, a feed that may not be read).
    ///
    /// Unlike with [`any_status`](HttpRequest::any_status), everything else stays as it is: rate limits are waited for,
    /// also where the API reports them with this status, and failures that may pass are retried.
    #[must_use]
    pub fn accept_status(mut self, status: u16) -> Self {
        self.accepted_statuses.push(status);
        self
    }

    /// Sets whether the request may be sent twice. If not, it is not retried once it may have arrived. True by default.
    #[must_use]
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    /// Reads at most this many bytes of the response's body, for callers that only need the status.
    ///
    /// The transport leaves the rest unread, and a fault behind the limit is not an error.
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// Sets whether to connect to globally routable addresses only, for URLs that a user chose and that must not reach the
    /// host's own network. False by default.
    ///
    /// The transport checks the addresses that it connects to, not the name, which may resolve to another address the next
    /// time. A proxy resolves names itself, so its addresses are not checked.
    #[must_use]
    pub fn global_only(mut self, global_only: bool) -> Self {
        self.global_only = global_only;
        self
    }

    /// Returns whether the request has a condition (`If-None-Match`, `If-Modified-Since`). Only then may the response be
    /// a 304.
    pub fn is_conditional(&self) -> bool {
        self.headers.iter().any(|(name, _)| is_condition(name))
    }

    /// Removes what [`if_changed_since`](HttpRequest::if_changed_since) added.
    pub(crate) fn remove_conditions(&mut self) {
        self.headers.retain(|(name, _)| !is_condition(name));
    }

    /// Requests a body only if something changed since the response that had `validator`. Otherwise the response's
    /// status is 304: see [`HttpResponse::is_unchanged`](super::HttpResponse::is_unchanged).
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

    /// Adds a query parameter. It is encoded when the request is sent.
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
    /// Shows only the names of what may hold a secret.
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
