//! The store of a simulated process: it waits at gates, fails on demand, and shows every commit to the model.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use highwater_core::locks::lock;
use highwater_core::{
    Capabilities, Commit, ConsumerCommand, ConsumerReply, Cursor, Document, Environment, Error, ErrorKind, Fence,
    Inline, Json, MAX_LIMIT, Maintenance, MaintenanceReport, MemoryBackend, Page, PageRequest, Record, Result, RunStep,
    Store, StoreFuture, StoreOptions, StreamHead, StreamKey, Version, Wakeups, WriteBatch,
};

use crate::api::Api;
use crate::oracle::Oracle;
use crate::plan::{CONNECTIONS, Fault};
use crate::receivers::Receivers;
use crate::shared::{Shared, SimEnvironment};
use crate::template::MODEL;

/// The connections' names: their first letters are their numbers.
pub(crate) const NAMES: [&str; CONNECTIONS] = ["a", "b"];

/// How long before its first commit a run may have requested its first page.
const FIRST_PAGE_MS: u64 = 600_000;

pub(crate) fn stream(connection: usize) -> StreamKey {
    StreamKey::new(NAMES[connection], MODEL)
}

pub(crate) struct SimStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inner: Inline<MemoryBackend>,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    apis: Vec<Arc<Api>>,
    receivers: Arc<Receivers>,
    life: u64,
    poisoned: AtomicBool,
}

impl SimStore {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        backend: &MemoryBackend,
        oracle: &Arc<Mutex<Oracle>>,
        apis: &[Arc<Api>],
        receivers: &Arc<Receivers>,
    ) -> Result<Arc<Self>> {
        let options = StoreOptions::new().environment(Arc::new(SimEnvironment::of_store(shared))).memory_budget(4096);
        Ok(Arc::new(SimStore {
            shared: Arc::clone(shared),
            inner: Inline::open(backend.clone(), options)?,
            oracle: Arc::clone(oracle),
            apis: apis.to_vec(),
            receivers: Arc::clone(receivers),
            life: shared.life(),
            poisoned: AtomicBool::new(false),
        }))
    }

    async fn gate(&self, name: &'static str) -> Result<()> {
        self.shared.gate(self.life, name).await;
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Poisoned, "an earlier commit failed with unknown outcome"));
        }
        Ok(())
    }

    /// The complete current state of a stream.
    pub(crate) async fn whole(&self, stream: &StreamKey) -> Result<(Page, StreamHead)> {
        let mut request = PageRequest::new(stream.clone()).limit(MAX_LIMIT);
        request.max_bytes = usize::MAX;
        Ok((self.inner.page(request).await?, self.inner.head(stream).await?))
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        lock(&self.oracle)
    }

    /// Shows the model the effect of a batch.
    async fn committed(&self, batch: &WriteBatch, commit: &Commit) -> Result<()> {
        for (asked, done) in batch.streams().zip(&commit.streams) {
            self.shared.note(|| {
                format!("{}: {:?} -> {:?}", asked.stream(), asked.run_steps(), (done.added, done.updated, done.deleted))
            });
            if !self.shared.checks {
                continue;
            }
            let (page, head) = self.whole(asked.stream()).await?;
            let now_ms = SimEnvironment::of_store(&self.shared).now().unix_ms();
            if head.high_water.time().unix_ms() > now_ms {
                self.shared.reached("position ahead of the clock");
            }
            let connection = usize::from(asked.stream().connection() == NAMES[1]);
            if asked.clears() {
                self.shared.reached("stream cleared");
                let had_records = !self.oracle().live(asked.stream()).is_empty();
                self.receivers.cleared(connection, had_records, head.high_water);
            }
            let before = self.oracle().model(asked.stream()).end;
            let gone = self.oracle().committed(asked, done, &page, &head);
            self.receivers.changed(connection, before, &page);
            self.check_deletes(asked.stream(), asked.run_steps(), &gone);
            let deleted = done.deleted - gone.len() as u64;
            if deleted > 0 && asked.origin().is_none() {
                self.shared.reached("deletes by the feed");
            }
        }
        self.receivers.committed(batch);
        self.oracle().toggles.committed(&self.shared, batch);
        // Streams that the batch does not name are not touched (P33).
        for connection in (0..CONNECTIONS).filter(|_| self.shared.checks) {
            let stream = stream(connection);
            if !batch.streams().any(|asked| *asked.stream() == stream) {
                let end = self.inner.head(&stream).await?.high_water;
                let known = self.oracle().model(&stream).end;
                if (!end.is_start()).then_some(end) != known {
                    self.shared.broken("P33", format!("a commit to others moved {stream} from {known:?} to {end:?}"));
                }
            }
        }
        Ok(())
    }

    /// Every record that a complete run deletes was missing at the source at some time during the run (P26).
    fn check_deletes(&self, stream: &StreamKey, steps: &[RunStep], gone: &[String]) {
        let mut oracle = self.oracle();
        if steps.contains(&RunStep::Begin) {
            oracle.began.entry(stream.clone()).or_insert_with(|| (self.shared.true_ms(), self.life));
        }
        let (since, life) = oracle.began.get(stream).copied().unwrap_or_default();
        // The first page was requested before the first commit, by as much time as its attempts may have taken.
        let since = since.saturating_sub(FIRST_PAGE_MS);
        if !gone.is_empty() {
            self.shared.reached("deletes by absence");
            let api = &self.apis[usize::from(stream.connection() == NAMES[1])];
            for id in gone {
                if !api.was_absent_since(id, since) {
                    self.shared
                        .broken("P26", format!("{id} was deleted although the source had it during the whole run"));
                }
            }
        }
        if steps.iter().any(|step| matches!(step, RunStep::Complete(_) | RunStep::Abort)) {
            if life != self.life && life != 0 {
                self.shared.reached("run resumed after a crash");
            }
            oracle.began.remove(stream);
        }
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore").field("life", &self.life).finish_non_exhaustive()
    }
}

