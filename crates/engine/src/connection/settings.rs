//! What the engine keeps in the store about connections and syncs.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::{ConfigKey, TemplateInfo};
use serde::{Deserialize, Serialize};

use crate::http::{credentials_in_url, has_credentials};

/// An account at an API: where it is and which settings its templates get. Its token is not part of
/// it and never stored; give it to [`Engine::use_token`](crate::Engine::use_token) at each start.
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
    /// Where the API is, if not where its templates say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Settings of the templates.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

impl ConnectionSettings {
    /// A connection to `provider`.
    pub fn new(id: impl Into<String>, provider: impl Into<String>) -> Self {
        ConnectionSettings {
            id: id.into(),
            provider: provider.into(),
            integration: None,
            base_url: None,
            config: BTreeMap::new(),
        }
    }

    /// Returns a connection of the integration `key`. Provider, base URL and settings come from the integration, unless the
    /// connection says otherwise; what it says like the integration follows the integration's later changes.
    ///
    /// ```
    /// use highwater_engine::ConnectionSettings;
    /// let settings = ConnectionSettings::of_integration("octocat", "github").config("owner", "octocat");
    /// assert_eq!(settings.integration.as_deref(), Some("github"));
    /// ```
    pub fn of_integration(id: impl Into<String>, key: impl Into<String>) -> Self {
        ConnectionSettings { integration: Some(key.into()), ..ConnectionSettings::new(id, "") }
    }

    /// Says where the API is.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// Where the API is: what the connection says stands for the template's base URL.
    pub(crate) fn origins(&self, mut of_template: Vec<String>) -> Vec<String> {
        match (&self.base_url, of_template.first_mut()) {
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
        Ok(())
    }

    /// The settings a template gets: those given, and defaults for the rest.
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
                        "a setting is missing: give it in the connection's config",
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

    /// Refuses settings that nothing of the provider reads: a slip of the pen would go unnoticed.
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
    let url = url.and_then(|url| url::Url::parse(url).ok());
    if url.is_some_and(|url| has_credentials(&url)) { Err(credentials_in_url()) } else { Ok(()) }
}

pub(crate) fn connection_key(id: &str) -> String {
    format!("connection/{id}")
}
