//! A connection that goes back to what its integration says.

use highwater_core::{Error, ErrorKind, Result};

use super::TRIES;
use super::materialise::{first_due, settings_of};
use crate::documents::integration_key;
use crate::errors::no_connection;
use crate::events::{SyncChange, SyncEvent};
use crate::sync::SyncHandle;
use crate::sync::{Draft, note_change};

impl SyncHandle {
    /// Takes back what was decided about the sync for this connection alone: it is enabled or disabled, and runs, as the
    /// connection's integration says, now and later. Where that disables it, a run in progress is stopped, and the records stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync, [`ErrorKind::Invalid`] for a connection that belongs to no
    /// integration.
    pub async fn follow_integration(&self) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.try_follow().await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => break outcome?,
            }
        }
        self.engine.announce(&self.key);
        Ok(())
    }

    async fn try_follow(&self) -> Result<()> {
        let (engine, key) = (&self.engine, &*self.key);
        engine.check_known(key).await?;
        let mut draft = Draft::load(engine, key).await?;
        if !draft.connected {
            // It was removed after the check.
            return Err(no_connection(&key.connection));
        }
        let Some(of) = draft.integration.clone() else {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the connection belongs to no integration: enable or disable the sync itself",
            )
            .with("connection", &key.connection)
            .with("sync", key.sync_name()));
        };
        // The integration is written anew: one that enables the sync at this moment took the connection for one that decides itself.
        let (document, integration) = engine.stored_integration(&of).await?;
        draft.batch.expect_document(integration_key(&of), Some(&document));
        draft.batch.remove_document(key.off_key());
        let enabled = integration.endpoints.get(&key.sync_name());
        if let Some(options) = enabled {
            let mut settings = settings_of(key, options);
            let now = engine.parts().environment.now();
            settings.first_due_at = Some(first_due(engine, &settings, &draft.status, std::time::Duration::ZERO, now)?);
            draft.news = Some(if draft.settings.is_some() { SyncChange::SettingsChanged } else { SyncChange::Enabled });
            draft.batch.put_document(key.settings_key(), &settings)?;
        } else {
            draft.stop_run(engine).await?;
            draft.news = draft.settings.is_some().then_some(SyncChange::Disabled);
            draft.batch.remove_document(key.settings_key()).remove_document(key.trigger_key());
        }
        let stops = enabled.is_none();
        integration.put_next(&mut draft.batch)?;
        note_change(engine, [key], &mut draft.batch).await?;
        engine.store().commit(draft.batch).await?;
        draft.news.into_iter().for_each(|change| engine.publish_change(SyncEvent::new(key, change)));
        if stops {
            self.wait_for_end().await;
        }
        Ok(())
    }
}
