//! Makes an asynchronous store of a synchronous backend: one writing thread, a few that read.

mod backups;
mod executor;
mod idle;
mod inline;
mod on_caller;
mod panics;
mod readers;
mod requests;
mod store;
mod transaction;
mod writer;

pub use inline::Inline;
pub use transaction::{LogTransaction, PendingCommit};

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::{oneshot, watch};

use crate::backend::{Backend, BackendRead, BackendReader, BackendWrite};
use crate::capabilities::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::locks::lock;
use crate::log::opening::{self, Found};
use crate::log::read::Attempt;
use crate::log::shared::Shared;
use crate::log::state::Identity;
use crate::log::transaction::Transaction;
use crate::options::StoreOptions;
use crate::wakeups::Wakeups;
use backups::Backups;
use executor::{Executor, Mode};
use idle::Idle;
use on_caller::CallerReader;
use panics::catch_panic;
use readers::Readers;
use requests::{OpenRequests, Reply};
use writer::{Job, Writer};

/// A [`Store`](crate::Store) over a [`Backend`].
///
/// One thread writes, a few read. Batches that arrive while another commits share the next commit. Reads use snapshots and
/// never wait for writes. A clone is another handle to the same store; dropping the last one finishes what was submitted and
/// closes the files. [`Inline`] is the same without threads.
pub struct Threaded<B: Backend> {
    inner: Arc<Inner<B>>,
}

struct Inner<B: Backend> {
    capabilities: Capabilities,
    shared: Arc<Shared>,
    options: StoreOptions,
    executor: Executor<B>,
    requests: OpenRequests,
    readers: Mutex<Option<Readers<B::Reader>>>,
    idle: Arc<Mutex<Idle<B::Reader>>>,
    caller_reader: CallerReader<B::Reader>,
    backups: Backups,
    generation: Arc<AtomicU64>,
    wake: watch::Sender<u64>,
    wakeups: Wakeups,
    /// The epoch of transactions that hosts let us join; 0 until the first.
    joined_epoch: AtomicU32,
    /// Where the files are.
    location: Option<String>,
}

impl<B: Backend> Threaded<B> {
    /// Opens a store on `backend`, and brings one of an earlier format up to date.
    ///
    /// # Errors
    ///
    /// * [`Incompatible`](ErrorKind::Incompatible) for a store of a later format;
    /// * [`WrongKey`](ErrorKind::WrongKey) if the codec of `options` lacks a key or dictionary that the payloads need;
    /// * [`NotFound`](ErrorKind::NotFound) if there is no store, and `options` do not allow creating one;
    /// * the kinds of [`BackendRead`](BackendRead#errors), and [`Internal`](ErrorKind::Internal) if no thread could be started.
    pub fn open(backend: B, options: StoreOptions) -> Result<Self> {
        Self::open_in(Mode::Threads, backend, options)
    }

    fn open_in(mode: Mode, backend: B, options: StoreOptions) -> Result<Self> {
        catch_panic(|| Self::open_unguarded(mode, backend, options))
    }

    fn open_unguarded(mode: Mode, mut backend: B, options: StoreOptions) -> Result<Self> {
        let (capabilities, location) = (backend.capabilities(), backend.location());
        let wanted = if mode == Mode::Threads { options.readers.max(1) } else { 1 };
        let mut read_handles = Vec::new();
        read_handles.extend(backend.reader()?);
        let identity = open_identity(&mut backend, read_handles.first_mut(), &options)?;
        let shared = Arc::new(Shared::new(
            identity,
            Arc::clone(&options.environment),
            options.codec.clone(),
            options.memory_budget,
        ));
        for _ in 1..wanted {
            read_handles.extend(backend.reader()?);
        }
        let reader = if mode == Mode::Inline { read_handles.pop() } else { None };
        let readers = if read_handles.is_empty() { None } else { Some(Readers::start(read_handles, &shared)?) };
        let probe = if capabilities.multi_process { backend.reader()? } else { None };
        let idle = Arc::new(Mutex::new(Idle::new(probe)));
        let caller_handle = if capabilities.multi_process && mode == Mode::Threads { backend.reader()? } else { None };
        let (wake, wakeups) = Wakeups::channel();
        let generation = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(
            backend,
            Arc::clone(&shared),
            wake.clone(),
            Arc::clone(&generation),
            Arc::clone(&idle),
            options.foreign_poll,
            options.read_only,
        );
        let executor = match mode {
            Mode::Threads => Executor::thread(format!("highwater-{}-writer", capabilities.name), writer)?,
            Mode::Inline => Executor::inline(writer, reader),
        };
        Ok(Threaded {
            inner: Arc::new(Inner {
                capabilities,
                shared,
                options,
                executor,
                requests: OpenRequests::default(),
                readers: Mutex::new(readers),
                idle,
                caller_reader: CallerReader::new(caller_handle),
                backups: Backups::new(),
                generation,
                wake,
                wakeups,
                joined_epoch: AtomicU32::new(0),
                location,
            }),
        })
    }

