//! What using a connection's credentials showed is noted for every process; syncs rest and go on by it.

use std::collections::BTreeSet;
use std::pin::Pin;

use highwater_core::{Error, ErrorKind, Json, Result, StoreFuture, WriteBatch};

use crate::documents::{
    ConnectionHealth, ConnectionSettings, Finding, Gate, SignInReason, StoredConnection, StoredHealth, SyncKey,
    SyncSettings, SyncStatus, connection_key, health_key,
};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{ConnectionChange, ConnectionEvent};
use crate::mutants::mutant;
use crate::sync::note_change;
use crate::webhooks::outbox::{AuthNews, AuthOperation, add_auth_rows, bound_rows};

/// What a change does to a connection's health and settings.
type Change<'c> = dyn Fn(&mut StoredHealth, &mut ConnectionSettings) -> Result<()> + Send + Sync + 'c;

/// Tries of a commit that others keep overtaking.
const TRIES: u32 = 50;

/// Documents read at a time.
const PAGE: usize = 500;

impl Engine {
    /// Reads how a connection stands, and takes over credentials that somebody saved since this engine last looked.
    pub(crate) async fn meet(&self, connection: &str) -> Result<StoredHealth> {
        let stored = self.store().document(&health_key(connection)).await?;
        let health: StoredHealth = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
        self.parts().sessions.of(connection).catch_up(health.generation).await?;
        Ok(health)
    }

    /// Returns whether the credentials of a connection may be used: not while somebody has to sign in first. Credentials that
    /// were just given to this engine are tried.
    pub(crate) fn gate(&self, connection: &str, met: &StoredHealth) -> Gate {
        if self.parts().sessions.of(connection).is_untried() || mutant!("sign-in-not-needed") {
            return Gate::Open;
        }
        met.gate(self.parts().environment.now())
    }

    /// Reads how a connection stands, and refuses a call with credentials that are known to be over.
    pub(crate) async fn meet_signed_in(&self, connection: &str) -> Result<StoredHealth> {
        let met = self.meet(connection).await?;
        if self.gate(connection, &met) == Gate::Open {
            return Ok(met);
        }
        let session = self.parts().sessions.of(connection);
        // The host may have put others into its own store.
        session.look().await?;
        if session.is_untried() {
            return Ok(met);
        }
        let health = met.health(self.parts().environment.now());
        let error = Error::new(ErrorKind::Unauthorized, "the connection's sign-in is over: sign in again")
            .with("connection", connection)
            .with("health", health.kind().as_str());
        Err(match health.reason() {
            Some(reason) => error.with("reason", reason.as_str()),
            None => error,
        })
    }

