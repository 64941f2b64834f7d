//! A manifest with a config: its streams, and reading them.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::{Environment, Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, Map, Value};

use crate::config::{check_config, defaults_of, migrate, secrets_of};
use crate::exchange::{Exchange, Sink, Summary};
use crate::manifest::Manifest;
use crate::model::decode::again;
use crate::model::{Cursor, Resolver, Scope, StreamEntry, StreamKind};
use crate::run::{RenewedConfig, Run, RunInputs, Spent, read_stream, schema_of};

/// Describes a stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name, unique within the source.
    pub name: String,
    /// The JSON schema of its records, as far as the manifest tells; an empty object where it does not.
    pub schema: Value,
    /// The paths of the members that identify a record; empty where the manifest names none.
    pub primary_key: Vec<Vec<String>>,
    /// Whether a read that begins at a state reads changes only.
    pub incremental: bool,
    /// The field of the cursor, where the stream has one.
    pub cursor_field: Option<String>,
    /// Why it cannot run; `None` where it can.
    pub problem: Option<String>,
}

/// A manifest with a config.
///
/// A source and its clones share the tokens that a `refresh_token_updater` renews, and lose them when the last of them is
/// dropped. A refresh token may work only once, so store new tokens in [`Exchange::renew_config`] before you make another source
/// for the same account. Runs of the engine store them with the connection's credentials.
///
/// They also share what was used of the manifest's `api_budget`.
#[derive(Clone, Debug)]
pub struct Source {
    manifest: Manifest,
    config: Value,
    environment: Arc<dyn Environment>,
    interpolator: Interpolator,
    secrets: Vec<String>,
    /// Shared by all reads.
    spent: Arc<Spent>,
    /// Shared by all reads, too: a refresh token may work once.
    renewed: Arc<RenewedConfig>,
    dynamic: Vec<Arc<StreamEntry>>,
}

impl Source {
    /// Creates a source that takes the time and random bits from `environment`.
    ///
    /// Members that `config` lacks get the defaults of the manifest's spec, and the spec's rules bring an older config up to
    /// date. `Value::Null` is an empty config.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the config does not fit the spec; the message names the member that is missing or wrong.
    pub fn new(manifest: &Manifest, config: Value, environment: Arc<dyn Environment>) -> Result<Self> {
        let mut config = config;
        if let Some(spec) = &manifest.model.spec {
            defaults_of(&mut config, &spec.connection);
        }
        let source = Source::unchecked(manifest, config, environment)?;
        match &source.manifest.model.spec {
            Some(spec) => check_config(&source.config, spec).map(|()| source),
            None => Ok(source),
        }
    }

    /// A source without a config: with the streams that need none.
    pub(crate) fn without_config(manifest: &Manifest, environment: Arc<dyn Environment>) -> Result<Self> {
        let mut source = Source::bare(manifest, Value::Null, environment)?;
        // A list that only a config has is not a fault yet.
        source.dynamic = source.streams_of_config().unwrap_or_default();
        Ok(source)
    }

    /// As [`new`](Self::new), for configs that were never meant to fit the spec.
    pub(crate) fn unchecked(manifest: &Manifest, config: Value, environment: Arc<dyn Environment>) -> Result<Self> {
        let mut source = Source::bare(manifest, config, environment)?;
        source.dynamic = source.streams_of_config()?;
        Ok(source)
    }

    fn bare(manifest: &Manifest, config: Value, environment: Arc<dyn Environment>) -> Result<Self> {
        let interpolator = Interpolator::new(Arc::clone(&environment));
        let config = match config {
            Value::Object(config) => config,
            Value::Null => Map::new(),
            _ => return Err(Error::new(ErrorKind::Invalid, "the config is not a mapping: give names and values")),
        };
        let mut config = Value::Object(config);
        let mut secrets = Vec::new();
        if let Some(spec) = &manifest.model.spec {
            migrate(&mut config, spec, &interpolator)?;
            secrets_of(&config, &spec.connection, &mut secrets);
        }
        Ok(Source {
            manifest: manifest.clone(),
            config,
            environment,
            interpolator,
            secrets,
            spent: Arc::default(),
            renewed: Arc::default(),
            dynamic: Vec::new(),
        })
    }

    /// Shares the budget of requests with other sources.
    pub(crate) fn with_budget(mut self, spent: Arc<Spent>) -> Self {
        self.spent = spent;
        self
    }

    /// Whether the API decides on some of the streams.
    pub(crate) fn asks_for_streams(&self) -> bool {
        self.manifest.model.dynamic.iter().any(|streams| matches!(streams.resolver, Resolver::Http(_)))
    }

    /// Requests the streams that the API lists (`HttpComponentsResolver`), and adds them. Does nothing for other manifests.
    ///
    /// # Errors
    /// Those of `exchange` and of the manifest's error handlers; [`ErrorKind::Invalid`] if a stream cannot be made from what the
    /// API lists, or there are more than 10,000.
    pub async fn discover(&mut self, exchange: &dyn Exchange) -> Result<()> {
        let state = Value::Null;
        let run = self.run(exchange, &state);
        let found = crate::dynamic::from_api(&run).await?;
        self.dynamic.extend(found);
        self.manifest.model.broken.as_ref().map_or(Ok(()), |fault| Err(again(fault)))
    }

