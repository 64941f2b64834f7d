//! Keys that the host keeps itself.

use std::sync::Mutex;

use async_trait::async_trait;
use highwater_core::Result;
use highwater_engine::Secret;

use super::{ChangeSecrets, SecretStore};

/// Keys that the host supplies and keeps itself, such as one derived from a user's passphrase.
///
/// [`save`](SecretStore::save) changes only this value: after [`Vault::rotate`](crate::Vault::rotate) read
/// [`secrets`](GivenKeys::secrets), and keep them before the program ends.
#[derive(Debug, Default)]
pub struct GivenKeys(Mutex<Vec<Secret>>);

impl GivenKeys {
    /// Takes the keys, the newest first; none for a vault that does not exist yet.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        GivenKeys(Mutex::new(secrets.into_iter().collect()))
    }

    /// Returns the current keys, the newest first.
    pub fn secrets(&self) -> Vec<Secret> {
        self.list().clone()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Secret>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for GivenKeys {
    async fn load(&self) -> Result<Vec<Secret>> {
        Ok(self.secrets())
    }

    async fn save(&self, secrets: &[Secret]) -> Result<()> {
        *self.list() = secrets.to_vec();
        Ok(())
    }

    async fn update(&self, change: &ChangeSecrets<'_>) -> Result<Vec<Secret>> {
        let mut list = self.list();
        *list = change(list.clone());
        Ok(list.clone())
    }

    fn location(&self) -> String {
        "the keys that the program supplied".to_owned()
    }
}
