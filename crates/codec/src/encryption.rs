//! XChaCha20-Poly1305, bound to the record.
//!
//! Stored form: tag, key number, 4 bytes that distinguish keys, 24 bytes of nonce, ciphertext, 16 bytes of
//! authentication tag. The nonce is a keyed hash of random bytes, the record and its payload: should the
//! random source ever repeat itself (a seeded simulation, a cloned virtual machine), nonces still
//! differ wherever payloads do.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use highwater_core::{Environment, Error, ErrorKind, PayloadContext, Result};
use zeroize::Zeroizing;

use crate::keys::{EncryptionKey, KeyRing};
use crate::tags::{ENCRYPTED, unknown};

const CHECK_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 2 + CHECK_BYTES + NONCE_BYTES;

pub(crate) struct Cipher {
    encrypting: Option<u8>,
    keys: Vec<(u8, Prepared)>,
    environment: Arc<dyn Environment>,
}

struct Prepared {
    cipher: XChaCha20Poly1305,
    nonce_key: Zeroizing<[u8; 32]>,
    check: [u8; CHECK_BYTES],
}

impl Prepared {
    fn new(key: &EncryptionKey) -> Self {
        let derived = blake3::derive_key("highwater 1 payload key check", key.expose());
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&derived[..CHECK_BYTES]);
        Prepared {
            cipher: XChaCha20Poly1305::new(&Key::from(*key.expose())),
            nonce_key: Zeroizing::new(blake3::derive_key("highwater 1 payload nonce", key.expose())),
            check,
        }
    }
}

impl Cipher {
    pub(crate) fn new(keys: KeyRing, environment: Arc<dyn Environment>) -> Self {
        let prepared = keys.keys.iter().map(|(number, key)| (*number, Prepared::new(key))).collect();
        Cipher { encrypting: keys.encrypting, keys: prepared, environment }
    }

    /// Returns the name of the key that encrypts.
    pub(crate) fn writes_with(&self) -> Option<String> {
        let number = self.encrypting?;
        self.keys.iter().find(|(known, _)| *known == number).map(|(_, key)| name_of(number, key.check))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|(number, key)| name_of(*number, key.check) == name)
    }

    pub(crate) fn encrypts(&self) -> bool {
        self.encrypting.is_some()
    }

    pub(crate) fn seal(&self, context: &PayloadContext<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let number = self.encrypting.ok_or_else(|| Error::new(ErrorKind::Internal, "no key encrypts"))?;
        let key = self.key(number)?;
        let bound = associated_data(context, number);
        let nonce = self.nonce(key, &bound, payload);
        let sealed = key
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: payload, aad: &bound })
            .map_err(|_| Error::new(ErrorKind::Internal, "the payload is too long to be encrypted"))?;
        out.reserve(HEADER_BYTES + sealed.len());
        out.push(ENCRYPTED);
        out.push(number);
        out.extend_from_slice(&key.check);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(())
    }

    pub(crate) fn open(&self, context: &PayloadContext<'_>, stored: &[u8]) -> Result<Vec<u8>> {
        let (header, sealed) = stored.split_at_checked(HEADER_BYTES).ok_or_else(unknown)?;
        let (number, check, nonce) = split_header(header).ok_or_else(unknown)?;
        let key = self.key(number).map_err(|error| error.with("needs", name_of(number, check)))?;
        if check != key.check {
            return Err(Error::new(
                ErrorKind::WrongKey,
                "the payload was encrypted with another key of this number: open the store with the right one",
            )
            .with("key", number)
            .with("needs", name_of(number, check)));
        }
        let bound = associated_data(context, number);
        key.cipher.decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: &bound }).map_err(|_| {
            Error::new(
                ErrorKind::Corrupt,
                "the encrypted payload was changed, or belongs to another record: restore a backup, or clear the stream and sync again",
            )
            .with("key", number)
        })
    }

    fn key(&self, number: u8) -> Result<&Prepared> {
        self.keys.iter().find(|(known, _)| *known == number).map(|(_, key)| key).ok_or_else(|| {
            Error::new(
                ErrorKind::WrongKey,
                "the payload was encrypted with a key that the codec does not have: add it with KeyRing::also_decrypt",
            )
            .with("key", number)
        })
    }

    fn nonce(&self, key: &Prepared, bound: &[u8], payload: &[u8]) -> [u8; NONCE_BYTES] {
        let mut random = [0; NONCE_BYTES];
        self.environment.fill_random(&mut random);
        let mut hasher = blake3::Hasher::new_keyed(&key.nonce_key);
        hasher.update(&random);
        hasher.update(&(bound.len() as u64).to_be_bytes());
        hasher.update(bound);
        hasher.update(payload);
        let mut nonce = [0; NONCE_BYTES];
        hasher.finalize_xof().fill(&mut nonce);
        nonce
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u8> = self.keys.iter().map(|(number, _)| *number).collect();
        f.debug_struct("Cipher")
            .field("encrypting", &self.encrypting)
            .field("numbers", &numbers)
            .finish_non_exhaustive()
    }
}

/// Returns the name of the key that an encrypted payload needs.
pub(crate) fn key_of(stored: &[u8]) -> Option<String> {
    let (number, check, _) = split_header(stored.get(..HEADER_BYTES)?)?;
    Some(name_of(number, check))
}

/// Returns the name of a key: its number, and a fingerprint that reveals nothing of it.
fn name_of(number: u8, check: [u8; CHECK_BYTES]) -> String {
    format!("key {number} ({:08x})", u32::from_be_bytes(check))
}

/// Splits a header into the key's number, its check bytes and the nonce.
fn split_header(header: &[u8]) -> Option<(u8, [u8; CHECK_BYTES], [u8; NONCE_BYTES])> {
    let ([_, number], rest) = header.split_first_chunk()?;
    let (check, rest) = rest.split_first_chunk()?;
    Some((*number, *check, *rest.first_chunk()?))
}

/// Returns what a payload is bound to. Each part follows its length, so that no two records have the same.
fn associated_data(context: &PayloadContext<'_>, number: u8) -> Vec<u8> {
    let stream = context.stream;
    let mut bound = vec![ENCRYPTED, number];
    for part in [stream.connection(), stream.model(), stream.variant(), context.id] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part.as_bytes());
    }
    bound
}
