//! Where a connection's credentials may go.
//!
//! Credentials belong to the origins that the connection's provider has under the connection's settings. A template or an
//! action gets a client only if it is the provider's own; while requests are sent, the connection must still be the one that
//! the client was made for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::{AuthKind, CredentialUse, OAuth2};
use highwater_template::{ConfigKey, HttpRequest, HttpResponse, Provider, Secret};
use url::Url;

use super::client::{Client, Note};
use super::credentials::SignInMethod;
use super::tokens::OAuthTokens;
use crate::builder::unknown_provider;
use crate::connection::ConnectionSettings;
use crate::engine::Parts;
use crate::mutants::mutant;

/// A provider's name, and its origins under a connection's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    provider: String,
    origins: BTreeSet<String>,
    /// Where tokens come from and go to, beside these.
    token_origins: BTreeSet<String>,
}

impl Address {
    fn new(provider: &Provider, urls: &[String]) -> Self {
        let origin =
            |url: &str| Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization());
        let endpoints = provider.auth.iter().filter_map(AuthKind::oauth2).flat_map(OAuth2::endpoints);
        Address {
            provider: provider.name.clone(),
            origins: urls.iter().map(|url| origin(url)).collect(),
            token_origins: endpoints.map(origin).collect(),
        }
    }

    /// Refuses a token endpoint of the credentials' own that is at none of the provider's origins. A provider that describes no
    /// OAuth 2 leaves the endpoint to the credentials.
    pub(super) fn check_token_url(&self, tokens: &OAuthTokens) -> Result<()> {
        let Some(url) = tokens.token_url.as_deref().filter(|_| !self.token_origins.is_empty()) else { return Ok(()) };
        let origin = Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
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

    /// Whether credentials may go there.
    pub(super) fn owns(&self, url: &Url) -> bool {
        mutant!("credential-without-origin") || self.origins.contains(&url.origin().ascii_serialization())
    }
}

impl Parts {
    /// A client for a template or an action of `provider`, which asks at `origins`.
    pub(crate) async fn client(
        &self,
        settings: &ConnectionSettings,
        provider: &Provider,
        origins: &[String],
        credentials: CredentialUse,
    ) -> Result<Client> {
        let opened = self.open_client(settings, provider, origins, credentials).await;
        opened.map_err(|error| self.sessions.of(&settings.id).redact_error(error))
    }

