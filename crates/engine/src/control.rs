//! What a host decides about its syncs. Each decision is one commit: it holds from when the call returns, in every
//! process, and over restarts.

use highwater_core::{Error, ErrorKind, Json, Result, Timestamp, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::connection::connection_key;
use crate::connection::no_connection;
use crate::engine::Engine;
use crate::events::{SyncChange, SyncEvent};
use crate::logs;
use crate::mutants::mutant;
use crate::run::{RunEvent, RunState};
use crate::schedule::Schedule;
use crate::sync::{SyncHandle, SyncKey, SyncOptions, SyncSettings, SyncStatus};
use crate::webhooks::outbox::{anybody_listens, clear_streams};

/// Tries of a change that others keep overtaking.
const TRIES: u32 = 50;

/// Changed syncs that are named; whoever missed more reads all of them again.
const NAMED: usize = 64;

/// Where every process tells which syncs it changed.
pub(crate) const CHANGES_KEY: &str = "schedule/changes";

/// What a triggered run is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerMode {
    /// What the next run would be anyway.
    #[default]
    Plain,
    /// The checkpoint is dropped, and everything read again.
    Reset,
    /// The streams are emptied too; cursors given out before expire.
    ResetAndClear,
}

/// A wish for a run, until one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) mode: TriggerMode,
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) at: Timestamp,
}

/// What becomes of the records of a sync that is turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisableMode {
    /// They stay, and so does the checkpoint: enabled again, the sync goes on from there.
    Keep,
    /// They go; enabled again, the sync starts over.
    Clear,
}

/// The latest changes, for schedulers of other processes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) count: u64,
    pub(crate) recent: Vec<(u64, String)>,
}

