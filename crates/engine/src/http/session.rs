//! What the engine keeps of a connection while it lives: its credentials and its budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_core::Result;
use highwater_core::template::{Provider, Secret};

use super::budget::Budget;
use super::client::Client;
use super::credentials::{CredentialStore, Credentials, Means};
use super::renewal::Refreshing;
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
    held: Mutex<Held>,
    /// Held while the host's store is looked into or written.
    keeping: tokio::sync::Mutex<()>,
    pub(crate) budget: Mutex<Budget>,
    /// Held while tokens are refreshed, so that one refresh serves all.
    pub(super) refreshing: tokio::sync::Mutex<Refreshing>,
    /// Held while secret settings are renewed.
    pub(super) renewing: tokio::sync::Mutex<()>,
    /// Held while a webhook is written.
    pub(crate) receiving: tokio::sync::Mutex<()>,
}

/// The credentials here, and what is known of the host's.
#[derive(Debug, Default)]
struct Held {
    credentials: Option<Credentials>,
    /// The host does not have them yet.
    unsaved: bool,
    /// What the host's store had at the last look; none before the first.
    stored: Option<Option<Credentials>>,
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
                held: Mutex::default(),
                keeping: tokio::sync::Mutex::default(),
                budget: Mutex::default(),
                refreshing: tokio::sync::Mutex::default(),
                renewing: tokio::sync::Mutex::default(),
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
        let store = Arc::clone(&self.store);
        let client = Client::new(transport, environment, store, self.limits.clone(), origins, provider, session);
        client.await.map(|client| client.of_engine(&self.name))
    }
}

impl Session {
    /// Whatever the API said of its limits was said to the credentials before.
    pub(crate) fn set(&self, credentials: Credentials) {
        let mut held = lock(&self.held);
        (held.credentials, held.unsaved, held.stored) = (Some(credentials), false, None);
        drop(held);
        *lock(&self.budget) = Budget::default();
    }

    pub(super) fn connection(&self) -> &str {
        &self.connection
    }

    pub(super) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// The credentials, asked of the host's store the first time.
    pub(crate) async fn credentials(&self) -> Result<Credentials> {
        if self.known().is_none() {
            self.look().await?;
        }
        Ok(self.known().unwrap_or_default())
    }

    pub(crate) fn known(&self) -> Option<Credentials> {
        lock(&self.held).credentials.clone()
    }

    /// Looks into the host's store: what changed there since the last look is taken over. What the host gave the engine
    /// directly stands until then.
    pub(super) async fn look(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let _alone = self.keeping.lock().await;
        let loaded = store.load(&self.connection).await?;
        let mut held = lock(&self.held);
        let changed = held.stored.as_ref().is_some_and(|stored| *stored != loaded);
        if loaded.is_some() && !held.unsaved && (changed || held.credentials.is_none()) {
            held.credentials.clone_from(&loaded);
        }
        held.stored = Some(loaded);
        Ok(())
    }

    /// Takes what the host's store has, if its refresh token is another than this one, which is over.
    pub(super) fn take_other_than(&self, over: Option<&Secret>) -> bool {
        let mut held = lock(&self.held);
        let other = held.stored.clone().flatten().filter(|stored| match &stored.sign_in {
            Means::OAuth2(tokens) => tokens.refresh_token.as_ref() != over,
            _ => stored.can_sign_in(),
        });
        let found = other.is_some();
        if found {
            (held.credentials, held.unsaved) = (other, false);
        }
        found
    }

    /// Changes the credentials. The host is to keep them before they are used.
    pub(super) fn change(&self, change: impl FnOnce(&mut Credentials)) {
        let mut held = lock(&self.held);
        change(held.credentials.get_or_insert_default());
        held.unsaved = true;
    }

    /// Has the host keep what it does not have yet. What it could not keep is offered again before the next request.
    pub(super) async fn save(&self) -> Result<()> {
        if !lock(&self.held).unsaved {
            return Ok(());
        }
        let _alone = self.keeping.lock().await;
        let Some(credentials) = self.known() else { return Ok(()) };
        if let Some(store) = &self.store {
            let saved = store.save(&self.connection, &credentials).await;
            saved.map_err(|error| error.during("keeping renewed credentials").with("connection", &self.connection))?;
        }
        let mut held = lock(&self.held);
        if held.credentials.as_ref() == Some(&credentials) {
            held.unsaved = false;
        }
        held.stored = Some(Some(credentials));
        Ok(())
    }

    pub(crate) async fn renew_secret(&self, name: &str, secret: Secret) -> Result<()> {
        let _alone = self.renewing.lock().await;
        self.credentials().await?;
        self.change(|credentials| drop(credentials.secrets.insert(name.to_owned(), secret)));
        self.save().await
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
