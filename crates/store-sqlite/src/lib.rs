//! SQLite storage for Highwater: one file, several processes, readable by SQL.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use highwater_core::{Store, StoreExt, StreamKey, WriteBatch};
//! use highwater_store_sqlite::SqliteStore;
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("app.db");
//!
//! let store = SqliteStore::open(&path)?;
//! let notes = StreamKey::new("demo", "Note");
//! let mut batch = WriteBatch::new();
//! batch.on(&notes).upsert(r#"{"id": "a", "text": "high water"}"#);
//! store.commit(batch).await?;
//! assert_eq!(store.records(&notes).page().await?.changes.len(), 1);
//! # Ok::<(), highwater_core::Error>(()) }).unwrap();
//! ```
//!
//! The tables are described in `docs/store-format.md`. They begin with `hw_` and may live in
//! the host's own file: its `user_version`, `application_id` and journal mode stay untouched.
#![deny(missing_docs, clippy::missing_errors_doc)]

mod backend;
mod block;
mod commit_sign;
mod database_file;
mod errors;
mod index_table;
mod log_table;
mod open_files;
mod overwritten;
mod path;
mod read_only;
mod schema;
mod sharing;
mod snapshot;
mod store;
mod transaction;
mod values;
mod views;
mod wal;

pub use backend::{SqliteBackend, SqliteReader};
pub use snapshot::SqliteSnapshot;
pub use store::{SqliteBuilder, SqliteStore};
pub use transaction::SqliteTransaction;
pub use views::{DEFAULT_COLUMNS, ModelView, ViewColumn, ViewMember, ViewMembers, create_model_view, view_members};

/// The SQLite interface of the version this crate was built with.
pub use rusqlite;
