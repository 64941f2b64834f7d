//! Asking for runs, and stopping them.

use highwater_core::Result;

use crate::documents::{Trigger, TriggerMode};
use crate::events::SyncChange;
use crate::sync::SyncHandle;

impl SyncHandle {
    /// Requests a run as soon as a slot is free, even of a paused sync. The request is stored until a run begins. A run
    /// in progress is not disturbed: another follows it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or sync, and for one that is not
    /// enabled.
    pub async fn trigger(&self, mode: TriggerMode) -> Result<()> {
        let key = &*self.key;
        let trigger = Trigger { mode, at: self.engine.parts().environment.now() };
        self.change(false, |draft| {
            draft.enabled()?;
            draft.news = Some(SyncChange::Triggered);
            draft.batch.put_document(key.trigger_key(), &trigger).map(drop)
        })
        .await
    }

    /// Cancels this engine's run of the sync. Returns whether there was one; does not wait for its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or sync.
    pub async fn cancel(&self) -> Result<bool> {
        self.engine.check_known(&self.key).await?;
        Ok(self.engine.cancel_run(&self.key))
    }
}
