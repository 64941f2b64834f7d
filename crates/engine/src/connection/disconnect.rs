//! The end of a connection.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::locks::lock;
use highwater_core::{ErrorKind, Json, Result, RunId, StreamKey, WriteBatch};

use crate::documents::{ConnectionSettings, RunState, SyncKey, SyncStatus, connection_key, drafts_of, health_key};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent, SyncChange, SyncEvent};
use crate::http::Place;
use crate::logs;
use crate::sync::note_change;
use crate::webhooks::outbox::{anybody_listens, clear_streams, tell};

/// Tries of a commit that others keep overtaking.
const TRIES: u32 = 50;

/// Documents read at a time.
const PAGE: usize = 500;

/// The key prefixes of a connection's documents, apart from its streams and the log of its runs.
const KEPT: [&str; 11] = [
    "sync/",
    "off/",
    "status/",
    "checkpoint/",
    "trigger/",
    "holder/",
    "open/",
    "strikes/",
    "counts/",
    "outbox/untold/",
    "event/",
];

/// Those of them that are followed by the name of a sync.
const OF_SYNCS: usize = 7;

/// What happens to the records of a removed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectMode {
    /// They stay and can be read. A later connection of the same id reads everything again before it deletes any of them.
    KeepRecords,
    /// They are removed in the commit that removes the connection; earlier cursors expire.
    ClearRecords,
}

