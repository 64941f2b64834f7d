//! The description of a template.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::auth::CredentialUse;
use super::provider::Provider;
use highwater_core::{Error, ErrorKind, Result};

/// A record type of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name, such as `Issue`.
    pub name: String,
    /// What it is, in one line.
    pub description: String,
    /// The JSON schema of its records, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Where a record has its version, as a JSON pointer: see [`ModelInfo::version_pointer`].
    #[serde(rename = "version", skip_serializing_if = "Option::is_none")]
    pub version_pointer: Option<String>,
}

impl ModelInfo {
    /// Describes a record type. `description` is one line.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        ModelInfo { name: name.into(), description: description.into(), schema: None, version_pointer: None }
    }

    /// Sets the JSON schema of its records.
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Sets where a record has its version: an RFC 3339 time (compared as a time), an integer, or another text that sorts by
    /// time. An older version then never replaces a newer one, whether a page or a webhook brings it.
    ///
    /// Records that did not change have to be parsed then, which they otherwise are not.
    #[must_use]
    pub fn version_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.version_pointer = Some(pointer.into());
        self
    }
}

/// A setting of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfigKey {
    /// The name.
    pub name: String,
    /// What to put there, in one line.
    pub help: String,
    /// Whether it must be given.
    pub required: bool,
    /// The default value.
    pub default: Option<String>,
    /// Whether it is a secret. A secret is given with the connection's credentials, read by
    /// [`SyncContext::secret`](super::SyncContext::secret), and never stored with the settings.
    pub secret: bool,
}

impl ConfigKey {
    /// Describes a setting that must be given.
    pub fn required(name: impl Into<String>, help: impl Into<String>) -> Self {
        ConfigKey { name: name.into(), help: help.into(), required: true, default: None, secret: false }
    }

    /// Describes a setting that may be left out.
    pub fn optional(name: impl Into<String>, help: impl Into<String>) -> Self {
        ConfigKey { required: false, ..ConfigKey::required(name, help) }
    }

    /// Describes a setting with a default.
    pub fn with_default(name: impl Into<String>, help: impl Into<String>, default: impl Into<String>) -> Self {
        ConfigKey { default: Some(default.into()), ..ConfigKey::optional(name, help) }
    }

    /// Makes the setting a secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// How a sync finds out what changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncMode {
    /// Reads everything in each run. Unchanged records cost nothing in the log.
    #[default]
    Full,
    /// Reads what changed since the last run.
    Incremental,
}

/// The description of a template: what it syncs, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TemplateInfo {
    /// The API.
    pub provider: Provider,
    /// The template's name among the provider's, such as `issues`.
    pub name: String,
    /// A number that grows when the shape of its records changes. 1 by default.
    pub version: u32,
    /// What it syncs, in one line.
    pub description: String,
    /// Whether it needs credentials.
    #[serde(rename = "token")]
    pub credentials: CredentialUse,
    /// The scopes that a token must have.
    pub scopes: Vec<String>,
    /// Its record types.
    pub models: Vec<ModelInfo>,
    /// Its settings.
    pub config: Vec<ConfigKey>,
    /// Whether it reads everything or what changed.
    pub mode: SyncMode,
    /// How it finds out what changed, in one line.
    pub changes: String,
    /// The default time between two runs. One hour unless set.
    #[serde(rename = "interval_ms", serialize_with = "crate::milliseconds::serialize")]
    pub interval: Duration,
    /// How it finds out what was deleted, in one line.
    pub deletes: String,
}

impl TemplateInfo {
    /// Describes a template of an API without credentials at `base_url`. For any other API, begin with a [`Provider`].
    pub fn new(provider: impl Into<String>, name: impl Into<String>, base_url: impl Into<String>) -> Self {
        TemplateInfo::of(Provider::new(provider, base_url), name)
    }

