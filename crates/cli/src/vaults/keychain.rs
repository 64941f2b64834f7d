//! The system's keychain as the place of the vault's key.

use std::sync::Arc;

use highwater::Result;
use highwater::vault::SecretStore;

/// The application's name in the keychain.
#[cfg(feature = "keychain")]
const SERVICE: &str = "highwater";

/// Keys in the entry of this name.
#[cfg(feature = "keychain")]
pub(super) fn keys(entry: &str) -> Result<Arc<dyn SecretStore>> {
    use highwater::vault::Keychain;
    use highwater::{Error, ErrorKind};

    if keyring_core::get_default_store().is_none() {
        let store = system().map_err(|source| {
            let message = "no keychain answers: start one and unlock it, or write --vault-key file:PATH or env:NAME";
            Error::new(ErrorKind::Unavailable, message).because(source)
        })?;
        keyring_core::set_default_store(store);
    }
    Ok(Arc::new(Keychain::new(SERVICE, entry)))
}

#[cfg(feature = "keychain")]
fn system() -> keyring_core::Result<Arc<keyring_core::CredentialStore>> {
    #[cfg(target_os = "macos")]
    let store = apple_native_keyring_store::keychain::Store::new()?;
    #[cfg(windows)]
    let store = windows_native_keyring_store::Store::new()?;
    #[cfg(not(any(target_os = "macos", windows)))]
    let store = zbus_secret_service_keyring_store::Store::new()?;
    Ok(store)
}

#[cfg(not(feature = "keychain"))]
pub(super) fn keys(_: &str) -> Result<Arc<dyn SecretStore>> {
    use highwater::{Error, ErrorKind};

    let message = "this build has no support for keychains: build with `--features keychain`, or write --vault-key file:PATH or env:NAME";
    Err(Error::new(ErrorKind::Unsupported, message))
}
