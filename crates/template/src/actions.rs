//! Actions: named operations by which a host writes back to an API.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::host::{ApiHost, LogLevel};
use super::http::{HttpRequest, HttpResponse};
use super::info::ConfigKey;
use super::provider::Provider;
use highwater_core::{Error, ErrorKind, Result, Timestamp};

/// The description of an action: what it does, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ActionInfo {
    /// The API.
    pub provider: Provider,
    /// The action's name among the provider's, such as `create_issue`.
    pub name: String,
    /// What it does, in one line.
    pub description: String,
    /// The scopes that a token must have.
    pub scopes: Vec<String>,
    /// Settings of the connection that it reads.
    pub config: Vec<ConfigKey>,
    /// The JSON schema of its input.
    pub input: Value,
    /// The JSON schema of what it returns; `null` where it is not known.
    pub output: Value,
}

impl ActionInfo {
    /// Describes an action of `provider`.
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

    /// Returns the action's id: `provider/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider.name, self.name)
    }

    /// Sets what it does, in one line.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a scope that a token must have.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds a setting of the connection that it reads.
    #[must_use]
    pub fn config(mut self, key: ConfigKey) -> Self {
        self.config.push(key);
        self
    }

    /// Sets the JSON schema of its input.
    #[must_use]
    pub fn input(mut self, schema: Value) -> Self {
        self.input = schema;
        self
    }

    /// Sets the JSON schema of what it returns.
    #[must_use]
    pub fn output(mut self, schema: Value) -> Self {
        self.output = schema;
        self
    }
}

/// A named operation of an API, such as creating an issue or posting a message.
///
/// ```
/// use highwater_template::async_trait::async_trait;
/// use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
/// use highwater_template::{HttpRequest, Provider};
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
    /// Returns the action's description.
    fn info(&self) -> &ActionInfo;

    /// Runs the action once, and returns its output. The engine has checked that the input has the members that its schema
    /// requires, not their types.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for input that the action cannot use: see [`parse_input`]. Errors of the context are returned
    /// as they are.
    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value>;
}

/// An action in progress, as its template sees it.
pub struct ActionContext<'h> {
    host: &'h dyn ApiHost,
    config: BTreeMap<String, String>,
    metadata: Map<String, Value>,
}

impl<'h> ActionContext<'h> {
    /// Begins an action on `host`, with the connection's settings and its metadata.
    pub fn new(host: &'h dyn ApiHost, config: BTreeMap<String, String>, metadata: Map<String, Value>) -> Self {
        ActionContext { host, config, metadata }
    }

    /// Returns the connection's metadata: JSON of the host's, as it was when the action began. Empty where there is none.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// Returns a setting that the action cannot do without.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it was not given and has no default.
    pub fn config(&self, name: &str) -> Result<&str> {
        self.config.get(name).map(String::as_str).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "a setting is missing: give it in the connection's config")
                .with("setting", name)
        })
    }

    /// Sends a request to the API, as [`SyncContext::send`](crate::SyncContext::send) does. One that changes something (any
    /// method but `GET`, `HEAD`, `OPTIONS`, `PUT` and `DELETE`) is not retried once it may have arrived, unless it has an
    /// `Idempotency-Key` header.
    ///
    /// # Errors
    ///
    /// Those of [`SyncContext::send`](crate::SyncContext::send).
    pub async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let idempotent = matches!(request.method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
            || request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        request.repeatable &= idempotent;
        self.host.send(request).await
    }

    /// Adds a line to the action's log. Secrets of the connection are removed from it; other secrets do not belong there.
    pub fn log(&self, level: LogLevel, message: impl AsRef<str>) {
        self.host.log(level, message.as_ref());
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }
}

impl fmt::Debug for ActionContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionContext").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Parses an action's input.
///
/// ```
/// use highwater_template::actions::parse_input;
/// #[derive(serde::Deserialize)]
/// struct Note {
///     text: String,
/// }
/// let note: Note = parse_input(serde_json::json!({"text": "buy milk"}))?;
/// assert_eq!(note.text, "buy milk");
/// # Ok::<(), highwater_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Invalid`] if the input is not a `T`.
pub fn parse_input<T: DeserializeOwned>(input: Value) -> Result<T> {
    serde_json::from_value(input).map_err(|source| {
        Error::new(ErrorKind::Invalid, "the action's input has another shape: see its input schema").because(source)
    })
}