    async fn open_client(
        &self,
        settings: &ConnectionSettings,
        provider: &Provider,
        origins: &[String],
        credentials: CredentialUse,
    ) -> Result<Client> {
        self.admit(settings, provider)?;
        let session = self.sessions.of(&settings.id);
        let filled = provider.filled_in(&self.config_of(settings, provider))?;
        let address = self.address(settings, provider).unwrap_or_default();
        session.arrive(&address).await?;
        let (transport, environment) = (Arc::clone(&self.transport), Arc::clone(&self.environment));
        let store = Arc::clone(&self.store);
        let client = Client::new(transport, environment, store, self.limits.clone(), origins, &filled, session).await?;
        if credentials != CredentialUse::Unused
            && let Some(stranger) = client.origins().urls().iter().find(|origin| !address.owns(origin))
        {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the template asks at an origin that its provider does not name: name it there",
            )
            .with("provider", &provider.name)
            .with("origin", stranger.origin().ascii_serialization()));
        }
        Ok(client.of_engine(&self.name).at(address))
    }

    /// Refuses what belongs to another provider than the connection's.
    pub(crate) fn admit(&self, settings: &ConnectionSettings, provider: &Provider) -> Result<()> {
        if mutant!("credential-without-origin") {
            return Ok(());
        }
        if settings.provider != provider.name {
            return Err(Error::new(ErrorKind::Invalid, "the connection is one to another provider")
                .with("connection", &settings.id)
                .with("provider", &settings.provider)
                .with("expected", &provider.name));
        }
        self.provider_of(settings).map(drop)
    }

    /// The provider of a connection, as the catalogue knows it. Everything in the catalogue that calls its provider so
    /// must mean the same API.
    pub(crate) fn provider_of(&self, settings: &ConnectionSettings) -> Result<&Provider> {
        let mut known = self.described().map(|(provider, _)| provider).filter(|known| known.name == settings.provider);
        let first = known.next().ok_or_else(|| {
            unknown_provider(&settings.provider, self.described().map(|(provider, _)| provider.name.as_str()))
        })?;
        match known.find(|other| places(other) != places(first)) {
            None => Ok(first),
            Some(other) => Err(Error::new(
                ErrorKind::Invalid,
                "two templates or providers call different APIs by one name: rename one, or credentials would go astray",
            )
            .with("provider", &first.name)
            .with("one", places(first).join(" "))
            .with("other", places(other).join(" "))),
        }
    }

    /// Where the connection's credentials may go; nothing where a setting is missing.
    pub(crate) fn address(&self, settings: &ConnectionSettings, provider: &Provider) -> Option<Address> {
        let urls = self.urls(settings, provider).ok()?;
        let filled = provider.filled_in(&self.config_of(settings, provider)).ok()?;
        Some(Address::new(&filled, &urls))
    }

    /// The provider's URLs under the connection's settings, the base URL first.
    pub(crate) fn urls(&self, settings: &ConnectionSettings, provider: &Provider) -> Result<Vec<String>> {
        Ok(settings.origins(provider.urls(&self.config_of(settings, provider))?))
    }

    /// The connection's settings, with the defaults of everything that belongs to the provider.
    fn config_of(&self, settings: &ConnectionSettings, provider: &Provider) -> BTreeMap<String, String> {
        let mut config = settings.config.clone();
        let of_provider = self.described().filter(|(known, _)| known.name == provider.name);
        for key in of_provider.flat_map(|(known, keys)| known.config.iter().chain(keys)) {
            if let Some(default) = &key.default {
                config.entry(key.name.clone()).or_insert_with(|| default.clone());
            }
        }
        config
    }

    /// Every description of a provider in the catalogue, with the settings of the template or action that it comes with.
    /// Providers that were given by themselves come first.
    pub(crate) fn described(&self) -> impl Iterator<Item = (&Provider, &[ConfigKey])> {
        let alone = self.providers.iter().map(|provider| (provider, &[][..]));
        let of_templates = self.templates.values().map(|template| template.info());
        let of_actions = self.actions.values().map(|action| action.info());
        alone
            .chain(of_templates.map(|info| (&info.provider, info.config.as_slice())))
            .chain(of_actions.map(|info| (&info.provider, info.config.as_slice())))
    }
}

/// Every place that a provider's credentials go to.
fn places(provider: &Provider) -> Vec<&str> {
    let tokens = provider.auth.iter().filter_map(AuthKind::oauth2).flat_map(OAuth2::endpoints);
    let mut places: Vec<&str> = provider.origins.iter().map(String::as_str).chain(tokens).collect();
    places.sort_unstable();
    places.insert(0, &provider.base_url);
    places
}

impl Client {
    /// Sends a request for a template, an action or the host. No error of it has a secret of the connection.
    pub(crate) async fn send(&self, request: HttpRequest, note: Note<'_>) -> Result<HttpResponse> {
        let outcome = self.send_until_answered(request, note).await;
        outcome.map_err(|error| self.session().redact_error(self.with_missing_scopes(error)))
    }

    /// A secret setting, while the connection is still the one that the client was made for.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.check_address().ok()?;
        self.session().known()?.named(name)
    }

    /// A refusal may come of scopes that were never granted.
    fn with_missing_scopes(&self, error: Error) -> Error {
        let known = self.session().known().filter(|_| error.kind() == ErrorKind::Unauthorized);
        let Some(SignInMethod::OAuth2(tokens)) = known.map(|known| known.sign_in) else { return error };
        let missing = tokens.missing_scopes();
        if missing.is_empty() { error } else { error.with("scopes_not_granted", missing.join(" ")) }
    }
}
