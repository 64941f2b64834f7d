//! Keys in an environment variable.

use std::env;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::Secret;

use super::{SecretStore, split};

/// Reads keys from an environment variable, for servers and containers that get their secrets this way.
///
/// The variable holds one key, or several separated by commas, the newest first. It is read-only: generate a key
/// yourself, for example with `openssl rand -base64 32`. To rotate, put the new key before the old one, restart, and call
/// [`Vault::rotate`](crate::Vault::rotate), which uses the first one as the new key.
#[derive(Clone, Debug)]
pub struct EnvironmentKeys(String);

impl EnvironmentKeys {
    /// Reads the variable with this name.
    pub fn new(name: impl Into<String>) -> Self {
        EnvironmentKeys(name.into())
    }
}

#[async_trait]
impl SecretStore for EnvironmentKeys {
    async fn load(&self) -> Result<Vec<Secret>> {
        match env::var(&self.0) {
            Ok(text) => Ok(split(&text)),
            Err(env::VarError::NotPresent) => Ok(Vec::new()),
            Err(env::VarError::NotUnicode(_)) => {
                Err(Error::new(ErrorKind::Invalid, "the environment variable is not text").with("variable", &self.0))
            }
        }
    }

    async fn save(&self, _: &[Secret]) -> Result<()> {
        let message = "the vault's key comes from an environment variable, which the vault cannot change: set it to a new key, generated with `openssl rand -base64 32` for example";
        Err(Error::new(ErrorKind::Unsupported, message).with("variable", &self.0))
    }

    fn location(&self) -> String {
        format!("the environment variable {}", self.0)
    }
}
