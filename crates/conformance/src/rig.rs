//! A store under test, driven one step after another.

use std::future::Future;
use std::sync::Arc;

use highwater_core::{
    AckToken, Change, Commit, ConsumerCommand, ConsumerReply, ConsumerStatus, Cursor, Delivery, ErrorKind, Maintenance,
    MaintenanceReport, NetAction, Page, PageRequest, PollOptions, PruneWhat, Record, RecordId, Result, Seek, Store,
    StoreOptions, StreamBatch, StreamCommit, StreamHead, StreamKey, WriteBatch, WriteOutcome,
};

use crate::environment::TestEnvironment;
use crate::subject::Subject;

/// Runs a future to its end, with timers.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Returns the stream that most cases use.
pub(crate) fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

/// Returns a record with a number in it.
pub(crate) fn note(id: &str, n: u64) -> String {
    format!(r#"{{"id":{},"n":{n}}}"#, serde_json::Value::from(id))
}

/// A store under test: its subject, its environment, and the open handle.
pub struct Rig<S> {
    /// The subject: where the store is.
    pub subject: S,
    /// The clock and the random source of every handle.
    pub environment: Arc<TestEnvironment>,
    /// The open store.
    pub store: Option<Arc<dyn Store>>,
    /// Whether the store runs without caches, so that everything is read from disk.
    pub memory_budget: usize,
}

impl<S> std::fmt::Debug for Rig<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<S: Subject> Rig<S> {
    /// Creates a new store.
    pub fn new() -> Self {
        Rig::at(S::new(), Arc::new(TestEnvironment::new(1)), 64 << 20)
    }

    /// Opens the store of a subject.
    pub fn at(subject: S, environment: Arc<TestEnvironment>, memory_budget: usize) -> Self {
        let mut rig = Rig { subject, environment, store: None, memory_budget };
        rig.store = Some(rig.handle());
        rig
    }

    /// Opens another handle to the store.
    pub fn handle(&self) -> Arc<dyn Store> {
        self.subject.open(self.options()).expect("the store opens")
    }

    fn options(&self) -> StoreOptions {
        let environment: Arc<TestEnvironment> = Arc::clone(&self.environment);
        StoreOptions::new().environment(environment).memory_budget(self.memory_budget).readers(1)
    }

    /// Returns the open store.
    pub fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().expect("the store is open")
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            wait(store.close()).expect("the store closes");
        }
        self.store = Some(self.handle());
    }

    /// Opens a copy of the store in its current state: as after a crash, or from a backup.
    pub fn image(&self) -> Option<Rig<S>> {
        self.subject.image().map(|copy| Rig::at(copy, Arc::clone(&self.environment), self.memory_budget))
    }

    /// Commits a batch.
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`].
    pub fn commit(&self, batch: WriteBatch) -> Result<Commit> {
        wait(self.store().commit(batch))
    }

    /// Commits what `fill` writes to the default stream.
    pub fn write(&self, fill: impl for<'b> FnOnce(&'b mut StreamBatch) -> &'b mut StreamBatch) -> StreamCommit {
        self.try_write(fill).expect("the commit succeeds")
    }

    /// Commits what `fill` writes to the default stream.
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`].
    pub fn try_write(
        &self,
        fill: impl for<'b> FnOnce(&'b mut StreamBatch) -> &'b mut StreamBatch,
    ) -> Result<StreamCommit> {
        let mut batch = WriteBatch::new();
        fill(batch.on(&notes()));
        self.commit(batch).map(|mut commit| commit.streams.remove(0))
    }

    /// Saves one note.
    pub fn save(&self, id: &str, n: u64) -> WriteOutcome {
        self.write(|batch| batch.upsert(note(id, n))).outcomes[0]
    }

    /// Saves many notes with the same number.
    pub fn save_all(&self, ids: impl IntoIterator<Item = u64>, n: u64) -> StreamCommit {
        self.write(|batch| {
            ids.into_iter().for_each(|id| {
                batch.upsert(note(&id.to_string(), n));
            });
            batch
        })
    }

    /// Deletes one note.
    pub fn delete(&self, id: &str) -> WriteOutcome {
        self.write(|batch| batch.delete(id)).outcomes[0]
    }

    /// Reads a page of the default stream.
    pub fn page(&self, shape: impl FnOnce(PageRequest) -> PageRequest) -> Page {
        self.try_page(shape).expect("the page reads")
    }

    /// Reads a page of the default stream.
    ///
    /// # Errors
    ///
    /// Those of [`Store::page`].
    pub fn try_page(&self, shape: impl FnOnce(PageRequest) -> PageRequest) -> Result<Page> {
        wait(self.store().page(shape(PageRequest::new(notes()))))
    }

    /// Reads everything after a cursor, in pages of `limit`.
    pub fn drain(&self, from: Cursor, limit: usize) -> (Vec<Change>, Cursor) {
        let (mut changes, mut cursor) = (Vec::new(), from);
        loop {
            let page = self.page(|request| request.since(cursor).limit(limit));
            assert!(page.next_cursor.position() >= cursor.position(), "a page never goes back");
            changes.extend(page.changes);
            cursor = page.next_cursor;
            if !page.has_more {
                return (changes, cursor);
            }
        }
    }

    /// Returns the end of the default stream.
    pub fn end(&self) -> Cursor {
        self.drain(Cursor::START, 1000).1
    }

    /// Returns the kind of the error that reading from a cursor fails with.
    pub fn refusal(&self, cursor: Cursor) -> Option<ErrorKind> {
        self.try_page(|request| request.since(cursor)).err().map(|error| error.kind())
    }

    /// Returns one record.
    pub fn get(&self, id: &str) -> Option<Record> {
        wait(self.store().get(&notes(), &[id])).expect("the record reads").remove(0)
    }

    /// Returns the counters of the default stream.
    pub fn head(&self) -> StreamHead {
        wait(self.store().head(&notes())).expect("the counters read")
    }

    /// Runs a maintenance task.
    pub fn maintain(&self, task: Maintenance) -> MaintenanceReport {
        wait(self.store().maintain(task)).expect("the task succeeds")
    }

    /// Prunes the default stream, and returns how much was removed.
    pub fn prune(&self, what: PruneWhat, up_to: Cursor) -> u64 {
        match self.maintain(Maintenance::Prune { stream: notes(), what, up_to }) {
            MaintenanceReport::Pruned { removed, .. } => removed,
            other => panic!("a prune was answered with {other:?}"),
        }
    }

    /// Verifies a stream, and expects no problems.
    pub fn verify(&self, stream: &StreamKey) {
        match self.maintain(Maintenance::Verify(stream.clone())) {
            MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new(), "{stream}"),
            other => panic!("a verification was answered with {other:?}"),
        }
    }

    /// Executes a command on behalf of a consumer of the default stream.
    ///
    /// # Errors
    ///
    /// Those of [`Store::consumer_command`].
    pub fn consumer(&self, name: &str, command: ConsumerCommand) -> Result<ConsumerReply> {
        wait(self.store().consumer_command(&notes(), name, command))
    }

    /// Polls for a consumer of the default stream.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::poll`](highwater_core::Consumer::poll).
    pub fn poll(&self, name: &str, limit: usize) -> Result<Delivery> {
        self.poll_with(name, &PollOptions::default().limit(limit))
    }

    /// Polls for a consumer with these options.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::poll`](highwater_core::Consumer::poll).
    pub fn poll_with(&self, name: &str, options: &PollOptions) -> Result<Delivery> {
        match self.consumer(name, ConsumerCommand::Poll(options.clone()))? {
            ConsumerReply::Delivery(delivery) => Ok(delivery),
            other => panic!("a poll was answered with {other:?}"),
        }
    }

    /// Nacks a delivery.
    pub fn nack(&self, name: &str, token: AckToken) {
        self.consumer(name, ConsumerCommand::Nack(token)).expect("the refusal is taken");
    }

    /// Unparks records, and returns their ids.
    pub fn unpark(&self, name: &str) -> Vec<RecordId> {
        match self.consumer(name, ConsumerCommand::Unpark).expect("the consumer is known") {
            ConsumerReply::Parked(ids) => ids,
            other => panic!("a return was answered with {other:?}"),
        }
    }

    /// Acknowledges a delivery.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::ack`](highwater_core::Consumer::ack).
    pub fn ack(&self, name: &str, token: AckToken) -> Result<()> {
        self.consumer(name, ConsumerCommand::Ack(token)).map(drop)
    }

    /// Moves a consumer.
    pub fn seek(&self, name: &str, seek: Seek) {
        self.consumer(name, ConsumerCommand::Seek(seek)).expect("the seek succeeds");
    }

    /// Reads a consumer's status.
    pub fn status(&self, name: &str) -> ConsumerStatus {
        match self.consumer(name, ConsumerCommand::Status).expect("the consumer is known") {
            ConsumerReply::Status(status) => status,
            other => panic!("a status was answered with {other:?}"),
        }
    }
}

impl<S: Subject> Default for Rig<S> {
    fn default() -> Self {
        Rig::new()
    }
}

/// Returns the ids of changes, in order.
pub(crate) fn ids(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| &*change.record.id).collect()
}

/// Returns the net action of each change.
pub(crate) fn nets(changes: &[Change]) -> Vec<(&str, NetAction)> {
    changes.iter().map(|change| (&*change.record.id, change.net)).collect()
}
