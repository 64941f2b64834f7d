//! The end of a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{ErrorKind, Result};
use tokio::time::Instant;

use super::disconnect_options::{DisconnectMode, DisconnectOptions, DisconnectReport, RevocationMode};
use super::remove::Removed;
use crate::documents::{SyncKey, drafts_of};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent, SyncChange, SyncEvent};
use crate::http::Revocation;
use crate::removals::Finished;
use crate::webhooks::outbox::{anybody_listens, tell};

/// Tries of a commit that others keep overtaking.
const TRIES: u32 = 50;

/// The most connections that one commit removes.
const AT_ONCE: usize = 200;

/// How long providers are asked to revoke the sign-ins of connections that are removed together.
const REVOKING: Duration = Duration::from_secs(300);

/// A connection that was removed.
pub(crate) struct Ended {
    pub(crate) report: DisconnectReport,
    /// Whether its credentials are removed too. If not, somebody tries again.
    pub(crate) credentials: Result<()>,
}

/// The revocations of connections that are removed together.
struct Revocations {
    mode: RevocationMode,
    began: Instant,
    /// A provider did not answer: it is not asked for the others.
    unanswered: AtomicBool,
}

impl Revocations {
    fn new(mode: RevocationMode) -> Self {
        Revocations { mode, began: Instant::now(), unanswered: AtomicBool::new(false) }
    }

    async fn revoke(&self, engine: &Engine, removed: &Removed) -> Option<Result<Revocation>> {
        let given_up = self.unanswered.load(Ordering::Relaxed) || self.began.elapsed() > REVOKING;
        if self.mode == RevocationMode::Skip || given_up {
            return None;
        }
        let outcome = engine.revoke(&removed.settings).await;
        if outcome.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Unavailable)) {
            self.unanswered.store(true, Ordering::Relaxed);
        }
        Some(outcome)
    }
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
        let ended = self.end_connections(vec![connection.to_owned()], options.into()).await?.remove(connection);
        let ended = match ended {
            Some(ended) => ended,
            None => self.end_again(connection).await?,
        };
        ended.credentials.map(|()| ended.report)
    }

    /// Removes connections, many in one commit, and leaves out those that are not there. An error of the credential store is no
    /// error of this.
    pub(crate) async fn end_connections(
        &self,
        mut connections: Vec<String>,
        options: DisconnectOptions,
    ) -> Result<BTreeMap<String, Ended>> {
        let told = match options.records {
            DisconnectMode::ClearRecords => anybody_listens(self.store().as_ref()).await?,
            DisconnectMode::KeepRecords => false,
        };
        // In the order of their documents.
        connections.sort_by_cached_key(|connection| format!("{connection}/"));
        let revocations = Revocations::new(options.revocation);
        let (mut ended, mut rest) = (BTreeMap::new(), &connections[..]);
        let (mut size, mut tries) = (AT_ONCE, 0);
        while !rest.is_empty() {
            let (first, others) = rest.split_at(size.min(rest.len()));
            let removed = match self.remove_connections(first, options, told).await {
                // Runs of them begin and end meanwhile: with fewer connections there are fewer of these.
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => {
                    (size, tries) = ((size / 2).max(1), tries + 1);
                    continue;
                }
                outcome => outcome?,
            };
            (rest, size, tries) = (others, (size * 2).min(AT_ONCE), 0);
            ended.extend(self.end_removed(&removed, told, &revocations).await?);
        }
        Ok(ended)
    }

    /// Does what follows the commit that removed connections.
    async fn end_removed(
        &self,
        removed: &[Removed],
        told: bool,
        revocations: &Revocations,
    ) -> Result<Vec<(String, Ended)>> {
        for Removed { settings, syncs } in removed {
            self.publish_connection(ConnectionEvent::new(&settings.id, ConnectionChange::Disconnected));
            for (key, enabled) in syncs {
                self.announce(key);
                if *enabled {
                    self.publish_change(SyncEvent::new(key, SyncChange::Disabled));
                }
            }
        }
        let ids: BTreeSet<&str> = removed.iter().map(|removed| &*removed.settings.id).collect();
        let running: BTreeSet<SyncKey> =
            lock(&self.parts().running).keys().filter(|key| ids.contains(&*key.connection)).cloned().collect();
        for key in &running {
            self.cancel_run(key);
        }
        for key in &running {
            self.until_idle(key).await;
        }
        let leftovers = self.remove_leftovers(removed).await;
        self.tell_cleared(removed.iter().flat_map(|removed| removed.syncs.keys()).filter(|_| told)).await;
        let (waiting, ended) = (Mutex::new(removed.iter()), Mutex::new(Vec::new()));
        let next = || lock(&waiting).next();
        let work = || {
            Box::pin(async {
                while let Some(removed) = next() {
                    let revocation = revocations.revoke(self, removed).await;
                    let credentials = self.remove_credentials(&removed.settings.id).await;
                    let report = DisconnectReport { revocation };
                    lock(&ended).push((removed.settings.id.clone(), Ended { report, credentials }));
                }
            })
        };
        // Eight at a time.
        tokio::join!(biased; work(), work(), work(), work(), work(), work(), work(), work());
        leftovers?;
        Ok(ended.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Finishes what an earlier removal of the connection left.
    async fn end_again(&self, connection: &str) -> Result<Ended> {
        match self.finish_removal(connection).await? {
            Finished::NothingPending => Err(no_connection(connection)),
            Finished::Removed(revocation) => Ok(Ended { report: DisconnectReport { revocation }, credentials: Ok(()) }),
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
