//! The request that tells whose account a connection is.

use serde::Serialize;
use serde_json::Value;

use super::http::{HttpRequest, HttpResponse};
use highwater_core::{Error, ErrorKind, Result};

/// How much of a name is kept.
const NAME: usize = 200;

/// The request that tells whose account a connection is. It reads something small that every credential may read, and
/// changes nothing.
///
/// ```
/// use highwater_template::{HttpResponse, Verification};
/// let verification = Verification::get("/user").name("/login");
/// let answer = HttpResponse::new(200, Vec::new(), r#"{"login": "octocat"}"#);
/// assert_eq!(verification.account(&answer)?.as_deref(), Some("octocat"));
/// # Ok::<(), highwater_template::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// The method.
    pub method: String,
    /// The path behind the base URL, with its query.
    pub path: String,
    /// Headers of this request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// A JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Where the response may have the account's name, as JSON pointers; the first text found counts.
    pub names: Vec<String>,
    /// Where a response with a status of success has the reason of a refusal, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Verification {
    /// Makes a request of `method` for `path`.
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Verification {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: None,
            names: Vec::new(),
            refusal: None,
        }
    }

    /// Makes a `GET` request for `path`.
    pub fn get(path: impl Into<String>) -> Self {
        Verification::new("GET", path)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Adds a place where the response may have the account's name, as a JSON pointer.
    #[must_use]
    pub fn name(mut self, pointer: impl Into<String>) -> Self {
        self.names.push(pointer.into());
        self
    }

    /// Sets where a response with a status of success has the reason of a refusal, as a JSON pointer.
    #[must_use]
    pub fn refusal(mut self, pointer: impl Into<String>) -> Self {
        self.refusal = Some(pointer.into());
        self
    }

    /// Returns the request.
    ///
    /// # Errors
    ///
    /// Those of [`HttpRequest::json`], which do not occur for a [`Value`].
    pub fn request(&self) -> Result<HttpRequest> {
        let mut request = HttpRequest::new(self.method.as_str(), self.path.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match &self.body {
            Some(body) => request.json(body),
            None => Ok(request),
        }
    }

    /// Reads the account's name from a response; `None` where the API does not tell one.
    ///
    /// # Errors
    ///
    /// What the status means ([`HttpResponse::error_for_status`]), [`ErrorKind::Unauthorized`] if the response tells a reason of a
    /// refusal, and [`ErrorKind::Remote`] if it is not the JSON that was expected.
    pub fn account(&self, response: &HttpResponse) -> Result<Option<String>> {
        let response = response.clone().error_for_status()?;
        let page = |response: &HttpResponse| {
            let message = "a web page answered in place of the API: check the base URL, and whether the network asks for a sign-in";
            response.error(ErrorKind::Remote, message)
        };
        if response.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html")) {
            return Err(page(&response));
        }
        if self.names.is_empty() && self.refusal.is_none() {
            return Ok(None);
        }
        if response.body.trim_ascii_start().starts_with(b"<") {
            return Err(page(&response));
        }
        let text = |pointer: &String| response.text_at(pointer).map(|text| text.filter(|text| !text.trim().is_empty()));
        if let Some(pointer) = &self.refusal
            && let Some(reason) = text(pointer)?
        {
            let message = "the API does not accept the credentials: sign in again, or give others";
            return Err(response.error(ErrorKind::Unauthorized, message).with("told", shortened(&reason)));
        }
        for pointer in &self.names {
            if let Some(name) = text(pointer)? {
                return Ok(Some(shortened(&name)));
            }
        }
        if self.names.is_empty() {
            return Ok(None);
        }
        let message = "the API did not tell whose account it is: check the base URL and the verification request";
        Err(Error::new(ErrorKind::Remote, message).with("status", response.status))
    }
}

/// One line of at most [`NAME`] characters.
fn shortened(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME).collect()
}
