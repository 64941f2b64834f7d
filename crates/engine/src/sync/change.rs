//! A change of a sync: one commit, guarded against concurrent changes.

use highwater_core::{ErrorKind, Json, Result, RunId, StoreFuture, WriteBatch};

use crate::documents::{
    CHANGES_KEY, Changes, ConnectionSettings, RunState, SyncKey, SyncOrigin, SyncSettings, SyncStatus, connection_key,
};
use crate::engine::Engine;
use crate::errors::not_enabled;
use crate::events::{SyncChange, SyncEvent};
use crate::logs;
use crate::mutants::mutant;
use crate::sync::SyncHandle;

/// What a change does to the draft.
type Change<'c> = dyn FnMut(&mut Draft<'_>) -> Result<()> + Send + 'c;

/// Attempts at a change that conflicts with other changes.
const TRIES: u32 = 50;

/// How many changed syncs are listed; a scheduler that missed more reads all of them again.
const NAMED: usize = 64;

/// Why a run ended that was fenced off.
const FENCED_OFF: &str = "the sync was paused or disabled; everything saved stays";

impl SyncHandle {
    /// Changes the sync in one commit, guarded against concurrent changes, and notifies every scheduler. If the change stops
    /// the run, the same commit fences it off.
    pub(crate) async fn change<F>(&self, stop: bool, mut change: F) -> Result<()>
    where
        F: FnMut(&mut Draft<'_>) -> Result<()> + Send,
    {
        self.change_by(stop, &mut change).await
    }

    /// Not generic: one copy for all kinds of change.
    fn change_by<'a>(&'a self, stop: bool, change: &'a mut Change<'_>) -> StoreFuture<'a, ()> {
        Box::pin(self.change_until_committed(stop, change))
    }

    async fn change_until_committed(&self, stop: bool, change: &mut Change<'_>) -> Result<()> {
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

/// A change in preparation: the stored state, and a batch that expects exactly that state.
pub(crate) struct Draft<'k> {
    pub(crate) key: &'k SyncKey,
    pub(crate) connected: bool,
    /// The connection's integration.
    pub(crate) integration: Option<String>,
    pub(crate) settings: Option<SyncSettings>,
    pub(crate) status: SyncStatus,
    /// The event that watchers get.
    pub(crate) news: Option<SyncChange>,
    pub(crate) batch: WriteBatch,
}

impl<'k> Draft<'k> {
    pub(crate) async fn load(engine: &Engine, key: &'k SyncKey) -> Result<Self> {
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
        let connection: Option<ConnectionSettings> = connection.as_ref().map(Json::to).transpose()?;
        let connected = connection.is_some();
        let integration = connection.and_then(|connection| connection.integration);
        Ok(Draft { key, connected, integration, settings, status, news: None, batch })
    }

    pub(crate) fn enabled(&self) -> Result<SyncSettings> {
        self.settings.clone().ok_or_else(|| not_enabled(self.key))
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.paused)
    }

    /// Stores settings that were decided for this connection alone.
    pub(crate) fn put_settings(&mut self, settings: &SyncSettings) -> Result<()> {
        let origin = if mutant!("own-decision-unmarked") { settings.origin } else { SyncOrigin::Connection };
        self.batch.put_document(self.key.settings_key(), &SyncSettings { origin, ..settings.clone() }).map(drop)
    }

    pub(crate) fn put_status(&mut self) -> Result<()> {
        self.batch.put_document(self.key.status_key(), &self.status).map(drop)
    }

    /// Fences off the run in progress, and says so in its record.
    pub(crate) async fn stop_run(&mut self, engine: &Engine) -> Result<()> {
        if !mutant!("pause-keeps-lease") {
            self.batch.take_lease(self.key.lease_name());
        }
        self.batch.remove_document(self.key.holder_key());
        let Some(run) = self.status.current_run.take() else { return Ok(()) };
        let store = engine.store().as_ref();
        if let Some(mut report) = logs::read_run(store, self.key, run).await?
            && report.state == RunState::Running
        {
            report.end(RunState::Cancelled, engine.parts().environment.now(), ErrorKind::Cancelled, FENCED_OFF);
            logs::put_run(&mut self.batch, self.key, &report, false)?;
        }
        self.status.last_run = Some(run);
        self.put_status()
    }
}

impl Engine {
    /// Ends the record of a run that was fenced off by a commit that could not do so itself: one for many syncs cannot expect
    /// everything that their runs write meanwhile.
    pub(crate) async fn end_fenced_off(&self, key: &SyncKey, run: RunId) -> Result<()> {
        let store = self.store().as_ref();
        loop {
            let stored = store.document(&key.status_key()).await?;
            let report = logs::read_run(store, key, run).await?;
            // A run that holds the lease ends its own record, and has ended those of the runs before it.
            let held = store.document(&key.holder_key()).await?.is_some();
            let Some(mut report) = report.filter(|report| report.state == RunState::Running && !held) else {
                return Ok(());
            };
            report.end(RunState::Cancelled, self.parts().environment.now(), ErrorKind::Cancelled, FENCED_OFF);
            let mut batch = WriteBatch::new();
            batch.expect_document(key.holder_key(), None).expect_document(key.status_key(), stored.as_ref());
            logs::put_run(&mut batch, key, &report, false)?;
            let mut status: SyncStatus = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
            if status.current_run == Some(run) {
                (status.current_run, status.last_run) = (None, Some(run));
                batch.put_document(key.status_key(), &status)?;
            }
            match store.commit(batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return outcome.map(drop),
            }
        }
    }
}
