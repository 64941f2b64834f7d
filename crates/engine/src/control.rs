//! What a host decides about its syncs. Each decision is one commit: it holds from when the call returns, in every
//! process, and over restarts.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Json, Result, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::disconnect::no_connection;
use crate::engine::Engine;
use crate::logs;
use crate::mutants::mutant;
use crate::outbox::{anybody_listens, clear_streams};
use crate::run::{RunEvent, RunState, parse_run_id};
use crate::schedule::Schedule;
use crate::settings::connection_key;
use crate::sync::{SyncKey, SyncOptions, SyncSettings, SyncStatus};
use crate::timer::millis;

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
    pub(crate) at_ms: u64,
}

/// What becomes of the records of a sync that is turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisableMode {
    /// They stay, and so does the checkpoint: enabled again, the sync goes on from there.
    Keep,
    /// They go; enabled again, the sync starts over.
    Clear,
}

impl From<bool> for DisableMode {
    fn from(clear: bool) -> Self {
        if clear { DisableMode::Clear } else { DisableMode::Keep }
    }
}

/// The latest changes, for schedulers of other processes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) count: u64,
    pub(crate) recent: Vec<(u64, String)>,
}

impl Engine {
    /// Turns a template on for a connection: from now on it runs at its interval (the template's own, unless given).
    pub async fn enable(&self, connection: &str, sync: &str, interval: Option<Duration>) -> Result<SyncSettings> {
        let schedule = interval.map(Schedule::from);
        self.enable_with(connection, sync, SyncOptions { schedule, ..SyncOptions::default() }).await
    }

    /// Turns a template on for a connection, as `options` say. Variants are named behind the template:
    /// `github/issues::closed`.
    pub async fn enable_with(&self, connection: &str, sync: &str, options: SyncOptions) -> Result<SyncSettings> {
        let key = SyncKey::new(connection, sync)?;
        let found = self.template(&key.template)?;
        let connected = self.connection(connection).await?;
        self.parts().admit(&connected, &found.info().provider)?;
        connected.config_for(found.info())?;
        let schedule = options.schedule.unwrap_or_else(|| found.info().interval.into());
        let now_ms = self.parts().environment.now().unix_ms();
        let first_ms = schedule.first(now_ms)?.saturating_add(self.random_below(millis(options.jitter)));
        let settings = SyncSettings {
            connection: key.connection.clone(),
            template: key.template.clone(),
            variant: key.variant.clone(),
            schedule,
            jitter_ms: millis(options.jitter),
            paused: !options.auto_start,
            deletes: options.deletes,
            timeout_ms: millis(options.timeout),
        };
        self.change(&key, false, |draft| {
            if !draft.connected {
                return Err(no_connection(&key.connection));
            }
            draft.batch.put_document(key.settings_key(), &settings)?;
            // What ran before keeps its rhythm. What never did, and is enabled as it was, keeps the slot that it missed: a host
            // that is not there at night may enable its syncs at every start.
            let started_ms = draft.status.last_started_ms.filter(|_| draft.status.last_success_ms.is_some());
            let as_it_was = draft.settings.as_ref().is_some_and(|known| known.schedule == settings.schedule);
            let kept_ms = draft.status.next_due_ms.filter(|_| as_it_was);
            draft.status.next_due_ms = match started_ms {
                Some(started_ms) => settings.schedule.next(started_ms, now_ms)?.or(Some(first_ms)),
                None => Some(kept_ms.map_or(first_ms, |kept_ms| kept_ms.min(first_ms))),
            };
            draft.put_status()
        })
        .await?;
        Ok(settings)
    }

    /// Turns a template off. A run in progress commits nothing more, in whatever process it is; where the records are
    /// to go, they go in the same commit.
    pub async fn disable(&self, connection: &str, sync: &str, mode: impl Into<DisableMode>) -> Result<()> {
        let key = SyncKey::new(connection, sync)?;
        let found = self.template(&key.template)?;
        let clear = mode.into() == DisableMode::Clear;
        let told = (clear && anybody_listens(self.store().as_ref()).await?).then(|| self.new_run_id());
        self.change(&key, true, |draft| {
            if !draft.connected && draft.settings.is_none() {
                return Err(no_connection(&key.connection));
            }
            let batch = &mut draft.batch;
            batch.remove_document(key.settings_key()).remove_document(key.trigger_key());
            if clear {
                batch.remove_document(key.checkpoint_key());
                batch.remove_document(key.status_key());
                batch.remove_document(key.open_key());
                let models = found.info().models.iter().map(|model| model.name.as_str());
                clear_streams(&key, models, told, self.parts().environment.now().unix_ms(), batch)?;
            }
            Ok(())
        })
        .await?;
        self.tell_cleared(told.iter().map(|_| &key)).await;
        self.wait_for_end(&key).await;
        Ok(())
    }

