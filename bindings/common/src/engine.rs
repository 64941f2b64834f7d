//! The handle that other languages hold: an engine on threads of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater::engine::Background;
use highwater::{ErrorKind, Store, blocking};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::call::{Call, Done, guarded};
use crate::failure::{Failure, Outcome, closed};
use crate::follow::Following;
use crate::options::EngineOptions;
use crate::template::HostTemplate;
use crate::{Page, arguments, operations};

/// The threads that serve all calls of an engine; waiting takes none.
const THREADS: usize = 2;

/// How long `close` waits for runs to stop, unless the caller says otherwise.
const CLOSING: Duration = Duration::from_secs(10);

/// How long `close` waits for its threads.
const THREADS_END: Duration = Duration::from_secs(2);

/// A store with an engine. Clones are the same engine.
///
/// When the last clone is dropped without [`close`](Engine::close), runs are asked to stop and nothing waits for them. Nothing that
/// was committed is lost.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: Mutex<Option<Arc<Open>>>,
    /// Held while the engine closes.
    closing: Mutex<()>,
    /// The process that opened it: its threads do not exist in a fork.
    process: u32,
}

/// An engine that is open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) engine: highwater::Engine,
    pub(crate) store: Arc<dyn Store>,
    /// Whether credentials are stored.
    pub(crate) has_vault: bool,
    background: Mutex<Option<Background>>,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl Open {
    /// Starts the background work, unless it runs.
    pub(crate) fn start(&self) {
        lock(&self.background).get_or_insert_with(|| self.engine.start(&self.handle));
    }

    pub(crate) fn background(&self) -> Option<Background> {
        lock(&self.background).clone()
    }

    pub(crate) fn take_background(&self) -> Option<Background> {
        lock(&self.background).take()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            // This may be one of its own threads.
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// Opens a store with an engine. `options` is JSON: see [`EngineOptions`]. `templates` are those of the host's language.
    ///
    /// # Errors
    ///
    /// `invalid` for options that cannot be used, and those of the store: `locked` if another process has it, `incompatible` for a
    /// file of another version, `permission_denied`, `io`.
    pub fn open(options: &str, templates: Vec<HostTemplate>) -> Outcome<Self> {
        refuse_within_task()?;
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Self::open_guarded(options, templates)))
            .unwrap_or_else(|panic| Err(crate::call::panicked(&*panic)))
    }

    fn open_guarded(options: &str, templates: Vec<HostTemplate>) -> Outcome<Self> {
        let options: EngineOptions = arguments::read("open", options)?;
        let store = options.open_store()?;
        match Self::around(&options, templates, &store) {
            Ok(engine) => Ok(engine),
            Err(failure) => {
                // The first failure is the one to report.
                let _ = blocking::wait(store.close());
                Err(failure)
            }
        }
    }

    fn around(options: &EngineOptions, templates: Vec<HostTemplate>, store: &Arc<dyn Store>) -> Outcome<Self> {
        let mut builder = options.configure(highwater::Engine::builder(Arc::clone(store)))?;
        for template in templates {
            builder = builder.template(template.into_template()?);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("highwater-engine")
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::of(ErrorKind::Internal, format!("the engine's threads cannot be started: {error}"))
            })?;
        let vault = runtime.block_on(options.open_vault(store))?;
        let has_vault = vault.is_some();
        if let Some(vault) = vault {
            builder = builder.credential_store(vault);
        }
        let (engine, handle) = (builder.build()?, runtime.handle().clone());
        let runtime = Mutex::new(Some(runtime));
        let open = Open { engine, store: Arc::clone(store), has_vault, background: Mutex::default(), handle, runtime };
        let open = Mutex::new(Some(Arc::new(open)));
        Ok(Engine { shared: Arc::new(Shared { open, closing: Mutex::default(), process: std::process::id() }) })
    }

    /// Runs an operation and blocks until it ends. `arguments` and the result are JSON; see [`OPERATIONS`](crate::OPERATIONS).
    ///
    /// # Errors
    ///
    /// `invalid` for an unknown operation or arguments that it does not take, `closed` after [`close`](Engine::close), and those of
    /// the operation.
    pub fn call(&self, operation: &str, arguments: &str) -> Outcome<String> {
        let (operation, arguments) = (operation.to_owned(), arguments.to_owned());
        self.block(async move |open| operations::answer(&open, &operation, &arguments).await)
    }

    /// Runs an operation, and calls `done` with its outcome on a thread of the engine, exactly once. `done` must not block.
    pub fn start_call(
        &self,
        operation: &str,
        arguments: &str,
        done: impl FnOnce(Outcome<String>) + Send + 'static,
    ) -> Call {
        let (operation, arguments) = (operation.to_owned(), arguments.to_owned());
        self.start(async move |open| operations::answer(&open, &operation, &arguments).await, done)
    }

    /// Reads a page of records: the operation `records`, without turning the page into JSON.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Engine::call).
    pub fn page(&self, arguments: &str) -> Outcome<Page> {
        let request = operations::page_request("records", arguments)?;
        self.block(async move |open| Ok(open.store.page(request).await?))
    }

    /// As [`page`](Engine::page), but calls `done` as [`start_call`](Engine::start_call) does.
    pub fn start_page(&self, arguments: &str, done: impl FnOnce(Outcome<Page>) + Send + 'static) -> Call {
        let request = operations::page_request("records", arguments);
        self.start(async move |open| Ok(open.store.page(request?).await?), done)
    }

    /// Follows a stream: its pages, then new ones as they come. `arguments` are those of the operation `records`.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Engine::call).
    pub fn follow(&self, arguments: &str) -> Outcome<Following> {
        let request = operations::page_request("follow", arguments)?;
        Ok(Following::new(self.clone(), request, self.opened()?.store.subscribe()))
    }

    /// Returns whether the engine is closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.shared.open).is_none()
    }

    /// Stops all runs, waits up to ten seconds for them, and closes the store. Calls in progress end with `closed` or `cancelled`.
    /// Closing again does nothing.
    ///
    /// # Errors
    ///
    /// `timed_out` if a run did not stop in time, and those of the store. The engine is closed all the same.
    pub fn close(&self) -> Outcome<()> {
        self.close_within(CLOSING)
    }

    /// As [`close`](Engine::close), with another limit.
    ///
    /// # Errors
    ///
    /// Those of [`close`](Engine::close).
    pub fn close_within(&self, limit: Duration) -> Outcome<()> {
        refuse_within_task()?;
        self.refuse_in_fork()?;
        let _closing = lock(&self.shared.closing);
        let Some(open) = lock(&self.shared.open).take() else { return Ok(()) };
        let (background, store) = (open.take_background(), Arc::clone(&open.store));
        let ending = open.handle.spawn(async move {
            let stopped = match background {
                Some(background) => background.shutdown(limit).await,
                None => Ok(()),
            };
            store.close().await.and(stopped)
        });
        let outcome = joined(blocking::wait(ending).map(|outcome| outcome.map_err(Failure::from)));
        let runtime = lock(&open.runtime).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(THREADS_END);
        }
        outcome
    }

    /// As [`close`](Engine::close), but on a thread of its own, which then calls `done`.
    pub fn start_close(&self, done: impl FnOnce(Outcome<()>) + Send + 'static) {
        let (engine, done) = (self.clone(), Done::new(done));
        // Where no thread can be started, `done` is dropped, and reports that.
        let _ = std::thread::Builder::new().name("highwater-close".to_owned()).spawn(move || done.call(engine.close()));
    }

    /// Runs work on the engine's threads, and blocks until it ends.
    pub(crate) fn block<T, W, F>(&self, work: W) -> Outcome<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Open>) -> F,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        refuse_within_task()?;
        let open = self.opened()?;
        let task = open.handle.spawn(work(Arc::clone(&open)));
        drop(open);
        joined(blocking::wait(task))
    }

    /// Runs work on the engine's threads, and calls `done` with its outcome.
    pub(crate) fn start<T, W, F>(&self, work: W, done: impl FnOnce(Outcome<T>) + Send + 'static) -> Call
    where
        T: Send + 'static,
        W: FnOnce(Arc<Open>) -> F,
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        let done = Done::new(done);
        let open = match self.opened() {
            Ok(open) => open,
            Err(failure) => {
                done.call(Err(failure));
                return Call::ended();
            }
        };
        let work = guarded(work(Arc::clone(&open)));
        let task = open.handle.spawn(async move { done.call(work.await) });
        Call::new(task.abort_handle())
    }

    pub(crate) fn opened(&self) -> Outcome<Arc<Open>> {
        self.refuse_in_fork()?;
        lock(&self.shared.open).clone().ok_or_else(|| closed("the engine"))
    }

    fn refuse_in_fork(&self) -> Outcome<()> {
        if self.shared.process == std::process::id() {
            return Ok(());
        }
        let message = "the engine was opened before this process was forked, and its threads are not here: open it in this process";
        Err(Failure::of(ErrorKind::Unsupported, message))
    }
}

/// Returns what a task returned; the end of the runtime ends tasks, too.
fn joined<T>(outcome: Result<Outcome<T>, tokio::task::JoinError>) -> Outcome<T> {
    match outcome {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Err(crate::call::panicked(&*panic)),
            Err(_) => Err(closed("the engine")),
        },
    }
}

/// Refuses a call that would block a thread of an asynchronous runtime.
pub(crate) fn refuse_within_task() -> Outcome<()> {
    if Handle::try_current().is_err() {
        return Ok(());
    }
    let message = "a blocking call within an asynchronous task or a callback would stop its thread: make it elsewhere, or use the asynchronous form";
    Err(Failure::of(ErrorKind::Invalid, message))
}

/// Locks; a panic while it was locked left nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
