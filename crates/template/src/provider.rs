//! The description of an API: where it is, how one signs in, how it limits.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::info::fill_in;
use super::webhook::WebhookScheme;
use highwater_core::Result;

/// An API: what its templates have in common.
///
/// ```
/// use highwater_template::{AuthKind, Provider};
///
/// let provider = Provider::new("acme", "https://{site}.acme.example/api")
///     .auth(AuthKind::bearer("a personal token, from Settings > API"))
///     .header("accept", "application/json");
/// assert_eq!(provider.template("users").id(), "acme/users");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Provider {
    /// Its name, such as `github`.
    pub name: String,
    /// Where the API is, unless a connection says otherwise. `{setting}` stands for a setting's value.
    pub base_url: String,
    /// Other places it answers at (`https://uploads.acme.example`); `{setting}` works here too.
    /// Requests and credentials go to these and to the base URL's origin, nowhere else.
    pub origins: Vec<String>,
    /// Ways to sign in; a plain token takes the first that can carry one.
    pub auth: Vec<AuthKind>,
    /// Headers that every request carries.
    pub headers: Vec<(String, String)>,
    /// How it limits.
    pub limits: LimitHabits,
    /// Where its documentation is.
    pub docs: String,
    /// How it signs webhooks, if its templates take them.
    pub webhooks: Option<WebhookScheme>,
    /// How it says that the access token is over, beside `401`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_ends: Vec<TokenEnd>,
}

impl Provider {
    /// An API at `base_url`.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Provider {
            name: name.into(),
            base_url: base_url.into(),
            origins: Vec::new(),
            auth: Vec::new(),
            headers: Vec::new(),
            limits: LimitHabits::default(),
            docs: String::new(),
            webhooks: None,
            token_ends: Vec::new(),
        }
    }

    /// An answer of any status whose text at the JSON pointer is `value` says that the access token is over: it is refreshed
    /// once and the request is sent again. `401`, and `WWW-Authenticate: Bearer error="invalid_token"`, always say so.
    #[must_use]
    pub fn token_ends_at(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.token_ends.push(TokenEnd { pointer: pointer.into(), value: value.into() });
        self
    }

    /// Says how it signs webhooks.
    #[must_use]
    pub fn webhooks(mut self, scheme: WebhookScheme) -> Self {
        self.webhooks = Some(scheme);
        self
    }

    /// Adds an origin that its templates may ask, with credentials.
    #[must_use]
    pub fn origin(mut self, url: impl Into<String>) -> Self {
        self.origins.push(url.into());
        self
    }

    /// Adds a way to sign in.
    #[must_use]
    pub fn auth(mut self, kind: AuthKind) -> Self {
        self.auth.push(kind);
        self
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says how it limits.
    #[must_use]
    pub fn limits(mut self, habits: LimitHabits) -> Self {
        self.limits = habits;
        self
    }

    /// Says where its documentation is.
    #[must_use]
    pub fn docs(mut self, url: impl Into<String>) -> Self {
        self.docs = url.into();
        self
    }

    /// Its URLs under these settings, the base URL first.
    pub fn urls(&self, config: &BTreeMap<String, String>) -> Result<Vec<String>> {
        std::iter::once(&self.base_url).chain(&self.origins).map(|url| fill_in(url, config)).collect()
    }

    /// The description of one of its syncs.
    pub fn template(&self, name: impl Into<String>) -> super::TemplateInfo {
        super::TemplateInfo::of(self.clone(), name)
    }

    /// The description of one of its actions.
    pub fn action(&self, name: impl Into<String>) -> super::ActionInfo {
        super::ActionInfo::of(self.clone(), name)
    }
}

/// A text in an answer that says that the access token is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenEnd {
    /// Where it stands, as a JSON pointer.
    pub pointer: String,
    /// What stands there; a number as it is written.
    pub value: String,
}

/// A way to sign in: where the credentials go in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthKind {
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// Where one gets the token, in a line.
        help: String,
    },
    /// A key in a header.
    Header {
        /// The header.
        name: String,
        /// What stands before the key, with its space.
        prefix: String,
        /// Where one gets the key.
        help: String,
    },
    /// A key in the query. It is kept out of logs and errors.
    Query {
        /// The parameter.
        name: String,
        /// Where one gets the key.
        help: String,
    },
    /// `Authorization: Basic`: a name and a password.
    Basic {
        /// What the two are.
        help: String,
    },
    /// OAuth 2: the access token is a bearer token, refreshed by the engine.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
}

impl AuthKind {
    /// A bearer token.
    pub fn bearer(help: impl Into<String>) -> Self {
        AuthKind::Bearer { help: help.into() }
    }

    /// A key in header `name`, behind `prefix`.
    pub fn header(name: impl Into<String>, prefix: impl Into<String>, help: impl Into<String>) -> Self {
        AuthKind::Header { name: name.into(), prefix: prefix.into(), help: help.into() }
    }

    /// A key in query parameter `name`.
    pub fn query(name: impl Into<String>, help: impl Into<String>) -> Self {
        AuthKind::Query { name: name.into(), help: help.into() }
    }

