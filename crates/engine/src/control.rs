//! A host's decisions about its syncs. Each decision is one commit: it applies from when the call returns, in every
//! process, and over restarts.

use highwater_core::{Result, RunId, Timestamp, WriteBatch};
use highwater_template::TemplateInfo;

use crate::documents::{Off, Schedule, SyncKey, SyncOptions, SyncOrigin, SyncSettings};
use crate::engine::Engine;
use crate::errors::{no_connection, not_enabled};
use crate::events::SyncChange;
use crate::mutants::mutant;
use crate::sync::SyncHandle;
use crate::webhooks::outbox::{anybody_listens, clear_streams};

/// What happens to the records of a sync that is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisableMode {
    /// They stay, and so does the checkpoint: enabled again, the sync continues from there.
    Keep,
    /// They are removed; enabled again, the sync starts over.
    Clear,
}

impl SyncHandle {
    /// Enables the sync: from now on it runs on its schedule. Enabling it again replaces its options; a sync that has already run
    /// keeps its rhythm.
    ///
    /// For a connection of an integration this is a decision of its own, as are [`disable`](SyncHandle::disable),
    /// [`pause`](SyncHandle::pause), [`resume`](SyncHandle::resume) and [`set_schedule`](SyncHandle::set_schedule): what the
    /// integration says later changes nothing about the sync, until [`follow_integration`](SyncHandle::follow_integration).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or template, and
    /// [`ErrorKind::Invalid`](highwater_core::ErrorKind::Invalid) for a template of another provider, a missing setting of the
    /// connection, and a schedule without a future slot.
    pub async fn enable(&self, options: SyncOptions) -> Result<SyncSettings> {
        let (engine, key) = (&self.engine, &*self.key);
        let found = engine.template(&key.template)?;
        let connected = engine.connection(&key.connection).await?;
        engine.parts().admit(&connected, &found.info().provider)?;
        connected.config_for(found.info())?;
        let schedule = options.schedule.unwrap_or_else(|| found.info().interval.into());
        let now = engine.parts().environment.now();
        let first = schedule.first(now)? + engine.random_below(options.jitter);
        let settings = SyncSettings {
            connection: key.connection.clone(),
            template: key.template.clone(),
            variant: key.variant.clone(),
            schedule,
            jitter: options.jitter,
            paused: !options.auto_start,
            deletes: options.deletes,
            timeout: options.timeout,
            origin: SyncOrigin::Connection,
            first_due_at: None,
        };
        self.change(false, |draft| {
            if !draft.connected {
                return Err(no_connection(&key.connection));
            }
            draft.news = match &draft.settings {
                None => Some(SyncChange::Enabled),
                Some(known) => (*known != settings).then_some(SyncChange::SettingsChanged),
            };
            draft.put_settings(&settings)?;
            draft.batch.remove_document(key.off_key());
            // A sync that has run keeps its rhythm. One that never has, and is enabled with the same schedule, keeps the slot
            // that it missed: a host that is closed at night may enable its syncs at every start.
            let started = draft.status.last_started_at.filter(|_| draft.status.last_success_at.is_some());
            let as_it_was = draft.settings.as_ref().is_some_and(|known| known.schedule == settings.schedule);
            let kept = draft.status.next_due_at.filter(|_| as_it_was);
            draft.status.next_due_at = match started {
                Some(started) => settings.schedule.next(started, now)?.or(Some(first)),
                None => Some(kept.map_or(first, |kept| kept.min(first))),
            };
            draft.put_status()
        })
        .await?;
        Ok(settings)
    }