    /// Runs `work` in a write transaction of its own, on the writing thread.
    ///
    /// What `work` writes through the transaction and through the backend's own transaction becomes
    /// visible together, or not at all where `work` fails.
    ///
    /// # Errors
    ///
    /// What `work` returns, and the kinds of [`Store::commit`](crate::Store::commit).
    pub async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t, 'w> FnOnce(&mut LogTransaction<'_, 't, B::Write<'w>>) -> Result<T> + Send + 'static,
    {
        self.write(move |transaction| work(&mut LogTransaction::new(transaction))).await
    }

    /// Runs `work` with the backend itself, on the writing thread, outside of any transaction.
    ///
    /// # Errors
    ///
    /// What `work` returns, and [`ErrorKind::PermissionDenied`] if the store is open for reading only.
    pub async fn with_backend<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut B) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check_writable()?;
        self.on_writer(move |writer| writer.with_backend(work)).await
    }

    /// Takes part in a transaction that the host began on its own handle of the same store.
    /// Nothing is visible before the host commits; then call [`PendingCommit::publish`].
    ///
    /// # Errors
    ///
    /// What `work` returns; [`ErrorKind::Invalid`] for a transaction of another store; [`ErrorKind::PermissionDenied`] if the
    /// store is open for reading only.
    pub fn join<W: BackendWrite, T>(
        &self,
        write: W,
        work: impl FnOnce(&mut LogTransaction<'_, '_, W>) -> Result<T>,
    ) -> Result<(T, PendingCommit)> {
        self.check_writable()?;
        transaction::join(&self.inner.shared, &self.inner.options, &self.inner.joined_epoch, write, work)
            .map(|value| (value, PendingCommit::new(Arc::clone(&self.inner.generation), self.inner.wake.clone())))
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t, 'w> FnOnce(&mut Transaction<'t, B::Write<'w>>) -> Result<T> + Send + 'static,
    {
        self.on_writer(move |writer| writer.transact(work)).await
    }

    /// The same, but only if neither this store's writer nor another process is writing. Never waits; `None` if one
    /// is.
    async fn write_at_once<T, F>(&self, work: F) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: for<'t, 'w> FnOnce(&mut Transaction<'t, B::Write<'w>>) -> Result<T> + Send + 'static,
    {
        match self.inner.requests.open_if_idle() {
            Some(request) => self.ask(request, move |writer| writer.transact_at_once(work)).await,
            None => Ok(None),
        }
    }

    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer<B>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(self.inner.requests.open(), work).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        (answer, answered): (Reply<Result<T>>, oneshot::Receiver<Result<T>>),
        work: impl FnOnce(&mut Writer<B>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.send(Job::Task(Box::new(move |writer| answer.send(work(writer)))))?;
        answered.await.map_err(|_| closed())?.map_err(|error| self.named(error))
    }

    fn check_writable(&self) -> Result<()> {
        if self.inner.options.read_only { Err(crate::files::read_only()) } else { Ok(()) }
    }

    /// Names the place in an error that is about the files there.
    fn named(&self, error: Error) -> Error {
        let about_files = matches!(
            error.kind(),
            ErrorKind::Busy
                | ErrorKind::Corrupt
                | ErrorKind::Full
                | ErrorKind::Incompatible
                | ErrorKind::Internal
                | ErrorKind::Io
                | ErrorKind::Locked
                | ErrorKind::PermissionDenied
                | ErrorKind::Poisoned
        );
        match &self.inner.location {
            Some(location) if about_files && error.context("path").is_none() => error.with("path", location),
            _ => error,
        }
    }

    /// Runs `work` on a snapshot.
    async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>> + Send + 'static,
    ) -> Result<T> {
        if let Some(value) = self.inner.executor.read_inline(&self.inner.shared, &work) {
            return value.map_err(|error| self.named(error));
        }
        let answered = match &*lock(&self.inner.readers) {
            Some(readers) => {
                let (answer, answered) = oneshot::channel();
                readers.send(work, answer)?;
                answered
            }
            None if self.inner.capabilities.multi_process || self.inner.executor.is_closed() => return Err(closed()),
            None => {
                let (answer, answered) = self.inner.requests.open();
                self.send(Job::Task(Box::new(move |writer: &mut Writer<B>| answer.send(writer.read(work)))))?;
                answered
            }
        };
        answered.await.map_err(|_| closed())?.map_err(|error| self.named(error))
    }

    fn send(&self, job: Job<B>) -> Result<()> {
        self.inner.executor.send(job)
    }
}

impl<B: Backend> Clone for Threaded<B> {
    fn clone(&self) -> Self {
        Threaded { inner: Arc::clone(&self.inner) }
    }
}

impl<B: Backend> fmt::Debug for Threaded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threaded")
            .field("capabilities", &self.inner.capabilities)
            .field("generation", &self.inner.generation.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Drop for Inner<B> {
    /// Waits until what was submitted is done and the files are closed, so that the store can be
    /// opened again at once.
    fn drop(&mut self) {
        self.backups.stop();
        *lock(&self.readers) = None;
        self.caller_reader.stop();
        self.executor.close();
    }
}

/// Reads who the store is, and makes it a current one where it is not. `reader` is `None` where everything goes through
/// the writer.
fn open_identity<B: Backend>(
    backend: &mut B,
    reader: Option<&mut B::Reader>,
    options: &StoreOptions,
) -> Result<Identity> {
    let outdated = backend.is_outdated();
    let found = match reader {
        Some(reader) => opening::look(&mut reader.snapshot()?, options, outdated)?,
        None => opening::look(&mut backend.begin()?, options, outdated)?,
    };
    match found {
        Found::Ready(identity) => return Ok(identity),
        Found::Outdated(identity) if options.copy_before_migration => {
            let suffix = format!(".format-{}", identity.format);
            // Another process may have been first.
            backend.copy_beside(&suffix, &mut |read| opening::is_of_format(read, identity.format))?;
        }
        Found::Outdated(_) | Found::Unsettled => {}
    }
    let mut write = backend.begin()?;
    let (identity, written) = opening::settle(&mut write, options, outdated)?;
    if written {
        write.commit()?;
    }
    Ok(identity)
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|source| Error::new(ErrorKind::Internal, "a thread could not be started").because(source))
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store was closed; open it again")
}
