//! P36: the same script on every store, the same answers, byte for byte.
//!
//! `HIGHWATER_SCRIPTS=200 cargo test --test differential` runs more scripts than the eight of every day.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;

use highwater_conformance::{MemorySubject, Subject, transcript};
use highwater_core::{Result, Store, StoreOptions};

/// Operations of one script.
const STEPS: usize = 120;

macro_rules! subject {
    ($name:ident, $store:ty, $file:literal) => {
        struct $name(tempfile::TempDir);

        impl Subject for $name {
            fn new() -> Self {
                $name(tempfile::tempdir().unwrap())
            }

            fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
                Ok(Arc::new(<$store>::builder(self.0.path().join($file)).options(options).open()?))
            }
        }
    };
}

subject!(Sqlite, highwater_store_sqlite::SqliteStore, "app.db");
subject!(Redb, highwater_store_redb::RedbStore, "app.redb");
subject!(Sled, highwater_store_sled::SledStore, "app.sled");

#[test]
fn p36_every_store_answers_alike() {
    let scripts = std::env::var("HIGHWATER_SCRIPTS").ok().and_then(|scripts| scripts.parse().ok()).unwrap_or(8);
    let (mut answers, mut refusals) = (0, 0);
    for seed in 100..100 + scripts {
        let expected = transcript::<MemorySubject>(seed, STEPS);
        for (name, actual) in [
            ("sqlite", transcript::<Sqlite>(seed, STEPS)),
            ("redb", transcript::<Redb>(seed, STEPS)),
            ("sled", transcript::<Sled>(seed, STEPS)),
        ] {
            for (step, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
                assert_eq!(actual, expected, "{name} and memory differ at answer {step} of seed {seed}");
            }
            assert_eq!(actual.len(), expected.len(), "{name}, seed {seed}");
        }
        answers += expected.len();
        refusals += expected.iter().filter(|line| line.starts_with("Err")).count();
    }
    assert!(refusals * 20 > answers, "errors are compared too: {refusals} of {answers}");
    assert!(refusals * 2 < answers, "and answers: {refusals} of {answers}");
}
