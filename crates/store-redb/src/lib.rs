//! redb storage for Highwater: pure Rust, one file, several processes.
//!
//! For builds without a C compiler. See [`RedbStore`].
#![deny(missing_docs, clippy::missing_errors_doc)]

mod backend;
mod check;
mod erase;
mod errors;
mod view;

use std::path::{Path, PathBuf};

use highwater_core::{Result, StoreOptions, Threaded, store_by_delegation};

pub use backend::{RedbBackend, RedbReader};
pub use view::{RedbSnapshot, RedbWrite};

/// A store in a redb file.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{Store, StreamKey, WriteBatch};
/// use highwater_store_redb::RedbStore;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.redb");
/// let store = RedbStore::open(&path)?;
/// let mut batch = WriteBatch::new();
/// batch.on(&StreamKey::new("demo", "Note")).upsert(r#"{"id": "a"}"#);
/// store.commit(batch).await?;
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RedbStore(Threaded<RedbBackend>);

store_by_delegation!(RedbStore, 0);

impl RedbStore {
    /// Opens the file, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// Those of [`RedbBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        RedbStore::builder(path).open()
    }

    /// Returns a builder to open the file with settings.
    pub fn builder(path: impl AsRef<Path>) -> RedbBuilder {
        RedbBuilder {
            path: path.as_ref().to_owned(),
            options: StoreOptions::default(),
            cache_bytes: 32 << 20,
            exclusive: false,
        }
    }
}

/// Settings to open a redb store with.
///
/// ```
/// use highwater_core::StoreOptions;
/// use highwater_store_redb::RedbStore;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.redb");
/// let store = RedbStore::builder(&path).options(StoreOptions::new()).cache_bytes(8 << 20).open()?;
/// # drop(store);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedbBuilder {
    path: PathBuf,
    options: StoreOptions,
    cache_bytes: usize,
    exclusive: bool,
}

impl RedbBuilder {
    /// Sets what every store has: clock, codec, memory budget, readers.
    #[must_use]
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the size of redb's page cache in bytes. Defaults to 32 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Keeps other processes out for as long as the store is open.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    ///
    /// * [`Locked`](highwater_core::ErrorKind::Locked) if another process has the file open exclusively;
    /// * [`Incompatible`](highwater_core::ErrorKind::Incompatible) for a file of another kind, or a store of a later format;
    /// * [`WrongKey`](highwater_core::ErrorKind::WrongKey) if the codec lacks a key or dictionary that the payloads need;
    /// * [`NotFound`](highwater_core::ErrorKind::NotFound) for a missing file that is opened read-only;
    /// * [`Corrupt`](highwater_core::ErrorKind::Corrupt) for a damaged file, and the kinds of I/O errors.
    pub fn open(self) -> Result<RedbStore> {
        let backend = if self.options.read_only {
            RedbBackend::open_read_only(&self.path, self.cache_bytes)?
        } else {
            RedbBackend::open(&self.path, self.cache_bytes, self.exclusive)?
        };
        Threaded::open(backend, self.options).map(RedbStore).map_err(|error| match error.context("path") {
            None => error.with("path", self.path.display()),
            Some(_) => error,
        })
    }
}