    /// Keeps a sync from running until [`start_sync`](Engine::start_sync); restarts change nothing about it.
    /// A run in progress is stopped: once this returns, it can write nothing more, in whatever process it is.
    pub async fn pause_sync(&self, connection: &str, sync: &str) -> Result<()> {
        let key = SyncKey::new(connection, sync)?;
        self.change(&key, true, |draft| {
            let settings = SyncSettings { paused: true, ..draft.enabled(&key)? };
            draft.batch.put_document(key.settings_key(), &settings)?.remove_document(key.trigger_key());
            Ok(())
        })
        .await?;
        self.wait_for_end(&key).await;
        Ok(())
    }

    /// Lets a paused sync run again.
    pub async fn start_sync(&self, connection: &str, sync: &str) -> Result<()> {
        let key = SyncKey::new(connection, sync)?;
        self.change(&key, false, |draft| {
            let settings = SyncSettings { paused: false, ..draft.enabled(&key)? };
            draft.batch.put_document(key.settings_key(), &settings).map(drop)
        })
        .await
    }

    /// Gives a sync another schedule, or its template's own back.
    pub async fn set_schedule(&self, connection: &str, sync: &str, schedule: Option<Schedule>) -> Result<SyncSettings> {
        let key = SyncKey::new(connection, sync)?;
        let own = self.template(&key.template)?.info().interval;
        let schedule = schedule.unwrap_or_else(|| own.into());
        let now_ms = self.parts().environment.now().unix_ms();
        let first_ms = schedule.first(now_ms)?;
        let mut changed = None;
        self.change(&key, false, |draft| {
            let settings = SyncSettings { schedule: schedule.clone(), ..draft.enabled(&key)? };
            draft.status.next_due_ms = match draft.status.last_started_ms {
                Some(started_ms) => schedule.next(started_ms, now_ms)?.or(Some(first_ms)),
                None => Some(first_ms),
            };
            draft.put_status()?;
            draft.batch.put_document(key.settings_key(), &settings)?;
            changed = Some(settings);
            Ok(())
        })
        .await?;
        changed.ok_or_else(|| not_enabled(&key))
    }

    /// Asks for a run as soon as there is a place for one, also of a paused sync. The wish is kept until a run
    /// begins; a run in progress is not disturbed, another follows it.
    pub async fn trigger(&self, connection: &str, sync: &str, mode: TriggerMode) -> Result<()> {
        let key = SyncKey::new(connection, sync)?;
        let trigger = Trigger { mode, at_ms: self.parts().environment.now().unix_ms() };
        self.change(&key, false, |draft| {
            draft.enabled(&key)?;
            draft.batch.put_document(key.trigger_key(), &trigger).map(drop)
        })
        .await
    }

    /// Every sync that is turned on.
    pub async fn enabled(&self) -> Result<Vec<SyncSettings>> {
        self.read_all("sync/").await
    }

    /// Makes a change to a sync in one commit that nobody came between, and tells every scheduler. Where it stops
    /// the run, whoever runs the sync is shut out by the same commit.
    async fn change<F>(&self, key: &SyncKey, stop: bool, mut change: F) -> Result<()>
    where
        F: FnMut(&mut Draft<'_>) -> Result<()>,
    {
        let mut tries = 0;
        loop {
            let mut draft = Draft::load(self, key).await?;
            if stop {
                draft.stop_run(self).await?;
            }
            change(&mut draft)?;
            let mut batch = draft.batch;
            note_change(self, [key], &mut batch).await?;
            match self.store().commit(batch).await {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        self.announce(key);
        Ok(())
    }

    /// Stops this engine's own run of the sync, and waits until it is gone.
    async fn wait_for_end(&self, key: &SyncKey) {
        self.cancel_run(key);
        self.until_idle(key).await;
    }

    /// Asks the run of a sync in this engine to stop; whether there was one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where the engine has no such template.
    pub fn cancel(&self, connection: &str, sync: &str) -> Result<bool> {
        let key = SyncKey::new(connection, sync)?;
        self.template(&key.template)?;
        Ok(self.cancel_run(&key))
    }

    /// Tells watchers that a run waits for its place.
    pub(crate) fn tell_queued(&self, key: &SyncKey) {
        self.publish(RunEvent::queued(key));
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
        Ok(Draft { key, connected: connection.is_some(), settings, status, batch })
    }

    fn enabled(&self, key: &SyncKey) -> Result<SyncSettings> {
        self.settings.clone().ok_or_else(|| not_enabled(key))
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
        if let Some(mut report) = logs::read_run(store, self.key, parse_run_id(&run)?).await?
            && report.state == RunState::Running
        {
            let why = "the sync was paused or turned off; what was saved stays";
            report.end(RunState::Cancelled, engine.parts().environment.now().unix_ms(), ErrorKind::Cancelled, why);
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
