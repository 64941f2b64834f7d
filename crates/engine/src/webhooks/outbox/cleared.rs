//! Clearing streams, together with the webhooks about it, in the caller's commit.

use highwater_core::{Result, RunId, Store, Timestamp, WriteBatch};

use super::tally::untold_key;
use crate::documents::{Draft, SyncKey};
use crate::webhooks::outbox::destinations::destinations;

/// Whether any destination has to be notified about cleared streams.
pub(crate) async fn anybody_listens(store: &dyn Store) -> Result<bool> {
    Ok(destinations(store).await?.iter().any(|destination| destination.disabled.is_none()))
}

/// Adds to a batch that it clears a sync's streams. `told` is the id of the notification, if there is one.
pub(crate) fn clear_streams<'m>(
    key: &SyncKey,
    models: impl Iterator<Item = &'m str>,
    told: Option<RunId>,
    now: Timestamp,
    batch: &mut WriteBatch,
) -> Result<()> {
    let mut draft = told.map(|id| Draft::of_clear(key, id, now));
    for model in models {
        let stream = batch.on(&key.stream(model));
        stream.clear();
        if let Some(draft) = &mut draft {
            // Separate from runs: a clearing is reported by itself.
            let account = format!("outbox/cleared/{}/{model}", key.path());
            stream.summarize_in(&*account);
            draft.accounts.insert(model.to_owned(), account);
        }
        batch.remove_document(key.strikes_key(model)).remove_document(untold_key(key, model));
    }
    if let Some(draft) = draft {
        batch.put_document(draft.key(key), &draft)?;
    }
    Ok(())
}
