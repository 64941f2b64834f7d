//! Keys: secrets that never show themselves and are wiped when dropped.

use std::fmt;

use highwater_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// A 256-bit key. Its bytes are wiped when it is dropped and never shown.
///
/// A passphrase is no key: derive one with a slow function such as Argon2 first.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<[u8; 32]>);

impl EncryptionKey {
    /// The key with these 32 bytes. Wipe your own copy.
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

    /// A new key from the system's random source. Keep its [bytes](Self::expose) in a safe place:
    /// without them nothing can be read again.
    #[allow(clippy::disallowed_methods)] // a key must come from the system or not at all
    pub fn generate() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|source| {
            Error::new(ErrorKind::Internal, "the system gives no random bytes: no key can be made").because(source)
        })?;
        Ok(EncryptionKey(key))
    }

    /// The bytes, for the keychain.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(secret)")
    }
}

/// The keys of a store, each under a number of the host's choice that is stored with every payload:
/// at most one encrypts, all of them decrypt.
///
/// To rotate: `KeyRing::new(2, new).also_decrypt(1, old)`, then `Maintenance::Recode` on every
/// stream; from then on the old key is not needed.
#[derive(Clone)]
pub struct KeyRing {
    pub(crate) encrypting: Option<u8>,
    pub(crate) keys: Vec<(u8, EncryptionKey)>,
}

impl KeyRing {
    /// One key that encrypts and decrypts.
    pub fn new(number: u8, key: EncryptionKey) -> Self {
        KeyRing { encrypting: Some(number), keys: vec![(number, key)] }
    }

    /// A ring without an encrypting key: what is written from now on is written plainly. For taking
    /// encryption back with `Maintenance::Recode`.
    pub fn decrypt_only(number: u8, key: EncryptionKey) -> Self {
        KeyRing { encrypting: None, keys: vec![(number, key)] }
    }

    /// One more key that decrypts what was written under it. A number that is in use already keeps
    /// its key.
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