impl Store for SimStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn commit(&self, batch: WriteBatch) -> StoreFuture<'_, Commit> {
        Box::pin(async move {
            self.gate("commit").await?;
            let fault = self.shared.take_fault();
            match fault {
                Some(Fault::Busy) => {
                    self.shared.reached("store busy");
                    return Err(Error::new(ErrorKind::Busy, "another process holds the store"));
                }
                Some(Fault::Full) => {
                    self.shared.reached("store full");
                    return Err(Error::new(ErrorKind::Full, "no space is left"));
                }
                Some(Fault::UnknownLost) => {
                    self.shared.reached("commit unknown and lost");
                    self.poisoned.store(true, Ordering::Relaxed);
                    return Err(Error::new(ErrorKind::Poisoned, "a commit failed and may or may not have happened"));
                }
                Some(Fault::UnknownDone) | None => {}
            }
            let held_back = self.shared.checks && batch.streams().any(|asked| self.oracle().held_back(asked));
            match self.inner.commit(batch.clone()).await {
                Ok(commit) => {
                    if held_back {
                        self.shared.broken("P26", "deletes beyond the guard were committed".to_owned());
                    }
                    self.committed(&batch, &commit).await?;
                    if fault.is_some() {
                        self.shared.reached("commit unknown but done");
                        self.poisoned.store(true, Ordering::Relaxed);
                        return Err(Error::new(
                            ErrorKind::Poisoned,
                            "a commit failed and may or may not have happened",
                        ));
                    }
                    self.gate("committed").await?;
                    Ok(commit)
                }
                Err(error) => {
                    match error.kind() {
                        ErrorKind::AwaitingApproval => {
                            self.shared.reached("guard tripped");
                            if !held_back && self.shared.checks {
                                self.shared
                                    .broken("P26", format!("the guard held back what it should let pass: {error}"));
                            }
                        }
                        ErrorKind::Fenced => self.shared.reached("older run fenced off"),
                        _ => {}
                    }
                    for asked in batch.streams().filter(|_| self.shared.checks) {
                        let (page, head) = self.whole(asked.stream()).await?;
                        self.oracle().untouched(asked.stream(), &page, &head);
                    }
                    self.shared.note(|| format!("commit refused: {error}"));
                    Err(error)
                }
            }
        })
    }

    fn page(&self, request: PageRequest) -> StoreFuture<'_, Page> {
        Box::pin(async move {
            self.gate("page").await?;
            self.inner.page(request).await
        })
    }

    fn get<'s>(&'s self, stream: &'s StreamKey, ids: &'s [&'s str]) -> StoreFuture<'s, Vec<Option<Record>>> {
        Box::pin(async move {
            self.gate("get").await?;
            self.inner.get(stream, ids).await
        })
    }

    fn head<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, StreamHead> {
        Box::pin(async move {
            self.gate("head").await?;
            self.inner.head(stream).await
        })
    }

    fn streams(&self) -> StoreFuture<'_, Vec<StreamHead>> {
        Box::pin(async move {
            self.gate("streams").await?;
            self.inner.streams().await
        })
    }

    fn versions<'s>(&'s self, stream: &'s StreamKey, id: &'s str) -> StoreFuture<'s, Vec<Version>> {
        Box::pin(async move {
            self.gate("versions").await?;
            self.inner.versions(stream, id).await
        })
    }

    fn as_of<'s>(
        &'s self,
        stream: &'s StreamKey,
        cursor: Cursor,
        after_id: &'s str,
        limit: usize,
    ) -> StoreFuture<'s, Vec<Record>> {
        Box::pin(async move {
            self.gate("as of").await?;
            self.inner.as_of(stream, cursor, after_id, limit).await
        })
    }

    fn document<'s>(&'s self, key: &'s str) -> StoreFuture<'s, Option<Json>> {
        Box::pin(async move {
            self.gate("document").await?;
            self.inner.document(key).await
        })
    }

    fn documents<'s>(&'s self, prefix: &'s str, after: &'s str, limit: usize) -> StoreFuture<'s, Vec<Document>> {
        Box::pin(async move {
            self.gate("documents").await?;
            self.inner.documents(prefix, after, limit).await
        })
    }

    fn lease<'s>(&'s self, name: &'s str) -> StoreFuture<'s, Fence> {
        Box::pin(async move {
            self.gate("lease").await?;
            let fence = self.inner.lease(name).await?;
            self.gate("leased").await?;
            Ok(fence)
        })
    }

    fn consumer_command<'s>(
        &'s self,
        stream: &'s StreamKey,
        name: &'s str,
        command: ConsumerCommand,
    ) -> StoreFuture<'s, ConsumerReply> {
        Box::pin(async move {
            self.gate("consumer").await?;
            self.inner.consumer_command(stream, name, command).await
        })
    }

    fn consumers<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, Vec<String>> {
        Box::pin(async move {
            self.gate("consumers").await?;
            self.inner.consumers(stream).await
        })
    }

    fn maintain(&self, task: Maintenance) -> StoreFuture<'_, MaintenanceReport> {
        Box::pin(async move {
            self.gate("maintain").await?;
            self.inner.maintain(task).await
        })
    }

    fn subscribe(&self) -> Wakeups {
        self.inner.subscribe()
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.inner.close().await })
    }
}
