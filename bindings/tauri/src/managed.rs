//! What the application holds: the store, the engine, and its background work.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater::engine::Background;
use highwater::{Engine, Error, ErrorKind, Result, Store};
use tauri::{Manager, Runtime};
use tokio::runtime::Handle;

use crate::failure::Failure;
use crate::sign_ins::SignIns;
use crate::subscriptions::Subscriptions;

/// How long closing the store may take at the end of the application.
const CLOSING: Duration = Duration::from_secs(3);

/// The store, the engine and its background work of an application: the whole library, from Rust. A clone is the same one.
#[derive(Clone)]
pub struct Highwater(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    engine: Engine,
    background: Background,
    runtime: Handle,
    subscriptions: Subscriptions,
    sign_ins: SignIns,
    shutdown_timeout: Duration,
    closed: Mutex<bool>,
}

impl fmt::Debug for Highwater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Highwater").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}

impl Highwater {
    /// Starts the background work on `runtime`.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        engine: Engine,
        runtime: Handle,
        sign_ins: SignIns,
        shutdown_timeout: Duration,
    ) -> Self {
        let background = engine.start(&runtime);
        let subscriptions = Subscriptions::new(runtime.clone());
        let closed = Mutex::new(false);
        Highwater(Arc::new(Inner {
            store,
            engine,
            background,
            runtime,
            subscriptions,
            sign_ins,
            shutdown_timeout,
            closed,
        }))
    }

    /// Returns the engine: connections, integrations, syncs, runs.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Returns the store: pages, consumers, maintenance.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Returns the background work, to pause it (on battery, say) or to tell it that the network is back.
    pub fn background(&self) -> &Background {
        &self.0.background
    }

    /// Returns the runtime that the engine runs on. Spawn on it rather than with `tokio::spawn`, which panics on the main thread.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.0.subscriptions
    }

    pub(crate) fn sign_ins(&self) -> &SignIns {
        &self.0.sign_ins
    }

    /// Ends subscriptions and runs, and closes the store, within the shutdown timeout and three seconds more. The plugin does so at
    /// `RunEvent::Exit`; call it before an end of the process that Tauri does not see. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if a run did not stop in time, [`ErrorKind::TimedOut`] if the store did not close in time, and those of
    /// [`Store::close`]. What was acknowledged is durable whatever the error.
    pub async fn close(&self) -> Result<()> {
        if std::mem::replace(&mut *self.0.closed.lock().unwrap_or_else(PoisonError::into_inner), true) {
            return Ok(());
        }
        self.0.subscriptions.end_all();
        self.0.sign_ins.end_all();
        let stopped = self.0.background.shutdown(self.0.shutdown_timeout).await;
        let closed = tokio::time::timeout(CLOSING, self.0.store.close()).await;
        closed.map_err(|_| Error::new(ErrorKind::TimedOut, "the store did not close in time"))??;
        stopped
    }
}

/// What is managed: what was opened, or why it was not.
pub(crate) struct Managed(pub(crate) std::result::Result<Highwater, Failure>);

/// Gives an application, a window or a handle its [`Highwater`].
pub trait HighwaterExt<R: Runtime> {
    /// Returns what the plugin opened.
    ///
    /// # Errors
    ///
    /// That of opening: [`ErrorKind::PermissionDenied`] or [`ErrorKind::Io`] for a folder that cannot be written,
    /// [`ErrorKind::Incompatible`] for a file of another version, [`ErrorKind::WrongKey`] for a vault whose key is gone.
    /// [`ErrorKind::Closed`] if the plugin is not registered.
    fn highwater(&self) -> Result<Highwater>;
}

impl<R: Runtime, M: Manager<R>> HighwaterExt<R> for M {
    fn highwater(&self) -> Result<Highwater> {
        let managed = self.try_state::<Managed>().ok_or_else(|| {
            Error::new(ErrorKind::Closed, "the plugin is not registered: add it with tauri::Builder::plugin")
        })?;
        managed.0.clone().map_err(Error::from)
    }
}
