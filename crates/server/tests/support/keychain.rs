//! Credentials of connections, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use highwater_core::Result;
use highwater_engine::{CredentialStore, Credentials};
use highwater_template::async_trait::async_trait;

#[derive(Debug, Default)]
pub(crate) struct Keychain(Mutex<BTreeMap<String, Credentials>>);

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        Ok(self.0.lock().unwrap().get(connection).cloned())
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        self.0.lock().unwrap().insert(connection.to_owned(), credentials.clone());
        Ok(())
    }
}
