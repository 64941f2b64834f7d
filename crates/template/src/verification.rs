//! The request that tells whose account a connection is.

use serde::{Deserialize, Serialize};
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
/// let verification = Verification::get("/user").id("/id").name("/login");
/// let answer = HttpResponse::new(200, Vec::new(), r#"{"id": 583231, "login": "octocat"}"#);
/// let account = verification.account(&answer)?;
/// assert_eq!((account.id.as_deref(), account.name.as_deref()), (Some("583231"), Some("octocat")));
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
    /// Where the response has what identifies the account for good, as JSON pointers; all of them together, such as a team's id and
    /// a user's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
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
            ids: Vec::new(),
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

    /// Adds a place where the response has what identifies the account, as a JSON pointer. Unlike a name it must not change.
    #[must_use]
    pub fn id(mut self, pointer: impl Into<String>) -> Self {
        self.ids.push(pointer.into());
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

    /// Reads the account from a response. It has no name where the API tells none.
    ///
    /// # Errors
    ///
    /// What the status means ([`HttpResponse::error_for_status`]), [`ErrorKind::Unauthorized`] if the response tells a reason of a
    /// refusal, and [`ErrorKind::Remote`] if it is not the JSON that was expected.
    pub fn account(&self, response: &HttpResponse) -> Result<Account> {
        let response = response.clone().error_for_status()?;
        let page = |response: &HttpResponse| {
            let message = "a web page answered in place of the API: check the base URL, and whether the network asks for a sign-in";
            response.error(ErrorKind::Remote, message)
        };
        if response.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html")) {
            return Err(page(&response));
        }
        if self.names.is_empty() && self.ids.is_empty() && self.refusal.is_none() {
            return Ok(Account::default());
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
        let id = self.ids.iter().map(text).collect::<Result<Option<Vec<String>>>>()?;
        let id = id.filter(|parts| !parts.is_empty()).map(|parts| shortened(&parts.join("/")));
        for pointer in &self.names {
            if let Some(name) = text(pointer)? {
                return Ok(Account { id, name: Some(shortened(&name)) });
            }
        }
        if self.names.is_empty() {
            return Ok(Account { id, name: None });
        }
        let message = "the API did not tell whose account it is: check the base URL and the verification request";
        Err(Error::new(ErrorKind::Remote, message).with("status", response.status))
    }
}

/// Whose account a connection is, as its API tells. No secret.
///
/// ```
/// use highwater_template::Account;
/// let octocat = Account::new(Some("583231"), Some("octocat"));
/// assert!(!octocat.differs_from(&Account::new(Some("583231"), Some("octocat-renamed"))));
/// assert!(octocat.differs_from(&Account::new(Some("1024025"), Some("octocat"))));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// What identifies it for good, where the API tells that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name for people, such as a login or an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Account {
    /// Makes an account.
    pub fn new(id: Option<&str>, name: Option<&str>) -> Self {
        Account { id: id.map(str::to_owned), name: name.map(str::to_owned) }
    }

    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        self.id.is_none() && self.name.is_none()
    }

    /// Returns the account with each of its texts changed.
    #[must_use]
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        Account { id: self.id.map(|id| change(&id)), name: self.name.map(|name| change(&name)) }
    }

    /// Returns the account, with what is only known of it from before.
    #[must_use]
    pub fn or(self, known: &Account) -> Self {
        Account { id: self.id.or_else(|| known.id.clone()), name: self.name.or_else(|| known.name.clone()) }
    }

    /// Whether the two are certainly not the same account: by their ids, or by their names where one of them has no id.
    pub fn differs_from(&self, other: &Account) -> bool {
        match (&self.id, &other.id, &self.name, &other.name) {
            (Some(one), Some(other), ..) | (_, _, Some(one), Some(other)) => one != other,
            _ => false,
        }
    }
}

/// One line of at most [`NAME`] characters.
fn shortened(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME).collect()
}
