//! Who may run a sync. One commit takes the lease, and shuts every earlier holder out; who holds it shows now and then
//! that it is alive (H49, P28).

use highwater_core::{Error, ErrorKind, Json, Result, Store, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::mutants::mutant;
use crate::sync::SyncKey;

/// A lease that claims to last so many times longer than leases do was given by another clock.
const FAR: u32 = 10;

/// The holder of a sync's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The engine.
    pub(crate) engine: String,
    /// Its process.
    pub(crate) process: u32,
    /// Until when it need not show a sign of life.
    #[serde(rename = "until_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) until: Timestamp,
}

impl Holder {
    /// This engine, alive for now.
    pub(crate) fn new(engine: &Engine, now: Timestamp) -> Self {
        let parts = engine.parts();
        Holder { engine: parts.name.clone(), process: std::process::id(), until: now + parts.lease_ttl }
    }

    /// Whether somebody else holds the lease and is not known to be gone.
    pub(crate) fn keeps_out(&self, engine: &Engine, now: Timestamp) -> bool {
        let alone = !engine.parts().store.capabilities().multi_process;
        let gone = alone && self.process != std::process::id();
        let far = self.until > now + FAR * engine.parts().lease_ttl;
        self.engine != engine.parts().name && !gone && self.until > now && !far
    }
}

/// The stored holder, for a batch to expect; fails while somebody else holds the lease.
pub(crate) async fn free_or_busy(engine: &Engine, key: &SyncKey, now: Timestamp) -> Result<Option<Json>> {
    let stored = engine.parts().store.document(&key.holder_key()).await?;
    if let Some(holder) = stored.as_ref().and_then(|stored| stored.to::<Holder>().ok())
        && holder.keeps_out(engine, now)
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
