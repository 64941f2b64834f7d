//! How a connection signs in to an API.
//!
//! Everything that depends on the kind is in this module. Other crates call the methods of [`AuthKind`] and never match on it, so
//! that a new kind is added here alone.

mod base_url;
mod oauth2;

use async_trait::async_trait;
use serde::Serialize;

use super::secret::Secret;
pub use base_url::{BaseUrlLookup, TokenBaseUrl};
use highwater_core::Result;
pub use oauth2::{ClientAuth, DesktopSignIn, OAuth2};

/// Whether a template needs credentials of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialUse {
    /// It does not work without credentials.
    Required,
    /// It reads public data without credentials, with lower rate limits.
    Optional,
    /// It sends no credentials.
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
        /// Where a user gets the token.
        #[serde(flatten)]
        guide: Guide,
    },
    /// A key in a header.
    Header {
        /// The header.
        name: String,
        /// What stands before the key, with its space.
        prefix: String,
        /// Where a user gets the key.
        #[serde(flatten)]
        guide: Guide,
    },
    /// A key in the query. It is kept out of logs and errors.
    Query {
        /// The parameter.
        name: String,
        /// Where a user gets the key.
        #[serde(flatten)]
        guide: Guide,
    },
    /// `Authorization: Basic`: a user name and a password.
    Basic {
        /// What the two are.
        #[serde(flatten)]
        guide: Guide,
    },
    /// OAuth 2: the access token is a bearer token, refreshed by the engine.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
    /// A service account's key file, as Google gives it: the engine signs requests for tokens with the key (RFC 7523).
    ServiceAccount {
        /// Where a user gets the key file.
        #[serde(flatten)]
        guide: Guide,
    },
    /// The private key of a GitHub App: the engine signs requests for the tokens of one installation with it.
    #[serde(rename = "github_app")]
    GitHubApp {
        /// Where a user gets the key.
        #[serde(flatten)]
        guide: Guide,
    },
}

/// Where a person gets what a sign-in needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Guide {
    /// What it is and where it comes from, in one line.
    pub help: String,
    /// The URL of the page where it is made.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub page: String,
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
    /// The key file of a service account.
    ServiceAccount,
    /// The private key of a GitHub App.
    GitHubApp,
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
        AuthKind::Bearer { guide: Guide::new(help) }
    }

    /// Makes the kind that sends a key in header `name`, behind `prefix`.
    pub fn header(name: impl Into<String>, prefix: impl Into<String>, help: impl Into<String>) -> Self {
        AuthKind::Header { name: name.into(), prefix: prefix.into(), guide: Guide::new(help) }
    }

    /// Makes the kind that sends a key in query parameter `name`.
    pub fn query(name: impl Into<String>, help: impl Into<String>) -> Self {
        AuthKind::Query { name: name.into(), guide: Guide::new(help) }
    }

    /// Makes the kind that sends a user name and a password.
    pub fn basic(help: impl Into<String>) -> Self {
        AuthKind::Basic { guide: Guide::new(help) }
    }

    /// Makes the kind that signs in with a service account's key file.
    pub fn service_account(help: impl Into<String>) -> Self {
        AuthKind::ServiceAccount { guide: Guide::new(help) }
    }

    /// Makes the kind that signs in with the private key of a GitHub App.
    pub fn github_app(help: impl Into<String>) -> Self {
        AuthKind::GitHubApp { guide: Guide::new(help) }
    }

    /// Sets the URL of the page where a person gets the credentials, or registers an application.
    ///
    /// ```
    /// use highwater_template::auth::AuthKind;
    /// let kind = AuthKind::bearer("a personal token").page("https://a.example/settings/tokens");
    /// assert_eq!(kind.page_url(), Some("https://a.example/settings/tokens"));
    /// ```
    #[must_use]
    pub fn page(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        match &mut self {
            AuthKind::OAuth2(oauth) => oauth.page = url,
            AuthKind::Bearer { guide }
            | AuthKind::Header { guide, .. }
            | AuthKind::Query { guide, .. }
            | AuthKind::Basic { guide }
            | AuthKind::ServiceAccount { guide }
            | AuthKind::GitHubApp { guide } => guide.page = url,
        }
        self
    }

    /// Returns what a user gives in order to sign in this way.
    pub fn credential(&self) -> CredentialKind {
        match self {
            AuthKind::Bearer { .. } | AuthKind::Header { .. } | AuthKind::Query { .. } => CredentialKind::Token,
            AuthKind::Basic { .. } => CredentialKind::NameAndPassword,
            AuthKind::OAuth2(_) => CredentialKind::OAuth2,
            AuthKind::ServiceAccount { .. } => CredentialKind::ServiceAccount,
            AuthKind::GitHubApp { .. } => CredentialKind::GitHubApp,
        }
    }

    fn guide(&self) -> (&str, &str) {
        match self {
            AuthKind::OAuth2(oauth) => (&oauth.help, &oauth.page),
            AuthKind::Bearer { guide }
            | AuthKind::Header { guide, .. }
            | AuthKind::Query { guide, .. }
            | AuthKind::Basic { guide }
            | AuthKind::ServiceAccount { guide }
            | AuthKind::GitHubApp { guide } => (&guide.help, &guide.page),
        }
    }

    /// Returns where a user gets the credentials, or how an application is registered, in one line.
    pub fn help(&self) -> Option<&str> {
        Some(self.guide().0).filter(|help| !help.is_empty())
    }

    /// Returns the URL of the page where a person gets the credentials, or registers an application.
    pub fn page_url(&self) -> Option<&str> {
        Some(self.guide().1).filter(|page| !page.is_empty())
    }

    /// Returns the description of OAuth 2 at the API, if this is that kind.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        match self {
            AuthKind::OAuth2(oauth) => Some(oauth),
            _ => None,
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
            AuthKind::Basic { .. }
            | AuthKind::OAuth2(_)
            | AuthKind::ServiceAccount { .. }
            | AuthKind::GitHubApp { .. } => None,
        }
    }
}

impl Guide {
    fn new(help: impl Into<String>) -> Self {
        Guide { help: help.into(), page: String::new() }
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
