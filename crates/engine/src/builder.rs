//! Putting an engine together.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::template::{Template, Transport};
use highwater_core::{Environment, Error, ErrorKind, Result, Store, SystemEnvironment};

use crate::engine::Engine;
use crate::http::{CredentialStore, RequestLimits, Sessions};

/// The parts of an engine.
#[derive(Debug)]
pub struct EngineBuilder {
    store: Arc<dyn Store>,
    templates: BTreeMap<String, Arc<dyn Template>>,
    transport: Option<Arc<dyn Transport>>,
    environment: Arc<dyn Environment>,
    limits: RequestLimits,
    credentials: Option<Arc<dyn CredentialStore>>,
}

impl EngineBuilder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        EngineBuilder {
            store,
            templates: BTreeMap::new(),
            transport: None,
            environment: Arc::new(SystemEnvironment),
            limits: RequestLimits::default(),
            credentials: None,
        }
    }

    /// Adds a template to the catalogue, in place of one of the same id.
    #[must_use]
    pub fn template(mut self, template: Arc<dyn Template>) -> Self {
        self.templates.insert(template.info().id(), template);
        self
    }

    /// Adds templates to the catalogue.
    #[must_use]
    pub fn templates(self, templates: impl IntoIterator<Item = Arc<dyn Template>>) -> Self {
        templates.into_iter().fold(self, EngineBuilder::template)
    }

    /// Sends requests through `transport`.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Takes time and randomness from `environment`.
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Deals with slow and broken APIs as `limits` say.
    #[must_use]
    pub fn limits(mut self, limits: RequestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks `store` for credentials, and tells it of refreshed ones.
    #[must_use]
    pub fn credential_store(mut self, store: Arc<dyn CredentialStore>) -> Self {
        self.credentials = Some(store);
        self
    }

    /// The engine. Nothing runs yet.
    pub fn build(self) -> Result<Engine> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport()?,
        };
        let sessions = Sessions::new(self.credentials);
        Ok(Engine::new(self.store, self.templates, transport, self.environment, self.limits, sessions))
    }
}

#[cfg(feature = "http")]
#[allow(clippy::unnecessary_wraps)] // the twin below fails
fn default_transport() -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(crate::http::UreqTransport::new()))
}

#[cfg(not(feature = "http"))]
fn default_transport() -> Result<Arc<dyn Transport>> {
    Err(Error::new(ErrorKind::Invalid, "the engine needs a transport: give one, or enable the feature `http`"))
}

/// The error for a name that no template has.
pub(crate) fn unknown_template(wanted: &str, known: impl Iterator<Item = String>) -> Error {
    let mut known: Vec<String> = known.collect();
    known.sort_by_key(|name| !name.contains(wanted.rsplit('/').next().unwrap_or(wanted)));
    Error::new(ErrorKind::NotFound, "no such template; the known ones are listed by `highwater templates`")
        .with("template", wanted)
        .with("known", known.join(", "))
}
