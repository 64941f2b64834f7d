//! The stored settings of a connection.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::timestamp::unix_ms;
use highwater_core::{Error, ErrorKind, Json, Result, Timestamp};
use highwater_template::{ConfigKey, TemplateInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::about::{EndUser, check_display_name, check_metadata, check_tags};
use crate::urls::{Url, credentials_in_url};

/// The settings of a connection, an account at an API: its address, the settings of its templates, and the host's own data.
/// Credentials are not part of it; they are kept by the engine's [`CredentialStore`](crate::CredentialStore).
///
/// ```
/// use highwater_engine::ConnectionSettings;
/// use highwater_engine::connections::EndUser;
/// let connection = ConnectionSettings::new("github-ann", "github")
///     .config("owner", "octocat")
///     .display_name("Ann's GitHub")
///     .end_user(EndUser::new("u-7").email("ann@example.com"))
///     .tag("plan", "team")
///     .metadata("labels", serde_json::json!(["bug"]));
/// assert_eq!(connection.tags["plan"], "team");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionSettings {
    /// Its id, chosen by the host.
    pub id: String,
    /// The provider, such as `github`.
    pub provider: String,
    /// The key of its integration, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The base URL, if it differs from the templates'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Which addresses the base URL may have.
    #[serde(default, skip_serializing_if = "BaseUrlReach::is_anywhere")]
    pub base_url_reach: BaseUrlReach,
    /// Where the API takes the tokens of the current sign-in, as it said at the sign-in. Only a sign-in changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_base_url: Option<FoundBaseUrl>,
    /// Settings of the templates.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// Its display name: 1 to 255 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whose account it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<EndUser>,
    /// Tags by which the host finds connections: at most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The host's JSON that templates and actions can read: at most 64 KiB. Do not store secrets in it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// A base URL that the API told at a sign-in: see [`BaseUrlLookup`](highwater_template::auth::BaseUrlLookup). It applies where the
/// connection has no base URL of its own, for as long as its settings lead to the same site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundBaseUrl {
    /// The usual base URL of the site.
    pub usual: String,
    /// The base URL in its place.
    pub url: String,
}

/// Which addresses a base URL may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BaseUrlReach {
    /// Any, also of this machine and of private networks: the program chose it.
    #[default]
    Anywhere,
    /// Only globally routable ones: somebody else chose it, such as a client of a server.
    Public,
}

impl BaseUrlReach {
    pub(crate) fn is_anywhere(&self) -> bool {
        *self == BaseUrlReach::Anywhere
    }
}

impl ConnectionSettings {
    /// Returns the settings of a connection to `provider`.
    pub fn new(id: impl Into<String>, provider: impl Into<String>) -> Self {
        ConnectionSettings {
            id: id.into(),
            provider: provider.into(),
            integration: None,
            base_url: None,
            base_url_reach: BaseUrlReach::Anywhere,
            found_base_url: None,
            config: BTreeMap::new(),
            display_name: None,
            end_user: None,
            tags: BTreeMap::new(),
            metadata: Map::new(),
        }
    }

    /// Returns the settings of a connection of the integration `key`. Provider, base URL and settings come from the integration,
    /// unless the connection overrides them; values equal to the integration's follow its later changes.
    ///
    /// ```
    /// use highwater_engine::ConnectionSettings;
    /// let settings = ConnectionSettings::of_integration("octocat", "github").config("owner", "octocat");
    /// assert_eq!(settings.integration.as_deref(), Some("github"));
    /// ```
    pub fn of_integration(id: impl Into<String>, key: impl Into<String>) -> Self {
        ConnectionSettings { integration: Some(key.into()), ..ConnectionSettings::new(id, "") }
    }

    /// The account alone, without anything that the host noted.
    pub(crate) fn without_notes(self) -> Self {
        let ConnectionSettings { id, provider, base_url, base_url_reach, found_base_url, config, .. } = self;
        ConnectionSettings { base_url, base_url_reach, found_base_url, config, ..ConnectionSettings::new(id, provider) }
    }

