//! Keys in the system's keychain.

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::Secret;
use keyring_core::Entry;
use tokio::sync::oneshot;

use super::{SecretStore, split};

/// Keeps keys in an entry of the system's keychain: macOS Keychain, Windows Credential Manager, a Secret Service on Linux.
///
/// The application selects the keychain once at its start, with `keyring_core::set_default_store` and the store crate of
/// its platform; without one every call fails with [`ErrorKind::Unsupported`]. Calls block on a separate thread, because a
/// keychain may prompt the user.
#[derive(Clone, Debug)]
pub struct Keychain {
    service: String,
    user: String,
}

impl Keychain {
    /// Uses this entry: `service` is the application's name, `user` distinguishes its stores.
    pub fn new(service: impl Into<String>, user: impl Into<String>) -> Self {
        Keychain { service: service.into(), user: user.into() }
    }

    async fn with_entry<T, F>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Entry) -> keyring_core::Result<T> + Send + 'static,
    {
        let (service, user) = (self.service.clone(), self.user.clone());
        let (told, outcome) = oneshot::channel();
        let thread = std::thread::Builder::new().name("highwater-keychain".into());
        let work = move || {
            // Fails only if the caller has stopped waiting.
            let _ = told.send(Entry::new(&service, &user).and_then(|entry| call(&entry)));
        };
        let failed =
            |source: std::io::Error| Error::new(ErrorKind::Internal, "no thread could be started").because(source);
        thread.spawn(work).map_err(failed)?;
        let ended = |_| Error::new(ErrorKind::Internal, "the keychain's library panicked");
        outcome.await.map_err(ended)?.map_err(|error| self.explain(error))
    }

    fn explain(&self, source: keyring_core::Error) -> Error {
        use keyring_core::Error as Keyring;
        let (kind, message) = match &source {
            Keyring::NoDefaultStore => (
                ErrorKind::Unsupported,
                "the application has not selected a keychain: call keyring_core::set_default_store at its start",
            ),
            Keyring::NoStorageAccess(_) => {
                (ErrorKind::PermissionDenied, "the keychain is locked, or may not be used: unlock it and try again")
            }
            Keyring::PlatformFailure(_) => {
                (ErrorKind::Io, "the system's keychain does not answer: check that one is running and unlocked")
            }
            Keyring::TooLong(..) | Keyring::Invalid(..) => (
                ErrorKind::Invalid,
                "the keychain does not accept an entry of this name, or as many keys: choose another name, or forget the former keys",
            ),
            Keyring::Ambiguous(_) => {
                (ErrorKind::Invalid, "the keychain has several entries of this name: remove all but the vault's own")
            }
            Keyring::BadEncoding(_) | Keyring::BadDataFormat(..) => (
                ErrorKind::Invalid,
                "the keychain's entry does not contain vault keys: another program wrote it, so choose another name",
            ),
            Keyring::NotSupportedByStore(_) => {
                (ErrorKind::Unsupported, "the selected keychain cannot keep entries: select another")
            }
            _ => (ErrorKind::Internal, "the keychain refused the entry"),
        };
        // The library's own message could quote the contents of an entry, so it is dropped.
        Error::new(kind, message).with("service", &self.service).with("user", &self.user)
    }
}

#[async_trait]
impl SecretStore for Keychain {
    async fn load(&self) -> Result<Vec<Secret>> {
        self.with_entry(|entry| match entry.get_password() {
            Ok(text) => Ok(split(Secret::new(text).expose())),
            Err(keyring_core::Error::NoEntry) => Ok(Vec::new()),
            Err(error) => Err(error),
        })
        .await
    }

    async fn save(&self, secrets: &[Secret]) -> Result<()> {
        let text = Secret::new(secrets.iter().map(Secret::expose).collect::<Vec<_>>().join(","));
        self.with_entry(move |entry| entry.set_password(text.expose())).await
    }

    fn location(&self) -> String {
        format!("the keychain's entry {} of {}", self.user, self.service)
    }
}
