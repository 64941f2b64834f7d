//! sled storage for Highwater: pure Rust, one process.
//!
//! sled has seen no release since 2021. Take redb where you can choose; this crate is for programs
//! that have sled already. Every commit is flushed before it is acknowledged: sled alone would lose
//! up to half a second of acknowledged writes to a crash.
#![deny(missing_docs)]

mod backend;
mod compact;
mod errors;
mod folder;
mod room;

use std::path::{Path, PathBuf};

use highwater_core::{Error, ErrorKind, Result, StoreOptions, Threaded, store_by_delegation};

pub use backend::{SledBackend, SledReader, SledSnapshot, SledWrite};

/// A store in a sled directory.
///
/// sled itself has no way to open a directory without writing to it: with [`StoreOptions::read_only`] nothing of the store
/// changes, but the directory must be writable, and nobody else may have it open.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{Store, StreamKey, WriteBatch};
/// use highwater_store_sled::SledStore;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.sled");
/// let store = SledStore::open(&path)?;
/// let mut batch = WriteBatch::new();
/// batch.on(&StreamKey::new("demo", "Note")).upsert(r#"{"id": "a"}"#);
/// store.commit(batch).await?;
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SledStore(Threaded<SledBackend>);

store_by_delegation!(SledStore, 0);

impl SledStore {
    /// Opens the directory, and makes it if it is not there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SledStore::builder(path).open()
    }

    /// Opens the directory with settings.
    pub fn builder(path: impl AsRef<Path>) -> SledBuilder {
        SledBuilder { path: path.as_ref().to_owned(), options: StoreOptions::default(), cache_bytes: 32 << 20 }
    }
}

/// How a sled store is opened.
#[derive(Clone, Debug)]
pub struct SledBuilder {
    path: PathBuf,
    options: StoreOptions,
    cache_bytes: u64,
}

impl SledBuilder {
    /// Clock, codec, memory budget, readers.
    #[must_use]
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// sled's page cache in bytes. 32 MiB unless told.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Opens the store.
    pub fn open(self) -> Result<SledStore> {
        if self.options.read_only && !self.path.exists() {
            let message = "there is no directory at the path: open it for writing once";
            return Err(Error::new(ErrorKind::NotFound, message).with("path", self.path.display()));
        }
        let backend = SledBackend::open(&self.path, self.cache_bytes, self.options.read_only)?;
        Threaded::open(backend, self.options).map(SledStore).map_err(|error| match error.context("path") {
            None => error.with("path", self.path.display()),
            Some(_) => error,
        })
    }
}