    /// Sets the base URL. It may have any address, so the program must not take it from others: see
    /// [`public_base_url`](ConnectionSettings::public_base_url). A host name in another
    /// script is written in Punycode (`xn--...`).
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        (self.base_url, self.base_url_reach) = (Some(url.into()), BaseUrlReach::Anywhere);
        self
    }

    /// Sets the base URL as somebody else than the program says: requests reach globally routable addresses only, unless the
    /// engine allows [`PrivateAddresses::OfAnyone`](crate::transport::PrivateAddresses).
    #[must_use]
    pub fn public_base_url(mut self, url: impl Into<String>) -> Self {
        (self.base_url, self.base_url_reach) = (Some(url.into()), BaseUrlReach::Public);
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// Sets the display name.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Sets whose account it is.
    #[must_use]
    pub fn end_user(mut self, user: EndUser) -> Self {
        self.end_user = Some(user);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Adds a member to the metadata.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Returns the key of its integration, or the name of its provider for a connection without one: what webhooks call
    /// `providerConfigKey`.
    pub fn integration_key(&self) -> &str {
        self.integration.as_deref().unwrap_or(&self.provider)
    }

    /// Keeps what the last sign-in found out, and the host's own data of an existing connection that these settings do not set.
    pub(crate) fn keep_notes(&mut self, before: &ConnectionSettings) {
        self.found_base_url.clone_from(&before.found_base_url);
        if self.display_name.is_none() {
            self.display_name.clone_from(&before.display_name);
        }
        if self.end_user.is_none() {
            self.end_user.clone_from(&before.end_user);
        }
        if self.tags.is_empty() {
            self.tags.clone_from(&before.tags);
        }
        if self.metadata.is_empty() {
            self.metadata.clone_from(&before.metadata);
        }
    }

    /// Whether both are the same connection with the same settings of its templates, whatever the host notes of it.
    pub(crate) fn leads_where(&self, other: &ConnectionSettings) -> bool {
        let facts = |settings: &ConnectionSettings| {
            let ConnectionSettings {
                id, provider, integration, base_url, base_url_reach, found_base_url, config, ..
            } = settings.clone();
            (id, provider, integration, base_url, base_url_reach, found_base_url, config)
        };
        facts(self) == facts(other)
    }

    /// The base URL: the connection's own, or the one that the API told, or else the template's.
    pub(crate) fn origins(&self, mut of_template: Vec<String>) -> Vec<String> {
        let usual = of_template.first();
        let found = self.found_base_url.as_ref().filter(|found| usual == Some(&found.usual)).map(|found| &found.url);
        match (self.base_url.as_ref().or(found), of_template.first_mut()) {
            (Some(url), Some(first)) => first.clone_from(url),
            (Some(url), None) => of_template.push(url.clone()),
            (None, _) => {}
        }
        of_template
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_base_url(self.base_url.as_deref())?;
        if self.id.is_empty() || self.id.len() > 200 || self.id.contains('/') {
            return Err(Error::new(ErrorKind::Invalid, "a connection's id has 1 to 200 bytes and no slash")
                .with("connection", &self.id));
        }
        self.display_name.as_deref().map_or(Ok(()), check_display_name)?;
        self.end_user.as_ref().map_or(Ok(()), EndUser::check)?;
        check_tags(&self.tags)?;
        check_metadata(&self.metadata)
    }

    /// The settings that a template gets: those of the connection, and defaults for the rest.
    pub(crate) fn config_for(&self, info: &TemplateInfo) -> Result<BTreeMap<String, String>> {
        self.config_of(&info.id(), &info.config)
    }

    pub(crate) fn config_of(&self, template: &str, keys: &[ConfigKey]) -> Result<BTreeMap<String, String>> {
        let mut config = BTreeMap::new();
        for key in keys.iter().filter(|key| !key.secret) {
            match self.config.get(&key.name).cloned().or_else(|| key.default.clone()) {
                Some(value) => {
                    config.insert(key.name.clone(), value);
                }
                None if key.required => {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        "a setting is missing: add it to the connection's config",
                    )
                    .with("template", template)
                    .with("setting", &key.name)
                    .with("help", &key.help));
                }
                None => {}
            }
        }
        Ok(config)
    }

    /// Returns the names of the settings that a template needs and does not get.
    pub(crate) fn missing(&self, keys: &[ConfigKey]) -> Vec<String> {
        let needed = keys.iter().filter(|key| !key.secret && key.required && key.default.is_none());
        needed.filter(|key| !self.config.contains_key(&key.name)).map(|key| key.name.clone()).collect()
    }

    /// Refuses settings that no template or action of the provider reads, to catch typing errors.
    pub(crate) fn check_names<'k>(&self, keys: impl Iterator<Item = &'k ConfigKey>) -> Result<()> {
        let known: BTreeSet<&str> = keys.filter(|key| !key.secret).map(|key| key.name.as_str()).collect();
        match self.config.keys().find(|name| !known.contains(name.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(Error::new(ErrorKind::Invalid, "no template of the provider has such a setting")
                .with("provider", &self.provider)
                .with("setting", unknown)
                .with("known", known.into_iter().collect::<Vec<_>>().join(", "))),
        }
    }
}

/// Refuses a base URL with credentials in it.
pub(crate) fn check_base_url(url: Option<&str>) -> Result<()> {
    // In a text that is not a URL, what is before an `@` may be a password.
    let refused = |url: &str| Url::parse(url).map_or(url.contains('@'), |url| url.has_credentials());
    if url.is_some_and(refused) { Err(credentials_in_url()) } else { Ok(()) }
}

/// The stored form of a connection.
#[derive(Serialize)]
pub(crate) struct StoredConnection {
    #[serde(flatten)]
    pub(crate) settings: ConnectionSettings,
    /// When it was first connected; `None` if an earlier version did that.
    #[serde(rename = "created_ms", with = "unix_ms::option", skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default, rename = "created_ms", with = "unix_ms::option")]
    at: Option<Timestamp>,
}

impl StoredConnection {
    /// Parses both parts separately: flattened parts cannot be parsed if a host builds `serde_json` with its feature
    /// `arbitrary_precision`.
    pub(crate) fn read(stored: &Json) -> Result<Self> {
        Ok(StoredConnection { settings: stored.to()?, created_at: stored.to::<Created>()?.at })
    }
}

pub(crate) fn connection_key(id: &str) -> String {
    format!("connection/{id}")
}
