//! Writing back: named operations of an API.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host::{ApiHost, LogLevel};
use super::http::HttpRequest;
use super::info::ConfigKey;
use super::provider::Provider;
use super::response::HttpResponse;
use highwater_core::{Error, ErrorKind, Result};

/// What an action is and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ActionInfo {
    /// The API.
    pub provider: Provider,
    /// The action's name among the provider's, such as `create_issue`.
    pub name: String,
    /// What it does, in a line.
    pub description: String,
    /// What a token must be allowed to do.
    pub scopes: Vec<String>,
    /// Settings of the connection that it reads.
    pub config: Vec<ConfigKey>,
    /// The JSON schema of its input.
    pub input: Value,
    /// The JSON schema of what it returns; `null` where it says nothing about it.
    pub output: Value,
}

impl ActionInfo {
    /// An action of `provider`.
    pub fn of(provider: Provider, name: impl Into<String>) -> Self {
        ActionInfo {
            provider,
            name: name.into(),
            description: String::new(),
            scopes: Vec::new(),
            config: Vec::new(),
            input: Value::Null,
            output: Value::Null,
        }
    }

    /// `provider/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider.name, self.name)
    }

    /// Says what it does.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds what a token must be allowed to do.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds a setting that it reads.
    #[must_use]
    pub fn config(mut self, key: ConfigKey) -> Self {
        self.config.push(key);
        self
    }

    /// Gives the JSON schema of its input.
    #[must_use]
    pub fn input(mut self, schema: Value) -> Self {
        self.input = schema;
        self
    }

    /// Gives the JSON schema of what it returns.
    #[must_use]
    pub fn output(mut self, schema: Value) -> Self {
        self.output = schema;
        self
    }
}

/// A named operation of an API: creates an issue, posts a message.
///
/// ```
/// use highwater_template::async_trait::async_trait;
/// use highwater_template::{ActionContext, ActionInfo, ActionTemplate, HttpRequest, Provider};
/// use serde_json::{Value, json};
///
/// #[derive(Debug)]
/// struct AddNote(ActionInfo);
///
/// impl AddNote {
///     fn new() -> Self {
///         let schema = json!({"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}});
///         AddNote(Provider::new("notes", "https://notes.example").action("add_note").input(schema))
///     }
/// }
///
/// #[async_trait]
/// impl ActionTemplate for AddNote {
///     fn info(&self) -> &ActionInfo {
///         &self.0
///     }
///
///     async fn run(&self, context: &ActionContext<'_>, input: Value) -> highwater_template::Result<Value> {
///         context.send(HttpRequest::post_json("/notes", &input)?).await?.json()
///     }
/// }
/// # let _ = AddNote::new();
/// ```
#[async_trait]
pub trait ActionTemplate: fmt::Debug + Send + Sync + 'static {
    /// What it is and what it needs.
    fn info(&self) -> &ActionInfo;

    /// Does it, once. The input has been checked for the members that its schema requires.
    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value>;
}

/// An action in progress.
pub struct ActionContext<'h> {
    host: &'h dyn ApiHost,
    config: BTreeMap<String, String>,
}

impl<'h> ActionContext<'h> {
    /// An action on `host`, with the connection's settings.
    pub fn new(host: &'h dyn ApiHost, config: BTreeMap<String, String>) -> Self {
        ActionContext { host, config }
    }

    /// A setting that was given or has a default.
    pub fn config(&self, name: &str) -> Result<&str> {
        self.config.get(name).map(String::as_str).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a setting is missing: give it in the connection's config")
                .with("setting", name)
        })
    }

    /// Sends a request with the connection's credentials. One that changes something (any method but `GET`, `HEAD`, `PUT` and
    /// `DELETE`) is not tried again once it may have arrived, unless it has an `idempotency-key` header.
    pub async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let idempotent = matches!(request.method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
            || request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        request.repeatable &= idempotent;
        self.host.send(request).await
    }

    /// Notes a line of the log. Never a secret.
    pub fn log(&self, level: LogLevel, message: impl AsRef<str>) {
        self.host.log(level, message.as_ref());
    }

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }
}

impl fmt::Debug for ActionContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionContext").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Reads an action's input.
pub fn action_input<T: DeserializeOwned>(input: Value) -> Result<T> {
    serde_json::from_value(input).map_err(|source| {
        Error::new(ErrorKind::Invalid, "the action's input has another shape: see its input schema").because(source)
    })
}
