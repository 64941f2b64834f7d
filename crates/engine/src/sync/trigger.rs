//! Asking for runs, and stopping them.

use highwater_core::{Error, ErrorKind, Result};

use crate::documents::{Trigger, TriggerMode};
use crate::events::SyncChange;
use crate::mutants::mutant;
use crate::sync::SyncHandle;
use crate::sync::change::Draft;

impl SyncHandle {
    /// Requests a run as soon as a slot is free, even of a paused sync. The request is stored until a run begins. A run
    /// in progress is not disturbed: another follows it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or sync, and for one that is not
    /// enabled.
    pub async fn trigger(&self, mode: TriggerMode) -> Result<()> {
        self.request_run(mode, |draft| draft.enabled().map(drop)).await
    }

    /// Requests a run of a sync that is on: [`ErrorKind::Conflict`] if it was paused or disabled meanwhile.
    pub(crate) async fn trigger_if_on(&self) -> Result<()> {
        self.request_run(TriggerMode::Plain, |draft| match &draft.settings {
            Some(settings) if !settings.paused || mutant!("event-outlives-pause") => Ok(()),
            _ => Err(Error::new(ErrorKind::Conflict, "the sync was turned off meanwhile")),
        })
        .await
    }

    async fn request_run(&self, mode: TriggerMode, check: impl Fn(&Draft<'_>) -> Result<()> + Sync) -> Result<()> {
        let key = &*self.key;
        let trigger = Trigger { mode, at: self.engine.parts().environment.now() };
        self.change(false, |draft| {
            check(draft)?;
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