    /// Records the outcome of using a connection's credentials. `met` is the health as it was read before, `error` what the
    /// caller gets, without secrets. If the store fails, the next use records it.
    pub(crate) fn settle_health<'a>(
        &'a self,
        connection: &'a str,
        met: &'a StoredHealth,
        error: Option<&'a Error>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.note_health(connection, met, error))
    }

    async fn note_health(&self, connection: &str, met: &StoredHealth, error: Option<&Error>) {
        let session = self.parts().sessions.of(connection);
        let finding = session.take_finding();
        let known = session.known();
        let now = self.parts().environment.now();
        let change = |health: &mut StoredHealth| {
            // Whoever signed in meanwhile did so with other credentials.
            if health.generation != met.generation {
                return;
            }
            match finding {
                // An answer from before somebody else found the problem says nothing about it.
                Some(Finding::Accepted) if !health.has_problem_of(met) => {}
                Some(finding) => health.find(finding, error, now),
                None => {}
            }
            if let Some(credentials) = &known {
                health.set_token_end(credentials.end());
            }
        };
        let mut expected = met.clone();
        change(&mut expected);
        expected.tell(now);
        if expected == *met {
            return;
        }
        if let Err(error) = self.change_health(connection, AuthOperation::Refresh, change).await
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(target: "highwater::connection", connection, "its health could not be noted: {error}");
        }
    }

    /// Changes a connection's health, in one commit with its webhooks: each change is announced once, in whatever process it is made.
    pub(super) async fn change_health(
        &self,
        connection: &str,
        operation: AuthOperation,
        change: impl Fn(&mut StoredHealth) + Send + Sync,
    ) -> Result<()> {
        let change = |health: &mut StoredHealth, _: &mut ConnectionSettings| {
            change(health);
            Ok(())
        };
        self.change_sign_in(connection, operation, change).await
    }

    /// Changes a connection's health and settings, as [`change_health`](Engine::change_health) does. Nothing changes if `change`
    /// refuses.
    pub(super) async fn change_sign_in(
        &self,
        connection: &str,
        operation: AuthOperation,
        change: impl Fn(&mut StoredHealth, &mut ConnectionSettings) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        self.change_sign_in_by(connection, operation, &change).await
    }

    /// Not generic: one copy for all kinds of change.
    fn change_sign_in_by<'a>(
        &'a self,
        connection: &'a str,
        operation: AuthOperation,
        change: &'a Change<'_>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.change_until_committed(connection, operation, change))
    }

    async fn change_until_committed(
        &self,
        connection: &str,
        operation: AuthOperation,
        change: &Change<'_>,
    ) -> Result<()> {
        let (place, health_place) = (connection_key(connection), health_key(connection));
        let mut tries = 0;
        loop {
            let now = self.parts().environment.now();
            let connected = self.store().document(&place).await?.ok_or_else(|| no_connection(connection))?;
            let stored = self.store().document(&health_place).await?;
            let before: StoredHealth = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
            let known = StoredConnection::read(&connected)?;
            let (mut health, mut settings) = (before.clone(), known.settings.clone());
            change(&mut health, &mut settings)?;
            let told = health.tell(now).or_else(|| operation.is_sign_in().then(|| health.health(now)));
            let (changed, led_elsewhere) = (health != before, settings != known.settings);
            if !(changed || led_elsewhere) {
                return Ok(());
            }
            let mut batch = WriteBatch::new();
            batch.expect_document(&*place, Some(&connected));
            if led_elsewhere {
                let connection = StoredConnection { settings: settings.clone(), created_at: known.created_at };
                batch.put_document(&*place, &connection)?;
            }
            batch.expect_document(&*health_place, stored.as_ref()).put_document(&*health_place, &health)?;
            // A sign-in that begins is looked at too: where it is cut short, others are to go on after a while.
            let wakes = before.gate(now) != Gate::Open
                && health.gate(now) != Gate::Closed
                && before.gate(now) != health.gate(now);
            let woken = if wakes && !mutant!("sign-in-wakes-nobody") {
                self.wake_syncs(connection, &mut batch).await?
            } else {
                BTreeSet::new()
            };
            let mut receivers = Vec::new();
            if let Some(told) = told {
                let error = health.error();
                let mode = self.parts().sessions.of(connection).known().unwrap_or_default().mode();
                let news = AuthNews { settings: &settings, operation, mode, health: told, error: error.as_ref() };
                let (store, environment) = (self.store().as_ref(), &*self.parts().environment);
                receivers = add_auth_rows(store, environment, &news, tries, &mut batch).await?;
            }
            match self.store().commit(batch).await {
                Ok(_) => {
                    if operation.is_sign_in() {
                        self.parts().sessions.of(connection).set_generation(health.generation);
                    }
                    woken.iter().for_each(|key| self.announce(key));
                    if let Some(health) = told {
                        self.tell_health(connection, operation, health);
                    }
                    bound_rows(self.store().as_ref(), &*self.parts().environment, &receivers).await;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn tell_health(&self, connection: &str, operation: AuthOperation, health: ConnectionHealth) {
        let change = if operation.is_sign_in() { ConnectionChange::SignedIn } else { ConnectionChange::HealthChanged };
        let (state, reason) = (health.kind().as_str(), health.reason().map(SignInReason::as_str));
        if health.needs_sign_in() {
            tracing::warn!(target: "highwater::connection", connection, state, reason, "somebody has to sign in again");
        } else {
            tracing::info!(target: "highwater::connection", connection, state, "the connection's health changed");
        }
        self.publish_connection(ConnectionEvent { health: Some(health), ..ConnectionEvent::new(connection, change) });
    }

    /// Adds to a batch that the syncs of a connection, which rested, are looked at again by every scheduler. Those that failed
    /// for want of a sign-in are due at once.
    async fn wake_syncs(&self, connection: &str, batch: &mut WriteBatch) -> Result<BTreeSet<SyncKey>> {
        let now = self.parts().environment.now();
        let (prefix, mut after, mut woken) = (format!("sync/{connection}/"), String::new(), BTreeSet::new());
        loop {
            let page = self.store().documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key);
            for document in &page {
                let key = document.value.to::<SyncSettings>()?.key()?;
                let stored = self.store().document(&key.status_key()).await?;
                let mut status: SyncStatus = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
                if status.lacks_sign_in() {
                    (status.next_due_at, status.not_before) = (Some(now), None);
                    batch.expect_document(key.status_key(), stored.as_ref());
                    batch.put_document(key.status_key(), &status)?;
                }
                woken.insert(key);
            }
        }
        if !woken.is_empty() {
            note_change(self, &woken, batch).await?;
        }
        Ok(woken)
    }
}
