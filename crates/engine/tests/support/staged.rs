//! A store whose writes can be held up, or made to fail, one by one.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Store, StoreFuture, StreamKey};

/// What comes before a write.
pub type Step = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The store behind steps of a test's choice.
pub struct Staged {
    inner: Arc<dyn Store>,
    writes: AtomicU64,
    before: Box<dyn Fn(u64) -> Step + Send + Sync>,
}

impl Staged {
    /// Writes are counted from 0; each waits for `before` of its number.
    pub fn over(store: &Arc<dyn Store>, before: impl Fn(u64) -> Step + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Staged { inner: Arc::clone(store), writes: AtomicU64::new(0), before: Box::new(before) })
    }

    /// One write takes so much longer than the others.
    pub fn slow_at(store: &Arc<dyn Store>, write: u64, time: Duration) -> Arc<Self> {
        Staged::over(store, move |number| {
            Box::pin(async move {
                if number == write {
                    tokio::time::sleep(time).await;
                }
                Ok(())
            })
        })
    }

    /// One write finds no space.
    pub fn failing_at(store: &Arc<dyn Store>, write: u64) -> Arc<Self> {
        Staged::over(store, move |number| {
            let full = (number == write).then(|| Error::new(ErrorKind::Full, "no space is left"));
            Box::pin(std::future::ready(full.map_or(Ok(()), Err)))
        })
    }

    /// One write never comes to be, nor does anything behind it.
    pub fn stuck_at(store: &Arc<dyn Store>, write: u64) -> Arc<Self> {
        Staged::over(store, move |number| {
            Box::pin(async move {
                if number == write {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        })
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    async fn step(&self) -> Result<()> {
        (self.before)(self.writes.fetch_add(1, Ordering::Relaxed)).await
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("writes", &self.writes).finish_non_exhaustive()
    }
}

impl Store for Staged {
    fn capabilities(&self) -> highwater_core::Capabilities {
        self.inner.capabilities()
    }
    fn commit(&self, batch: highwater_core::WriteBatch) -> StoreFuture<'_, highwater_core::Commit> {
        Box::pin(async move {
            self.step().await?;
            self.inner.commit(batch).await
        })
    }
    fn page(&self, request: highwater_core::PageRequest) -> StoreFuture<'_, highwater_core::Page> {
        self.inner.page(request)
    }
    fn get<'s>(
        &'s self,
        stream: &'s StreamKey,
        ids: &'s [&'s str],
    ) -> StoreFuture<'s, Vec<Option<highwater_core::Record>>> {
        self.inner.get(stream, ids)
    }
    fn head<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, highwater_core::StreamHead> {
        self.inner.head(stream)
    }
    fn streams(&self) -> StoreFuture<'_, Vec<highwater_core::StreamHead>> {
        self.inner.streams()
    }
    fn versions<'s>(&'s self, stream: &'s StreamKey, id: &'s str) -> StoreFuture<'s, Vec<highwater_core::Version>> {
        self.inner.versions(stream, id)
    }
    fn as_of<'s>(
        &'s self,
        stream: &'s StreamKey,
        cursor: highwater_core::Cursor,
        after_id: &'s str,
        limit: usize,
    ) -> StoreFuture<'s, Vec<highwater_core::Record>> {
        self.inner.as_of(stream, cursor, after_id, limit)
    }
    fn document<'s>(&'s self, key: &'s str) -> StoreFuture<'s, Option<highwater_core::Json>> {
        self.inner.document(key)
    }
    fn documents<'s>(
        &'s self,
        prefix: &'s str,
        after: &'s str,
        limit: usize,
    ) -> StoreFuture<'s, Vec<highwater_core::Document>> {
        self.inner.documents(prefix, after, limit)
    }
    fn lease<'s>(&'s self, name: &'s str) -> StoreFuture<'s, highwater_core::Fence> {
        self.inner.lease(name)
    }
    fn consumer_command<'s>(
        &'s self,
        stream: &'s StreamKey,
        name: &'s str,
        command: highwater_core::ConsumerCommand,
    ) -> StoreFuture<'s, highwater_core::ConsumerReply> {
        self.inner.consumer_command(stream, name, command)
    }
    fn consumers<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, Vec<String>> {
        self.inner.consumers(stream)
    }
    fn maintain(&self, task: highwater_core::Maintenance) -> StoreFuture<'_, highwater_core::MaintenanceReport> {
        Box::pin(async move {
            self.step().await?;
            self.inner.maintain(task).await
        })
    }
    fn subscribe(&self) -> highwater_core::Wakeups {
        self.inner.subscribe()
    }
    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}
