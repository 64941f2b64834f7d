//! The interface through which the kit tests a store.

use std::path::Path;
use std::sync::Arc;

use highwater_core::{MemoryBackend, Result, Store, StoreOptions, Threaded};

/// A location for a store: a directory, a file, a piece of memory. Dropping it removes the store.
pub trait Subject: Sized + Send + Sync + 'static {
    /// Whether a closed store still has its records when it is reopened.
    const REOPENS: bool = true;
    /// Whether several handles may be open at once, each seeing the others' commits.
    const SHARES: bool = false;

    /// Creates an empty location.
    fn new() -> Self;

    /// Opens the store at this location, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// Those of the store. The kit expects some, such as [`ErrorKind::WrongKey`](highwater_core::ErrorKind::WrongKey) for a missing key.
    fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>>;

    /// Copies the current files, even while a store has them open: as a crash or a backup would leave them. Returns `None`,
    /// the default, if they cannot be copied.
    fn image(&self) -> Option<Self> {
        None
    }

    /// Returns where the kit may have a backup made; `None`, the default, if the store cannot make any, which the kit checks.
    fn backup_path(&self) -> Option<std::path::PathBuf> {
        None
    }

    /// Moves a backup to a location of its own.
    fn of_backup(backup: &Path) -> Self {
        let _ = backup;
        Self::new()
    }

    /// Returns every byte of the files; `None`, the default, if there are none.
    fn bytes(&self) -> Option<Vec<u8>> {
        None
    }

    /// Removes the files while a store has them open, as a person or a tool may. Returns whether that succeeded: `false`, the
    /// default, if there are no files, or the system does not remove open ones.
    fn remove_files(&self) -> bool {
        false
    }
}

/// The reference: the memory store.
#[derive(Debug, Default)]
pub struct MemorySubject(MemoryBackend);

impl Subject for MemorySubject {
    fn new() -> Self {
        MemorySubject::default()
    }

    fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Threaded::open(self.0.clone(), options)?))
    }

    fn image(&self) -> Option<Self> {
        Some(MemorySubject(self.0.backup()))
    }
}

/// Returns every byte of every file in a directory and below it: for [`Subject::bytes`].
///
/// # Panics
///
/// If the directory or a file cannot be read.
pub fn bytes_below(directory: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(std::result::Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            bytes.extend(bytes_below(&entry.path()));
        } else {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}