impl Engine {
    /// Removes a connection: its settings, its syncs with their schedules and checkpoints, and its credentials, here and in the
    /// [`CredentialStore`](crate::CredentialStore). Runs in progress are stopped. Once this returns, nothing more is written
    /// for the connection, in any process. The log of its runs stays until the log policy removes it. If another process is
    /// renewing the credentials, waits for the end of that: at most a minute, if that process died.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// engine.disconnect("main", highwater_engine::DisconnectMode::ClearRecords).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection. If the credential store fails, the connection has already been
    /// removed: remove its credentials there.
    pub async fn disconnect(&self, connection: &str, mode: DisconnectMode) -> Result<()> {
        let told = match mode {
            DisconnectMode::ClearRecords => anybody_listens(self.store().as_ref()).await?,
            DisconnectMode::KeepRecords => false,
        };
        let mut tries = 0;
        let syncs = loop {
            match self.remove_connection(connection, mode, told.then(|| self.new_run_id())).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => break outcome?,
            }
        };
        self.publish_connection(ConnectionEvent::new(connection, ConnectionChange::Disconnected));
        for (key, enabled) in &syncs {
            self.announce(key);
            if *enabled {
                self.publish_change(SyncEvent::new(key, SyncChange::Disabled));
            }
        }
        let running: Vec<SyncKey> =
            lock(&self.parts().running).keys().filter(|key| key.connection == connection).cloned().collect();
        for key in &running {
            self.cancel_run(key);
        }
        for key in &running {
            self.until_idle(key).await;
        }
        self.remove_leftovers(connection).await?;
        self.tell_cleared(syncs.keys().filter(|_| told)).await;
        let parts = self.parts();
        let place = Place { store: &parts.store, environment: &parts.environment, engine: &parts.name };
        parts.sessions.forget(connection, &place).await
    }

    /// Removes the connection and stops its syncs, in one commit. Returns them, and whether each was enabled.
    async fn remove_connection(
        &self,
        connection: &str,
        mode: DisconnectMode,
        told: Option<RunId>,
    ) -> Result<BTreeMap<SyncKey, bool>> {
        let place = connection_key(connection);
        let stored = self.store().document(&place).await?;
        let settings: ConnectionSettings = stored.as_ref().ok_or_else(|| no_connection(connection))?.to()?;
        let mut batch = WriteBatch::new();
        batch.expect_document(&*place, stored.as_ref()).remove_document(&*place);
        batch.remove_document(health_key(connection));
        self.leave(&settings, &mut batch).await?;
        let mut syncs = BTreeMap::new();
        for (at, prefix) in KEPT.into_iter().enumerate() {
            for key in self.kept_under(prefix, connection).await? {
                if at < OF_SYNCS
                    && let Some(path) = key.strip_prefix(prefix)
                {
                    // The settings of the enabled ones come first.
                    syncs.entry(SyncKey::from_path(path)?).or_insert(prefix == "sync/");
                }
                batch.remove_document(key);
            }
        }
        for key in syncs.keys() {
            batch.take_lease(key.lease_name());
            self.end_runs(key, &mut batch).await?;
        }
        if mode == DisconnectMode::ClearRecords {
            self.clear_connection(connection, &syncs, told, &mut batch).await?;
        }
        note_change(self, syncs.keys(), &mut batch).await?;
        self.store().commit(batch).await?;
        Ok(syncs)
    }

    /// Ends the records of a sync's runs.
    async fn end_runs(&self, key: &SyncKey, batch: &mut WriteBatch) -> Result<()> {
        let stored = self.store().document(&key.status_key()).await?;
        batch.expect_document(key.status_key(), stored.as_ref());
        let status: SyncStatus = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
        for run in [status.current_run, status.parked_run].into_iter().flatten() {
            if let Some(mut report) = logs::read_run(self.store().as_ref(), key, run).await?
                && matches!(report.state, RunState::Running | RunState::AwaitingApproval)
            {
                let why = "the connection was removed";
                report.end(RunState::Cancelled, self.parts().environment.now(), ErrorKind::Cancelled, why);
                logs::put_run(batch, key, &report, false)?;
            }
        }
        Ok(())
    }

    /// Adds to a batch that it clears every stream of the connection.
    async fn clear_connection(
        &self,
        connection: &str,
        syncs: &BTreeMap<SyncKey, bool>,
        told: Option<RunId>,
        batch: &mut WriteBatch,
    ) -> Result<()> {
        let heads = self.store().streams().await?.into_iter().map(|head| head.stream);
        let mut streams: BTreeSet<StreamKey> = heads.filter(|stream| stream.connection() == connection).collect();
        for key in syncs.keys() {
            // Streams that no template of this engine writes are cleared too, without a notification.
            let Ok(template) = self.template(&key.template) else { continue };
            let models = template.info().models.iter().map(|model| model.name.as_str());
            let models: Vec<&str> = models.filter(|model| streams.remove(&key.stream(model))).collect();
            clear_streams(key, models.into_iter(), told, self.parts().environment.now(), batch)?;
        }
        for stream in &streams {
            batch.on(stream).clear();
        }
        Ok(())
    }

    /// Removes documents that runs wrote between the read and the commit that stopped them.
    async fn remove_leftovers(&self, connection: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        for prefix in KEPT {
            for key in self.kept_under(prefix, connection).await? {
                batch.remove_document(key);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        batch.expect_document(connection_key(connection), None);
        match self.store().commit(batch).await {
            // It was connected again: the documents belong to the new connection.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    async fn kept_under(&self, prefix: &str, connection: &str) -> Result<Vec<String>> {
        let (prefix, mut after, mut keys) = (format!("{prefix}{connection}/"), String::new(), Vec::new());
        loop {
            let page = self.store().documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(keys) };
            after.clone_from(&last.key);
            keys.extend(page.into_iter().map(|document| document.key.to_string()));
        }
    }

    /// Delivers the notifications about cleared streams. If that fails, the next check of the outbox does.
    pub(crate) async fn tell_cleared(&self, syncs: impl Iterator<Item = &SyncKey>) {
        for key in syncs {
            if let Err(error) = tell(self.store().as_ref(), &*self.parts().environment, &drafts_of(key)).await {
                tracing::warn!(target: "highwater::outbox", sync = %key, "its news wait for the next look: {error}");
            }
        }
    }
}
