//! Where master keys lie: outside the store.

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

/// A place for the master keys of one vault, outside its store: a keychain entry, a file, the host's own.
///
/// It holds a short list of secret texts, the newest first: one key, and the former ones while a rotation is under way.
/// Each is a key of 32 bytes in Base64 (44 characters) or in hexadecimal digits (64).
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the secrets, the newest first; none where none was ever kept.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from being read. A place that is locked, or cannot be reached, must not answer "none": the vault
    /// would take itself for new.
    async fn load(&self) -> Result<Vec<Secret>>;

    /// Replaces the list, durably: it holds when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the place can only be read, otherwise whatever keeps the list from being written.
    async fn save(&self, secrets: &[Secret]) -> Result<()>;

    /// Returns the secrets; where there are none, keeps `new` first.
    ///
    /// Override it where the place can do this in one step, against other processes too. By default two processes that make a
    /// vault at the same moment may replace each other's secret; the vault notices and adds its own again.
    ///
    /// # Errors
    ///
    /// Those of [`load`](SecretStore::load) and [`save`](SecretStore::save).
    async fn load_or_keep(&self, new: &Secret) -> Result<Vec<Secret>> {
        if self.load().await?.is_empty() {
            self.save(std::slice::from_ref(new)).await?;
        }
        self.load().await
    }

    /// Names the place in messages, such as `the file /home/me/app.key`. Never a secret.
    fn location(&self) -> String;
}

/// The text form of a new key.
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

/// The keys of a text that has several, apart by spaces, line ends or commas.
pub(crate) fn split(text: &str) -> Vec<Secret> {
    text.split([',', ' ', '\n', '\r', '\t']).filter(|part| !part.is_empty()).map(Secret::new).collect()
}
