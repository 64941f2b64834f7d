//! Where the host keeps credentials.

use std::fmt;

use async_trait::async_trait;
use highwater_core::Result;

use super::credentials::Credentials;

/// Stores credentials for the host, for example in a keychain or a vault. The engine loads from it if it has no credentials of
/// a connection, and before each refresh, and saves refreshed ones *before* it uses them.
///
/// ```
/// use highwater_template::async_trait::async_trait;
/// use highwater_engine::{CredentialStore, Credentials, Secret};
/// # use std::{collections::BTreeMap, sync::Mutex};
/// # #[derive(Debug, Default)] struct Vault(Mutex<BTreeMap<String, Secret>>);
/// # impl Vault {
/// #     fn read(&self, name: &str) -> Option<Secret> { self.0.lock().ok()?.get(name).cloned() }
/// #     fn write(&self, name: &str, secret: Secret) { self.0.lock().unwrap().insert(name.to_owned(), secret); }
/// # }
///
/// #[derive(Debug)]
/// struct Keychain(Vault);
///
/// #[async_trait]
/// impl CredentialStore for Keychain {
///     async fn load(&self, connection: &str) -> highwater_core::Result<Option<Credentials>> {
///         self.0.read(connection).as_ref().map(Credentials::from_secret).transpose()
///     }
///     async fn save(&self, connection: &str, credentials: &Credentials) -> highwater_core::Result<()> {
///         self.0.write(connection, credentials.to_secret()?); // durable when it returns
///         Ok(())
///     }
/// }
/// # let _ = Keychain(Vault::default());
/// ```
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the credentials of a connection; `None` if there are none.
    ///
    /// # Errors
    ///
    /// Any error fails the request or the run that needs the credentials. A store that is locked must fail rather than return `None`.
    async fn load(&self, connection: &str) -> Result<Option<Credentials>>;
    /// Saves them durably: the previous ones may no longer be valid.
    ///
    /// # Errors
    ///
    /// Any error fails the run; the engine keeps the tokens and saves them again before it sends anything else.
    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()>;
    /// Saves renewed credentials in place of `known`, those that they came from, as [`load`](CredentialStore::load) returned them.
    /// Returns whether the store has them then: `false`, without a write, if somebody saved others meanwhile.
    ///
    /// Override it where you can compare and write in one step. With the default, what another process passes to
    /// [`save`](CredentialStore::save) in between is lost; what it passes to [`Engine::sign_in`](crate::Engine::sign_in) is not.
    ///
    /// # Errors
    ///
    /// As for [`save`](CredentialStore::save).
    async fn replace(&self, connection: &str, known: Option<&Credentials>, renewed: &Credentials) -> Result<bool> {
        let stored = self.load(connection).await?;
        if stored.as_ref() == known {
            return self.save(connection, renewed).await.map(|()| true);
        }
        Ok(stored.as_ref() == Some(renewed))
    }
    /// Removes them, for [`Engine::disconnect`](crate::Engine::disconnect). By default it saves empty ones in their place.
    ///
    /// # Errors
    ///
    /// Any error is returned by `disconnect`, after the connection itself was removed.
    async fn remove(&self, connection: &str) -> Result<()> {
        self.save(connection, &Credentials::none()).await
    }
}
