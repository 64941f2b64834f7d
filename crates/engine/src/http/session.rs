//! What the engine keeps of a connection while it lives: its credentials and its budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_core::Result;
use highwater_core::template::{Provider, Secret};

use super::budget::Budget;
use super::client::Client;
use super::credentials::{CredentialStore, Credentials};
use crate::engine::Parts;

/// The sessions of all connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    store: Option<Arc<dyn CredentialStore>>,
    known: Mutex<HashMap<String, Arc<Session>>>,
}

/// One connection's: shared by all its syncs, so that they share credentials and budget.
#[derive(Debug)]
pub(crate) struct Session {
    connection: String,
    store: Option<Arc<dyn CredentialStore>>,
    credentials: Mutex<Option<Credentials>>,
    pub(crate) budget: Mutex<Budget>,
    /// Held while tokens are refreshed, so that one refresh serves all.
    pub(super) refreshing: tokio::sync::Mutex<()>,
    /// Held while a webhook is written.
    pub(crate) receiving: tokio::sync::Mutex<()>,
}

impl Sessions {
    pub(crate) fn new(store: Option<Arc<dyn CredentialStore>>) -> Self {
        Sessions { store, known: Mutex::default() }
    }

    /// The session of a connection, as it is known; nothing is loaded.
    pub(crate) fn of(&self, connection: &str) -> Arc<Session> {
        let mut known = lock(&self.known);
        let session = known.entry(connection.to_owned()).or_insert_with(|| {
            Arc::new(Session {
                connection: connection.to_owned(),
                store: self.store.clone(),
                credentials: Mutex::default(),
                budget: Mutex::default(),
                refreshing: tokio::sync::Mutex::default(),
                receiving: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(session)
    }
}

impl Parts {
    /// A client of a connection.
    pub(crate) async fn client(&self, connection: &str, provider: &Provider, origins: &[String]) -> Result<Client> {
        let (transport, environment) = (Arc::clone(&self.transport), Arc::clone(&self.environment));
        let session = self.sessions.of(connection);
        Client::new(transport, environment, self.limits.clone(), origins, provider, session).await
    }
}

impl Session {
    /// Whatever the API said of its limits was said to the credentials before.
    pub(crate) fn set(&self, credentials: Credentials) {
        *lock(&self.credentials) = Some(credentials);
        *lock(&self.budget) = Budget::default();
    }

    /// The credentials, asked of the host's store the first time.
    pub(crate) async fn credentials(&self) -> Result<Credentials> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let Some(store) = &self.store else { return Ok(Credentials::none()) };
        let Some(loaded) = store.load(&self.connection).await? else { return Ok(Credentials::none()) };
        // Somebody may have set newer ones meanwhile.
        Ok(lock(&self.credentials).get_or_insert(loaded).clone())
    }

    pub(crate) fn known(&self) -> Option<Credentials> {
        lock(&self.credentials).clone()
    }

    /// Keeps new credentials: first with the host, then here, so that a token that works once is never lost.
    pub(crate) async fn keep(&self, credentials: Credentials) -> Result<()> {
        if let Some(store) = &self.store {
            store.save(&self.connection, &credentials).await?;
        }
        self.set(credentials);
        Ok(())
    }

    pub(crate) async fn renew_secret(&self, name: &str, secret: Secret) -> Result<()> {
        let _alone = self.refreshing.lock().await;
        let credentials = self.credentials().await?.secret(name, secret);
        self.keep(credentials).await
    }

    /// `text` without any of the connection's secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut redacted = text.to_owned();
        for secret in self.known().iter().flat_map(Credentials::all_secrets) {
            // A secret of one or two letters is none, and would eat the text.
            if secret.expose().len() > 2 && redacted.contains(secret.expose()) {
                redacted = redacted.replace(secret.expose(), "[secret]");
            }
        }
        redacted
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
