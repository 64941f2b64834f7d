//! Records that syncs could not save.

use highwater_core::{Document, Result, Store, StreamKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sync::SyncHandle;

/// The most set-aside records that the store keeps of a stream.
pub(crate) const MOST: usize = 100;

/// A record that a sync could not save, and that has not been saved since.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct UnsavedRecord {
    /// The model.
    pub model: String,
    /// Its id, if known.
    pub id: Option<String>,
    /// Why it could not be saved.
    pub reason: String,
    /// When it was last received.
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub at: Timestamp,
    /// The beginning of its content as text; empty if the store has a codec.
    pub payload: String,
}

#[derive(Deserialize)]
struct Stored {
    id: Option<String>,
    reason: String,
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    at: Timestamp,
    #[serde(default)]
    payload: String,
}

impl SyncHandle {
    /// Returns the records that the sync could not save, oldest first: the newest hundred of each model. A record is no longer
    /// kept once it is saved, deleted, or missing from a full refresh.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// for record in engine.sync("main", "github/issues")?.set_aside().await? {
    ///     println!("{} {:?}: {}", record.model, record.id, record.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or sync.
    pub async fn set_aside(&self) -> Result<Vec<UnsavedRecord>> {
        let (engine, key) = (&self.engine, &*self.key);
        engine.check_known(key).await?;
        let mut found = Vec::new();
        for model in &engine.template(&key.template)?.info().models {
            for document in kept_aside(engine.store().as_ref(), &key.stream(&model.name)).await? {
                let Stored { id, reason, at, payload } = document.value.to()?;
                found.push(UnsavedRecord { model: model.name.clone(), id, reason, at, payload });
            }
        }
        found.sort_by_key(|record| record.at);
        Ok(found)
    }
}

/// The documents of a stream's set-aside records.
pub(crate) async fn kept_aside(store: &dyn Store, stream: &StreamKey) -> Result<Vec<Document>> {
    match store.head(stream).await?.number {
        0 => Ok(Vec::new()),
        number => store.documents(&format!("quarantine/{number}/"), "", MOST).await,
    }
}
