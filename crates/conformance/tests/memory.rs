//! The reference store passes its own kit, with threads and without.

mod threaded {
    highwater_conformance::conformance_tests!(highwater_conformance::MemorySubject);
}

mod inline {
    use std::sync::Arc;

    use highwater_conformance::{Subject, conformance_tests};
    use highwater_core::{Inline, MemoryBackend, Result, Store, StoreOptions};

    struct Here(MemoryBackend);

    impl Subject for Here {
        fn new() -> Self {
            Here(MemoryBackend::default())
        }

        fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
            Ok(Arc::new(Inline::open(self.0.clone(), options)?))
        }

        fn image(&self) -> Option<Self> {
            Some(Here(self.0.backup()))
        }
    }

    conformance_tests!(Here);
}
