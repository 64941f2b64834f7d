//! Settings and parts that every store is opened with.

use std::sync::Arc;
use std::time::Duration;

use crate::codec::PayloadCodec;
use crate::environment::{Environment, SystemEnvironment};

/// What a store needs besides its files. The defaults suit a desktop application.
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
    /// Bytes for remembering where records stand and what they hash to: about 56 per record.
    /// Beyond it everything still works, from disk. 64 MiB unless told.
    pub memory_budget: usize,
    /// Threads that read, at least 1. 2 unless told.
    pub readers: usize,
    /// How often to look for commits of other processes while somebody waits for them. 20 ms unless told.
    pub foreign_poll: Duration,
    /// Whether the store is only read.
    pub read_only: bool,
    /// Whether the codec may be one that the store was not told of.
    pub recoding: bool,
    /// Whether a copy is kept of a store that an earlier format wrote, before it is brought to the current one. No unless
    /// told.
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
    /// The defaults.
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

    /// Opens the store for reading alone: nothing is written, whatever is asked of it, and a write is
    /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied). A store that is not there is
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); one of an earlier format is read as it is.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Opens the store for a change of its codec: with an encrypting codec where payloads are plain, with a new key, with a
    /// new dictionary. [`Maintenance::Recode`](crate::Maintenance::Recode) then makes every payload one of this codec. Without
    /// this, a codec that writes with what the store was not told of is [`ErrorKind::WrongKey`](crate::ErrorKind::WrongKey).
    /// Nothing changes for a store that is new, or whose codec is the one it was made with.
    #[must_use]
    pub fn recoding(mut self) -> Self {
        self.recoding = true;
        self
    }

    /// Keeps a copy of a store that an earlier format wrote, before it is brought to the current one: beside it, under its
    /// own name with `.format-1` (the number of that format) added. It replaces an earlier one of that name, and has
    /// everything that was committed before the store was opened.
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
