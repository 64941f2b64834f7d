//! What every store is opened with.

use std::sync::Arc;
use std::time::Duration;

use crate::codec::PayloadCodec;
use crate::environment::{Environment, SystemEnvironment};

/// What a store is opened with, besides its files. The defaults suit a desktop application.
///
/// ```
/// use highwater_core::{MemoryStore, StoreOptions};
/// let store = MemoryStore::with_options(StoreOptions::new().memory_budget(8 << 20))?;
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Where time and randomness come from.
    pub environment: Arc<dyn Environment>,
    /// Encryption or compression of payloads.
    pub codec: Option<Arc<dyn PayloadCodec>>,
    /// Memory in bytes for where records are in the log and what they hash to: about 56 bytes per record. What does not fit is
    /// looked up on disk. Defaults to 64 MiB.
    pub memory_budget: usize,
    /// How many threads read: at least 1. Defaults to 2.
    pub readers: usize,
    /// How often to check for commits of other processes while a reader waits for them. Defaults to 20 ms.
    pub foreign_poll: Duration,
    /// Whether the store is only read.
    pub read_only: bool,
    /// Whether the codec may be another than the one that the store knows.
    pub recoding: bool,
    /// Whether a store of an earlier format is copied before it is brought to the current one. Defaults to no.
    pub copy_before_migration: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            environment: Arc::new(SystemEnvironment),
            codec: None,
            memory_budget: 64 << 20,
            readers: 2,
            foreign_poll: Duration::from_millis(20),
            read_only: false,
            recoding: false,
            copy_before_migration: false,
        }
    }
}

impl StoreOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        StoreOptions::default()
    }

    /// Takes time and randomness from `environment`.
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Stores payloads through `codec`. Rows that were written plainly stay readable.
    #[must_use]
    pub fn codec(mut self, codec: Arc<dyn PayloadCodec>) -> Self {
        self.codec = Some(codec);
        self
    }

    /// Sets the memory budget in bytes.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Sets the number of reading threads; 0 is taken as 1.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Opens the store for reading only. Nothing is ever written: a write fails with
    /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied), and opening a store that is not there with
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound). A store of an earlier format is read as it is.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Opens the store for a change of its codec: to encrypt payloads that are plain, or for a new key or dictionary.
    /// [`Maintenance::Recode`](crate::Maintenance::Recode) then rewrites every payload with this codec.
    ///
    /// Without this setting, a codec that writes with a key or dictionary that the store does not know fails with
    /// [`ErrorKind::WrongKey`](crate::ErrorKind::WrongKey). It has no effect on a new store, or with the codec that the store knows.
    #[must_use]
    pub fn recoding(mut self) -> Self {
        self.recoding = true;
        self
    }

    /// Copies a store of an earlier format before it is brought to the current one: beside it, under its own name with
    /// `.format-1` (the number of that format) added. The copy replaces an earlier one of that name, and has everything that was
    /// committed before the store was opened.
    #[must_use]
    pub fn copy_before_migration(mut self) -> Self {
        self.copy_before_migration = true;
        self
    }

    /// Sets how often to look for commits of other processes.
    #[must_use]
    pub fn foreign_poll(mut self, interval: Duration) -> Self {
        self.foreign_poll = interval;
        self
    }
}
