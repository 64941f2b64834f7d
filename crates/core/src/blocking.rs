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

mod consumer;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::batch::{Commit, Document, Fence, WriteBatch};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::ext::{Records, StoreExt, TypedPage};
use crate::maintenance::{Maintenance, MaintenanceReport, StreamHead, Version};
use crate::page::{Page, PageRequest};
use crate::record::{Json, Record};
use crate::stream::StreamKey;
use crate::wakeups::Wakeups;

pub use consumer::Consumer;

/// Waits for a future of a store. Works on any thread that may block. A future of an engine needs the engine's own runtime
/// instead.
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
    /// Returns the blocking form of a store.
    pub fn new(store: Arc<dyn crate::Store>) -> Self {
        Store { store }
    }

    /// Returns the store itself.
    pub fn store(&self) -> &Arc<dyn crate::Store> {
        &self.store
    }

    /// See [`Store::commit`](crate::Store::commit).
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`](crate::Store::commit).
    pub fn commit(&self, batch: WriteBatch) -> Result<Commit> {
        wait(self.store.commit(batch))
    }

    /// See [`Store::page`](crate::Store::page).
    ///
    /// # Errors
    ///
    /// Those of [`Store::page`](crate::Store::page).
    pub fn page(&self, request: PageRequest) -> Result<Page> {
        wait(self.store.page(request))
    }

    /// Reads a page of a stream's modifications: `store.records(&stream, |r| r.since(cursor))`.
    ///
    /// # Errors
    ///
    /// Those of [`Records::page`].
    pub fn records(&self, stream: &StreamKey, wanted: impl FnOnce(Records<'_>) -> Records<'_>) -> Result<Page> {
        wait(wanted(self.store.records(stream)).page())
    }

    /// Reads a page of a stream's modifications as `T`: `store.records_as::<Issue>(&stream, |r| r.since(cursor))`.
    ///
    /// # Errors
    ///
    /// Those of [`TypedRecords::page`](crate::TypedRecords::page).
    pub fn records_as<T: DeserializeOwned>(
        &self,
        stream: &StreamKey,
        wanted: impl FnOnce(Records<'_>) -> Records<'_>,
    ) -> Result<TypedPage<T>> {
        wait(self.store.records_as::<T>(stream).with(wanted).page())
    }

    /// Follows a stream: its pages, then new ones as they come. See [`Following`].
    pub fn follow(&self, stream: &StreamKey, wanted: impl FnOnce(Records<'_>) -> Records<'_>) -> Following<'_> {
        Following(wanted(self.store.records(stream)).follow())
    }

    /// See [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`](crate::Store::get).
    pub fn get(&self, stream: &StreamKey, ids: &[&str]) -> Result<Vec<Option<Record>>> {
        wait(self.store.get(stream, ids))
    }

    /// See [`Store::head`](crate::Store::head).
    ///
    /// # Errors
    ///
    /// Those of [`Store::head`](crate::Store::head).
    pub fn head(&self, stream: &StreamKey) -> Result<StreamHead> {
        wait(self.store.head(stream))
    }

    /// See [`StoreExt::check_written`].
    ///
    /// # Errors
    ///
    /// Those of [`StoreExt::check_written`].
    pub fn check_written(&self, stream: &StreamKey) -> Result<StreamHead> {
        wait(self.store.check_written(stream))
    }

    /// See [`Store::streams`](crate::Store::streams).
    ///
    /// # Errors
    ///
    /// Those of [`Store::streams`](crate::Store::streams).
    pub fn streams(&self) -> Result<Vec<StreamHead>> {
        wait(self.store.streams())
    }

    /// See [`Store::versions`](crate::Store::versions).
    ///
    /// # Errors
    ///
    /// Those of [`Store::versions`](crate::Store::versions).
    pub fn versions(&self, stream: &StreamKey, id: &str) -> Result<Vec<Version>> {
        wait(self.store.versions(stream, id))
    }

    /// See [`Store::as_of`](crate::Store::as_of).
    ///
    /// # Errors
    ///
    /// Those of [`Store::as_of`](crate::Store::as_of).
    pub fn as_of(&self, stream: &StreamKey, cursor: Cursor, after_id: &str, limit: usize) -> Result<Vec<Record>> {
        wait(self.store.as_of(stream, cursor, after_id, limit))
    }

    /// See [`Store::document`](crate::Store::document).
    ///
    /// # Errors
    ///
    /// Those of [`Store::document`](crate::Store::document).
    pub fn document(&self, key: &str) -> Result<Option<Json>> {
        wait(self.store.document(key))
    }

    /// See [`Store::documents`](crate::Store::documents).
    ///
    /// # Errors
    ///
    /// Those of [`Store::documents`](crate::Store::documents).
    pub fn documents(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Document>> {
        wait(self.store.documents(prefix, after, limit))
    }

    /// See [`Store::lease`](crate::Store::lease).
    ///
    /// # Errors
    ///
    /// Those of [`Store::lease`](crate::Store::lease).
    pub fn lease(&self, name: &str) -> Result<Fence> {
        wait(self.store.lease(name))
    }

    /// A named reader of a stream.
    pub fn consumer(&self, stream: &StreamKey, name: impl Into<String>) -> Consumer<'_> {
        Consumer(self.store.consumer(stream, name))
    }

    /// See [`Store::consumers`](crate::Store::consumers).
    ///
    /// # Errors
    ///
    /// Those of [`Store::consumers`](crate::Store::consumers).
    pub fn consumers(&self, stream: &StreamKey) -> Result<Vec<String>> {
        wait(self.store.consumers(stream))
    }

    /// See [`Store::maintain`](crate::Store::maintain).
    ///
    /// # Errors
    ///
    /// Those of [`Store::maintain`](crate::Store::maintain).
    pub fn maintain(&self, task: Maintenance) -> Result<MaintenanceReport> {
        wait(self.store.maintain(task))
    }

    /// See [`Store::subscribe`](crate::Store::subscribe); wait for it with [`changed`].
    pub fn subscribe(&self) -> Wakeups {
        self.store.subscribe()
    }

    /// See [`Store::close`](crate::Store::close).
    ///
    /// # Errors
    ///
    /// Those of [`Store::close`](crate::Store::close).
    pub fn close(&self) -> Result<()> {
        wait(self.store.close())
    }
}

