//! Settings of an integration.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result, Timestamp, WriteBatch};
use serde::{Deserialize, Serialize};

use super::connection::{BaseUrlReach, ConnectionSettings, check_base_url};
use super::sync::SyncOptions;

/// The longest key, as a connection's id.
const KEY: usize = 200;

/// The longest display name.
const DISPLAY_NAME: usize = 200;

/// The longest client id, scope, or URL.
const TEXT: usize = 2048;

/// The most scopes.
const SCOPES: usize = 200;

/// The longest value of a setting.
const VALUE: usize = 16 * 1024;

fn yes() -> bool {
    true
}

fn is_yes(switch: &bool) -> bool {
    *switch
}

/// What a host sets up at a provider, once for all its connections there: the application that users sign in to, where the API
/// is, and settings of the templates. Its secrets are not part of it: see [`IntegrationHandle`](crate::IntegrationHandle).
///
/// ```
/// use highwater_engine::IntegrationSettings;
/// let settings = IntegrationSettings::new("github-work", "github")
///     .display_name("GitHub (work)")
///     .client_id("Iv1.0123456789abcdef")
///     .scopes(["repo", "read:org"]);
/// assert_eq!(settings.provider, "github");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IntegrationSettings {
    /// Its key, chosen by the host.
    pub key: String,
    /// The provider, such as `github`. It never changes.
    pub provider: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The id of the application that users sign in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The scopes to ask for at a sign-in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where the API is, if not where its templates say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Which addresses the base URL may have.
    #[serde(default, skip_serializing_if = "BaseUrlReach::is_anywhere")]
    pub base_url_reach: BaseUrlReach,
    /// Settings of the templates, for every connection that does not give its own.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Whether the webhooks that it receives are forwarded to destinations that ask for that. Defaults to `true`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub forward_webhooks: bool,
    /// When it was created. Set by the engine.
    #[serde(default, rename = "created_ms", with = "highwater_core::timestamp::unix_ms")]
    pub created_at: Timestamp,
    /// When its settings or endpoints were last changed. Set by the engine.
    #[serde(default, rename = "changed_ms", with = "highwater_core::timestamp::unix_ms")]
    pub changed_at: Timestamp,
}

impl IntegrationSettings {
    /// Returns an integration of `provider`. The key has 1 to 200 bytes and no slash.
    pub fn new(key: impl Into<String>, provider: impl Into<String>) -> Self {
        IntegrationSettings {
            key: key.into(),
            provider: provider.into(),
            display_name: None,
            client_id: None,
            scopes: Vec::new(),
            base_url: None,
            base_url_reach: BaseUrlReach::Anywhere,
            config: BTreeMap::new(),
            forward_webhooks: true,
            created_at: Timestamp::UNIX_EPOCH,
            changed_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Sets what people call it: at most 200 bytes.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Sets the id of the application that users sign in to.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets the scopes to ask for at a sign-in: at most 200.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets where the API is. It may have any address, so the program must not take it from others: see
    /// [`public_base_url`](IntegrationSettings::public_base_url).
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        (self.base_url, self.base_url_reach) = (Some(url.into()), BaseUrlReach::Anywhere);
        self
    }

    /// Sets where the API is, as somebody else than the program says: requests reach globally routable addresses only, unless
    /// the engine allows [`PrivateAddresses::OfAnyone`](crate::transport::PrivateAddresses). What was set before stays as it is
    /// if `url` is the same.
    #[must_use]
    pub fn public_base_url(mut self, url: Option<String>) -> Self {
        if self.base_url != url {
            self.base_url_reach = if url.is_some() { BaseUrlReach::Public } else { BaseUrlReach::Anywhere };
            self.base_url = url;
        }
        self
    }

    /// Sets whether the webhooks that it receives are forwarded to destinations that ask for that.
    #[must_use]
    pub fn forward_webhooks(mut self, forward: bool) -> Self {
        self.forward_webhooks = forward;
        self
    }

    /// Adds a setting of the templates: at most 16 KiB.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_key(&self.key)?;
        check_base_url(self.base_url.as_deref())?;
        let length = |what, text: Option<&String>, most| check_length(what, text.map_or("", String::as_str), most);
        length("display_name", self.display_name.as_ref(), DISPLAY_NAME)?;
        length("client_id", self.client_id.as_ref(), TEXT)?;
        length("base_url", self.base_url.as_ref(), TEXT)?;
        self.scopes.iter().try_for_each(|scope| check_length("scope", scope, TEXT))?;
        self.config.iter().try_for_each(|(name, value)| check_length(name, value, VALUE))?;
        if self.scopes.len() > SCOPES {
            return Err(Error::new(ErrorKind::Invalid, "the integration has too many scopes: name fewer")
                .with("scopes", self.scopes.len())
                .with("allowed", SCOPES));
        }
        Ok(())
    }

