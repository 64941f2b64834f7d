//! The commit that removes connections: everything that the store has of them, but the log of their runs.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{ErrorKind, Json, Result, StreamKey, WriteBatch};

use super::disconnect_options::{DisconnectMode, DisconnectOptions, RevocationMode};
use crate::documents::{
    CHANGES_KEY, ConnectionSettings, RunState, StoredHealth, SyncKey, SyncStatus, connection_key, health_key,
};
use crate::engine::Engine;
use crate::leaving::Leaving;
use crate::logs;
use crate::sync::note_change;
use crate::walk::Walk;
use crate::webhooks::outbox::clear_streams;

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

/// The fewest and the most documents read at a time.
const PAGE: (usize, usize) = (16, 500);

/// A connection that a commit removed.
pub(super) struct Removed {
    /// Its settings, with those of its integration.
    pub(super) settings: ConnectionSettings,
    /// Its syncs, and whether each was enabled.
    pub(super) syncs: BTreeMap<SyncKey, bool>,
}

/// The streams of connections.
type Streams = BTreeMap<String, BTreeSet<StreamKey>>;

impl Engine {
    /// Removes connections and stops their syncs, in one commit. They are in the order of their documents. Leaves out those that
    /// are not there.
    pub(super) async fn remove_connections(
        &self,
        connections: &[String],
        options: DisconnectOptions,
        told: bool,
    ) -> Result<Vec<Removed>> {
        let (mut batch, mut removed, mut leaving) = (WriteBatch::new(), Vec::new(), Leaving::default());
        // A sync that comes to one of them from here on is noted there.
        batch.expect_document(CHANGES_KEY, self.store().document(CHANGES_KEY).await?.as_ref());
        let mut kept = self.kept((connections.len() * 4).clamp(PAGE.0, PAGE.1));
        let mut streams = match options.records {
            DisconnectMode::ClearRecords => self.streams_of(connections).await?,
            DisconnectMode::KeepRecords => Streams::new(),
        };
        for connection in connections {
            let place = connection_key(connection);
            let Some(stored) = self.store().document(&place).await? else { continue };
            batch.expect_document(&*place, Some(&stored)).remove_document(&*place);
            let health = self.store().document(&health_key(connection)).await?;
            batch.remove_document(health_key(connection));
            let signed_in = match &health {
                Some(health) => !health.to::<StoredHealth>()?.is_fresh(),
                None => false,
            };
            let settings = leaving.leave(self, stored.to()?).await?;
            let revoke = (options.revocation == RevocationMode::Attempt).then(|| settings.clone().without_notes());
            self.put_removal(connection, signed_in, revoke, &mut batch)?;
            let (syncs, begun) = self.remove_kept_documents(connection, &mut kept, &mut batch).await?;
            if options.records == DisconnectMode::ClearRecords {
                let streams = streams.remove(connection).unwrap_or_default();
                self.clear_connection(&syncs, &begun, streams, told, &mut batch)?;
            }
            removed.push(Removed { settings, syncs });
        }
        if removed.is_empty() {
            return Ok(removed);
        }
        leaving.finish(&mut batch)?;
        note_change(self, removed.iter().flat_map(|removed| removed.syncs.keys()), &mut batch).await?;
        self.store().commit(batch).await?;
        Ok(removed)
    }

    /// Adds to a batch that it removes the documents of a connection, and ends the records of its runs. Returns its syncs, and
    /// whether each was enabled; and those that a run has begun of.
    async fn remove_kept_documents(
        &self,
        connection: &str,
        kept: &mut [Walk<'_>],
        batch: &mut WriteBatch,
    ) -> Result<(BTreeMap<SyncKey, bool>, BTreeSet<SyncKey>)> {
        let (mut syncs, mut statuses) = (BTreeMap::new(), BTreeMap::new());
        for (at, (prefix, walk)) in KEPT.into_iter().zip(kept).enumerate() {
            for document in walk.under(&format!("{connection}/")).await? {
                if at < OF_SYNCS
                    && let Some(path) = document.key.strip_prefix(prefix)
                {
                    let key = SyncKey::from_path(path)?;
                    if prefix == "status/" {
                        statuses.insert(key.clone(), document.value);
                    }
                    // The settings of the enabled ones come first.
                    syncs.entry(key).or_insert(prefix == "sync/");
                }
                batch.remove_document(&*document.key);
            }
        }
        for key in syncs.keys() {
            batch.take_lease(key.lease_name());
            self.end_runs(key, statuses.get(key), batch).await?;
        }
        Ok((syncs, statuses.into_keys().collect()))
    }

    /// Ends the records of a sync's runs.
    async fn end_runs(&self, key: &SyncKey, stored: Option<&Json>, batch: &mut WriteBatch) -> Result<()> {
        batch.expect_document(key.status_key(), stored);
        let status: SyncStatus = stored.map(Json::to).transpose()?.unwrap_or_default();
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

    async fn streams_of(&self, connections: &[String]) -> Result<Streams> {
        let wanted: BTreeSet<&str> = connections.iter().map(String::as_str).collect();
        let mut streams = Streams::new();
        for head in self.store().streams().await? {
            if wanted.contains(head.stream.connection()) {
                streams.entry(head.stream.connection().to_owned()).or_default().insert(head.stream);
            }
        }
        Ok(streams)
    }

    /// Adds to a batch that it clears every stream of a connection: those that there are, and those to which a run that has begun
    /// may write for the first time before the commit. A run that begins later changes its sync's status, which the commit expects.
    fn clear_connection(
        &self,
        syncs: &BTreeMap<SyncKey, bool>,
        begun: &BTreeSet<SyncKey>,
        mut streams: BTreeSet<StreamKey>,
        told: bool,
        batch: &mut WriteBatch,
    ) -> Result<()> {
        let told = told.then(|| self.new_run_id());
        for key in syncs.keys() {
            // Streams that no template of this engine writes are cleared too, without a notification.
            let Ok(template) = self.template(&key.template) else { continue };
            let models = template.info().models.iter().map(|model| model.name.as_str());
            let models: Vec<&str> =
                models.filter(|model| streams.remove(&key.stream(model)) || begun.contains(key)).collect();
            clear_streams(key, models.into_iter(), told, self.parts().environment.now(), batch)?;
        }
        for stream in &streams {
            batch.on(stream).clear();
        }
        Ok(())
    }

    /// Removes documents that runs wrote between the read and the commit that stopped them.
    pub(super) async fn remove_leftovers(&self, removed: &[Removed]) -> Result<()> {
        let (mut batch, mut kept) = (WriteBatch::new(), self.kept(PAGE.0));
        for Removed { settings, .. } in removed {
            let mut found = false;
            for walk in &mut kept {
                for document in walk.under(&format!("{}/", settings.id)).await? {
                    batch.remove_document(&*document.key);
                    found = true;
                }
            }
            if found {
                batch.expect_document(connection_key(&settings.id), None);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        match self.store().commit(batch).await {
            // One was connected again: its documents belong to the new connection. The others go one by one.
            Err(error) if error.kind() == ErrorKind::Conflict => match removed {
                [] | [_] => Ok(()),
                _ => {
                    for one in removed {
                        Box::pin(self.remove_leftovers(std::slice::from_ref(one))).await?;
                    }
                    Ok(())
                }
            },
            outcome => outcome.map(drop),
        }
    }

    fn kept(&self, page: usize) -> [Walk<'_>; KEPT.len()] {
        KEPT.map(|prefix| Walk::paged(self.store().as_ref(), prefix, page))
    }
}