/// A reading of a stream that never ends and blocks: each turn waits for a page that is not empty. After an error the same
/// page is tried again; once the store is closed, every turn is an error.
///
/// ```
/// use std::sync::Arc;
/// use highwater_core::{MemoryStore, StreamKey, WriteBatch, blocking};
/// let store = blocking::Store::new(Arc::new(MemoryStore::new()?));
/// let notes = StreamKey::new("demo", "Note");
/// let mut batch = WriteBatch::new();
/// batch.on(&notes).upsert(r#"{"id": "a"}"#).upsert(r#"{"id": "b"}"#);
/// store.commit(batch)?;
/// for page in store.follow(&notes, |records| records.limit(1)).take(2) {
///     println!("store the changes, then {}", page?.next_cursor);
/// }
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Following<'s>(crate::Following<'s>);

impl Following<'_> {
    /// Returns the next page that is not empty, if one comes within this time.
    ///
    /// # Errors
    ///
    /// Those of [`Following::next`](crate::Following::next).
    pub fn next_within(&mut self, time: Duration) -> Result<Option<Page>> {
        wait_at_most(time, self.0.next()).transpose()
    }

    /// Returns where the reading stands.
    pub fn cursor(&self) -> Cursor {
        self.0.cursor()
    }

    /// See [`Following::never_written`](crate::Following::never_written).
    pub fn never_written(&self) -> bool {
        self.0.never_written()
    }
}

impl Iterator for Following<'_> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        Some(wait(self.0.next()))
    }
}

/// Waits for a future, but no longer than this.
#[allow(clippy::disallowed_methods)] // how long the calling thread waits is no time of the log
fn wait_at_most<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let begun = Instant::now();
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        thread::park_timeout(time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero())?);
    }
}

/// Blocks until something was committed since the last call, or since `subscribe`.
///
/// # Errors
///
/// Those of [`Wakeups::changed`].
pub fn changed(wakeups: &mut Wakeups) -> Result<()> {
    wait(wakeups.changed())
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
        let reader = store.consumer(&notes, "index");
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
        reader.remove().unwrap();
        assert!(store.consumers(&notes).unwrap().is_empty());
        store.close().unwrap();
        assert_eq!(store.head(&notes).unwrap_err().kind(), crate::ErrorKind::Closed);
    }

    #[test]
    fn following_waits_for_what_comes_and_ends_with_the_store() {
        #[derive(serde::Deserialize)]
        struct Note {
            id: String,
        }
        let store = Store::new(Arc::new(MemoryStore::new().unwrap()));
        let notes = StreamKey::new("demo", "Note");
        let save = |store: &Store, id: u32| {
            let mut batch = WriteBatch::new();
            batch.on(&StreamKey::new("demo", "Note")).upsert(format!(r#"{{"id":"{id}"}}"#));
            store.commit(batch).unwrap();
        };
        save(&store, 1);
        let mut following = store.follow(&notes, |records| records.limit(1));
        let first = following.next().unwrap().unwrap();
        assert_eq!(&*first.changes[0].record.id, "1");
        assert!(following.next_within(Duration::from_millis(5)).unwrap().is_none());
        let writer = store.clone();
        let writing = thread::spawn(move || (2..5).for_each(|id| save(&writer, id)));
        // What was given up waiting for is not missed.
        let rest: Vec<String> =
            following.by_ref().take(3).map(|page| page.unwrap().changes[0].record.id.to_string()).collect();
        assert_eq!(rest, ["2", "3", "4"]);
        writing.join().unwrap();
        let typed = store.records_as::<Note>(&notes, |records| records.since(first.next_cursor).limit(2)).unwrap();
        let ids: Vec<&str> =
            typed.changes.iter().map(|change| change.value.as_ref().unwrap().as_ref().unwrap().id.as_str()).collect();
        assert_eq!((ids, typed.next_cursor < following.cursor()), (vec!["2", "3"], true));
        store.close().unwrap();
        assert_eq!(following.next().unwrap().unwrap_err().kind(), crate::ErrorKind::Closed);
    }
}
