//! The store without threads: every call does its work before it returns.

use std::fmt;

use super::Threaded;
use super::executor::Mode;
use crate::backend::Backend;
use crate::error::Result;
use crate::options::StoreOptions;

/// A [`Store`](crate::Store) over a [`Backend`] that works on the thread of its caller.
///
/// No thread is started and no future ever waits, so that a simulation can order every step, and a host without threads can
/// have a store. A slow disk blocks the caller, and commits of other processes wake no reader here: if either matters, use
/// [`Threaded`](crate::Threaded).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{Inline, MemoryBackend, Store, StoreOptions, StreamKey, WriteBatch};
/// let store = Inline::open(MemoryBackend::default(), StoreOptions::new())?;
/// let mut batch = WriteBatch::new();
/// batch.on(&StreamKey::new("demo", "Note")).upsert(r#"{"id": "a"}"#);
/// assert_eq!(store.commit(batch).await?.streams[0].added, 1);
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
pub struct Inline<B: Backend>(Threaded<B>);

impl<B: Backend> Inline<B> {
    /// Opens a store on `backend`, and brings one of an earlier format up to date.
    ///
    /// # Errors
    ///
    /// Those of [`Threaded::open`].
    pub fn open(backend: B, options: StoreOptions) -> Result<Self> {
        Threaded::open_in(Mode::Inline, backend, options).map(Inline)
    }
}

impl<B: Backend> Clone for Inline<B> {
    fn clone(&self) -> Self {
        Inline(self.0.clone())
    }
}

impl<B: Backend> fmt::Debug for Inline<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inline").field(&self.0).finish()
    }
}

crate::store_by_delegation!(@methods [B: Backend] Inline<B>, self => self.0);