    /// Whether the host said the same of both, whenever that was.
    pub(crate) fn says_the_same_as(&self, other: &IntegrationSettings) -> bool {
        let (created_at, changed_at) = (self.created_at, self.changed_at);
        *self == IntegrationSettings { created_at, changed_at, ..other.clone() }
    }

    /// Fills in what a connection does not say itself.
    pub(crate) fn fill_in(&self, mut connection: ConnectionSettings) -> ConnectionSettings {
        connection.provider.clone_from(&self.provider);
        if connection.base_url.is_none() {
            connection.base_url.clone_from(&self.base_url);
            connection.base_url_reach = self.base_url_reach;
        }
        for (name, value) in &self.config {
            connection.config.entry(name.clone()).or_insert_with(|| value.clone());
        }
        connection
    }

    /// Takes out what a connection does not say otherwise: it follows the integration in that.
    pub(crate) fn take_out(&self, connection: &mut ConnectionSettings) {
        connection.provider.clone_from(&self.provider);
        if connection.base_url == self.base_url && connection.base_url_reach == self.base_url_reach {
            (connection.base_url, connection.base_url_reach) = (None, BaseUrlReach::Anywhere);
        }
        connection.config.retain(|name, value| self.config.get(name) != Some(value));
    }
}

pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY || key.contains('/') {
        return Err(Error::new(ErrorKind::Invalid, "an integration's key has 1 to 200 bytes and no slash")
            .with("bytes", key.len())
            .with("integration", key.chars().take(KEY).collect::<String>()));
    }
    Ok(())
}

fn check_length(what: &str, text: &str, most: usize) -> Result<()> {
    if text.len() <= most {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "a text of the integration is too long: shorten it")
        .with("setting", what)
        .with("bytes", text.len())
        .with("allowed", most))
}

/// Where integrations lie.
pub(crate) const INTEGRATIONS: &str = "integration/";

/// An integration as it is stored. Whoever adds or removes one of its connections or endpoints expects this document as it was
/// read and writes it anew, so that none of them can miss another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredIntegration {
    pub(crate) settings: IntegrationSettings,
    /// Its endpoints that are on: templates, and variants behind them, each with its options. Their schedule is always given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) endpoints: BTreeMap<String, SyncOptions>,
    /// Counts changes of its settings, endpoints and connections.
    #[serde(default)]
    pub(crate) revision: u64,
}

impl StoredIntegration {
    pub(crate) fn new(mut settings: IntegrationSettings, now: Timestamp) -> Self {
        (settings.created_at, settings.changed_at) = (now, now);
        StoredIntegration { settings, endpoints: BTreeMap::new(), revision: 0 }
    }

    /// The whole name of a sync of its provider: `issues` is `github/issues`.
    pub(crate) fn sync_name(&self, sync: &str) -> String {
        if sync.contains('/') { sync.to_owned() } else { format!("{}/{sync}", self.settings.provider) }
    }

    /// Adds to a batch that it is stored, as a later revision of what was read.
    pub(crate) fn put_next(mut self, batch: &mut WriteBatch) -> Result<()> {
        self.revision += 1;
        batch.put_document(integration_key(&self.settings.key), &self).map(drop)
    }
}

pub(crate) fn integration_key(key: &str) -> String {
    format!("{INTEGRATIONS}{key}")
}
