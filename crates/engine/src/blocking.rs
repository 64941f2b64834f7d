//! The whole engine for programs without an async runtime.
//!
//! [`Engine`] has a thread named `highwater` with its own runtime, on which the schedule runs; calls block only the
//! calling thread. Do not call them from within an asynchronous task.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//! use highwater_core::MemoryStore;
//! use highwater_engine::{ConnectionSettings, RunOptions, blocking};
//! # fn example(template: Arc<dyn highwater_template::Template>) -> highwater_core::Result<()> {
//! let builder = highwater_engine::Engine::builder(Arc::new(MemoryStore::new()?)).template(template);
//! let engine = blocking::Engine::new(builder.build()?)?;
//! engine.connect(ConnectionSettings::new("github-main", "github"))?;
//! let report = engine.sync("github-main", "github/issues")?.run_once(RunOptions::default())?;
//! engine.start();
//! engine.shutdown(Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```

mod connections;
mod integrations;
mod outbox;
mod sync_handle;

pub use integrations::IntegrationHandle;
pub use outbox::Outbox;
pub use sync_handle::SyncHandle;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result, RunId};
use highwater_template::{Account, HttpRequest, HttpResponse};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::actions::QueuedAction;
use crate::background::Background;
use crate::documents::{LogLine, RunReport, RunTrace, SyncSettings, SyncState};
use crate::http::Revocation;
use crate::logs::{LinePage, LogFilter, RunPage};
use crate::proxy::ProxyRetries;
use crate::state::IdleReader;
use crate::webhooks::ReceivedWebhook;

