//! Opening stores, and finding streams in them.

use std::sync::Arc;

use highwater::stores::{RedbStore, SledStore, SqliteStore};
use highwater::{Error, ErrorKind, Result, Store, StreamKey};

use crate::args::{StoreKind, StoreOptions, StreamOptions};

pub(crate) fn open(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    Ok(match options.store {
        StoreKind::Sqlite => Arc::new(SqliteStore::open(&options.db)?),
        StoreKind::Redb => Arc::new(RedbStore::open(&options.db)?),
        StoreKind::Sled => Arc::new(SledStore::open(&options.db)?),
    })
}

/// Opens a store that must be there: a reading command makes no files.
pub(crate) fn open_existing(options: &StoreOptions) -> Result<Arc<dyn Store>> {
    if !options.db.exists() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "there is no store: sync something into it first, or name another with --db",
        )
        .with("db", options.db.display()));
    }
    open(options)
}

/// The one stream that has the model.
pub(crate) async fn find_stream(store: &dyn Store, options: &StreamOptions) -> Result<StreamKey> {
    let heads = store.streams().await?;
    let of_connection = |stream: &StreamKey| options.connection.as_ref().is_none_or(|id| stream.connection() == id);
    let found: Vec<StreamKey> = heads
        .iter()
        .map(|head| head.stream.clone())
        .filter(|stream| stream.model().eq_ignore_ascii_case(&options.model) && of_connection(stream))
        .collect();
    match found.as_slice() {
        [stream] => Ok(stream.clone()),
        [] => {
            let known: Vec<String> = heads.iter().map(|head| head.stream.to_string()).collect();
            Err(Error::new(ErrorKind::NotFound, "the store has no such model; see `highwater status`")
                .with("model", &options.model)
                .with("known", known.join(", ")))
        }
        several => {
            let known: Vec<&str> = several.iter().map(StreamKey::connection).collect();
            Err(Error::new(ErrorKind::Invalid, "several connections have this model: choose one with --connection")
                .with("connections", known.join(", ")))
        }
    }
}
