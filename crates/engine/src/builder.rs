//! Building an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Result, Store, SystemEnvironment};
use highwater_template::actions::ActionTemplate;
use highwater_template::http::Transport;
use highwater_template::{Provider, Template};
use tokio::sync::{Notify, broadcast, watch};

use crate::engine::Engine;
use crate::http::{CredentialStore, PrivateAddresses, RequestLimits, Sessions};
use crate::log_policy::LogPolicy;
use crate::parts::Parts;
use crate::slots::Slots;

/// Events kept for a watcher that is slow.
const EVENTS: usize = 1024;

impl Engine {
    /// Returns a builder for an engine that writes to `store`.
    pub fn builder(store: Arc<dyn Store>) -> EngineBuilder {
        EngineBuilder::new(store)
    }
}

/// Builds an [`Engine`]. Returned by [`Engine::builder`].
///
/// ```no_run
/// # fn example(store: std::sync::Arc<dyn highwater_core::Store>) -> highwater_core::Result<()> {
/// use std::time::Duration;
/// use highwater_engine::Engine;
/// use highwater_engine::logs::LogPolicy;
/// use highwater_engine::transport::RequestLimits;
/// let engine = Engine::builder(store)
///     .limits(RequestLimits::default().attempts(3).max_wait(Duration::from_secs(300)))
///     .logs(LogPolicy::default().runs_per_sync(20))
///     .max_runs(4)
///     .build()?;
/// # let _ = engine;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EngineBuilder {
    store: Arc<dyn Store>,
    providers: Vec<Provider>,
    templates: BTreeMap<String, Arc<dyn Template>>,
    actions: BTreeMap<String, Arc<dyn ActionTemplate>>,
    transport: Option<Arc<dyn Transport>>,
    private_addresses: PrivateAddresses,
    environment: Arc<dyn Environment>,
    limits: RequestLimits,
    credentials: Option<Arc<dyn CredentialStore>>,
    logs: LogPolicy,
    lease: Duration,
    runs: usize,
    runs_per_provider: usize,
}

impl EngineBuilder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        EngineBuilder {
            store,
            providers: Vec::new(),
            templates: BTreeMap::new(),
            actions: BTreeMap::new(),
            transport: None,
            private_addresses: PrivateAddresses::default(),
            environment: Arc::new(SystemEnvironment),
            limits: RequestLimits::default(),
            credentials: None,
            logs: LogPolicy::default(),
            lease: Duration::from_secs(30),
            runs: 16,
            runs_per_provider: 8,
        }
    }

    /// Adds a template to the catalogue, replacing one of the same id.
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

    /// Adds a provider to the catalogue, so that connections to it, and the host's own requests over them
    /// ([`Engine::proxy`]), need no template. Templates and actions of the same provider must describe the same API.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use highwater_core::MemoryStore;
    /// use highwater_engine::{ConnectionSettings, Engine};
    /// use highwater_template::Provider;
    /// use highwater_template::auth::AuthKind;
    /// # async fn example() -> highwater_core::Result<()> {
    /// # let store = Arc::new(MemoryStore::new()?);
    /// let provider = Provider::new("acme", "https://api.acme.example").auth(AuthKind::bearer("a token, from Settings > API"));
    /// let engine = Engine::builder(store).provider(provider).build()?;
    /// engine.connect(ConnectionSettings::new("acme-main", "acme")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.providers.push(provider);
        self
    }

    /// Adds actions to the catalogue, each replacing one of the same id.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = Arc<dyn ActionTemplate>>) -> Self {
        self.actions.extend(actions.into_iter().map(|action| (action.info().id(), action)));
        self
    }

    /// Sets the transport that sends requests. Defaults to the one of the feature `http`.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets which requests for connections may reach addresses of this machine and of private networks. By default those to
    /// origins that the program itself wrote: see [`PrivateAddresses`].
    #[must_use]
    pub fn private_addresses(mut self, addresses: PrivateAddresses) -> Self {
        self.private_addresses = addresses;
        self
    }

    /// Sets the source of time and randomness. Defaults to the system's.
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Sets the limits for slow and failing APIs: retries, backoff and the longest wait for a rate limit.
    #[must_use]
    pub fn limits(mut self, limits: RequestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the store that the engine loads credentials from and saves refreshed ones to. Without one, credentials last as long as
    /// the engine.
    #[must_use]
    pub fn credential_store(mut self, store: Arc<dyn CredentialStore>) -> Self {
        self.credentials = Some(store);
        self
    }

    /// Sets which runs and log lines are kept, and for how long. See [`LogPolicy`] for the defaults.
    #[must_use]
    pub fn logs(mut self, policy: LogPolicy) -> Self {
        self.logs = policy;
        self
    }

    /// Sets the length of a run's lease: a run without a heartbeat for this long counts as dead, and another process may take
    /// over. Heartbeats are sent three times as often. Defaults to 30 seconds.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time.max(Duration::from_millis(100));
        self
    }

    /// Sets the most runs at a time. Defaults to 16.
    #[must_use]
    pub fn max_runs(mut self, runs: usize) -> Self {
        self.runs = runs;
        self
    }

    /// Sets the most runs of one provider at a time. Defaults to 8.
    #[must_use]
    pub fn max_runs_per_provider(mut self, runs: usize) -> Self {
        self.runs_per_provider = runs;
        self
    }

    /// Builds the engine. Nothing runs before [`Engine::start`] or a single run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if two [providers](EngineBuilder::provider) have the same name, and without a transport if the feature
    /// `http` is off.
    pub fn build(self) -> Result<Engine> {
        let mut names = BTreeSet::new();
        if let Some(twice) = self.providers.iter().find(|provider| !names.insert(provider.name.as_str())) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "two providers have the same name: rename one, or leave one out",
            )
            .with("provider", &twice.name));
        }
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport()?,
        };
        let mut random = [0; 8];
        self.environment.fill_random(&mut random);
        Ok(Engine::new(Parts {
            store: self.store,
            providers: self.providers,
            templates: self.templates,
            actions: self.actions,
            transport,
            private_addresses: self.private_addresses,
            environment: self.environment,
            limits: self.limits,
            logs: self.logs,
            lease_ttl: self.lease,
            slots: Slots::new(self.runs, self.runs_per_provider),
            name: format!("{:016x}", u64::from_le_bytes(random)),
            sessions: Sessions::new(self.credentials),
            used_secrets: Mutex::default(),
            last_run: Mutex::default(),
            running: Mutex::default(),
            queued: Mutex::default(),
            calls: Mutex::default(),
            counting: Arc::default(),
            queued_actions: watch::channel(0).0,
            ended: Notify::new(),
            events: broadcast::channel(EVENTS).0,
            sync_events: broadcast::channel(EVENTS).0,
            connection_events: broadcast::channel(EVENTS).0,
            integration_events: broadcast::channel(EVENTS).0,
            changes: broadcast::channel(EVENTS).0,
        }))
    }
}

#[cfg(feature = "http")]
#[allow(clippy::unnecessary_wraps)] // the twin below fails
fn default_transport() -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(crate::http::UreqTransport::new()))
}

#[cfg(not(feature = "http"))]
fn default_transport() -> Result<Arc<dyn Transport>> {
    Err(Error::new(ErrorKind::Invalid, "the engine needs a transport: set one, or enable the feature `http`"))
}
