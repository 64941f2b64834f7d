//! How a connection signs in to an API.
//!
//! Everything that depends on the kind is in this module. Other crates call the methods of [`AuthKind`] and never match on it, so
//! that a new kind is added here alone.

use async_trait::async_trait;
use serde::Serialize;

use super::secret::Secret;
use highwater_core::Result;

/// Whether a template needs credentials of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialUse {
    /// It does not work without.
    Required,
    /// Public data comes without; limits are lower.
    Optional,
    /// It sends none.
    #[default]
    Unused,
}

/// A way to sign in to an API: which credentials it takes, and where a request carries them.
///
/// ```
/// use highwater_template::auth::{AuthKind, CredentialKind, Placement};
/// use highwater_template::Secret;
/// let kind = AuthKind::header("X-Api-Key", "", "an API key, from Settings > API");
/// assert_eq!(kind.credential(), CredentialKind::Token);
/// let placed = kind.place_token(&Secret::new("k1"));
/// assert_eq!(placed, Some(Placement::Header { name: "X-Api-Key".to_owned(), value: Secret::new("k1") }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthKind {
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// Where a user gets the token, in one line.
        help: String,
    },
    /// A key in a header.
    Header {
        /// The header.
        name: String,
        /// What stands before the key, with its space.
        prefix: String,
        /// Where a user gets the key, in one line.
        help: String,
    },
    /// A key in the query. It is kept out of logs and errors.
    Query {
        /// The parameter.
        name: String,
        /// Where a user gets the key, in one line.
        help: String,
    },
    /// `Authorization: Basic`: a user name and a password.
    Basic {
        /// What the two are, in one line.
        help: String,
    },
    /// OAuth 2: the access token is a bearer token, refreshed by the engine.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
}

/// What a user gives in order to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A token or an API key.
    Token,
    /// A user name and a password.
    NameAndPassword,
    /// The tokens that OAuth 2 grants.
    OAuth2,
}

/// Where a request carries a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In a header.
    Header {
        /// The header.
        name: String,
        /// Its value, with any prefix.
        value: Secret,
    },
    /// In the query.
    Query {
        /// The parameter.
        name: String,
        /// Its value, not yet encoded.
        value: Secret,
    },
}

impl AuthKind {
    /// Makes the kind that sends a bearer token. `help` says where a user gets the token.
    pub fn bearer(help: impl Into<String>) -> Self {
        AuthKind::Bearer { help: help.into() }
    }

    /// Makes the kind that sends a key in header `name`, behind `prefix`.
    pub fn header(name: impl Into<String>, prefix: impl Into<String>, help: impl Into<String>) -> Self {
        AuthKind::Header { name: name.into(), prefix: prefix.into(), help: help.into() }
    }

    /// Makes the kind that sends a key in query parameter `name`.
    pub fn query(name: impl Into<String>, help: impl Into<String>) -> Self {
        AuthKind::Query { name: name.into(), help: help.into() }
    }

    /// Makes the kind that sends a user name and a password.
    pub fn basic(help: impl Into<String>) -> Self {
        AuthKind::Basic { help: help.into() }
    }

    /// Returns what a user gives in order to sign in this way.
    pub fn credential(&self) -> CredentialKind {
        match self {
            AuthKind::Bearer { .. } | AuthKind::Header { .. } | AuthKind::Query { .. } => CredentialKind::Token,
            AuthKind::Basic { .. } => CredentialKind::NameAndPassword,
            AuthKind::OAuth2(_) => CredentialKind::OAuth2,
        }
    }

    /// Returns where a user gets the credentials, in one line; `None` where the engine gets them itself.
    pub fn help(&self) -> Option<&str> {
        match self {
            AuthKind::Bearer { help }
            | AuthKind::Header { help, .. }
            | AuthKind::Query { help, .. }
            | AuthKind::Basic { help } => Some(help),
            AuthKind::OAuth2(_) => None,
        }
    }

    /// Returns the description of OAuth 2 at the API, if this is that kind.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        match self {
            AuthKind::OAuth2(oauth) => Some(oauth),
            AuthKind::Bearer { .. } | AuthKind::Header { .. } | AuthKind::Query { .. } | AuthKind::Basic { .. } => None,
        }
    }

    /// Returns where a request carries `token`; `None` for kinds that do not take a [`CredentialKind::Token`].
    pub fn place_token(&self, token: &Secret) -> Option<Placement> {
        match self {
            AuthKind::Bearer { .. } => Some(Placement::bearer(token)),
            AuthKind::Header { name, prefix, .. } => {
                let value = Secret::new(format!("{prefix}{}", token.expose().trim()));
                Some(Placement::Header { name: name.clone(), value })
            }
            AuthKind::Query { name, .. } => {
                Some(Placement::Query { name: name.clone(), value: Secret::new(token.expose().trim()) })
            }
            AuthKind::Basic { .. } | AuthKind::OAuth2(_) => None,
        }
    }
}

impl Placement {
    /// Returns the place of a bearer token: the `Authorization` header. Space around the token, such as the newline at the
    /// end of a file, is removed.
    pub fn bearer(token: &Secret) -> Self {
        let value = Secret::new(format!("Bearer {}", token.expose().trim()));
        Placement::Header { name: "authorization".to_owned(), value }
    }
}

