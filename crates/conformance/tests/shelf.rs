//! The store passes the kit.

#[allow(unreachable_pub)]
#[path = "shelf/my_store.rs"]
mod my_store;

use std::sync::Arc;

use highwater_conformance::{Subject, conformance_tests};
use highwater_core::{Result, Store, StoreOptions, Threaded};
use my_store::Shelf;

struct OnShelf(Shelf);

impl Subject for OnShelf {
    fn new() -> Self {
        OnShelf(Shelf::default())
    }

    fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Threaded::open(self.0.clone(), options)?))
    }

    // What a crash at this moment would leave, or a backup.
    fn image(&self) -> Option<Self> {
        Some(OnShelf(self.0.copy()))
    }
}

conformance_tests!(OnShelf);