/// An [`Engine`](crate::Engine) on its own thread. Clones share one engine; the thread ends with the last of them.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: crate::Engine,
    handle: Handle,
    background: Mutex<Option<Background>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Engine {
    /// Starts the thread. No sync runs before [`start`](Engine::start).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`] if the system cannot start a thread.
    pub fn new(engine: crate::Engine) -> Result<Self> {
        let failed =
            |source| Error::new(ErrorKind::Internal, "the engine's thread could not be started").because(source);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("highwater".to_owned())
            .spawn(move || {
                // A dropped sender means the same as a message.
                let _ = runtime.block_on(stopped);
            })
            .map_err(failed)?;
        let (background, stop, thread) = (Mutex::default(), Mutex::new(Some(stop)), Mutex::new(Some(thread)));
        Ok(Engine { inner: Arc::new(Inner { engine, handle, background, stop, thread }) })
    }

    /// Returns the asynchronous engine, for methods that are missing here.
    pub fn engine(&self) -> &crate::Engine {
        &self.inner.engine
    }

    /// Blocks until a future of the engine is ready.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.inner.handle.block_on(future)
    }

    /// See [`Engine::act`](crate::Engine::act).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn act(&self, connection: &str, action: &str, input: serde_json::Value) -> Result<serde_json::Value> {
        self.wait(self.engine().act(connection, action, input))
    }

    /// See [`Engine::proxy`](crate::Engine::proxy).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn proxy(&self, connection: &str, request: HttpRequest) -> Result<HttpResponse> {
        self.wait(self.engine().proxy(connection, request))
    }

    /// See [`Engine::proxy_with_retries`](crate::Engine::proxy_with_retries).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn proxy_with_retries(
        &self,
        connection: &str,
        request: HttpRequest,
        retries: &ProxyRetries,
    ) -> Result<HttpResponse> {
        self.wait(self.engine().proxy_with_retries(connection, request, retries))
    }

    /// See [`Engine::queue_action`](crate::Engine::queue_action).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn queue_action(
        &self,
        connection: &str,
        action: &str,
        input: serde_json::Value,
        retries: u32,
    ) -> Result<RunId> {
        self.wait(self.engine().queue_action(connection, action, input, retries))
    }

    /// See [`Engine::queued_action`](crate::Engine::queued_action).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn queued_action(&self, id: RunId) -> Result<QueuedAction> {
        self.wait(self.engine().queued_action(id))
    }

    /// See [`Engine::verify_connection`](crate::Engine::verify_connection).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn verify_connection(&self, id: &str) -> Result<Account> {
        self.wait(self.engine().verify_connection(id))
    }

    /// See [`Engine::revoke_credentials`](crate::Engine::revoke_credentials).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn revoke_credentials(&self, connection: &str) -> Result<Revocation> {
        self.wait(self.engine().revoke_credentials(connection))
    }

    /// See [`Engine::accept_clock`](crate::Engine::accept_clock).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn accept_clock(&self) -> Result<()> {
        self.wait(self.engine().accept_clock())
    }

    /// See [`Engine::receive`](crate::Engine::receive).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn receive<N: AsRef<str>, V: AsRef<str>>(
        &self,
        connection: &str,
        headers: &[(N, V)],
        body: &[u8],
    ) -> Result<ReceivedWebhook> {
        self.wait(self.engine().receive(connection, headers, body))
    }

    /// Returns a handle to a sync: see [`Engine::sync`](crate::Engine::sync).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for names that no sync can have.
    pub fn sync(&self, connection: impl AsRef<str>, sync: impl AsRef<str>) -> Result<SyncHandle> {
        Ok(SyncHandle::new(self, self.engine().sync(connection, sync)?))
    }

    /// See [`Engine::sync_states`](crate::Engine::sync_states).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn sync_states(&self) -> Result<Vec<SyncState>> {
        self.wait(self.engine().sync_states())
    }

    /// See [`Engine::idle_readers`](crate::Engine::idle_readers).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn idle_readers(&self) -> Result<Vec<IdleReader>> {
        self.wait(self.engine().idle_readers())
    }

    /// See [`Engine::enabled_syncs`](crate::Engine::enabled_syncs).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn enabled_syncs(&self) -> Result<Vec<SyncSettings>> {
        self.wait(self.engine().enabled_syncs())
    }

    /// See [`Engine::approve`](crate::Engine::approve).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn approve(&self, run: RunId) -> Result<RunReport> {
        self.wait(self.engine().approve(run))
    }

    /// See [`Engine::reject`](crate::Engine::reject).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn reject(&self, run: RunId) -> Result<RunReport> {
        self.wait(self.engine().reject(run))
    }

    /// See [`Engine::fetch_run`](crate::Engine::fetch_run).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn fetch_run(&self, id: RunId) -> Result<RunReport> {
        self.wait(self.engine().fetch_run(id))
    }

    /// See [`Engine::runs_matching`](crate::Engine::runs_matching).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn runs_matching(&self, filter: &LogFilter) -> Result<RunPage> {
        self.wait(self.engine().runs_matching(filter))
    }

    /// See [`Engine::log_lines`](crate::Engine::log_lines).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn log_lines(&self, filter: &LogFilter) -> Result<LinePage> {
        self.wait(self.engine().log_lines(filter))
    }

    /// See [`Engine::run_log`](crate::Engine::run_log).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn run_log(&self, id: RunId) -> Result<Vec<LogLine>> {
        self.wait(self.engine().run_log(id))
    }

    /// See [`Engine::run_trace`](crate::Engine::run_trace).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn run_trace(&self, id: RunId) -> Result<RunTrace> {
        self.wait(self.engine().run_trace(id))
    }

    /// See [`Engine::sweep_logs`](crate::Engine::sweep_logs).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn sweep_logs(&self) -> Result<u64> {
        self.wait(self.engine().sweep_logs())
    }

    /// Starts to run the enabled syncs on the engine's thread, unless it already does.
    pub fn start(&self) {
        let start = || self.engine().start(&self.inner.handle);
        lock(&self.inner.background).get_or_insert_with(start);
    }

    /// See [`Background::pause`]. Does nothing while the background work is not started.
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn pause(&self) -> Result<()> {
        self.background().map_or(Ok(()), |background| self.wait(background.pause()))
    }

    /// See [`Background::resume`]. Does nothing while the background work is not started.
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn resume(&self) -> Result<()> {
        self.background().map_or(Ok(()), |background| self.wait(background.resume()))
    }

    /// See [`Background::notify_online`]. Does nothing while the background work is not started.
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn notify_online(&self) -> Result<()> {
        self.background().map_or(Ok(()), |background| self.wait(background.notify_online()))
    }

    /// See [`Background::notify_resumed`]. Does nothing while the background work is not started.
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn notify_resumed(&self) -> Result<()> {
        self.background().map_or(Ok(()), |background| self.wait(background.notify_resumed()))
    }

    /// Stops the background work: see [`Background::shutdown`]. It can be started again.
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn shutdown(&self, timeout: Duration) -> Result<()> {
        let background = lock(&self.inner.background).take();
        background.map_or(Ok(()), |background| self.wait(background.shutdown(timeout)))
    }

    fn background(&self) -> Option<Background> {
        lock(&self.inner.background).clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(lock(&self.background).take());
        drop(lock(&self.stop).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}
