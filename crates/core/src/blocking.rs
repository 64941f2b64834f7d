//! Every store for programs without a runtime: calls block the calling thread.
//!
//! ```
//! use std::sync::Arc;
//! use highwater_core::{MemoryStore, StreamKey, WriteBatch, blocking};
//! let store = blocking::Store::new(Arc::new(MemoryStore::new()?));
//! let notes = StreamKey::new("demo", "Note");
//! let mut batch = WriteBatch::new();
//! batch.on(&notes).upsert(r#"{"id": "a"}"#);
//! store.commit(batch)?;
//! let page = store.records(&notes, |records| records.limit(10))?;
//! assert!(page.caught_up);
//! # Ok::<(), highwater_core::Error>(())
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::batch::{Commit, Document, Fence, WriteBatch};
use crate::consumer::{AckToken, ConsumerStatus, Delivery, PollOptions, Seek};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::ext::{Consumer, Records, StoreExt};
use crate::maintenance::{Maintenance, MaintenanceReport, StreamHead, Version};
use crate::page::{Page, PageRequest};
use crate::record::{Json, Record};
use crate::stream::StreamKey;
use crate::wakeups::Wakeups;

/// Waits for a future of a store's. Works on any thread that may block; one of an engine's needs the
/// engine's own runtime.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A [`Store`](crate::Store) whose calls block.
#[derive(Clone, Debug)]
pub struct Store {
    store: Arc<dyn crate::Store>,
}

impl Store {
    /// The same store, blocking.
    pub fn new(store: Arc<dyn crate::Store>) -> Self {
        Store { store }
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn crate::Store> {
        &self.store
    }

    /// See [`Store::commit`](crate::Store::commit).
    pub fn commit(&self, batch: WriteBatch) -> Result<Commit> {
        wait(self.store.commit(batch))
    }

    /// See [`Store::page`](crate::Store::page).
    pub fn page(&self, request: PageRequest) -> Result<Page> {
        wait(self.store.page(request))
    }

    /// Reads a page of a stream's modifications: `store.records(&stream, |r| r.since(cursor))`.
    pub fn records(&self, stream: &StreamKey, wanted: impl FnOnce(Records<'_>) -> Records<'_>) -> Result<Page> {
        wait(wanted(self.store.records(stream)).page())
    }

    /// See [`Store::get`](crate::Store::get).
    pub fn get(&self, stream: &StreamKey, ids: &[&str]) -> Result<Vec<Option<Record>>> {
        wait(self.store.get(stream, ids))
    }

    /// See [`Store::head`](crate::Store::head).
    pub fn head(&self, stream: &StreamKey) -> Result<StreamHead> {
        wait(self.store.head(stream))
    }

    /// See [`Store::streams`](crate::Store::streams).
    pub fn streams(&self) -> Result<Vec<StreamHead>> {
        wait(self.store.streams())
    }

    /// See [`Store::versions`](crate::Store::versions).
    pub fn versions(&self, stream: &StreamKey, id: &str) -> Result<Vec<Version>> {
        wait(self.store.versions(stream, id))
    }

    /// See [`Store::as_of`](crate::Store::as_of).
    pub fn as_of(&self, stream: &StreamKey, cursor: Cursor, after_id: &str, limit: usize) -> Result<Vec<Record>> {
        wait(self.store.as_of(stream, cursor, after_id, limit))
    }

    /// See [`Store::document`](crate::Store::document).
    pub fn document(&self, key: &str) -> Result<Option<Json>> {
        wait(self.store.document(key))
    }

    /// See [`Store::documents`](crate::Store::documents).
    pub fn documents(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Document>> {
        wait(self.store.documents(prefix, after, limit))
    }

    /// See [`Store::lease`](crate::Store::lease).
    pub fn lease(&self, name: &str) -> Result<Fence> {
        wait(self.store.lease(name))
    }

    /// A named reader of a stream.
    pub fn reader(&self, stream: &StreamKey, name: impl Into<String>) -> Reader<'_> {
        Reader(self.store.reader(stream, name))
    }

    /// See [`Store::consumers`](crate::Store::consumers).
    pub fn consumers(&self, stream: &StreamKey) -> Result<Vec<String>> {
        wait(self.store.consumers(stream))
    }

    /// See [`Store::maintain`](crate::Store::maintain).
    pub fn maintain(&self, task: Maintenance) -> Result<MaintenanceReport> {
        wait(self.store.maintain(task))
    }

    /// See [`Store::subscribe`](crate::Store::subscribe); wait for it with [`changed`].
    pub fn subscribe(&self) -> Wakeups {
        self.store.subscribe()
    }

    /// See [`Store::close`](crate::Store::close).
    pub fn close(&self) -> Result<()> {
        wait(self.store.close())
    }
}

/// Blocks until something was committed since the last call, or since `subscribe`.
pub fn changed(wakeups: &mut Wakeups) -> Result<()> {
    wait(wakeups.changed())
}

/// A [`Consumer`] whose calls block.
#[derive(Clone, Debug)]
pub struct Reader<'s>(Consumer<'s>);

impl Reader<'_> {
    /// Polls with these options from now on.
    #[must_use]
    pub fn options(self, options: PollOptions) -> Self {
        Reader(self.0.options(options))
    }

    /// See [`Consumer::poll`].
    pub fn poll(&self) -> Result<Delivery> {
        wait(self.0.poll())
    }

    /// See [`Consumer::ack`].
    pub fn ack(&self, token: AckToken) -> Result<()> {
        wait(self.0.ack(token))
    }

    /// See [`Consumer::nack`].
    pub fn nack(&self, token: AckToken) -> Result<()> {
        wait(self.0.nack(token))
    }

    /// See [`Consumer::seek`].
    pub fn seek(&self, seek: Seek) -> Result<()> {
        wait(self.0.seek(seek))
    }

    /// See [`Consumer::status`].
    pub fn status(&self) -> Result<ConsumerStatus> {
        wait(self.0.status())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::MemoryStore;

    #[test]
    fn a_thread_without_a_runtime_reads_waits_and_acknowledges() {
        let store = Store::new(Arc::new(MemoryStore::new().unwrap()));
        let notes = StreamKey::new("demo", "Note");
        let mut wakeups = store.subscribe();
        let writer = store.clone();
        let stream = notes.clone();
        let writing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            let mut batch = WriteBatch::new();
            batch.on(&stream).upsert(r#"{"id":"a"}"#);
            writer.commit(batch).unwrap();
        });
        let reader = store.reader(&notes, "index");
        let delivery = loop {
            changed(&mut wakeups).unwrap();
            let delivery = reader.poll().unwrap();
            if !delivery.page.changes.is_empty() {
                break delivery;
            }
            reader.ack(delivery.token).unwrap();
        };
        reader.ack(delivery.token).unwrap();
        assert_eq!(reader.status().unwrap().lag, 0);
        writing.join().unwrap();
        store.close().unwrap();
        assert_eq!(store.head(&notes).unwrap_err().kind(), crate::ErrorKind::Closed);
    }
}
