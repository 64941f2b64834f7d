//! The description of a template.

use std::time::Duration;

use serde::Serialize;

/// Whether a template needs a token of its connection.
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
}

impl ConfigKey {
    /// A setting that must be given.
    pub fn required(name: impl Into<String>, help: impl Into<String>) -> Self {
        ConfigKey { name: name.into(), help: help.into(), required: true, default: None }
    }

    /// A setting that may be left out.
    pub fn optional(name: impl Into<String>, help: impl Into<String>) -> Self {
        ConfigKey { name: name.into(), help: help.into(), required: false, default: None }
    }

    /// A setting with a default.
    pub fn with_default(name: impl Into<String>, help: impl Into<String>, default: impl Into<String>) -> Self {
        ConfigKey { name: name.into(), help: help.into(), required: false, default: Some(default.into()) }
    }
}

/// What a template is, what it brings and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TemplateInfo {
    /// The API, such as `github`.
    pub provider: String,
    /// The template's name among the provider's, such as `issues`.
    pub name: String,
    /// What it syncs, in a line.
    pub description: String,
    /// Where the API is, unless a connection says otherwise.
    pub base_url: String,
    /// Whether it needs a token.
    pub token: TokenUse,
    /// Record types.
    pub models: Vec<ModelInfo>,
    /// Settings.
    pub config: Vec<ConfigKey>,
    /// How often it runs, unless told otherwise.
    pub interval: Duration,
    /// How deleted records are noticed, in a line.
    pub deletes: String,
    /// Headers that every request carries.
    pub headers: Vec<(String, String)>,
}

impl TemplateInfo {
    /// A template of `provider`, whose API is at `base_url`.
    pub fn new(provider: impl Into<String>, name: impl Into<String>, base_url: impl Into<String>) -> Self {
        TemplateInfo {
            provider: provider.into(),
            name: name.into(),
            description: String::new(),
            base_url: base_url.into(),
            token: TokenUse::Unused,
            models: Vec::new(),
            config: Vec::new(),
            interval: Duration::from_secs(3600),
            deletes: "not noticed".to_owned(),
            headers: Vec::new(),
        }
    }

    /// `provider/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }

    /// Says what it syncs.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Says whether it needs a token.
    #[must_use]
    pub fn token(mut self, token: TokenUse) -> Self {
        self.token = token;
        self
    }

    /// Adds a record type.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.models.push(ModelInfo { name: name.into(), description: description.into() });
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn config(mut self, key: ConfigKey) -> Self {
        self.config.push(key);
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
        self.headers.push((name.into(), value.into()));
        self
    }
}
