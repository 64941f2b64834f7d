//! The lease of a sync. One commit acquires it and fences off every earlier holder; the holder sends heartbeats (H49, P28).

use highwater_core::{Error, ErrorKind, Json, Result, Timestamp};

use crate::documents::{Holder, SyncKey};
use crate::engine::Engine;
use crate::mutants::mutant;

/// The stored holder, for a batch to expect; fails while another holder has the lease.
pub(crate) async fn free_or_busy(engine: &Engine, key: &SyncKey, now: Timestamp) -> Result<Option<Json>> {
    let stored = engine.parts().store.document(&key.holder_key()).await?;
    if let Some(holder) = stored.as_ref().and_then(|stored| stored.to::<Holder>().ok())
        && engine.parts().is_kept_out_by(&holder, now)
        && !mutant!("live-lease-ignored")
    {
        let left = holder.until.duration_since(now).min(engine.parts().lease_ttl);
        return Err(Error::new(ErrorKind::Busy, "a run of this sync is in progress elsewhere: wait for it")
            .with("connection", &key.connection)
            .with("sync", key.sync_name())
            .with("process", holder.process)
            .retry_in(left));
    }
    Ok(stored)
}
