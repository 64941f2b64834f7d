//! The sessions of an engine's connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use highwater_core::locks::lock;

use super::credential_store::CredentialStore;
use super::credentials::Credentials;
use super::session::Session;

/// The sessions of all connections.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    store: Option<Arc<dyn CredentialStore>>,
    known: Mutex<HashMap<String, Arc<Session>>>,
}

impl Sessions {
    pub(crate) fn new(store: Option<Arc<dyn CredentialStore>>) -> Self {
        Sessions { store, known: Mutex::default() }
    }

    /// The session of a connection as known; loads nothing.
    pub(crate) fn of(&self, connection: &str) -> Arc<Session> {
        let mut known = lock(&self.known);
        let session = known.entry(connection.to_owned()).or_insert_with(|| self.apart(connection));
        Arc::clone(session)
    }

    /// A session that nobody shares, for credentials that are only in the host's store.
    pub(crate) fn apart(&self, connection: &str) -> Arc<Session> {
        Arc::new(Session::new(connection, self.store.clone()))
    }

    /// A session for credentials that are kept nowhere yet. What becomes of them when it renews them is in it alone.
    pub(crate) fn trial(&self, connection: &str, credentials: Credentials) -> Arc<Session> {
        let session = Session::new(connection, None);
        session.set(credentials);
        Arc::new(session)
    }

    /// Whether the host has a store for credentials.
    pub(crate) fn keeps_credentials(&self) -> bool {
        self.store.is_some()
    }

    /// Drops the credentials of a connection that is gone from memory. Nothing more is saved.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        session.leave();
        let mut known = lock(&self.known);
        if known.get(session.connection()).is_some_and(|known| Arc::ptr_eq(known, session)) {
            known.remove(session.connection());
        }
    }
}
