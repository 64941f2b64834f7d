//! A write transaction in the hands of a host.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::watch;

use crate::backend::BackendWrite;
use crate::batch::{Commit, WriteBatch};
use crate::consumer::{ConsumerCommand, ConsumerReply};
use crate::error::{Error, ErrorKind, Result};
use crate::log::shared::Shared;
use crate::log::state::Identity;
use crate::log::transaction::{Transaction, WriterMemory};
use crate::options::StoreOptions;
use crate::page::{Page, PageRequest};
use crate::stream::StreamKey;
use crate::wakeups::wake;

/// A write transaction: the log's operations, and the backend's own transaction beside them.
///
/// Return every error from the closure: part of the operation may have been done, and only abandoning the transaction takes it
/// back.
pub struct LogTransaction<'r, 't, W> {
    inner: &'r mut Transaction<'t, W>,
}

impl<'r, 't, W: BackendWrite> LogTransaction<'r, 't, W> {
    pub(super) fn new(inner: &'r mut Transaction<'t, W>) -> Self {
        LogTransaction { inner }
    }

    /// Returns the backend's transaction, for the host's own writes. Leave the tables of Highwater alone.
    pub fn backend(&mut self) -> &mut W {
        self.inner.dirty = true;
        &mut self.inner.write
    }

    /// Applies a batch to this transaction. It becomes durable and visible with the rest of it.
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`](crate::Store::commit).
    pub fn apply(&mut self, batch: &WriteBatch) -> Result<Commit> {
        self.inner.apply(batch)
    }

    /// Reads a page, as this transaction sees the stream.
    ///
    /// # Errors
    ///
    /// Those of [`Store::page`](crate::Store::page).
    pub fn page(&mut self, request: &PageRequest) -> Result<Page> {
        let slot = self.inner.open(&request.stream)?;
        self.inner.read_page(slot, request)
    }

    /// Executes a command on behalf of a named consumer.
    ///
    /// # Errors
    ///
    /// Those of [`Store::consumer_command`](crate::Store::consumer_command).
    pub fn consumer_command(
        &mut self,
        stream: &StreamKey,
        name: &str,
        command: &ConsumerCommand,
    ) -> Result<ConsumerReply> {
        self.inner.consumer_command(stream, name, command)
    }
}

impl<W> fmt::Debug for LogTransaction<'_, '_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogTransaction").field("inner", &self.inner).finish()
    }
}

/// What was written into a host's transaction, which is not committed yet.
#[must_use = "call publish() after the host's transaction was committed, so that readers wake"]
pub struct PendingCommit {
    generation: Arc<AtomicU64>,
    wake: watch::Sender<u64>,
}

impl PendingCommit {
    pub(super) fn new(generation: Arc<AtomicU64>, wake: watch::Sender<u64>) -> Self {
        PendingCommit { generation, wake }
    }

    /// Wakes the readers that wait. Call it once the host's transaction is committed.
    pub fn publish(self) {
        self.generation.fetch_add(1, Ordering::Release);
        wake(&self.wake);
    }
}

impl fmt::Debug for PendingCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCommit").finish_non_exhaustive()
    }
}

/// Works in a transaction whose fate we do not know: nothing of it may enter what is remembered.
pub(super) fn join<W: BackendWrite, T>(
    shared: &Shared,
    options: &StoreOptions,
    epoch: &AtomicU32,
    mut write: W,
    work: impl FnOnce(&mut LogTransaction<'_, '_, W>) -> Result<T>,
) -> Result<T> {
    if !Identity::load(&mut write)?.is_some_and(|identity| shared.is(&identity)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the transaction to join is one of another store: begin it on a connection to this store's file",
        ));
    }
    let apart = shared.apart(options.memory_budget);
    let mut memory = WriterMemory::with_epoch(epoch.load(Ordering::Relaxed));
    let mut transaction = Transaction::new(&apart, &mut memory, write)?;
    let value = work(&mut LogTransaction::new(&mut transaction))?;
    // Also where the log did not change: what `work` did beside it is kept.
    transaction.dirty = true;
    transaction.commit()?;
    epoch.store(memory.epoch(), Ordering::Relaxed);
    Ok(value)
}
