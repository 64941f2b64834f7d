//! A store whose writes can be held up, or made to fail, one by one.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result, Store, StreamKey};

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

#[async_trait]
impl Store for Staged {
    fn capabilities(&self) -> highwater_core::Capabilities {
        self.inner.capabilities()
    }
    async fn commit(&self, batch: highwater_core::WriteBatch) -> Result<highwater_core::Commit> {
        self.step().await?;
        self.inner.commit(batch).await
    }
    async fn page(&self, request: highwater_core::PageRequest) -> Result<highwater_core::Page> {
        self.inner.page(request).await
    }
    async fn get(&self, stream: &StreamKey, ids: &[&str]) -> Result<Vec<Option<highwater_core::Record>>> {
        self.inner.get(stream, ids).await
    }
    async fn head(&self, stream: &StreamKey) -> Result<highwater_core::StreamHead> {
        self.inner.head(stream).await
    }
    async fn streams(&self) -> Result<Vec<highwater_core::StreamHead>> {
        self.inner.streams().await
    }
    async fn versions(&self, stream: &StreamKey, id: &str) -> Result<Vec<highwater_core::Version>> {
        self.inner.versions(stream, id).await
    }
    async fn as_of(
        &self,
        stream: &StreamKey,
        cursor: highwater_core::Cursor,
        after_id: &str,
        limit: usize,
    ) -> Result<Vec<highwater_core::Record>> {
        self.inner.as_of(stream, cursor, after_id, limit).await
    }
    async fn document(&self, key: &str) -> Result<Option<highwater_core::Json>> {
        self.inner.document(key).await
    }
    async fn documents(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<highwater_core::Document>> {
        self.inner.documents(prefix, after, limit).await
    }
    async fn lease(&self, name: &str) -> Result<highwater_core::Fence> {
        self.inner.lease(name).await
    }
    async fn consumer(
        &self,
        stream: &StreamKey,
        name: &str,
        command: highwater_core::ConsumerCommand,
    ) -> Result<highwater_core::ConsumerReply> {
        self.inner.consumer(stream, name, command).await
    }
    async fn consumers(&self, stream: &StreamKey) -> Result<Vec<String>> {
        self.inner.consumers(stream).await
    }
    async fn maintain(&self, task: highwater_core::Maintenance) -> Result<highwater_core::MaintenanceReport> {
        self.step().await?;
        self.inner.maintain(task).await
    }
    fn subscribe(&self) -> highwater_core::Wakeups {
        self.inner.subscribe()
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
