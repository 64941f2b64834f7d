//! HTTP clients for connections: the connection's provider, its origins, and which templates get a client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::{AuthKind, CredentialUse, OAuth2};
use highwater_template::http::Transport;
use highwater_template::{ConfigKey, Provider};

use crate::documents::{BaseUrlReach, ConnectionSettings};
use crate::errors::unknown_provider;
use crate::http::{Address, Client, Guarded, PrivateAddresses, Session, fixed_origin};
use crate::mutants::mutant;
use crate::parts::Parts;

impl Parts {
    /// Creates a client for a template or an action of `provider` that sends requests to `origins`.
    pub(crate) async fn client(
        &self,
        settings: &ConnectionSettings,
        provider: &Provider,
        origins: &[String],
        credentials: CredentialUse,
    ) -> Result<Client> {
        self.client_of(settings, provider, origins, credentials, self.sessions.of(&settings.id)).await
    }

    /// Creates a client that uses the credentials of `session`.
    pub(crate) async fn client_of(
        &self,
        settings: &ConnectionSettings,
        provider: &Provider,
        origins: &[String],
        credentials: CredentialUse,
        session: Arc<Session>,
    ) -> Result<Client> {
        let opened = self.open_client(settings, provider, origins, credentials, Arc::clone(&session)).await;
        opened.map_err(|error| session.redact_error(error))
    }

    async fn open_client(
        &self,
        settings: &ConnectionSettings,
        provider: &Provider,
        origins: &[String],
        credentials: CredentialUse,
        session: Arc<Session>,
    ) -> Result<Client> {
        self.admit(settings, provider)?;
        self.hide_integration(settings, &session).await;
        let filled = provider.filled_in(&self.config_of(settings, provider))?;
        let address = self.address(settings, provider).unwrap_or_default();
        session.arrive(&address).await?;
        let (transport, environment) = (self.transport_for(settings, provider), Arc::clone(&self.environment));
        let store = Arc::clone(&self.store);
        let client = Client::new(transport, environment, store, self.limits.clone(), origins, &filled, session).await?;
        if credentials != CredentialUse::Unused
            && let Some(origin) = client.origin_outside(&address)
        {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the template uses an origin that its provider does not declare: declare it there",
            )
            .with("provider", &provider.name)
            .with("origin", origin));
        }
        Ok(client.of_engine(&self.name, &self.counting).at(address))
    }

    /// The transport for a connection: what its settings lead to may not be a private address.
    pub(crate) fn transport_for(&self, settings: &ConnectionSettings, provider: &Provider) -> Arc<dyn Transport> {
        let transport = Arc::clone(&self.transport);
        if self.private_addresses == PrivateAddresses::OfAnyone {
            return transport;
        }
        Arc::new(Guarded::new(transport, self.own_origins(settings, provider)))
    }

    /// The origins that the program itself wrote.
    fn own_origins(&self, settings: &ConnectionSettings, provider: &Provider) -> BTreeSet<String> {
        let defaults = self.defaults_of(provider);
        let defaults = || defaults.iter().map(|(name, value)| (*name, *value));
        let endpoints = provider.auth.iter().filter_map(AuthKind::oauth2).flat_map(OAuth2::endpoints);
        let urls = std::iter::once(&provider.base_url).chain(&provider.origins).map(String::as_str);
        let urls = urls.chain(endpoints).chain(lookups(provider));
        let own = settings.base_url.as_deref().filter(|_| settings.base_url_reach == BaseUrlReach::Anywhere);
        urls.filter_map(|url| fixed_origin(url, defaults())).chain(own.and_then(|url| fixed_origin(url, []))).collect()
    }

    /// Refuses a template or an action of another provider than the connection's.
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

    /// The provider of a connection, from the catalogue. All entries of the catalogue with this provider name must describe
    /// the same API.
    pub(crate) fn provider_of(&self, settings: &ConnectionSettings) -> Result<&Provider> {
        let mut known = self.described().map(|(provider, _)| provider).filter(|known| known.name == settings.provider);
        let first = known.next().ok_or_else(|| {
            unknown_provider(&settings.provider, self.described().map(|(provider, _)| provider.name.as_str()))
        })?;
        match known.find(|other| places(other) != places(first)) {
            None => Ok(first),
            Some(other) => Err(Error::new(
                ErrorKind::Invalid,
                "two templates or providers use the same provider name for different APIs: rename one, or credentials could leak",
            )
            .with("provider", &first.name)
            .with("one", places(first).join(" "))
            .with("other", places(other).join(" "))),
        }
    }

    /// The origins that the connection's credentials may be sent to; none if a setting is missing.
    pub(crate) fn address(&self, settings: &ConnectionSettings, provider: &Provider) -> Option<Address> {
        let urls = self.urls(settings, provider).ok()?;
        let filled = provider.filled_in(&self.config_of(settings, provider)).ok()?;
        Some(Address::new(&filled, &urls))
    }

    /// The provider's URLs under the connection's settings, the base URL first.
    pub(crate) fn urls(&self, settings: &ConnectionSettings, provider: &Provider) -> Result<Vec<String>> {
        Ok(settings.origins(provider.urls(&self.config_of(settings, provider))?))
    }

    /// The connection's settings, with the defaults of all the provider's templates and actions.
    pub(crate) fn config_of(&self, settings: &ConnectionSettings, provider: &Provider) -> BTreeMap<String, String> {
        let mut config = settings.config.clone();
        for (name, default) in self.defaults_of(provider) {
            config.entry(name.to_owned()).or_insert_with(|| default.to_owned());
        }
        config
    }

    /// The defaults of settings of all the provider's templates and actions, by name.
    fn defaults_of(&self, provider: &Provider) -> BTreeMap<&str, &str> {
        let of_provider = self.described().filter(|(known, _)| known.name == provider.name);
        let mut defaults = BTreeMap::new();
        for key in of_provider.flat_map(|(known, keys)| known.config.iter().chain(keys)) {
            if let Some(default) = &key.default {
                defaults.entry(key.name.as_str()).or_insert(default.as_str());
            }
        }
        defaults
    }

    /// Every description of a provider in the catalogue, with the settings of its template or action.
    /// Providers that were added directly come first.
    pub(crate) fn described(&self) -> impl Iterator<Item = (&Provider, &[ConfigKey])> {
        let alone = self.providers.iter().map(|provider| (provider, &[][..]));
        let of_templates = self.templates.values().map(|template| template.info());
        let of_actions = self.actions.values().map(|action| action.info());
        alone
            .chain(of_templates.map(|info| (&info.provider, info.config.as_slice())))
            .chain(of_actions.map(|info| (&info.provider, info.config.as_slice())))
    }
}

/// Every URL that a provider's credentials are sent to.
fn places(provider: &Provider) -> Vec<&str> {
    let tokens = provider.auth.iter().filter_map(AuthKind::oauth2).flat_map(OAuth2::endpoints);
    let origins = provider.origins.iter().map(String::as_str);
    let mut places: Vec<&str> = origins.chain(tokens).chain(lookups(provider)).collect();
    places.sort_unstable();
    places.insert(0, &provider.base_url);
    places
}

/// Where a provider's base URL is looked up, and what it is then.
fn lookups(provider: &Provider) -> impl Iterator<Item = &str> {
    let found = provider.auth.iter().filter_map(AuthKind::oauth2).filter_map(|oauth| oauth.base_url.as_deref());
    found.flat_map(|lookup| [lookup.url.as_str(), lookup.base_url.as_str()])
}