    /// Disables the sync. A run in progress commits nothing more, in any process. With [`DisableMode::Clear`] the records are
    /// removed in the same commit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or template.
    pub async fn disable(&self, mode: DisableMode) -> Result<()> {
        let (engine, key) = (&self.engine, &*self.key);
        let found = engine.template(&key.template)?;
        let clear = mode == DisableMode::Clear;
        let told = (clear && anybody_listens(engine.store().as_ref()).await?).then(|| engine.new_run_id());
        self.change(true, |draft| {
            if !draft.connected && draft.settings.is_none() {
                return Err(no_connection(&key.connection));
            }
            draft.news = draft.settings.is_some().then_some(SyncChange::Disabled);
            if draft.integration.is_some() && !mutant!("off-forgotten") {
                draft.batch.put_document(key.off_key(), &Off { at: engine.parts().environment.now() })?;
            }
            draft.batch.remove_document(key.settings_key()).remove_document(key.trigger_key());
            if clear {
                clear_sync(key, found.info(), told, engine.parts().environment.now(), &mut draft.batch)
            } else {
                Ok(())
            }
        })
        .await?;
        engine.tell_cleared(told.iter().map(|_| key)).await;
        self.wait_for_end().await;
        Ok(())
    }

    /// Keeps the sync from running until [`resume`](SyncHandle::resume), even after a restart. A run in progress is stopped:
    /// once this returns, it writes nothing more, in any process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or sync, and for one that is not
    /// enabled.
    pub async fn pause(&self) -> Result<()> {
        let key = &*self.key;
        self.change(true, |draft| {
            let settings = SyncSettings { paused: true, ..draft.enabled()? };
            draft.news = (!draft.is_paused()).then_some(SyncChange::Paused);
            draft.batch.remove_document(key.trigger_key());
            draft.put_settings(&settings)
        })
        .await?;
        self.wait_for_end().await;
        Ok(())
    }

    /// Lets a paused sync run again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or sync, and for one that is not
    /// enabled.
    pub async fn resume(&self) -> Result<()> {
        self.change(false, |draft| {
            let settings = SyncSettings { paused: false, ..draft.enabled()? };
            draft.news = draft.is_paused().then_some(SyncChange::Resumed);
            draft.put_settings(&settings)
        })
        .await
    }

    /// Sets the sync's schedule; `None` restores the template's own interval.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection or template and for a sync that is
    /// not enabled, and [`ErrorKind::Invalid`](highwater_core::ErrorKind::Invalid) for a schedule without a future slot.
    pub async fn set_schedule(&self, schedule: Option<Schedule>) -> Result<SyncSettings> {
        let key = &*self.key;
        let own = self.engine.template(&key.template)?.info().interval;
        let schedule = schedule.unwrap_or_else(|| own.into());
        let now = self.engine.parts().environment.now();
        let first = schedule.first(now)?;
        let mut changed = None;
        self.change(false, |draft| {
            let settings = SyncSettings { schedule: schedule.clone(), first_due_at: None, ..draft.enabled()? };
            draft.status.next_due_at = match draft.status.last_started_at {
                Some(started) => schedule.next(started, now)?.or(Some(first)),
                None => Some(first),
            };
            draft.put_status()?;
            draft.news = (draft.settings.as_ref() != Some(&settings)).then_some(SyncChange::SettingsChanged);
            draft.put_settings(&settings)?;
            changed = Some(settings);
            Ok(())
        })
        .await?;
        changed.ok_or_else(|| not_enabled(key))
    }

    /// Stops this engine's own run of the sync, and waits until it has ended.
    pub(crate) async fn wait_for_end(&self) {
        self.engine.cancel_run(&self.key);
        self.engine.until_idle(&self.key).await;
    }
}

impl Engine {
    /// Returns the settings of every enabled sync.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn enabled_syncs(&self) -> Result<Vec<SyncSettings>> {
        self.read_all("sync/").await
    }
}

/// Adds to a batch that nothing stays of what a sync has read.
pub(crate) fn clear_sync(
    key: &SyncKey,
    info: &TemplateInfo,
    told: Option<RunId>,
    now: Timestamp,
    batch: &mut WriteBatch,
) -> Result<()> {
    batch.remove_document(key.checkpoint_key());
    batch.remove_document(key.status_key());
    batch.remove_document(key.open_key());
    clear_streams(key, info.models.iter().map(|model| model.name.as_str()), told, now, batch)
}
