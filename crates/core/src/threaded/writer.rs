//! The one thread that writes: group commit, poison, and an eye on other processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::watch;

use super::idle::Idle;
use super::panics::catch_panic;
use super::readers;
use super::requests::Reply;
use crate::backend::{Backend, BackendRead};
use crate::batch::{Commit, WriteBatch};
use crate::cursor::Position;
use crate::error::{Error, ErrorKind, Result};
use crate::locks::lock;
use crate::log::read::Attempt;
use crate::log::shared::Shared;
use crate::log::transaction::{Transaction, WriterMemory};
use crate::mutants::mutant;
use crate::stream::StreamKey;
use crate::wakeups::wake;

/// How long nothing is asked of the writer before the backend may tidy up, at first and when it was held up again and
/// again.
const QUIET: Duration = Duration::from_millis(500);
const LONG_QUIET: Duration = Duration::from_secs(60);

/// Why a commit whose outcome is unknown ends the use of a store.
const UNKNOWN_OUTCOME: &str = "an earlier commit failed with unknown outcome: close the store and open it again";

/// Record operations after which no further batch joins a commit.
const GROUP_OPERATIONS: usize = 4096;

pub(super) type Task<B> = Box<dyn FnOnce(&mut Writer<B>) + Send>;

pub(super) enum Job<B: Backend> {
    Commit(WriteBatch, Reply<Result<Commit>>),
    Task(Task<B>),
}

/// What a transaction does.
type Work<'f, B> = dyn for<'t, 'w> FnMut(&mut Transaction<'t, <B as Backend>::Write<'w>>) -> Result<()> + 'f;

pub(super) struct Writer<B: Backend> {
    backend: Option<B>,
    memory: WriterMemory,
    shared: Arc<Shared>,
    wake: watch::Sender<u64>,
    generation: Arc<AtomicU64>,
    idle: Arc<Mutex<Idle<B::Reader>>>,
    /// Whether others can commit to the same files.
    shares: bool,
    seen: u64,
    foreign_poll: Duration,
    read_only: bool,
    /// Why no more may be done.
    poisoned: Option<String>,
    /// How long nothing must be asked before the backend may tidy up; `None` when it has.
    tidy_in: Option<Duration>,
    quiet: Duration,
}

impl<B: Backend> Writer<B> {
    pub(super) fn new(
        backend: B,
        shared: Arc<Shared>,
        wake: watch::Sender<u64>,
        generation: Arc<AtomicU64>,
        idle: Arc<Mutex<Idle<B::Reader>>>,
        foreign_poll: Duration,
        read_only: bool,
    ) -> Self {
        Writer {
            shares: backend.capabilities().multi_process,
            backend: Some(backend),
            memory: WriterMemory::default(),
            shared,
            wake,
            generation,
            idle,
            seen: 0,
            foreign_poll,
            read_only,
            poisoned: None,
            tidy_in: None,
            quiet: QUIET,
        }
    }

    /// Works until every sender is dropped, then closes the backend.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job<B>>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.receive(queue)) {
            match job {
                Job::Task(task) => task(&mut self),
                Job::Commit(batch, answer) => {
                    let mut operations = batch.len();
                    let mut group = vec![(batch, answer)];
                    while operations < GROUP_OPERATIONS {
                        match queue.try_recv() {
                            Ok(Job::Commit(batch, answer)) => {
                                operations += batch.len();
                                group.push((batch, answer));
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit(group);
                }
            }
        }
        // If closing the files fails at the end, there is no caller left to report it to.
        let _ = self.close();
    }

    /// Does one job.
    pub(super) fn work(&mut self, job: Job<B>) {
        match job {
            Job::Task(task) => task(self),
            Job::Commit(batch, answer) => self.commit(vec![(batch, answer)]),
        }
    }

    pub(super) fn backend(&mut self) -> Result<&mut B> {
        if let Some(why) = &self.poisoned {
            return Err(Error::new(ErrorKind::Poisoned, why.clone()));
        }
        self.backend.as_mut().ok_or_else(super::closed)
    }

    /// The backend itself, outside of any transaction.
    pub(super) fn with_backend<T>(&mut self, work: impl FnOnce(&mut B) -> Result<T>) -> Result<T> {
        let backend = self.backend()?;
        let mut ended = false;
        let outcome = catch_panic(|| {
            let outcome = work(backend);
            ended = true;
            outcome
        });
        if !ended {
            self.poisoned = Some(UNKNOWN_OUTCOME.to_owned());
        }
        outcome
    }

    /// One transaction: committed when `work` succeeds, without a trace when it fails.
    pub(super) fn transact<T, F>(&mut self, work: F) -> Result<T>
    where
        F: for<'t, 'w> FnOnce(&mut Transaction<'t, B::Write<'w>>) -> Result<T>,
    {
        self.transact_if(false, work)?.ok_or_else(super::closed)
    }

    /// The same, but only if the write lock is free; `None` if another process has it.
    pub(super) fn transact_at_once<T, F>(&mut self, work: F) -> Result<Option<T>>
    where
        F: for<'t, 'w> FnOnce(&mut Transaction<'t, B::Write<'w>>) -> Result<T>,
    {
        self.transact_if(true, work)
    }

    fn transact_if<T, F>(&mut self, at_once: bool, work: F) -> Result<Option<T>>
    where
        F: for<'t, 'w> FnOnce(&mut Transaction<'t, B::Write<'w>>) -> Result<T>,
    {
        let (mut work, mut value) = (Some(work), None);
        let committed = self.transact_once(at_once, &mut |transaction| {
            if let Some(work) = work.take() {
                value = Some(work(transaction)?);
            }
            Ok(())
        })?;
        Ok(value.filter(|_| committed))
    }

    /// Runs a transaction; `false` if it could not begin at once. Not generic: beginning and committing are large, and there is
    /// one copy of them for all kinds of work.
    fn transact_once(&mut self, at_once: bool, work: &mut Work<'_, B>) -> Result<bool> {
        self.backend()?;
        if self.read_only && !mutant!("read-only-writes") {
            return Err(crate::files::read_only());
        }
        // Stays so after a panic: who knows what was left half done.
        self.poisoned = Some(UNKNOWN_OUTCOME.to_owned());
        catch_panic(|| {
            let outcome = self.transact_unguarded(at_once, work);
            self.poisoned = match &outcome {
                Err(error) if error.kind() == ErrorKind::Poisoned => {
                    // Polls at the end look again, and find what there is to find.
                    self.generation.fetch_add(1, Ordering::Release);
                    Some(error.message().to_owned())
                }
                _ => None,
            };
            outcome
        })
    }

    fn transact_unguarded(&mut self, at_once: bool, work: &mut Work<'_, B>) -> Result<bool> {
        if mutant!("notify-before-commit") {
            wake(&self.wake);
        }
        let Some(backend) = self.backend.as_mut() else { return Err(super::closed()) };
        let Some(write) = (if at_once { backend.try_begin()? } else { Some(backend.begin()?) }) else {
            return Ok(false);
        };
        let mut transaction = Transaction::new(&self.shared, &mut self.memory, write)?;
        work(&mut transaction)?;
        let committed = transaction.commit()?;
        if committed.dirty {
            self.published(committed.streams);
        }
        Ok(true)
    }

    /// Reads through the writer, for a backend that has no other way.
    pub(super) fn read<T>(&mut self, work: impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>>) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let backend = self.backend()?;
        catch_panic(|| match work(&shared, &mut backend.begin()?)? {
            Attempt::Done(value) => Ok(value),
            // During the writer's own transaction nothing else writes.
            Attempt::Outdated => Err(readers::astray()),
        })
    }

