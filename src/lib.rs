#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub use highwater_core::*;
pub use highwater_template as template;

/// Everything for programs without a runtime: calls block the calling thread.
pub mod blocking {
    pub use highwater_core::blocking::{Follow, Reader, Store, changed, wait};
    #[cfg(feature = "engine")]
    pub use highwater_engine::blocking::{Engine, Outbox};
}

#[cfg(all(doctest, feature = "sqlite", feature = "engine", feature = "cron"))]
#[doc = include_str!("../docs/engine.md")]
mod engine_page {}

#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../docs/webhooks.md")]
mod webhooks_page {}

#[cfg(all(doctest, feature = "sqlite", feature = "encryption", feature = "zstd"))]
#[doc = include_str!("../docs/encryption.md")]
mod encryption_page {}

#[cfg(feature = "declarative")]
pub use highwater_declarative as declarative;
#[cfg(feature = "engine")]
pub use highwater_engine as engine;
#[cfg(feature = "engine")]
pub use highwater_engine::{ConnectionSettings, Engine, RunOptions, RunReport, Secret};
#[cfg(feature = "templates")]
pub use highwater_templates as templates;

/// Stores.
pub mod stores {
    #[cfg(feature = "redb")]
    pub use highwater_store_redb::{RedbBuilder, RedbStore};
    #[cfg(feature = "sled")]
    pub use highwater_store_sled::{SledBuilder, SledStore};
    #[cfg(feature = "sqlite")]
    pub use highwater_store_sqlite::{ModelView, ViewColumn, ViewMember, ViewMembers};
    #[cfg(feature = "sqlite")]
    pub use highwater_store_sqlite::{SqliteBuilder, SqliteStore, SqliteTransaction, rusqlite};
}

#[cfg(feature = "redb")]
pub use highwater_store_redb::RedbStore;
#[cfg(feature = "sled")]
pub use highwater_store_sled::SledStore;
#[cfg(feature = "sqlite")]
pub use highwater_store_sqlite::SqliteStore;

/// Payload codecs: encryption at rest, compression.
#[cfg(any(feature = "encryption", feature = "zstd"))]
pub use highwater_codec as codecs;
