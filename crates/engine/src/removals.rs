//! Credentials of what was removed leave the credential store too, however often that fails and whatever process dies.
//!
//! The commit that removes a connection or an integration writes a removal, a document that lasts until the credential store has
//! nothing of it any more. Whoever comes next finishes it: the same call again, the background work of any process, or a new
//! connection of the same id before it begins.

use highwater_core::{Error, ErrorKind, Json, Result, StoreFuture, Timestamp, WriteBatch};

use crate::documents::{
    ConnectionSettings, INTEGRATIONS, PendingRemoval, REMOVALS, StoredRemoval, connection_key, removal_key,
};
use crate::engine::Engine;
use crate::events::{ConnectionChange, ConnectionEvent, IntegrationChange, IntegrationEvent};
use crate::http::{Place, Revocation, Session};
use crate::mutants::mutant;

/// Removals read at a time.
const PAGE: usize = 100;

/// What became of a removal that was pending.
pub(crate) enum Finished {
    /// There was none.
    NothingPending,
    /// The credentials are gone. With the outcome of revoking the sign-in, where that was still to be tried.
    Removed(Option<Result<Revocation>>),
}

impl Engine {
    /// Returns the removed connections and deleted integrations of which the [`CredentialStore`](crate::CredentialStore) still has
    /// secrets, and why. The background work of each engine that has a credential store tries these removals again, with pauses
    /// from 5 seconds to an hour; so do [`disconnect`](Engine::disconnect) and [`connect`](Engine::connect) of the same id.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// for removal in engine.pending_removals().await? {
    ///     println!("{:?}: {} tries, {:?}", removal.connection, removal.tries, removal.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn pending_removals(&self) -> Result<Vec<PendingRemoval>> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.store().documents(REMOVALS, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for document in &page {
                found.push(document.value.to::<StoredRemoval>()?.pending(&document.key));
            }
        }
    }

    /// Adds to the commit that removes a connection or an integration that its credentials, stored under `name`, are to follow.
    /// `kept` says whether the credential store may have any.
    pub(crate) fn put_removal(
        &self,
        name: &str,
        kept: bool,
        revoke: Option<ConnectionSettings>,
        batch: &mut WriteBatch,
    ) -> Result<()> {
        if (kept || self.parts().sessions.keeps_credentials()) && !mutant!("removal-unnoted") {
            let removal = StoredRemoval::new(self.parts().environment.now(), revoke);
            batch.put_document(removal_key(name), &removal)?;
        }
        Ok(())
    }

    /// Drops the credentials of what this engine just removed: from memory, and from the credential store.
    pub(crate) async fn remove_credentials(&self, name: &str) -> Result<()> {
        let session = self.parts().sessions.of(name);
        let removing = async {
            self.parts().sessions.forget(&session);
            if session.has_store() { self.remove_kept(&session).await } else { Ok(()) }
        };
        let removed = session.change_alone(&self.place(), Box::pin(removing)).await;
        // Also where the turn could not be taken.
        self.parts().sessions.forget(&session);
        removed
    }

    /// Removes credentials that were saved while their connection was removed.
    pub(crate) async fn remove_orphaned(&self, connection: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.expect_document(connection_key(connection), None).expect_document(removal_key(connection), None);
        self.put_removal(connection, true, None, &mut batch)?;
        match self.store().commit(batch).await {
            // Whoever removed it removes them, or did before it was connected again.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            outcome => drop(outcome?),
        }
        self.finish_removal(connection).await.map(drop)
    }

    /// Finishes the removal of `name`, if one is pending. Until it is finished, nothing new may take the name: new credentials
    /// would be removed with the old ones, or the old ones used for a new connection.
    pub(crate) fn finish_removal<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Finished> {
        // Boxed: one copy in the program, whoever finishes it.
        Box::pin(self.finish_if_pending(name))
    }

    async fn finish_if_pending(&self, name: &str) -> Result<Finished> {
        let Some(stored) = self.store().document(&removal_key(name)).await? else {
            return Ok(Finished::NothingPending);
        };
        if !self.parts().sessions.keeps_credentials() {
            return Err(named(
                name,
                Error::new(
                    ErrorKind::Unsupported,
                    "the credential store still has secrets of a removed one of this name, and this engine has no credential store: \
                     remove them with an engine that has it, or choose another name",
                ),
            ));
        }
        let revocation = match stored.to::<StoredRemoval>()?.revoke {
            Some(settings) => Some(self.revoke_kept(&settings).await),
            None => None,
        };
        let session = self.parts().sessions.of(name);
        session.change_alone(&self.place(), self.remove_kept(&session)).await?;
        Ok(Finished::Removed(revocation))
    }

    /// Removes what the credential store has of `name`, and then the removal, while nobody renews the credentials.
    fn remove_kept<'a>(&'a self, session: &'a Session) -> StoreFuture<'a, ()> {
        Box::pin(self.remove_all_kept(session))
    }

    async fn remove_all_kept(&self, session: &Session) -> Result<()> {
        let name = session.connection();
        let key = removal_key(name);
        let stored = self.store().document(&key).await?;
        // If there is none, another process has finished it.
        let Some(stored) = stored else { return Ok(()) };
        let mut removal: StoredRemoval = stored.to()?;
        let outcome = session.remove_kept().await;
        match &outcome {
            Ok(()) => {
                self.end_removal(&key, &stored, None).await?;
                if removal.tries > 0 {
                    self.tell_removal(name, None);
                }
            }
            Err(error) => {
                removal.failed(error, self.parts().environment.now());
                self.tell_removal(name, Some(error));
                if let Err(other) = self.end_removal(&key, &stored, Some(&removal)).await {
                    tracing::warn!(target: "highwater::connection", name, "a failed removal could not be noted: {other}");
                }
            }
        }
        outcome
    }

    /// Removes a removal, or puts what became of it in its place.
    async fn end_removal(&self, key: &str, stored: &Json, failed: Option<&StoredRemoval>) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.expect_document(key, Some(stored));
        match failed {
            Some(removal) => drop(batch.put_document(key, removal)?),
            None => drop(batch.remove_document(key)),
        }
        match self.store().commit(batch).await {
            // Another process got ahead of this one, which had lost its turn.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    fn tell_removal(&self, name: &str, error: Option<&Error>) {
        match error {
            Some(error) => {
                tracing::warn!(target: "highwater::connection", name, "credentials could not be removed, which is tried again: {error}");
            }
            None => tracing::info!(target: "highwater::connection", name, "the credentials are removed at last"),
        }
        match name.strip_prefix(INTEGRATIONS) {
            Some(key) => {
                let change = error.map_or(IntegrationChange::SecretsRemoved, |_| IntegrationChange::RemovalFailed);
                self.publish_integration(IntegrationEvent::new(key, change));
            }
            None => {
                let change = error.map_or(ConnectionChange::CredentialsRemoved, |_| ConnectionChange::RemovalFailed);
                self.publish_connection(ConnectionEvent::new(name, change));
            }
        }
    }

    /// Tries the removals that are due. Returns when to try the next one.
    pub(crate) async fn finish_removals(&self) -> Result<Option<Timestamp>> {
        let (mut after, mut next) = (String::new(), None::<Timestamp>);
        if !self.parts().sessions.keeps_credentials() {
            return Ok(next);
        }
        loop {
            let page = self.store().documents(REMOVALS, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(next) };
            after.clone_from(&last.key);
            for document in &page {
                let now = self.parts().environment.now();
                let due = document.value.to::<StoredRemoval>()?.due_at(now);
                let name = document.key.strip_prefix(REMOVALS).unwrap_or_default();
                if due > now {
                    next = Some(next.map_or(due, |known| known.min(due)));
                } else if let Err(error) = self.finish_removal(name).await {
                    tracing::debug!(target: "highwater::connection", name, "a removal is not finished yet: {error}");
                    next = Some(now);
                }
            }
        }
    }

    /// Where this engine takes its turns among processes.
    pub(crate) fn place(&self) -> Place<'_> {
        let parts = self.parts();
        Place { store: &parts.store, environment: &parts.environment, engine: &parts.name }
    }
}

fn named(name: &str, error: Error) -> Error {
    match name.strip_prefix(INTEGRATIONS) {
        Some(key) => error.with("integration", key),
        None => error.with("connection", name),
    }
}
