//! The end of a connection.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Json, Result, RunId, StreamKey, WriteBatch};

use super::disconnect_options::{DisconnectMode, DisconnectOptions, DisconnectReport, RevocationMode};
use crate::documents::{
    ConnectionSettings, RunState, StoredHealth, SyncKey, SyncStatus, connection_key, drafts_of, health_key,
};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent, SyncChange, SyncEvent};
use crate::logs;
use crate::removals::Finished;
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

/// A connection that one commit removed.
struct Removed {
    /// Its settings, with those of its integration.
    settings: ConnectionSettings,
    /// Its syncs, and whether each was enabled.
    syncs: BTreeMap<SyncKey, bool>,
}

/// A connection that was removed.
pub(crate) struct Ended {
    pub(crate) report: DisconnectReport,
    /// Whether its credentials are removed too. If not, somebody tries again.
    pub(crate) credentials: Result<()>,
}

impl Engine {
    /// Removes a connection: its settings, its syncs with their schedules and checkpoints, and its credentials, here and in the
    /// [`CredentialStore`](crate::CredentialStore). Runs in progress are stopped. Once this returns, nothing more is written
    /// for the connection, in any process. The log of its runs stays until the log policy removes it.
    ///
    /// The order is this: one commit removes everything that the store has of the connection; then its sign-in is revoked at the
    /// provider, if that has an endpoint for it (RFC 7009), in at most ten seconds; then the credentials are removed. If the
    /// process dies in between or the credential store fails, the rest is done later: by the background work of any engine with
    /// the credential store, by this method again, or by [`connect`](Engine::connect) of the same id.
    /// [`pending_removals`](Engine::pending_removals) lists what is left to do. If another process is renewing the credentials,
    /// waits for the end of that: two minutes at most, if that process died.
    ///
    /// An engine without a credential store cannot remove what another one keeps: it leaves that to the background work of those
    /// that have it.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::DisconnectMode;
    /// let report = engine.disconnect("main", DisconnectMode::ClearRecords).await?;
    /// if let Some(Err(error)) = report.revocation {
    ///     println!("{error}"); // its tokens may work until they expire
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection. Those of the credential store, when the connection has already been
    /// removed: its credentials follow later. Why the provider did not confirm the revocation is no error, and in the report.
    pub async fn disconnect(
        &self,
        connection: &str,
        options: impl Into<DisconnectOptions>,
    ) -> Result<DisconnectReport> {
        let ended = self.end_connection(connection, options.into()).await?;
        ended.credentials.map(|()| ended.report)
    }

    /// Removes a connection. An error of the credential store is no error of this.
    pub(crate) async fn end_connection(&self, connection: &str, options: DisconnectOptions) -> Result<Ended> {
        let told = match options.records {
            DisconnectMode::ClearRecords => anybody_listens(self.store().as_ref()).await?,
            DisconnectMode::KeepRecords => false,
        };
        let mut tries = 0;
        let removed = loop {
            match self.remove_connection(connection, options, told.then(|| self.new_run_id())).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => break outcome,
            }
        };
        let Removed { settings, syncs } = match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => return self.end_again(connection, error).await,
            outcome => outcome?,
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
        let leftovers = self.remove_leftovers(connection).await;
        self.tell_cleared(syncs.keys().filter(|_| told)).await;
        let revocation = match options.revocation {
            RevocationMode::Attempt => Some(self.revoke(&settings).await),
            RevocationMode::Skip => None,
        };
        let credentials = self.remove_credentials(connection).await;
        leftovers?;
        Ok(Ended { report: DisconnectReport { revocation }, credentials })
    }

    /// Finishes what an earlier removal of the connection left.
    async fn end_again(&self, connection: &str, unknown: Error) -> Result<Ended> {
        match self.finish_removal(connection).await? {
            Finished::NothingPending => Err(unknown),
            Finished::Removed(revocation) => Ok(Ended { report: DisconnectReport { revocation }, credentials: Ok(()) }),
        }
    }

    /// Removes the connection and stops its syncs, in one commit.
    async fn remove_connection(
        &self,
        connection: &str,
        options: DisconnectOptions,
        told: Option<RunId>,
    ) -> Result<Removed> {
        let place = connection_key(connection);
        let stored = self.store().document(&place).await?;
        let settings: ConnectionSettings = stored.as_ref().ok_or_else(|| no_connection(connection))?.to()?;
        let mut batch = WriteBatch::new();
        batch.expect_document(&*place, stored.as_ref()).remove_document(&*place);
        let health = self.store().document(&health_key(connection)).await?;
        batch.remove_document(health_key(connection));
        let signed_in = match &health {
            Some(health) => !health.to::<StoredHealth>()?.is_fresh(),
            None => false,
        };
        let filled_in = match self.with_integration(settings.clone()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => settings.clone(),
            outcome => outcome?,
        };
        let revoke = (options.revocation == RevocationMode::Attempt).then(|| filled_in.clone().without_notes());
        self.put_removal(connection, signed_in, revoke, &mut batch)?;
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
        if options.records == DisconnectMode::ClearRecords {
            self.clear_connection(connection, &syncs, told, &mut batch).await?;
        }
        note_change(self, syncs.keys(), &mut batch).await?;
        self.store().commit(batch).await?;
        Ok(Removed { settings: filled_in, syncs })
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
