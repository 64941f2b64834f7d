//! sled storage for Highwater: pure Rust, one process.
//!
//! sled has had no release since 2021. Prefer redb if you can choose; this crate is for programs
//! that already use sled. Every commit is flushed before it is acknowledged: by default sled would lose
//! up to half a second of acknowledged writes in a crash.
#![deny(missing_docs, clippy::missing_errors_doc)]

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
/// sled cannot open a directory without writing to it: with [`StoreOptions::read_only`] the store's contents do not
/// change, but the directory must be writable, and no other process may have it open.
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
    /// Opens the directory, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// Those of [`SledBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SledStore::builder(path).open()
    }

    /// Returns a builder to open the directory with settings.
    pub fn builder(path: impl AsRef<Path>) -> SledBuilder {
        SledBuilder { path: path.as_ref().to_owned(), options: StoreOptions::default(), cache_bytes: 32 << 20 }
    }
}

/// Settings to open a sled store with.
#[derive(Clone, Debug)]
pub struct SledBuilder {
    path: PathBuf,
    options: StoreOptions,
    cache_bytes: u64,
}

impl SledBuilder {
    /// Sets what every store has: clock, codec, memory budget, readers.
    #[must_use]
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the size of sled's page cache in bytes. Defaults to 32 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    ///
    /// * [`Locked`](highwater_core::ErrorKind::Locked) if another process has the directory open;
    /// * [`Incompatible`](highwater_core::ErrorKind::Incompatible) for a file, a directory with other files, or a store of a later format;
    /// * [`WrongKey`](highwater_core::ErrorKind::WrongKey) if the codec lacks a key or dictionary that the payloads need;
    /// * [`NotFound`](highwater_core::ErrorKind::NotFound) for a missing directory that is opened read-only;
    /// * [`Corrupt`](highwater_core::ErrorKind::Corrupt) for damaged files, and the kinds of I/O errors.
    pub fn open(self) -> Result<SledStore> {
        if self.options.read_only && !self.path.exists() {
            let message = "the directory does not exist: open it for writing once to create it";
            return Err(Error::new(ErrorKind::NotFound, message).with("path", self.path.display()));
        }
        let backend = SledBackend::open(&self.path, self.cache_bytes, self.options.read_only)?;
        Threaded::open(backend, self.options).map(SledStore).map_err(|error| match error.context("path") {
            None => error.with("path", self.path.display()),
            Some(_) => error,
        })
    }
}
