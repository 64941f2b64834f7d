//! Responses as templates get them.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::complaint;
use super::link::{self, Link};
use crate::records;
use crate::redact::{REDACTED, Redactor};
use highwater_core::content::outline;
use highwater_core::{Error, ErrorKind, Result, Timestamp};

/// Headers of a response by which a later request asks whether anything changed since. Serialises, so that it can be kept in a
/// checkpoint.
///
/// ```
/// use highwater_template::http::Validator;
/// # async fn fetch(context: &highwater_template::SyncContext<'_>) -> highwater_template::Result<()> {
/// use highwater_template::HttpRequest;
/// let known = context.last_checkpoint::<Validator>()?.unwrap_or_default();
/// let response = context.send(HttpRequest::get("/feed").if_changed_since(&known)).await?;
/// if response.is_unchanged() {
///     return Ok(());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validator {
    /// The `ETag` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The `Last-Modified` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// How much of a body is searched for secrets before it is cut to the length that an error shows. Cut first, half a secret
/// would not be found.
const BEFORE_CUT: usize = 8192;

/// A response with its whole body.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Header names (as sent) and values.
    pub headers: Vec<(String, String)>,
    /// The body: decoded, text in UTF-8, JSON without a byte order mark.
    pub body: Bytes,
    /// The requested URL without its query, for messages.
    pub url: String,
    /// The URL after redirects, with its query: what links are relative to.
    requested_url: Option<Box<str>>,
    redactor: Redactor,
}