    /// Ends the work with the files.
    pub(super) fn close(&mut self) -> Result<()> {
        lock(&self.idle).stop();
        match self.backend.take() {
            Some(backend) => catch_panic(|| backend.close()),
            None => Ok(()),
        }
    }

    fn receive(&mut self, queue: &mpsc::Receiver<Job<B>>) -> Option<Job<B>> {
        loop {
            // Other processes are watched only while a reader waits to be woken.
            let poll = (self.shares && self.wake.receiver_count() > 1).then_some(self.foreign_poll);
            let Some(pause) = poll.into_iter().chain(self.tidy_in).min() else { return queue.recv().ok() };
            match queue.recv_timeout(pause) {
                Ok(job) => return Some(job),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if poll.is_some() {
                        self.watch_others();
                    }
                    self.rested(pause);
                }
            }
        }
    }

    /// Lets the backend tidy up once nothing was asked for long enough.
    fn rested(&mut self, pause: Duration) {
        let Some(left) = self.tidy_in else { return };
        self.tidy_in = Some(left.saturating_sub(pause)).filter(|left| !left.is_zero());
        if self.tidy_in.is_some() || self.poisoned.is_some() {
            return;
        }
        let Some(backend) = &mut self.backend else { return };
        // What fails here is tried again after the next commit, and told by it if it lasts.
        if catch_panic(|| backend.idle()).unwrap_or(false) {
            self.quiet = (self.quiet * 2).min(LONG_QUIET);
            self.tidy_in = Some(self.quiet);
        }
    }

    fn watch_others(&mut self) {
        if lock(&self.idle).changed(&mut self.seen) {
            wake(&self.wake);
        }
    }

    fn commit(&mut self, mut group: Vec<(WriteBatch, Reply<Result<Commit>>)>) {
        if mutant!("checkpoint-own-transaction") {
            let mut documents = group.iter().flat_map(|(batch, _)| &batch.documents);
            let _ = self.transact(|transaction| {
                documents.try_for_each(|(key, value)| transaction.set_document(key, value.as_ref()))
            });
        }
        let outcome = self.transact(|transaction| {
            group.iter().map(|(batch, _)| transaction.apply(batch)).collect::<Result<Vec<_>>>()
        });
        match outcome {
            Ok(commits) => {
                for ((_, answer), commit) in group.into_iter().zip(commits) {
                    answer.send(Ok(commit));
                }
            }
            Err(error) if group.len() == 1 => {
                if let Some((_, answer)) = group.pop() {
                    answer.send(Err(error));
                }
            }
            // One of them is at fault: each by itself, so that it fails alone.
            Err(_) => {
                for (batch, answer) in group {
                    answer.send(self.transact(|transaction| transaction.apply(&batch)));
                }
            }
        }
    }

    fn published(&mut self, ends: Vec<(StreamKey, Position)>) {
        self.quiet = QUIET;
        self.tidy_in = Some(QUIET);
        let Writer { idle, backend, generation, seen, shares, shared, .. } = self;
        let mut idle = lock(idle);
        let others =
            || backend.as_mut().filter(|_| *shares).and_then(|backend| backend.others_version().ok().flatten());
        // Readers that wake for this commit find earlier commits of others too.
        *seen = idle.committed(generation, shared, ends, others).unwrap_or(*seen);
        drop(idle);
        if !mutant!("notify-before-commit") {
            wake(&self.wake);
        }
    }
}
