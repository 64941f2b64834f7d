//! Errors that several places give.

use std::collections::BTreeSet;

use highwater_core::{Error, ErrorKind};

use crate::documents::SyncKey;

/// The error for an unknown provider.
pub(crate) fn unknown_provider<'n>(wanted: &str, known: impl Iterator<Item = &'n str>) -> Error {
    let known: BTreeSet<&str> = known.collect();
    Error::new(ErrorKind::NotFound, "no such provider: add it, or one of its templates, to the engine")
        .with("provider", wanted)
        .with("known", known.into_iter().collect::<Vec<_>>().join(", "))
}

/// The error for an unknown template.
pub(crate) fn unknown_template(wanted: &str, known: impl Iterator<Item = String>) -> Error {
    let mut known: Vec<String> = known.collect();
    known.sort_by_key(|name| !name.contains(wanted.rsplit('/').next().unwrap_or(wanted)));
    Error::new(ErrorKind::NotFound, "no such template in the engine's catalogue")
        .with("template", wanted)
        .with("known", known.join(", "))
}

/// The error for a connection that does not exist.
pub(crate) fn no_connection(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no such connection: connect it first").with("connection", id)
}

/// The error for a sync that has no settings.
pub(crate) fn not_enabled(key: &SyncKey) -> Error {
    Error::new(ErrorKind::NotFound, "the sync is not enabled: enable it first, or run it once")
        .with("connection", &key.connection)
        .with("sync", key.sync_name())
}

/// The error for a sync that this engine runs already.
pub(crate) fn busy(key: &SyncKey) -> Error {
    Error::new(ErrorKind::Busy, "a run of this sync is in progress: wait for it, or cancel it")
        .with("connection", &key.connection)
        .with("sync", key.sync_name())
}

pub(crate) fn no_integration(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no such integration: create it first").with("integration", key)
}