impl HttpResponse {
    /// Makes a response, for transports and tests.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        HttpResponse {
            status,
            headers,
            body: body.into(),
            url: String::new(),
            requested_url: None,
            redactor: Redactor::default(),
        }
    }

    /// Sets the URL that was requested, after redirects, with its query and without credentials. Links are resolved
    /// against it; no message shows it.
    #[must_use]
    pub fn requested_url(mut self, url: impl Into<String>) -> Self {
        self.requested_url = Some(url.into().into_boxed_str());
        self
    }

    /// Returns a link of this response as a whole URL, resolved (RFC 3986) against the
    /// [requested URL](HttpResponse::requested_url), or unchanged where that is not known.
    ///
    /// A query parameter whose value is a secret of the connection is removed: some APIs write the request's key into
    /// their links. The link may end up in a checkpoint, and the engine adds the key to each request anyway.
    ///
    /// ```
    /// use highwater_template::HttpResponse;
    /// let response = HttpResponse::new(200, Vec::new(), "[]").requested_url("https://acme.example/v3/items?page=1");
    /// assert_eq!(response.resolve("?page=2"), "https://acme.example/v3/items?page=2");
    /// assert_eq!(response.resolve("/v3/others"), "https://acme.example/v3/others");
    /// ```
    pub fn resolve(&self, link: &str) -> String {
        let whole = match &self.requested_url {
            Some(base) => link::resolve(base, link),
            None => link.to_owned(),
        };
        link::without_values(&whole, |value| self.redactor.redact(value) == REDACTED)
    }

    /// Sets the secrets to keep out of errors about this response. The response itself is not changed.
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Returns the first value of a header. The name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns whether nothing changed since the [`Validator`] that the request carried (304).
    pub fn is_unchanged(&self) -> bool {
        self.status == 304
    }

    /// Returns what a later request needs to ask whether anything changed; `None` where the API sent neither header.
    pub fn validator(&self) -> Option<Validator> {
        let value = |name| self.header(name).map(str::to_owned);
        let validator = Validator { etag: value("etag"), last_modified: value("last-modified") };
        (validator != Validator::default()).then_some(validator)
    }

    /// Returns the time on the server's clock: the `Date` header, in any of the three forms of RFC 9110.
    pub fn date(&self) -> Option<Timestamp> {
        let date = self.header("date")?;
        let obsolete = || {
            let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
            forms.iter().find_map(|form| NaiveDateTime::parse_from_str(date, form).ok()).map(|time| time.and_utc())
        };
        let date = DateTime::parse_from_rfc2822(date).ok().map(|time| time.to_utc()).or_else(obsolete)?;
        Some(SystemTime::from(date).into())
    }

    /// Returns the response if its status is 200 to 299, and otherwise the error that the status means.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] for 401 and 403, [`ErrorKind::NotFound`] for 404, [`ErrorKind::SourceReset`] for 410,
    /// [`ErrorKind::Remote`] for any other status. The context has the API's own message under `told`.
    pub fn error_for_status(self) -> Result<Self> {
        let (kind, message) = match self.status {
            200..=299 => return Ok(self),
            304 => (ErrorKind::Remote, "the API answers \"not modified\" to a request that asked for no such thing"),
            305 | 306 => (ErrorKind::Remote, "the API asks for a proxy in an obsolete way: check the base URL"),
            300 => (ErrorKind::Remote, "the API offers several answers and gives none: check the base URL"),
            301..=399 => (ErrorKind::Remote, "the API redirects in a way that cannot be followed: check the base URL"),
            401 => (ErrorKind::Unauthorized, "the API refused the token: give the connection a valid one"),
            403 => (
                ErrorKind::Unauthorized,
                "the API does not allow this: check the token's scopes, and that it may see the resource",
            ),
            404 => (
                ErrorKind::NotFound,
                "the API knows no such resource: check the settings, and that the token may see it",
            ),
            410 => (ErrorKind::SourceReset, "the API says that this is gone for good"),
            500..=599 => (ErrorKind::Remote, "the API keeps failing: try again later; what was saved stays"),
            _ => (ErrorKind::Remote, "the API refused the request"),
        };
        let error = self.error(kind, message);
        Err(match complaint::of(&self.body, self.header("content-type")) {
            Some(told) => error.with("told", complaint::line(&self.redactor.redact(&told))),
            None => error,
        })
    }

    /// Makes an error about this response, with its URL and status in the context.
    pub fn error(&self, kind: ErrorKind, message: &'static str) -> Error {
        Error::new(kind, message).with("url", &self.url).with("status", self.status)
    }

    /// Parses the body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the body is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|source| self.unusable("not the JSON that was expected").because(source))
    }

    /// Returns the elements of a body that is a JSON array: their text as the API wrote it, sharing the body's memory. What
    /// is within an element is not checked before it is saved.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the body is not a JSON array.
    pub fn elements(&self) -> Result<Vec<Bytes>> {
        self.parts(&self.body)
    }

    /// Returns the elements of the array at a JSON pointer of the body, as [`elements`](HttpResponse::elements) does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if there is no JSON array.
    pub fn elements_at(&self, pointer: &str) -> Result<Vec<Bytes>> {
        let array = outline::pointer(&self.body, pointer)
            .map_err(|source| self.unusable("not JSON").because(source))?
            .ok_or_else(|| self.unusable("without the expected list").with("pointer", pointer))?;
        self.parts(array)
    }

    fn parts(&self, array: &[u8]) -> Result<Vec<Bytes>> {
        let mut parts = Vec::new();
        outline::elements(array, |part| parts.push(self.body.slice_ref(part)))
            .map_err(|source| self.unusable("not a JSON array").because(source))?;
        Ok(parts)
    }

    /// Returns the text at a JSON pointer of the body: see [`records::text_at`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the body is not JSON.
    pub fn text_at(&self, pointer: &str) -> Result<Option<String>> {
        records::text_at(&self.body, pointer).map_err(|source| self.unusable("not JSON").because(source))
    }

    /// Returns the text at a JSON pointer of the body, which must be there: see [`records::string_at`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if there is no text.
    pub fn string_at(&self, pointer: &str) -> Result<String> {
        self.text_at(pointer)?.ok_or_else(|| self.unusable("without an expected member").with("pointer", pointer))
    }

    /// Returns the body as one record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the body is not a JSON object.
    pub fn record(&self) -> Result<Bytes> {
        serde_json::from_slice::<IgnoredAny>(&self.body)
            .map_err(|source| self.unusable("no JSON object").because(source))?;
        let is_object = self.body.trim_ascii_start().starts_with(b"{");
        is_object.then(|| self.body.clone()).ok_or_else(|| self.unusable("no JSON object"))
    }

    /// Returns the text of the JSON value at a JSON pointer of the body, as the API wrote it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the body is not JSON.
    pub fn value_at(&self, pointer: &str) -> Result<Option<Bytes>> {
        match outline::pointer(&self.body, pointer) {
            Ok(value) => Ok(value.map(|value| self.body.slice_ref(value))),
            Err(source) => Err(self.unusable("not JSON").because(source)),
        }
    }

    /// Returns the target of the `Link` header with `rel="next"` (RFC 8288), [resolved](HttpResponse::resolve).
    pub fn next_link(&self) -> Option<String> {
        self.links().iter().find(|link| link.has_relation("next")).map(|link| self.resolve(&link.target))
    }

    /// Returns the links of every `Link` header (RFC 8288), in order.
    pub fn links(&self) -> Vec<Link> {
        let headers = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
        headers.flat_map(|(_, value)| link::links(value)).collect()
    }

    fn unusable(&self, how: &str) -> Error {
        let begin = String::from_utf8_lossy(&self.body[..self.body.len().min(BEFORE_CUT)]).into_owned();
        let begin: String = self.redactor.redact(&begin).chars().take(60).collect();
        Error::new(ErrorKind::Remote, format!("the API answered with a body that is {how}"))
            .with("url", &self.url)
            .with("status", self.status)
            .with("begins", format!("{begin:?}"))
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("url", &self.url)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
