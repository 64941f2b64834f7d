//! Keys, which are never printed and are wiped when dropped.

use std::fmt;

use highwater_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// A 256-bit key. Its bytes are wiped when it is dropped and never printed.
///
/// A passphrase is not a key: derive a key from it with a slow function such as Argon2.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<[u8; 32]>);

impl EncryptionKey {
    /// Creates a key from 32 bytes. Wipe your own copy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for any other number of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "an encryption key has 32 bytes: derive one from a passphrase, or generate one",
            )
            .with("bytes", bytes.len()));
        }
        key.copy_from_slice(bytes);
        Ok(EncryptionKey(key))
    }

    /// Generates a new key from the system's random source. Keep its [bytes](Self::expose) in a safe place: nothing that it
    /// encrypts can be read without them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`] if the system has no random bytes.
    #[allow(clippy::disallowed_methods)] // a key must come from the system or not at all
    pub fn generate() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|source| {
            Error::new(ErrorKind::Internal, "the system has no random bytes for a key").because(source)
        })?;
        Ok(EncryptionKey(key))
    }

    /// Returns the bytes, for a keychain.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(secret)")
    }
}

/// The keys of a store. At most one of them encrypts, and all of them decrypt.
///
/// Each has a number of the host's choice, which is stored with every payload.
///
/// To rotate keys, open the store with both and recode every stream with `Maintenance::Recode`; then the old key is no longer
/// needed.
///
/// ```
/// use highwater_codec::{EncryptionKey, KeyRing};
/// # let (old, new) = (EncryptionKey::generate()?, EncryptionKey::generate()?);
/// let keys = KeyRing::new(2, new).also_decrypt(1, old);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    pub(crate) encrypting: Option<u8>,
    pub(crate) keys: Vec<(u8, EncryptionKey)>,
}

impl KeyRing {
    /// Creates a ring of one key, which encrypts and decrypts.
    pub fn new(number: u8, key: EncryptionKey) -> Self {
        KeyRing { encrypting: Some(number), keys: vec![(number, key)] }
    }

    /// Creates a ring of one key that only decrypts: what is written from now on is not encrypted. Use it to remove
    /// encryption with `Maintenance::Recode`.
    pub fn decrypt_only(number: u8, key: EncryptionKey) -> Self {
        KeyRing { encrypting: None, keys: vec![(number, key)] }
    }

    /// Adds a key that decrypts. A number that is already in use keeps its key.
    #[must_use]
    pub fn also_decrypt(mut self, number: u8, key: EncryptionKey) -> Self {
        if !self.keys.iter().any(|(known, _)| *known == number) {
            self.keys.push((number, key));
        }
        self
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u8> = self.keys.iter().map(|(number, _)| *number).collect();
        f.debug_struct("KeyRing").field("encrypting", &self.encrypting).field("numbers", &numbers).finish()
    }
}
