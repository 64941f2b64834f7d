//! The storage interface that hosts, the engine and templates hold.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Commit, Document, Fence, WriteBatch};
use crate::consumer::{ConsumerCommand, ConsumerReply};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::maintenance::{Maintenance, MaintenanceReport, StreamHead, Version};
use crate::page::{Page, PageRequest};
use crate::record::{Json, Record};
use crate::stream::StreamKey;
use crate::wakeups::Wakeups;

/// What a store can do. See each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A short name for messages, such as `sqlite`.
    pub name: &'static str,
    /// Several processes may have the store open, and see each other's commits.
    pub multi_process: bool,
    /// A commit that returned survives a power cut.
    pub durable: bool,
    /// Records survive the process.
    pub persistent: bool,
}

impl Capabilities {
    /// The least: one process, nothing durable.
    pub const fn new(name: &'static str) -> Self {
        Capabilities { name, multi_process: false, durable: false, persistent: false }
    }

    /// Several processes may have the store open.
    #[must_use]
    pub const fn multi_process(mut self, yes: bool) -> Self {
        self.multi_process = yes;
        self
    }

    /// A commit that returned survives a power cut.
    #[must_use]
    pub const fn durable(mut self, yes: bool) -> Self {
        self.durable = yes;
        self
    }

    /// Records survive the process.
    #[must_use]
    pub const fn persistent(mut self, yes: bool) -> Self {
        self.persistent = yes;
        self
    }
}

/// A store of records with a modification log.
///
/// Dropping the future of a read is harmless. Dropping the future of a [`commit`](Store::commit)
/// does not undo it; sending the same batch again is harmless, for unchanged records write nothing.
/// No task is spawned and no runtime is needed.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What this store can do.
    fn capabilities(&self) -> Capabilities;
    /// Applies a batch: durable, and visible at once or not at all.
    async fn commit(&self, batch: WriteBatch) -> Result<Commit>;
    /// Reads a page of modifications.
    async fn page(&self, request: PageRequest) -> Result<Page>;
    /// Reads records by id; deleted ones included, unknown ones are `None`.
    async fn get(&self, stream: &StreamKey, ids: &[&str]) -> Result<Vec<Option<Record>>>;
    /// A stream's counters. A stream nobody wrote to has zeros.
    async fn head(&self, stream: &StreamKey) -> Result<StreamHead>;
    /// Every stream of the store.
    async fn streams(&self) -> Result<Vec<StreamHead>>;
    /// Every kept version of a record, newest first, the present one included.
    async fn versions(&self, stream: &StreamKey, id: &str) -> Result<Vec<Version>>;
    /// The live records of a stream as they were at `cursor`, in order of id, behind `after_id`.
    /// Fails with [`ErrorKind::CursorExpired`](crate::ErrorKind::CursorExpired) where the stream's
    /// history does not reach back that far.
    async fn as_of(&self, stream: &StreamKey, cursor: Cursor, after_id: &str, limit: usize) -> Result<Vec<Record>>;
    /// Reads a document.
    async fn document(&self, key: &str) -> Result<Option<Json>>;
    /// Reads the documents whose keys begin with `prefix`, in order of key, behind `after`.
    async fn documents(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Document>>;
    /// Gives out the next fencing token of `name`: every earlier holder's writes are refused.
    async fn lease(&self, name: &str) -> Result<Fence>;
    /// Speaks for a named consumer of a stream.
    async fn consumer(&self, stream: &StreamKey, name: &str, command: ConsumerCommand) -> Result<ConsumerReply>;
    /// The consumers of a stream, by name.
    async fn consumers(&self, stream: &StreamKey) -> Result<Vec<String>>;
    /// Cares for the store.
    async fn maintain(&self, task: Maintenance) -> Result<MaintenanceReport>;
    /// Wakes whenever something may have been committed.
    fn subscribe(&self) -> Wakeups;
    /// Finishes what was submitted and closes the files. Later calls fail with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    async fn close(&self) -> Result<()>;
}

/// Implements [`Store`] for a type that holds a store, by forwarding every method.
///
/// ```
/// #[derive(Debug)]
/// struct MyStore(highwater_core::MemoryStore);
/// highwater_core::store_by_delegation!(MyStore, 0);
/// ```
#[macro_export]
macro_rules! store_by_delegation {
    ($holder:ty, $inner:tt) => {
        $crate::store_by_delegation!(@methods [] $holder, self => self.$inner);
    };
    (@methods [$($generics:tt)*] $holder:ty, $self:ident => $inner:expr) => {
        #[$crate::async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::Store for $holder {
            fn capabilities(&$self) -> $crate::Capabilities {
                $inner.capabilities()
            }
            async fn commit(&$self, batch: $crate::WriteBatch) -> $crate::Result<$crate::Commit> {
                $inner.commit(batch).await
            }
            async fn page(&$self, request: $crate::PageRequest) -> $crate::Result<$crate::Page> {
                $inner.page(request).await
            }
            async fn get(
                &$self,
                stream: &$crate::StreamKey,
                ids: &[&str],
            ) -> $crate::Result<Vec<Option<$crate::Record>>> {
                $inner.get(stream, ids).await
            }
            async fn head(&$self, stream: &$crate::StreamKey) -> $crate::Result<$crate::StreamHead> {
                $inner.head(stream).await
            }
            async fn streams(&$self) -> $crate::Result<Vec<$crate::StreamHead>> {
                $inner.streams().await
            }
            async fn versions(&$self, stream: &$crate::StreamKey, id: &str) -> $crate::Result<Vec<$crate::Version>> {
                $inner.versions(stream, id).await
            }
            async fn as_of(
                &$self,
                stream: &$crate::StreamKey,
                cursor: $crate::Cursor,
                after_id: &str,
                limit: usize,
            ) -> $crate::Result<Vec<$crate::Record>> {
                $inner.as_of(stream, cursor, after_id, limit).await
            }
            async fn document(&$self, key: &str) -> $crate::Result<Option<$crate::Json>> {
                $inner.document(key).await
            }
            async fn documents(
                &$self,
                prefix: &str,
                after: &str,
                limit: usize,
            ) -> $crate::Result<Vec<$crate::Document>> {
                $inner.documents(prefix, after, limit).await
            }
            async fn lease(&$self, name: &str) -> $crate::Result<$crate::Fence> {
                $inner.lease(name).await
            }
            async fn consumer(
                &$self,
                stream: &$crate::StreamKey,
                name: &str,
                command: $crate::ConsumerCommand,
            ) -> $crate::Result<$crate::ConsumerReply> {
                $inner.consumer(stream, name, command).await
            }
            async fn consumers(&$self, stream: &$crate::StreamKey) -> $crate::Result<Vec<String>> {
                $inner.consumers(stream).await
            }
            async fn maintain(&$self, task: $crate::Maintenance) -> $crate::Result<$crate::MaintenanceReport> {
                $inner.maintain(task).await
            }
            fn subscribe(&$self) -> $crate::Wakeups {
                $inner.subscribe()
            }
            async fn close(&$self) -> $crate::Result<()> {
                $inner.close().await
            }
        }
    };
}

store_by_delegation!(@methods [S: Store + ?Sized] Arc<S>, self => (**self));
