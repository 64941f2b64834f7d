//! Where master keys are kept: outside the store.

mod environment;
mod file;
mod given;
#[cfg(feature = "keychain")]
mod keychain;

pub use environment::EnvironmentKeys;
pub use file::KeyFile;
pub use given::GivenKeys;
#[cfg(feature = "keychain")]
pub use keychain::Keychain;

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_codec::EncryptionKey;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::Secret;
use zeroize::Zeroizing;

/// Makes another list of secrets of a list: see [`SecretStore::update`].
pub type ChangeSecrets<'c> = dyn Fn(Vec<Secret>) -> Vec<Secret> + Send + Sync + 'c;

/// Keeps the master keys of one vault outside its store: in a keychain entry, in a file, or wherever the host decides.
///
/// It holds a short list of secret texts, the newest first: one key, and the former ones during a rotation. Each is a key of
/// 32 bytes in Base64 (44 characters) or hexadecimal digits (64).
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the secrets, the newest first; an empty list if none was ever saved.
    ///
    /// # Errors
    ///
    /// Returns an error if the secrets cannot be read. A store of secrets that is locked or unreachable must not return an
    /// empty list: the vault would create a new key.
    async fn load(&self) -> Result<Vec<Secret>>;

    /// Replaces the list. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the secrets are read-only; any other kind if the list cannot be written.
    async fn save(&self, secrets: &[Secret]) -> Result<()>;

    /// Replaces the list by what `change` makes of it, and returns that. Saves nothing if it stays the same.
    ///
    /// Override it if you can do this in one step, across processes too. With the default, two processes that create a vault or
    /// rotate its keys at the same moment may replace each other's list; the vault then adds its own key again.
    ///
    /// # Errors
    ///
    /// Those of [`load`](SecretStore::load) and [`save`](SecretStore::save).
    async fn update(&self, change: &ChangeSecrets<'_>) -> Result<Vec<Secret>> {
        let before = self.load().await?;
        let after = change(before.clone());
        if after != before {
            self.save(&after).await?;
        }
        Ok(after)
    }

    /// Returns a description of the location for messages, such as `the file /home/me/app.key`. Never a secret.
    fn location(&self) -> String;
}

/// Returns the text form of a new key.
pub(crate) fn text_of(key: &EncryptionKey) -> Secret {
    Secret::new(STANDARD.encode(key.expose()))
}

/// Reads either text form.
pub(crate) fn key_of(secret: &Secret) -> Result<EncryptionKey> {
    let text = secret.expose().trim();
    let bytes = if text.len() == 64 { from_hex(text) } else { STANDARD.decode(text).ok().map(Zeroizing::new) };
    bytes.as_deref().and_then(|bytes| EncryptionKey::from_bytes(bytes).ok()).ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            "not a key of the vault: it is 32 random bytes, in Base64 (44 characters) or hexadecimal digits (64)",
        )
    })
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes = digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit)).collect::<Vec<_>>();
    bytes.into_iter().map(|byte| u8::try_from(byte).ok()).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

/// Splits a text of several keys, separated by spaces, line breaks or commas.
pub(crate) fn split(text: &str) -> Vec<Secret> {
    // Editors and shells on Windows write a byte order mark.
    text.trim_start_matches('\u{feff}')
        .split([',', ' ', '\n', '\r', '\t'])
        .filter(|part| !part.is_empty())
        .map(Secret::new)
        .collect()
}
