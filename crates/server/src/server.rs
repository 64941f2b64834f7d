//! The server: an engine, who may use it, and its router.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::webhooks::{Outbox, WebhookFormat};
use highwater_engine::{CancelToken, Engine, Secret};

use crate::connect::ConnectSessions;
use crate::dashboard::{self, Dashboard};
use crate::guard::Guard;
use crate::keys::{Keys, Scope};
use crate::limits::Limits;
use crate::rate::RateLimit;
use crate::routes::{AnswerCache, Followed};
use crate::state::State;
use crate::{route, routes};

/// Whose words the answers use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compat {
    /// Highwater's own: a record's metadata is its member `_highwater_metadata`.
    #[default]
    Highwater,
    /// Nango's, for programs that were written for its client: `_nango_metadata`, and new destinations of webhooks get deliveries
    /// in its format ([`WebhookFormat::Nango`]).
    Nango,
}

impl Compat {
    /// Returns the format of deliveries to destinations that are added without saying which.
    pub(crate) fn webhook_format(self) -> WebhookFormat {
        match self {
            Compat::Highwater => WebhookFormat::Highwater,
            Compat::Nango => WebhookFormat::Nango,
        }
    }
}

/// Builds a [`Server`]. Returned by [`Server::builder`].
#[derive(Debug)]
pub struct ServerBuilder {
    engine: Engine,
    limits: Limits,
    hosts: Vec<String>,
    origins: Vec<String>,
    compat: Compat,
    temporary: Option<Scope>,
    outbox: Option<Outbox>,
    public_url: Option<String>,
    temporary_folder: Option<PathBuf>,
}

impl ServerBuilder {
    /// Sets what a request may cost.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a name under which clients reach the server, such as `sync.example.com`. Addresses and `localhost` need no entry; every
    /// other name in a request's `Host` is refused, because a page on the internet could have its own name resolve to this machine.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Lets pages of another origin, such as `https://app.example.com`, use the server with their keys (CORS).
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Sets whose words the answers use. Defaults to [`Compat::Highwater`].
    #[must_use]
    pub fn compat(mut self, compat: Compat) -> Self {
        self.compat = compat;
        self
    }

    /// Sets the URL under which people reach the router, such as `https://app.example.com/sync`: links on which end users connect an
    /// account begin with it. By default they begin with `http://` and what the request for a link calls the server.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Makes a key that lasts as long as this server and is stored nowhere: [`Server::temporary_key`].
    #[must_use]
    pub fn temporary_key(mut self, scope: Scope) -> Self {
        self.temporary = Some(scope);
        self
    }

    /// Sets the outbox whose secrets test deliveries are signed with: the one that delivers, if the host gives secrets to it. By
    /// default only secrets that the engine's credential store keeps are known.
    #[must_use]
    pub fn outbox(mut self, outbox: Outbox) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// Sets the folder in which copies of the store are made for `GET /store/backup`: it needs room for each. Defaults to the
    /// system's folder for temporary files (`TMPDIR`).
    #[must_use]
    pub fn temporary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.temporary_folder = Some(folder.into());
        self
    }

    /// Builds the server. Nothing listens before [`Server::serve`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a host that is not a name, for an origin that is not `http://` or `https://` and a host (`*` is
    /// not one), and for a public URL that is not one.
    pub fn build(mut self) -> Result<Server> {
        let mut guard = Guard::default();
        for host in &self.hosts {
            guard.allow_host(host).map_err(|message| Error::new(ErrorKind::Invalid, message).with("host", host))?;
        }
        for origin in &self.origins {
            guard
                .allow_origin(origin)
                .map_err(|message| Error::new(ErrorKind::Invalid, message).with("origin", origin))?;
        }
        if let Some(url) = &mut self.public_url {
            url.truncate(url.trim_end_matches('/').len());
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#', '@', ' '])) {
                let message =
                    "a public URL is http:// or https://, a host and a path, such as https://app.example.com/sync";
                return Err(Error::new(ErrorKind::Invalid, message).with("public_url", &*url));
            }
        }
        let mut state = State {
            outbox: self.outbox.unwrap_or_else(|| Outbox::new(&self.engine)),
            keys: Keys::new(&self.engine),
            rate: RateLimit::new(self.limits.requests_per_minute),
            cache: AnswerCache::new(self.limits.cache_bytes),
            engine: self.engine,
            limits: self.limits,
            guard,
            compat: self.compat,
            connect: ConnectSessions::default(),
            followed: Followed::default(),
            #[cfg(feature = "metrics")]
            served: routes::Served::default(),
            public_url: self.public_url,
            temporary_folder: self.temporary_folder.unwrap_or_else(std::env::temp_dir),
            stopping: CancelToken::new(),
            temporary: None,
        };
        let temporary = self.temporary.map(|scope| state.make_temporary_key(scope).secret);
        let state = Arc::new(state);
        let dashboard = Dashboard::new(&state);
        let router = route::router(&state, routes::all()).merge(dashboard::router(&dashboard));
        Ok(Server { state, dashboard, router, temporary })
    }
}

/// The HTTP interface of an engine. Clones share one.
#[derive(Clone)]
pub struct Server {
    pub(crate) state: Arc<State>,
    pub(crate) dashboard: Arc<Dashboard>,
    router: Router,
    temporary: Option<Secret>,
}

impl Server {
    /// Returns a builder for a server of `engine`.
    ///
    /// The server runs no syncs: [`Engine::start`] does, here or in another process.
    pub fn builder(engine: Engine) -> ServerBuilder {
        ServerBuilder {
            engine,
            limits: Limits::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            compat: Compat::default(),
            temporary: None,
            outbox: None,
            public_url: None,
            temporary_folder: None,
        }
    }

    /// Returns the router, which a host may nest under any path of its own. It checks keys, Host and Origin itself.
    ///
    /// ```no_run
    /// # fn example(server: highwater_server::Server) {
    /// let app = axum::Router::<()>::new().nest("/sync", server.router());
    /// # let _ = app;
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Returns the keys that are stored.
    pub fn keys(&self) -> &Keys {
        &self.state.keys
    }

    /// Returns the key that lasts as long as the server, if the builder was told to make one.
    pub fn temporary_key(&self) -> Option<&Secret> {
        self.temporary.as_ref()
    }

    /// Ends requests that wait: long polls answer with what they have, and event streams end. A host calls it before it stops its
    /// own server; [`serve`](Server::serve) does so by itself.
    pub fn stop(&self) {
        self.state.stopping.cancel();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("engine", &self.state.engine).finish_non_exhaustive()
    }
}
