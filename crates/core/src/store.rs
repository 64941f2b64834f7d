//! The storage interface that hosts, the engine and templates hold.

use std::fmt;
use std::pin::Pin;
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
    /// What was removed is in no file any more once the store was compacted, and nothing read it meanwhile.
    pub erases: bool,
}

impl Capabilities {
    /// The least: one process, nothing durable.
    pub const fn new(name: &'static str) -> Self {
        Capabilities { name, multi_process: false, durable: false, persistent: false, erases: false }
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

    /// What was removed is in no file any more once the store was compacted.
    #[must_use]
    pub const fn erases(mut self, yes: bool) -> Self {
        self.erases = yes;
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

/// What a method of a [`Store`] returns: a boxed future, as `async_trait` makes it.
pub type StoreFuture<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

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
        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::Store for $holder {
            fn capabilities(&$self) -> $crate::Capabilities {
                $inner.capabilities()
            }
            $crate::store_by_delegation!(@method ['life0] commit(
                $self => $inner, batch: $crate::WriteBatch
            ) -> $crate::Commit);
            $crate::store_by_delegation!(@method ['life0] page(
                $self => $inner, request: $crate::PageRequest
            ) -> $crate::Page);
            $crate::store_by_delegation!(@method ['life0 'life1 'life2 'life3] get(
                $self => $inner, stream: &'life1 $crate::StreamKey, ids: &'life2 [&'life3 str]
            ) -> Vec<Option<$crate::Record>>);
            $crate::store_by_delegation!(@method ['life0 'life1] head(
                $self => $inner, stream: &'life1 $crate::StreamKey
            ) -> $crate::StreamHead);
            $crate::store_by_delegation!(@method ['life0] streams($self => $inner) -> Vec<$crate::StreamHead>);
            $crate::store_by_delegation!(@method ['life0 'life1 'life2] versions(
                $self => $inner, stream: &'life1 $crate::StreamKey, id: &'life2 str
            ) -> Vec<$crate::Version>);
            $crate::store_by_delegation!(@method ['life0 'life1 'life2] as_of(
                $self => $inner, stream: &'life1 $crate::StreamKey, cursor: $crate::Cursor, after_id: &'life2 str, limit: usize
            ) -> Vec<$crate::Record>);
            $crate::store_by_delegation!(@method ['life0 'life1] document(
                $self => $inner, key: &'life1 str
            ) -> Option<$crate::Json>);
            $crate::store_by_delegation!(@method ['life0 'life1 'life2] documents(
                $self => $inner, prefix: &'life1 str, after: &'life2 str, limit: usize
            ) -> Vec<$crate::Document>);
            $crate::store_by_delegation!(@method ['life0 'life1] lease(
                $self => $inner, name: &'life1 str
            ) -> $crate::Fence);
            $crate::store_by_delegation!(@method ['life0 'life1 'life2] consumer(
                $self => $inner, stream: &'life1 $crate::StreamKey, name: &'life2 str, command: $crate::ConsumerCommand
            ) -> $crate::ConsumerReply);
            $crate::store_by_delegation!(@method ['life0 'life1] consumers(
                $self => $inner, stream: &'life1 $crate::StreamKey
            ) -> Vec<String>);
            $crate::store_by_delegation!(@method ['life0] maintain(
                $self => $inner, task: $crate::Maintenance
            ) -> $crate::MaintenanceReport);
            fn subscribe(&$self) -> $crate::Wakeups {
                $inner.subscribe()
            }
            $crate::store_by_delegation!(@method ['life0] close($self => $inner) -> ());
        }
    };
    // What `async_trait` would write, less a future of its own around the inner store's.
    (@method [$($life:lifetime)*] $name:ident($self:ident => $inner:expr $(, $argument:ident: $type:ty)*) -> $answer:ty) => {
        fn $name<$($life,)* 'async_trait>(
            &'life0 $self,
            $($argument: $type),*
        ) -> $crate::StoreFuture<'async_trait, $answer>
        where
            $($life: 'async_trait,)*
            Self: 'async_trait,
        {
            $inner.$name($($argument),*)
        }
    };
}

store_by_delegation!(@methods [S: Store + ?Sized] Arc<S>, self => (**self));
