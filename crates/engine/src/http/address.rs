//! The origins that a connection's credentials may be sent to.
//!
//! Credentials belong to the origins of the connection's provider under the connection's settings. A template or an action
//! gets a client only if it belongs to the provider; while requests are sent, the connection must not have changed since the
//! client was created.

use std::collections::BTreeSet;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::{AuthKind, OAuth2};
use highwater_template::{HttpRequest, HttpResponse, Provider, Secret};

use super::attempt::Note;
use super::client::Client;
use super::credentials::SignInMethod;
use super::tokens::OAuthTokens;
use crate::mutants::mutant;
use crate::urls::Url;

/// A provider's name, and its origins under a connection's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    provider: String,
    origins: BTreeSet<String>,
    /// The token endpoints, in addition to these.
    token_origins: BTreeSet<String>,
}

impl Address {
    pub(crate) fn new(provider: &Provider, urls: &[String]) -> Self {
        let origin = |url: &str| Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().to_owned());
        let endpoints = provider.auth.iter().filter_map(AuthKind::oauth2).flat_map(OAuth2::endpoints);
        Address {
            provider: provider.name.clone(),
            origins: urls.iter().map(|url| origin(url)).collect(),
            token_origins: endpoints.map(origin).collect(),
        }
    }

    /// Refuses a token endpoint in the credentials that has none of the provider's origins. For a provider without OAuth 2 the
    /// credentials alone decide.
    pub(super) fn check_token_url(&self, tokens: &OAuthTokens) -> Result<()> {
        let Some(url) = tokens.token_url.as_deref().filter(|_| !self.token_origins.is_empty()) else { return Ok(()) };
        let origin = Url::parse(url).map(|url| url.origin().to_owned()).unwrap_or_default();
        if self.token_origins.contains(&origin) || self.origins.contains(&origin) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            "refused a token endpoint at another origin than the provider's: the refresh token would leak; correct the token URL of the credentials",
        )
        .with("origin", origin)
        .with("expected", self.token_origins.iter().cloned().collect::<Vec<_>>().join(", ")))
    }

    /// Whether credentials may be sent there.
    pub(super) fn owns(&self, url: &Url) -> bool {
        mutant!("credential-without-origin") || self.origins.contains(url.origin())
    }
}

impl Client {
    /// Sends a request for a template, an action or the host. Errors contain no secret of the connection.
    pub(crate) async fn send(&self, request: HttpRequest, note: Note<'_>) -> Result<HttpResponse> {
        let outcome = self.send_until_answered(request, note).await;
        outcome.map_err(|error| self.session().redact_error(self.with_missing_scopes(error)))
    }

    /// An origin that the client asks at and that is none of the connection's, if there is one.
    pub(crate) fn origin_outside(&self, address: &Address) -> Option<String> {
        let outside = self.origins().urls().iter().find(|url| !address.owns(url))?;
        Some(outside.origin().to_owned())
    }

    /// Returns a secret setting, if the connection has not changed since the client was created.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.check_address().ok()?;
        self.session().known()?.named(name)
    }

    /// A refusal may be caused by scopes that were never granted.
    fn with_missing_scopes(&self, error: Error) -> Error {
        let known = self.session().known().filter(|_| error.kind() == ErrorKind::Unauthorized);
        let Some(SignInMethod::OAuth2(tokens)) = known.map(|known| known.sign_in) else { return error };
        let missing = tokens.missing_scopes();
        if missing.is_empty() { error } else { error.with("scopes_not_granted", missing.join(" ")) }
    }
}
