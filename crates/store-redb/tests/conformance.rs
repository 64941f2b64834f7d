//! The store passes the kit.
#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_conformance::{Subject, bytes_below, conformance_tests};
use highwater_core::{Result, Store, StoreOptions};
use highwater_store_redb::RedbStore;

/// A directory with a database in it.
struct InFile(tempfile::TempDir);

impl InFile {
    fn path(&self) -> PathBuf {
        self.0.path().join("app.redb")
    }
}

impl Subject for InFile {
    const SHARES: bool = true;

    fn new() -> Self {
        InFile(tempfile::tempdir().unwrap())
    }

    fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(RedbStore::builder(self.path()).options(options).open()?))
    }

    fn image(&self) -> Option<Self> {
        let copy = InFile::new();
        std::fs::copy(self.path(), copy.path()).unwrap();
        Some(copy)
    }

    fn backup_path(&self) -> Option<PathBuf> {
        Some(self.0.path().join("backup"))
    }

    fn of_backup(backup: &Path) -> Self {
        let copy = InFile(tempfile::tempdir().unwrap());
        std::fs::rename(backup, copy.path()).unwrap();
        copy
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        Some(bytes_below(self.0.path()))
    }

    #[cfg(unix)]
    fn remove_files(&self) -> bool {
        std::fs::remove_file(self.path()).is_ok()
    }
}

conformance_tests!(InFile);
