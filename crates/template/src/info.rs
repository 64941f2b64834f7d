//! The description of a template.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::provider::Provider;
use highwater_core::{Error, ErrorKind, Result};

/// Whether a template needs credentials of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenUse {
    /// It does not work without.
    Required,
    /// Public data comes without; limits are lower.
    Optional,
    /// It has no use for one.
    #[default]
    Unused,
}

/// A record type of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its name, such as `Issue`.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// The JSON schema of its records, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Where a record tells its version, as a JSON pointer, if it does: see [`versioned_by`](ModelInfo::versioned_by).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl ModelInfo {
    /// A record type.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        ModelInfo { name: name.into(), description: description.into(), schema: None, version: None }
    }

    /// Gives it a JSON schema.
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Says where a record tells its version: an RFC 3339 time (compared as a time), another text whose order is the order
    /// of time, or an integer. An older version then never takes the place of a
    /// younger one, whether a page or a webhook brings it. Costs a full reading of records that did not change.
    #[must_use]
    pub fn versioned_by(mut self, pointer: impl Into<String>) -> Self {
        self.version = Some(pointer.into());
        self
    }
}

/// A setting of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfigKey {
    /// Its name.
    pub name: String,
    /// What to put there, in a line.
    pub help: String,
    /// Whether it must be given.
    pub required: bool,
    /// What is taken when it is not.
    pub default: Option<String>,
    /// Whether it is a secret: given with the connection's credentials, read by
    /// [`secret`](super::SyncContext::secret), never stored with the settings.
    pub secret: bool,
}

impl ConfigKey {
    /// A setting that must be given.
    pub fn required(name: impl Into<String>, help: impl Into<String>) -> Self {
        ConfigKey { name: name.into(), help: help.into(), required: true, default: None, secret: false }
    }

    /// A setting that may be left out.
    pub fn optional(name: impl Into<String>, help: impl Into<String>) -> Self {
        ConfigKey { required: false, ..ConfigKey::required(name, help) }
    }

    /// A setting with a default.
    pub fn with_default(name: impl Into<String>, help: impl Into<String>, default: impl Into<String>) -> Self {
        ConfigKey { default: Some(default.into()), ..ConfigKey::optional(name, help) }
    }

    /// Makes it a secret.
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
    /// It reads everything each time; unchanged records cost nothing in the log.
    #[default]
    Full,
    /// It asks for what changed since the last run.
    Incremental,
}

/// What a template is, what it brings and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TemplateInfo {
    /// The API.
    pub provider: Provider,
    /// The template's name among the provider's, such as `issues`.
    pub name: String,
    /// Grows when what it saves changes shape.
    pub version: u32,
    /// What it syncs, in a line.
    pub description: String,
    /// Whether it needs credentials.
    pub token: TokenUse,
    /// What a token must be allowed to do.
    pub scopes: Vec<String>,
    /// Record types.
    pub models: Vec<ModelInfo>,
    /// Settings.
    pub config: Vec<ConfigKey>,
    /// How it finds out what changed.
    pub mode: SyncMode,
    /// How it does that, in a line.
    pub changes: String,
    /// How often it runs, unless told otherwise.
    pub interval: Duration,
    /// How deleted records are noticed, in a line.
    pub deletes: String,
}

impl TemplateInfo {
    /// A template of an API without credentials at `base_url`. Where there is more to say, begin with a [`Provider`].
    pub fn new(provider: impl Into<String>, name: impl Into<String>, base_url: impl Into<String>) -> Self {
        TemplateInfo::of(Provider::new(provider, base_url), name)
    }

    /// A template of `provider`. It needs credentials if the provider knows a way to sign in.
    pub fn of(provider: Provider, name: impl Into<String>) -> Self {
        let token = if provider.auth.is_empty() { TokenUse::Unused } else { TokenUse::Required };
        TemplateInfo {
            provider,
            name: name.into(),
            version: 1,
            description: String::new(),
            token,
            scopes: Vec::new(),
            models: Vec::new(),
            config: Vec::new(),
            mode: SyncMode::default(),
            changes: String::new(),
            interval: Duration::from_secs(3600),
            deletes: "not noticed".to_owned(),
        }
    }

    /// `provider/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider.name, self.name)
    }

    /// Renames it: a template that wraps another has an id of its own.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says which version it is.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Says what it syncs.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Says whether it needs credentials.
    #[must_use]
    pub fn token(mut self, token: TokenUse) -> Self {
        self.token = token;
        self
    }

    /// Adds what a token must be allowed to do.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds a record type.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.models.push(ModelInfo::new(name, description));
        self
    }

    /// Adds a record type with its schema.
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

    /// Says that it asks for changes alone, and how.
    #[must_use]
    pub fn incremental(mut self, how: impl Into<String>) -> Self {
        self.mode = SyncMode::Incremental;
        self.changes = how.into();
        self
    }

    /// Sets how often it runs by default.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Says how deleted records are noticed.
    #[must_use]
    pub fn deletes(mut self, how: impl Into<String>) -> Self {
        self.deletes = how.into();
        self
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.provider.headers.push((name.into(), value.into()));
        self
    }
}

/// Puts settings in the place of their `{name}`.
pub(super) fn fill_in(pattern: &str, config: &BTreeMap<String, String>) -> Result<String> {
    let mut filled = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a brace of the template's URL is not closed").with("url", pattern)
        })?;
        let value = config.get(name).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a setting of the template is missing: give it in the connection's config")
                .with("setting", name)
        })?;
        // A setting is one label or segment: it must not lead to another host.
        if value.is_empty() || !value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a setting in a URL has letters, digits, `-`, `_` and `.` only",
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
}
