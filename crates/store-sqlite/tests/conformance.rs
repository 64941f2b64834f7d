//! The store passes the kit.
#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_conformance::{Subject, bytes_below, conformance_tests};
use highwater_core::{Result, Store, StoreOptions};
use highwater_store_sqlite::{SqliteStore, rusqlite};

/// A directory with a database in it.
struct InFile(tempfile::TempDir);

impl InFile {
    fn path(&self) -> PathBuf {
        self.0.path().join("app.db")
    }
}

impl Subject for InFile {
    const SHARES: bool = true;

    fn new() -> Self {
        let place = InFile(tempfile::tempdir().unwrap());
        if rusqlite::version_number() < 3_051_003 {
            // An older SQLite shares only files with a rollback journal, such as a host's.
            rusqlite::Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE host (x)").unwrap();
        }
        place
    }

    fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(SqliteStore::builder(self.path()).options(options).open()?))
    }

    fn image(&self) -> Option<Self> {
        let copy = InFile::new();
        std::fs::copy(self.path(), copy.path()).unwrap();
        let wal = |place: &InFile| place.path().with_extension("db-wal");
        if wal(self).exists() {
            std::fs::copy(wal(self), wal(&copy)).unwrap();
        }
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