impl SyncHandle {
    /// Enables the sync: from now on it runs by its schedule. Enabling it again replaces its options; a sync that has run keeps
    /// its rhythm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or template, [`ErrorKind::Invalid`] for a template of another
    /// provider, a missing setting of the connection, and a schedule that names no time.
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
        };
        self.change(false, |draft| {
            if !draft.connected {
                return Err(no_connection(&key.connection));
            }
            draft.news = match &draft.settings {
                None => Some(SyncChange::Enabled),
                Some(known) => (*known != settings).then_some(SyncChange::SettingsChanged),
            };
            draft.batch.put_document(key.settings_key(), &settings)?;
            // A sync that has run keeps its rhythm. One that never has, and is enabled with the same schedule, keeps the slot
            // that it missed: a host that is not there at night may enable its syncs at every start.
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

    /// Disables the sync. A run in progress commits nothing more, in whatever process it is. With [`DisableMode::Clear`] the
    /// records go in the same commit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or template.
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
            let batch = &mut draft.batch;
            batch.remove_document(key.settings_key()).remove_document(key.trigger_key());
            if clear {
                batch.remove_document(key.checkpoint_key());
                batch.remove_document(key.status_key());
                batch.remove_document(key.open_key());
                let models = found.info().models.iter().map(|model| model.name.as_str());
                clear_streams(key, models, told, engine.parts().environment.now(), batch)?;
            }
            Ok(())
        })
        .await?;
        engine.tell_cleared(told.iter().map(|_| key)).await;
        self.wait_for_end().await;
        Ok(())
    }

    /// Keeps the sync from running until [`resume`](SyncHandle::resume), also after a restart. A run in progress is stopped:
    /// once this returns, it writes nothing more, in whatever process it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync, and for one that is not enabled.
    pub async fn pause(&self) -> Result<()> {
        let key = &*self.key;
        self.change(true, |draft| {
            let settings = SyncSettings { paused: true, ..draft.enabled()? };
            draft.news = (!draft.is_paused()).then_some(SyncChange::Paused);
            draft.batch.put_document(key.settings_key(), &settings)?.remove_document(key.trigger_key());
            Ok(())
        })
        .await?;
        self.wait_for_end().await;
        Ok(())
    }

    /// Lets a paused sync run again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync, and for one that is not enabled.
    pub async fn resume(&self) -> Result<()> {
        self.change(false, |draft| {
            let settings = SyncSettings { paused: false, ..draft.enabled()? };
            draft.news = draft.is_paused().then_some(SyncChange::Resumed);
            draft.batch.put_document(draft.key.settings_key(), &settings).map(drop)
        })
        .await
    }

    /// Gives the sync another schedule; `None` is the template's own interval.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or template and for a sync that is not enabled, and
    /// [`ErrorKind::Invalid`] for a schedule that names no time.
    pub async fn set_schedule(&self, schedule: Option<Schedule>) -> Result<SyncSettings> {
        let key = &*self.key;
        let own = self.engine.template(&key.template)?.info().interval;
        let schedule = schedule.unwrap_or_else(|| own.into());
        let now = self.engine.parts().environment.now();
        let first = schedule.first(now)?;
        let mut changed = None;
        self.change(false, |draft| {
            let settings = SyncSettings { schedule: schedule.clone(), ..draft.enabled()? };
            draft.status.next_due_at = match draft.status.last_started_at {
                Some(started) => schedule.next(started, now)?.or(Some(first)),
                None => Some(first),
            };
            draft.put_status()?;
            draft.news = (draft.settings.as_ref() != Some(&settings)).then_some(SyncChange::SettingsChanged);
            draft.batch.put_document(key.settings_key(), &settings)?;
            changed = Some(settings);
            Ok(())
        })
        .await?;
        changed.ok_or_else(|| not_enabled(key))
    }

    /// Asks for a run as soon as there is room for one, also of a paused sync. The request is stored until a run begins. A run
    /// in progress is not disturbed: another follows it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync, and for one that is not enabled.
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

    /// Asks this engine's run of the sync to stop. Returns whether there was one; does not wait for its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or sync.
    pub async fn cancel(&self) -> Result<bool> {
        self.engine.check_known(&self.key).await?;
        Ok(self.engine.cancel_run(&self.key))
    }

    /// Makes a change to the sync in one commit that nobody came between, and tells every scheduler. Where it stops
    /// the run, whoever runs the sync is shut out by the same commit.
    async fn change<F>(&self, stop: bool, mut change: F) -> Result<()>
    where
        F: FnMut(&mut Draft<'_>) -> Result<()>,
    {
        let (engine, key) = (&self.engine, &*self.key);
        let mut tries = 0;
        loop {
            let mut draft = Draft::load(engine, key).await?;
            if stop {
                draft.stop_run(engine).await?;
            }
            if let Err(error) = change(&mut draft) {
                // A connection or a sync that does not exist is the better reason.
                engine.check_known(key).await?;
                return Err(error);
            }
            let (mut batch, news) = (draft.batch, draft.news);
            note_change(engine, [key], &mut batch).await?;
            match engine.store().commit(batch).await {
                Ok(_) => {
                    news.into_iter().for_each(|change| engine.publish_change(SyncEvent::new(key, change)));
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        engine.announce(key);
        Ok(())
    }

    /// Stops this engine's own run of the sync, and waits until it is gone.
    async fn wait_for_end(&self) {
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

    /// Tells watchers that a run waits for its place.
    pub(crate) fn tell_queued(&self, key: &SyncKey) {
        self.publish(RunEvent::queued(key));
        self.publish_change(SyncEvent::new(key, SyncChange::Queued));
    }
}

/// Names changed syncs to the schedulers of other processes.
pub(crate) async fn note_change<'k>(
    engine: &Engine,
    keys: impl IntoIterator<Item = &'k SyncKey>,
    batch: &mut WriteBatch,
) -> Result<()> {
    let stored = engine.store().document(CHANGES_KEY).await?;
    let mut changes: Changes = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
    for key in keys {
        changes.count += 1;
        let path = key.path();
        changes.recent.retain(|(_, known)| *known != path);
        changes.recent.push((changes.count, path));
    }
    let surplus = changes.recent.len().saturating_sub(NAMED);
    changes.recent.drain(..surplus);
    batch.expect_document(CHANGES_KEY, stored.as_ref()).put_document(CHANGES_KEY, &changes).map(drop)
}

/// A change in the making: what the store has, and a batch that expects just that.
struct Draft<'k> {
    key: &'k SyncKey,
    connected: bool,
    settings: Option<SyncSettings>,
    status: SyncStatus,
    /// What watchers learn of it.
    news: Option<SyncChange>,
    batch: WriteBatch,
}

impl<'k> Draft<'k> {
    async fn load(engine: &Engine, key: &'k SyncKey) -> Result<Self> {
        let place = connection_key(&key.connection);
        let connection = engine.store().document(&place).await?;
        let settings = engine.store().document(&key.settings_key()).await?;
        let status = engine.store().document(&key.status_key()).await?;
        let mut batch = WriteBatch::new();
        batch.expect_document(place, connection.as_ref());
        batch.expect_document(key.settings_key(), settings.as_ref());
        batch.expect_document(key.status_key(), status.as_ref());
        let settings = settings.as_ref().map(Json::to).transpose()?;
        let status = status.as_ref().map(Json::to).transpose()?.unwrap_or_default();
        Ok(Draft { key, connected: connection.is_some(), settings, status, news: None, batch })
    }

    fn enabled(&self) -> Result<SyncSettings> {
        self.settings.clone().ok_or_else(|| not_enabled(self.key))
    }

    fn is_paused(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.paused)
    }

    fn put_status(&mut self) -> Result<()> {
        self.batch.put_document(self.key.status_key(), &self.status).map(drop)
    }

    /// Shuts out whoever runs the sync, and says so in the run's record.
    async fn stop_run(&mut self, engine: &Engine) -> Result<()> {
        if !mutant!("pause-keeps-lease") {
            self.batch.take_lease(self.key.lease_name());
        }
        self.batch.remove_document(self.key.holder_key());
        let Some(run) = self.status.current_run.take() else { return Ok(()) };
        let store = engine.store().as_ref();
        if let Some(mut report) = logs::read_run(store, self.key, run).await?
            && report.state == RunState::Running
        {
            let why = "the sync was paused or turned off; what was saved stays";
            report.end(RunState::Cancelled, engine.parts().environment.now(), ErrorKind::Cancelled, why);
            logs::put_run(&mut self.batch, self.key, &report, false)?;
        }
        self.status.last_run = Some(run);
        self.put_status()
    }
}

pub(crate) fn not_enabled(key: &SyncKey) -> Error {
    Error::new(ErrorKind::NotFound, "the sync is not enabled: enable it first, or run it once")
        .with("connection", &key.connection)
        .with("sync", key.sync_name())
}