    /// Returns the streams of this config, with those that [`discover`](Self::discover) added.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a template that decides on a stream, or describes it, fails.
    pub fn streams(&self) -> Result<Vec<StreamInfo>> {
        self.entries()?.into_iter().map(|entry| self.info(entry)).collect()
    }

    /// Reads `stream` into `sink`, from `state` on: the state of a page or of a summary, or `Value::Null` for the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the source has no such stream, and the errors of `exchange` and `sink`. A response that the
    /// manifest's error handler does not accept fails after its retries with [`ErrorKind::Unauthorized`] (401 and 403),
    /// [`ErrorKind::RateLimited`] (429) or [`ErrorKind::Remote`]. What the sink got until then stays valid.
    pub async fn read(
        &self,
        stream: &str,
        state: &Value,
        exchange: &dyn Exchange,
        sink: &mut dyn Sink,
    ) -> Result<Summary> {
        let kind = self.stream(stream)?;
        let run = self.run(exchange, state);
        read_stream(&run, kind, sink).await
    }

    /// Returns the JSON schema of a stream, and asks the API for it where the manifest says so.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn schema(&self, stream: &str, exchange: &dyn Exchange) -> Result<Value> {
        let kind = self.stream(stream)?;
        let state = Value::Null;
        schema_of(kind.declaring_stream(), &self.run(exchange, &state)).await
    }

    /// Returns the base URLs that requests go to, sorted, as far as the config tells.
    ///
    /// # Errors
    /// As [`streams`](Self::streams).
    pub fn base_urls(&self) -> Result<Vec<String>> {
        Ok(crate::origins::base_urls(&self.manifest, self.entries()?, &self.scope()))
    }

    fn run<'r>(&'r self, exchange: &'r dyn Exchange, state: &'r Value) -> Run<'r> {
        Run::new(RunInputs {
            manifest: &self.manifest,
            config: &self.config,
            interpolator: &self.interpolator,
            environment: &*self.environment,
            exchange,
            spent: &self.spent,
            state,
            secrets: &self.secrets,
            renewed: &self.renewed,
        })
    }

    fn streams_of_config(&self) -> Result<Vec<Arc<StreamEntry>>> {
        crate::dynamic::from_config(&self.manifest, &self.config, &self.interpolator)
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn config(&self) -> &Value {
        &self.config
    }

    /// The config alone, for templates.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope::new(&self.interpolator, &self.config)
    }

    /// Streams that the manifest does not write out.
    pub(crate) fn dynamic(&self) -> impl Iterator<Item = &StreamEntry> {
        self.dynamic.iter().map(|entry| &**entry)
    }

    /// The streams whose conditions hold, by name; a later one of a name replaces an earlier.
    pub(crate) fn entries(&self) -> Result<Vec<&StreamEntry>> {
        let scope = self.scope();
        let mut entries: Vec<&StreamEntry> = Vec::new();
        let mut places = BTreeMap::new();
        for entry in self.manifest.model.streams.iter().chain(self.dynamic.iter().map(|entry| &**entry)) {
            if let Some(condition) = &entry.condition
                && !condition.holds(&scope)?
            {
                continue;
            }
            match places.get(&entry.name).copied() {
                Some(place) => {
                    if let Some(there) = entries.get_mut::<usize>(place) {
                        *there = entry;
                    }
                }
                None => {
                    places.insert(entry.name.clone(), entries.len());
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }

    pub(crate) fn stream(&self, name: &str) -> Result<&StreamKind> {
        let entries = self.entries()?;
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
            // It may be one of a list that cannot be made.
            if let Some(fault) = &self.manifest.model.broken {
                return Err(again(fault).with("stream", name));
            }
            let known = entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the manifest has no stream `{name}`: use one of {known}"),
            ));
        };
        match (&entry.stream, &entry.problem) {
            (Some(stream), _) => Ok(stream),
            (None, Some(problem)) => Err(Error::new(problem.kind(), problem.to_string()).with("stream", name)),
            (None, None) => Err(Error::new(ErrorKind::Internal, "the stream was not decoded").with("stream", name)),
        }
    }

    fn info(&self, entry: &StreamEntry) -> Result<StreamInfo> {
        let scope = self.scope();
        let declaring = entry.stream.as_ref().map(|stream| stream.declaring_stream());
        let cursor_field = match declaring.and_then(|declaring| declaring.cursor.as_ref()) {
            Some(cursor) => Some(Cursor::field(cursor).text(&scope)?),
            None => None,
        };
        Ok(StreamInfo {
            name: entry.name.clone(),
            schema: match declaring {
                Some(declaring) => crate::schema::static_schema(&self.manifest, declaring, &scope)?,
                None => Value::Object(Map::new()),
            },
            primary_key: declaring.map(|declaring| declaring.primary_key.clone()).unwrap_or_default(),
            incremental: cursor_field.is_some(),
            cursor_field,
            problem: entry.problem.as_ref().map(ToString::to_string),
        })
    }
}
