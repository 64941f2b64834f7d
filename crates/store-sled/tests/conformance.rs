//! The store passes the kit.
#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_conformance::{Subject, bytes_below, conformance_tests};
use highwater_core::{Result, Store, StoreOptions};
use highwater_store_sled::SledStore;

/// A directory with a sled directory in it.
struct InDirectory(tempfile::TempDir);

impl InDirectory {
    fn path(&self) -> PathBuf {
        self.0.path().join("app.sled")
    }
}

impl Subject for InDirectory {
    fn new() -> Self {
        InDirectory(tempfile::tempdir().unwrap())
    }

    fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(SledStore::builder(self.path()).options(options).open()?))
    }

    fn image(&self) -> Option<Self> {
        let copy = InDirectory::new();
        copy_directory(&self.path(), &copy.path());
        Some(copy)
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        Some(bytes_below(&self.path()))
    }

    #[cfg(unix)]
    fn remove_files(&self) -> bool {
        std::fs::remove_dir_all(self.path()).is_ok()
    }
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(std::result::Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

conformance_tests!(InDirectory);
