//! Responses as templates see them.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::redact::{REDACTED, Redactor};
use super::{link, words};
use highwater_core::content::outline;
use highwater_core::{Error, ErrorKind, Result};

/// What a later request needs to ask whether anything changed. Keep it in the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validator {
    /// The `ETag` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The `Last-Modified` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// How much of a body is searched for secrets before it is cut to what an error shows: a cut within a secret would hide it
/// from the search.
const BEFORE_CUT: usize = 8192;

/// A response, with its whole body.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Header names (as sent) and values.
    pub headers: Vec<(String, String)>,
    /// The body. A template gets it without its content codings, and JSON in UTF-8 without a byte-order mark.
    pub body: Bytes,
    /// The URL that was asked for, without its query: for messages.
    pub url: String,
    /// The URL that was asked last, with its query: what links are relative to.
    asked: Option<Box<str>>,
    /// What errors about it do not say.
    secrets: Redactor,
}

impl HttpResponse {
    /// A response; for transports and fake hosts.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        HttpResponse {
            status,
            headers,
            body: body.into(),
            url: String::new(),
            asked: None,
            secrets: Redactor::default(),
        }
    }

    /// Says which URL was asked, with its query and without credentials: the last one, where redirects were followed. It
    /// is shown nowhere.
    #[must_use]
    pub fn asked_at(mut self, url: impl Into<String>) -> Self {
        self.asked = Some(url.into().into_boxed_str());
        self
    }

    /// A link of this answer as a whole URL: resolved against the URL that was asked (RFC 3986), after redirects the last
    /// one. As it is, where nobody said what was asked. A parameter with a secret of the connection, as some APIs write the
    /// key of the request into their links, is left out: the link may be kept, and the key is added to each request.
    ///
    /// ```
    /// use highwater_template::HttpResponse;
    /// let response = HttpResponse::new(200, Vec::new(), "[]").asked_at("https://acme.example/v3/items?page=1");
    /// assert_eq!(response.resolve("?page=2"), "https://acme.example/v3/items?page=2");
    /// assert_eq!(response.resolve("/v3/others"), "https://acme.example/v3/others");
    /// ```
    pub fn resolve(&self, link: &str) -> String {
        let whole = match &self.asked {
            Some(asked) => link::resolve(asked, link),
            None => link.to_owned(),
        };
        link::without_values(&whole, |value| self.secrets.redact(value) == REDACTED)
    }

    /// Keeps these secrets out of the errors that are made of the response. The response itself stays as it is.
    #[must_use]
    pub fn hiding(mut self, secrets: Redactor) -> Self {
        self.secrets = secrets;
        self
    }

    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether nothing changed since the validator that the request carried.
    pub fn is_unchanged(&self) -> bool {
        self.status == 304
    }

    /// What a later request needs to ask whether anything changed.
    pub fn validator(&self) -> Option<Validator> {
        let value = |name| self.header(name).map(str::to_owned);
        let validator = Validator { etag: value("etag"), last_modified: value("last-modified") };
        (validator != Validator::default()).then_some(validator)
    }

    /// The server's clock: the `Date` header, in any of the three forms of RFC 9110.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let date = self.header("date")?;
        let obsolete = || {
            let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
            forms.iter().find_map(|form| NaiveDateTime::parse_from_str(date, form).ok()).map(|time| time.and_utc())
        };
        DateTime::parse_from_rfc2822(date).ok().map(|time| time.with_timezone(&Utc)).or_else(obsolete)
    }

    /// The response, or the error that its status means: only 200 to 299 are a success.
    pub fn successful(self) -> Result<Self> {
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
        let error = self.refusal(kind, message);
        Err(match words::of(&self.body, self.header("content-type")) {
            Some(told) => error.with("told", words::line(&self.secrets.redact(&told))),
            None => error,
        })
    }

    /// An error about this response.
    pub fn refusal(&self, kind: ErrorKind, message: &'static str) -> Error {
        Error::new(kind, message).with("url", &self.url).with("status", self.status)
    }

    /// Reads the body as `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|source| self.unusable("not the JSON that was expected").because(source))
    }

    /// The elements of a body that is a JSON array, as they are written, sharing the body's memory. What lies within an
    /// element is read when it is saved.
    pub fn elements(&self) -> Result<Vec<Bytes>> {
        self.parts(&self.body)
    }

    /// The elements of the array at a JSON pointer of the body.
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

    /// The text at a JSON pointer of the body, as [`text_at`](super::text_at) reads it.
    pub fn text_at(&self, pointer: &str) -> Result<Option<String>> {
        super::text_at(&self.body, pointer).map_err(|source| self.unusable("not JSON").because(source))
    }

    /// As [`text_at`](HttpResponse::text_at), where the value must be there.
    pub fn string_at(&self, pointer: &str) -> Result<String> {
        self.text_at(pointer)?.ok_or_else(|| self.unusable("without an expected member").with("pointer", pointer))
    }

    /// The body as a record: one whole JSON object.
    pub fn record(&self) -> Result<Bytes> {
        serde_json::from_slice::<IgnoredAny>(&self.body)
            .map_err(|source| self.unusable("no JSON object").because(source))?;
        let is_object = self.body.trim_ascii_start().starts_with(b"{");
        is_object.then(|| self.body.clone()).ok_or_else(|| self.unusable("no JSON object"))
    }

    /// The value at a JSON pointer of the body, as it is written.
    pub fn value_at(&self, pointer: &str) -> Result<Option<Bytes>> {
        match outline::pointer(&self.body, pointer) {
            Ok(value) => Ok(value.map(|value| self.body.slice_ref(value))),
            Err(source) => Err(self.unusable("not JSON").because(source)),
        }
    }

    /// The target of the `Link` header with `rel="next"` (RFC 8288), as a whole URL: see
    /// [`resolve`](HttpResponse::resolve).
    pub fn next_link(&self) -> Option<String> {
        let links = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
        links.filter_map(|(_, value)| link::target(value, "next")).next().map(|target| self.resolve(target))
    }

    fn unusable(&self, how: &str) -> Error {
        let begin = String::from_utf8_lossy(&self.body[..self.body.len().min(BEFORE_CUT)]).into_owned();
        let begin: String = self.secrets.redact(&begin).chars().take(60).collect();
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