    /// A name and a password.
    pub fn basic(help: impl Into<String>) -> Self {
        AuthKind::Basic { help: help.into() }
    }
}

/// How OAuth 2 works at an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OAuth2 {
    /// Where the user agrees.
    pub authorize_url: String,
    /// Where tokens come from.
    pub token_url: String,
    /// Scopes its templates need at least.
    pub scopes: Vec<String>,
    /// How the client names itself at the token endpoint.
    pub client: ClientAuth,
    /// What an application on a desktop, which can keep no secret, can do.
    pub desktop: DesktopSignIn,
    /// Parameters to add where the user agrees, such as `access_type=offline`.
    pub authorize_parameters: Vec<(String, String)>,
}

impl OAuth2 {
    /// OAuth 2 with these two endpoints.
    pub fn new(authorize_url: impl Into<String>, token_url: impl Into<String>, desktop: DesktopSignIn) -> Self {
        OAuth2 {
            authorize_url: authorize_url.into(),
            token_url: token_url.into(),
            scopes: Vec::new(),
            client: ClientAuth::Body,
            desktop,
            authorize_parameters: Vec::new(),
        }
    }

    /// Adds a scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Says how the client names itself.
    #[must_use]
    pub fn client(mut self, client: ClientAuth) -> Self {
        self.client = client;
        self
    }

    /// Adds a parameter to the page where the user agrees.
    #[must_use]
    pub fn authorize_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorize_parameters.push((name.into(), value.into()));
        self
    }
}

/// How a client names itself at a token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the form.
    #[default]
    Body,
    /// `Authorization: Basic`.
    Basic,
    /// `Authorization: Basic`, and the rest as a JSON object in place of a form.
    BasicWithJson,
}

/// What an application on a desktop can do to sign a user in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DesktopSignIn {
    /// Authorization code with PKCE over a loopback address; no secret.
    PkcePublic,
    /// The same, but the API wants a client secret that is no secret (Google's desktop clients).
    PkceWithSecret,
    /// The device flow; no secret.
    Device,
    /// Only with a server of the vendor that keeps the secret; or a token that the user pastes.
    Broker,
}

/// How an API limits, where it differs from `429` with `Retry-After`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitHabits {
    /// At most so many requests in a period, shared by all syncs of a connection.
    pub rate: Option<Rate>,
    /// Statuses that mean "slow down" although they usually mean something else.
    pub statuses: Vec<LimitStatus>,
    /// Texts of a body that mean "slow down", whatever the status.
    pub words: Vec<LimitWords>,
    /// Headers with the number of requests left, beside the usual ones.
    pub remaining_headers: Vec<String>,
    /// Headers with the time of the reset, beside the usual ones.
    pub reset_headers: Vec<String>,
    /// How long to keep still after a refusal that names no time; twice as long after the next one, and so on.
    pub lock_out: Option<Duration>,
}

/// So many requests in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Requests.
    pub requests: u32,
    /// The period.
    pub period: Duration,
}

/// A status that means "slow down".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitStatus {
    /// The status.
    pub status: u16,
    /// Only where the body has this text.
    pub body: Option<String>,
}

/// A text in a body that means "slow down".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitWords {
    /// Where it is: a JSON pointer.
    pub pointer: String,
    /// What it is then.
    pub value: String,
}

impl LimitHabits {
    /// The usual: `429`, `Retry-After`, `X-RateLimit-Remaining` and `-Reset`.
    pub fn new() -> Self {
        LimitHabits::default()
    }

    /// At most `requests` in `period`.
    #[must_use]
    pub fn rate(mut self, requests: u32, period: Duration) -> Self {
        self.rate = Some(Rate { requests: requests.max(1), period });
        self
    }

    /// `status` with `text` in the body means "slow down".
    #[must_use]
    pub fn status_with(mut self, status: u16, text: impl Into<String>) -> Self {
        self.statuses.push(LimitStatus { status, body: Some(text.into()) });
        self
    }

    /// An answer of any status, 200 too, whose text at this JSON pointer is `value` means "slow down".
    ///
    /// ```
    /// # use highwater_template::LimitHabits;
    /// // {"errors": [{"extensions": {"code": "RATELIMITED"}}]}
    /// let habits = LimitHabits::new().told_at("/errors/0/extensions/code", "RATELIMITED");
    /// # assert_eq!(habits.words[0].value, "RATELIMITED");
    /// ```
    #[must_use]
    pub fn told_at(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.words.push(LimitWords { pointer: pointer.into(), value: value.into() });
        self
    }

    /// `status` means "slow down".
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.statuses.push(LimitStatus { status, body: None });
        self
    }

    /// Names the headers with what is left and when it is reset.
    #[must_use]
    pub fn headers(mut self, remaining: impl Into<String>, reset: impl Into<String>) -> Self {
        self.remaining_headers.push(remaining.into());
        self.reset_headers.push(reset.into());
        self
    }

    /// How long to keep still after a refusal that names no time; twice as long after the next one, and so on.
    #[must_use]
    pub fn lock_out(mut self, time: Duration) -> Self {
        self.lock_out = Some(time);
        self
    }
}
