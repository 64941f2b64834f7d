#![doc = include_str!("../README.md")]
#![deny(missing_docs, clippy::missing_errors_doc)]

#[doc(inline)]
pub use highwater_core::{content, printable};

pub use batch::WriteBatch;
pub use cursor::{Change, Cursor, NetAction, Page, Record};
#[doc(inline)]
pub use highwater_core::{Error, ErrorKind, Result, RunId, Timestamp};
pub use store::{Store, StoreExt, StoreOptions, StreamKey};
pub use stores::MemoryStore;
#[cfg(feature = "redb")]
pub use stores::RedbStore;
#[cfg(feature = "sled")]
pub use stores::SledStore;
#[cfg(feature = "sqlite")]
pub use stores::SqliteStore;

#[cfg(feature = "engine")]
pub use engine::{
    ConnectionSettings, Engine, IntegrationHandle, IntegrationSettings, RunOptions, RunReport, Secret, SyncHandle,
    SyncOptions,
};

/// A store: the trait that all of them implement, what one is opened with, and its streams.
pub mod store {
    pub use highwater_core::{
        Capabilities, DEFAULT_VARIANT, Environment, MAX_NAME_BYTES, PayloadCodec, PayloadContext, Store, StoreExt,
        StoreFuture, StoreOptions, StreamHead, StreamKey, StreamOptions, SystemEnvironment, Wakeups,
    };
}

/// Writing: batches that are committed as one, and what became of each operation.
pub mod batch {
    pub use highwater_core::{
        BadRecords, ChangeSummary, Commit, DeleteGuard, Document, Fence, MAX_ID_BYTES, MAX_PAYLOAD_BYTES, Merging,
        OperationKind, OperationView, Rejected, RunStep, SourceVersion, StreamBatch, StreamBatchView, StreamCommit,
        UnseenRecords, WriteBatch, WriteOutcome,
    };
}

/// Reading: pages of modifications after a cursor, and the records in them.
pub mod cursor {
    pub use highwater_core::{
        Action, Actions, Change, ContentFilter, Cursor, CursorFault, DEFAULT_LIMIT, DEFAULT_PAGE_BYTES, Following,
        Json, MAX_LIMIT, Metadata, NetAction, Page, PageRequest, Record, RecordId, Records, TypedChange, TypedPage,
        TypedRecords,
    };
}

/// Named consumers: readers whose position the store keeps.
pub mod consumer {
    pub use highwater_core::{
        AckToken, Consumer, ConsumerCommand, ConsumerReply, ConsumerStatus, Delivery, PollOptions, Seek,
    };
}

/// Looking after a store: pruning, history, compaction, verification, the clock.
pub mod maintenance {
    pub use highwater_core::{
        Backup, BackupProgress, BackupReport, ClockHealth, CodecHealth, Compaction, FilesHealth, History, Maintenance,
        MaintenanceReport, PruneWhat, Verification, Version,
    };
}

/// The stores: in memory, and with the feature of its name each that keeps its records in a file.
pub mod stores {
    pub use highwater_core::MemoryStore;
    #[cfg(feature = "redb")]
    pub use highwater_store_redb::{RedbBuilder, RedbStore};
    #[cfg(feature = "sled")]
    pub use highwater_store_sled::{SledBuilder, SledStore};

    #[cfg(feature = "sqlite")]
    pub use highwater_core::{LogTransaction, PendingCommit};
    #[cfg(feature = "sqlite")]
    pub use highwater_store_sqlite::{
        ModelView, SqliteBuilder, SqliteStore, SqliteTransaction, ViewColumn, ViewMember, ViewMembers, rusqlite,
    };
}

/// The same for programs without an async runtime: calls block the calling thread.
pub mod blocking {
    pub use highwater_core::blocking::{Consumer, Following, Store, changed, wait};
    #[cfg(feature = "engine")]
    pub use highwater_engine::blocking::{Engine, IntegrationHandle, Outbox, SyncHandle};
}

/// Payload codecs: encryption at rest, compression.
#[cfg(any(feature = "encryption", feature = "zstd"))]
pub use highwater_codec as codecs;
/// Low-code manifests as templates.
#[cfg(feature = "declarative")]
pub use highwater_declarative as declarative;
/// Connections, syncs, schedules, runs and webhooks.
#[cfg(feature = "engine")]
pub use highwater_engine as engine;
/// Providers that a YAML file describes.
#[cfg(feature = "provider-files")]
pub use highwater_provider_file as provider_file;
/// The HTTP interface.
#[cfg(feature = "server")]
pub use highwater_server as server;
/// Signing users in: loopback, custom URI schemes, pasted addresses.
#[cfg(feature = "sign-in")]
pub use highwater_sign_in as sign_in;
/// What a template is written against.
#[cfg(feature = "template")]
pub use highwater_template as template;
/// The ready templates.
#[cfg(feature = "templates")]
pub use highwater_templates as templates;
/// Credentials of connections, encrypted in the store.
#[cfg(feature = "vault")]
pub use highwater_vault as vault;

#[cfg(all(doctest, feature = "sqlite", feature = "engine"))]
#[doc = include_str!("../docs/engine.md")]
mod engine_page {}

#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../docs/accounts.md")]
mod accounts_page {}

#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../docs/webhooks.md")]
mod webhooks_page {}

#[cfg(all(doctest, feature = "sqlite", feature = "encryption", feature = "zstd"))]
#[doc = include_str!("../docs/encryption.md")]
mod encryption_page {}

#[cfg(all(doctest, feature = "provider-files", feature = "engine"))]
#[doc = include_str!("../docs/providers.md")]
mod providers_page {}

#[cfg(all(doctest, feature = "vault"))]
#[doc = include_str!("../docs/vault.md")]
mod vault_page {}