    /// Describes a template of `provider`. It needs credentials if the provider has a way to sign in.
    pub fn of(provider: Provider, name: impl Into<String>) -> Self {
        let credentials = if provider.auth.is_empty() { CredentialUse::Unused } else { CredentialUse::Required };
        TemplateInfo {
            provider,
            name: name.into(),
            version: 1,
            description: String::new(),
            credentials,
            scopes: Vec::new(),
            models: Vec::new(),
            config: Vec::new(),
            mode: SyncMode::default(),
            changes: String::new(),
            interval: Duration::from_secs(3600),
            deletes: "not noticed".to_owned(),
        }
    }

    /// Returns the template's id: `provider/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider.name, self.name)
    }

    /// Sets the name: a template that wraps another needs an id of its own.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the version, which has to grow when the shape of its records changes.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets what it syncs, in one line.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets whether it needs credentials.
    #[must_use]
    pub fn credentials(mut self, credentials: CredentialUse) -> Self {
        self.credentials = credentials;
        self
    }

    /// Adds a scope that a token must have.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds a record type, with a description in one line.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.models.push(ModelInfo::new(name, description));
        self
    }

    /// Adds a record type with a schema or a version.
    #[must_use]
    pub fn model_info(mut self, model: ModelInfo) -> Self {
        self.models.push(model);
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn config(mut self, key: ConfigKey) -> Self {
        self.config.push(key);
        self
    }

    /// Sets that runs read what changed since the last one, and how, in one line.
    #[must_use]
    pub fn incremental(mut self, how: impl Into<String>) -> Self {
        self.mode = SyncMode::Incremental;
        self.changes = how.into();
        self
    }

    /// Sets the default time between two runs.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how it finds out what was deleted, in one line.
    #[must_use]
    pub fn deletes(mut self, how: impl Into<String>) -> Self {
        self.deletes = how.into();
        self
    }

    /// Adds a header to every request of the provider.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.provider.headers.push((name.into(), value.into()));
        self
    }
}

/// Replaces each `{name}` of a URL by the setting of that name.
pub(super) fn fill_in(pattern: &str, config: &BTreeMap<String, String>) -> Result<String> {
    let mut filled = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "the template's URL has an open brace: close it").with("url", pattern)
        })?;
        let value = config.get(name).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a setting of the template is missing: give it in the connection's config")
                .with("setting", name)
        })?;
        // One label or segment, so that a setting cannot lead to another host.
        if value.is_empty() || !value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a setting in a URL must consist of letters, digits, `-`, `_` and `.`",
            )
            .with("setting", name));
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_urls() {
        let config = BTreeMap::from([("site".to_owned(), "acme".to_owned()), ("bad".to_owned(), "x.evil/".to_owned())]);
        assert_eq!(fill_in("https://{site}.example.net/x", &config).unwrap(), "https://acme.example.net/x");
        assert_eq!(fill_in("https://{other}.example.net", &config).unwrap_err().context("setting"), Some("other"));
        assert_eq!(fill_in("https://{bad}.example.net", &config).unwrap_err().kind(), ErrorKind::Invalid);
        assert!(fill_in("https://{site", &config).is_err());
    }

    #[test]
    fn a_description_keeps_the_names_of_its_json() {
        let limits = crate::limits::RateLimits::new().text("/error", "slow").first_backoff(Duration::from_secs(1));
        let provider = Provider::new("a", "https://a.example").limits(limits).expired_token_text("/error", "old");
        let info = provider.template("b").model_info(ModelInfo::new("M", "m").version_pointer("/at"));
        let json = serde_json::to_value(info.credentials(CredentialUse::Optional)).unwrap();
        assert_eq!(json["token"], "optional");
        assert_eq!(json["models"][0]["version"], "/at");
        assert_eq!(json["provider"]["token_ends"][0]["value"], "old");
        let limits = &json["provider"]["limits"];
        assert_eq!((&limits["texts"][0]["pointer"], &limits["first_backoff_ms"]), (&"/error".into(), &1_000.into()));
    }
}