/// How OAuth 2 works at an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OAuth2 {
    /// The authorization endpoint, where the user agrees.
    pub authorize_url: String,
    /// The token endpoint.
    pub token_url: String,
    /// Scopes that the provider's templates need at least.
    pub scopes: Vec<String>,
    /// How the client authenticates at the token endpoint. In the form by default.
    pub client: ClientAuth,
    /// What a desktop application, which cannot keep a secret, can do.
    pub desktop: DesktopSignIn,
    /// The device authorization endpoint (RFC 8628), where the API has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_url: Option<String>,
    /// Parameters to add to the authorization URL, such as `access_type=offline`.
    pub authorize_parameters: Vec<(String, String)>,
}

impl OAuth2 {
    /// Describes OAuth 2 with these two endpoints.
    pub fn new(authorize_url: impl Into<String>, token_url: impl Into<String>, desktop: DesktopSignIn) -> Self {
        OAuth2 {
            authorize_url: authorize_url.into(),
            token_url: token_url.into(),
            scopes: Vec::new(),
            client: ClientAuth::Body,
            desktop,
            device_url: None,
            authorize_parameters: Vec::new(),
        }
    }

    /// Adds a scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Sets how the client authenticates at the token endpoint.
    #[must_use]
    pub fn client(mut self, client: ClientAuth) -> Self {
        self.client = client;
        self
    }

    /// Sets the device authorization endpoint.
    #[must_use]
    pub fn device_url(mut self, url: impl Into<String>) -> Self {
        self.device_url = Some(url.into());
        self
    }

    /// Returns its own scopes and `others`, each once.
    ///
    /// ```
    /// use highwater_template::auth::{DesktopSignIn, OAuth2};
    /// let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::PkcePublic);
    /// assert_eq!(oauth.scope("read").scopes_with(&["write", "read"]), ["read", "write"]);
    /// ```
    pub fn scopes_with(&self, others: &[&str]) -> Vec<String> {
        let mut all = self.scopes.clone();
        for scope in others {
            if !all.iter().any(|known| known == scope) {
                all.push((*scope).to_owned());
            }
        }
        all
    }

    /// Adds a parameter to the authorization URL.
    #[must_use]
    pub fn authorize_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorize_parameters.push((name.into(), value.into()));
        self
    }
}

/// How a client authenticates at a token endpoint.
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

/// What a desktop application can do to sign a user in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DesktopSignIn {
    /// Authorization code with PKCE over a loopback address, without a secret.
    PkcePublic,
    /// The same, but the API wants a client secret that is not secret (Google's desktop clients).
    PkceWithSecret,
    /// The device flow, without a secret.
    Device,
    /// Only with a server of the vendor that keeps the secret, or with a token that the user pastes.
    Broker,
}

impl DesktopSignIn {
    /// Returns what that means to a desktop application, in one line.
    pub fn description(self) -> &'static str {
        match self {
            DesktopSignIn::PkcePublic => "a desktop application needs no secret (PKCE)",
            DesktopSignIn::PkceWithSecret => "a desktop application ships a client secret that is not secret (PKCE)",
            DesktopSignIn::Device => "a desktop application needs no secret (device flow)",
            DesktopSignIn::Broker => {
                "the client secret has to stay on a server of yours; a desktop application takes a token instead"
            }
        }
    }
}

/// A text in a response that says that the access token has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExpiredTokenText {
    /// Where the text is in the body, as a JSON pointer.
    pub pointer: String,
    /// The text; a number as it is written.
    pub value: String,
}

impl ExpiredTokenText {
    pub(crate) fn new(pointer: String, value: String) -> Self {
        ExpiredTokenText { pointer, value }
    }
}

/// Renews secret settings of a connection, such as a refresh token that works once. The host runs one renewal at a time.
///
/// ```
/// use highwater_template::async_trait::async_trait;
/// use highwater_template::auth::SecretRenewal;
/// use highwater_template::{Error, ErrorKind, HttpRequest, Result, Secret, SyncContext};
///
/// /// Exchanges a key that works once for the next one.
/// struct KeyExchange<'c, 'h> {
///     context: &'c SyncContext<'h>,
///     used: Option<Secret>,
/// }
///
/// #[async_trait]
/// impl SecretRenewal for KeyExchange<'_, '_> {
///     async fn renew(
///         &mut self,
///         current: &(dyn for<'n> Fn(&'n str) -> Option<Secret> + Sync),
///     ) -> Result<Vec<(String, Secret)>> {
///         let key = current("key").ok_or_else(|| Error::new(ErrorKind::Invalid, "there is no key: give one"))?;
///         if self.used.as_ref() != Some(&key) {
///             return Ok(Vec::new()); // another run renewed it
///         }
///         let request = HttpRequest::new("POST", "/keys/exchange").form([("key", key.expose())]);
///         let key: String = self.context.send(request).await?.json()?;
///         Ok(vec![("key".to_owned(), Secret::new(key))])
///     }
/// }
///
/// async fn renew(context: &SyncContext<'_>) -> Result<()> {
///     context.renew_secrets(&mut KeyExchange { context, used: context.secret("key") }).await
/// }
/// # let _ = renew;
/// ```
#[async_trait]
pub trait SecretRenewal: Send {
    /// Returns the secret settings that changed, by name; none if another run has renewed them.
    ///
    /// `current` reads a setting as it is now, which may have changed while this renewal waited for its turn. The host stores
    /// what is returned before it does anything else.
    ///
    /// # Errors
    ///
    /// Any error fails the run; the settings stay as they are.
    async fn renew(
        &mut self,
        current: &(dyn for<'n> Fn(&'n str) -> Option<Secret> + Sync),
    ) -> Result<Vec<(String, Secret)>>;
}
