//! A store that forwards to another.

use std::sync::Arc;

use super::Store;

/// Implements [`Store`] for a type that holds a store, by forwarding every method.
///
/// Name the type and the field that holds the store.
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
            fn commit(&$self, batch: $crate::WriteBatch) -> $crate::StoreFuture<'_, $crate::Commit> {
                $inner.commit(batch)
            }
            fn page(&$self, request: $crate::PageRequest) -> $crate::StoreFuture<'_, $crate::Page> {
                $inner.page(request)
            }
            fn get<'s>(
                &'s $self,
                stream: &'s $crate::StreamKey,
                ids: &'s [&'s str],
            ) -> $crate::StoreFuture<'s, Vec<Option<$crate::Record>>> {
                $inner.get(stream, ids)
            }
            fn head<'s>(&'s $self, stream: &'s $crate::StreamKey) -> $crate::StoreFuture<'s, $crate::StreamHead> {
                $inner.head(stream)
            }
            fn streams(&$self) -> $crate::StoreFuture<'_, Vec<$crate::StreamHead>> {
                $inner.streams()
            }
            fn versions<'s>(
                &'s $self,
                stream: &'s $crate::StreamKey,
                id: &'s str,
            ) -> $crate::StoreFuture<'s, Vec<$crate::Version>> {
                $inner.versions(stream, id)
            }
            fn as_of<'s>(
                &'s $self,
                stream: &'s $crate::StreamKey,
                cursor: $crate::Cursor,
                after_id: &'s str,
                limit: usize,
            ) -> $crate::StoreFuture<'s, Vec<$crate::Record>> {
                $inner.as_of(stream, cursor, after_id, limit)
            }
            fn document<'s>(&'s $self, key: &'s str) -> $crate::StoreFuture<'s, Option<$crate::Json>> {
                $inner.document(key)
            }
            fn documents<'s>(
                &'s $self,
                prefix: &'s str,
                after: &'s str,
                limit: usize,
            ) -> $crate::StoreFuture<'s, Vec<$crate::Document>> {
                $inner.documents(prefix, after, limit)
            }
            fn lease<'s>(&'s $self, name: &'s str) -> $crate::StoreFuture<'s, $crate::Fence> {
                $inner.lease(name)
            }
            fn consumer_command<'s>(
                &'s $self,
                stream: &'s $crate::StreamKey,
                name: &'s str,
                command: $crate::ConsumerCommand,
            ) -> $crate::StoreFuture<'s, $crate::ConsumerReply> {
                $inner.consumer_command(stream, name, command)
            }
            fn consumers<'s>(&'s $self, stream: &'s $crate::StreamKey) -> $crate::StoreFuture<'s, Vec<String>> {
                $inner.consumers(stream)
            }
            fn maintain(&$self, task: $crate::Maintenance) -> $crate::StoreFuture<'_, $crate::MaintenanceReport> {
                $inner.maintain(task)
            }
            fn stream_version(&$self, stream: &$crate::StreamKey) -> Option<$crate::StreamVersion> {
                $inner.stream_version(stream)
            }
            fn subscribe(&$self) -> $crate::Wakeups {
                $inner.subscribe()
            }
            fn close(&$self) -> $crate::StoreFuture<'_, ()> {
                $inner.close()
            }
        }
    };
}

store_by_delegation!(@methods [S: Store + ?Sized] Arc<S>, self => (**self));
