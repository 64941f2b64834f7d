//! The layers of a stored payload: compressed first, then encrypted.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "encryption")]
use highwater_core::{Environment, SystemEnvironment};
use highwater_core::{Error, ErrorKind, PayloadCodec, PayloadContext, Result};
#[cfg(feature = "encryption")]
use zeroize::Zeroizing;

#[cfg(feature = "zstd")]
use crate::compression::Compression;
#[cfg(feature = "encryption")]
use crate::encryption::Cipher;
#[cfg(feature = "encryption")]
use crate::keys::KeyRing;
use crate::tags::{COMPRESSED, ENCRYPTED, unknown};

/// A [`PayloadCodec`] that compresses, encrypts, or does both in this order.
///
/// Reads what any configuration of it wrote, as long as it has the key and the dictionary: compression and encryption may be
/// switched on for a store that already has records.
pub struct Codec {
    #[cfg(feature = "zstd")]
    compression: Option<Compression>,
    #[cfg(feature = "encryption")]
    cipher: Option<Cipher>,
    strict: bool,
}

impl Codec {
    /// Returns a builder for a codec that by default neither compresses nor encrypts.
    pub fn builder() -> CodecBuilder {
        CodecBuilder {
            #[cfg(feature = "zstd")]
            compression: None,
            #[cfg(feature = "encryption")]
            keys: None,
            #[cfg(feature = "encryption")]
            environment: Arc::new(SystemEnvironment),
            strict: false,
        }
    }

    /// Appends the compressed form if there is one and it is shorter, and otherwise the payload.
    fn compress(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        #[cfg(feature = "zstd")]
        if let Some(compression) = &self.compression {
            return compression.encode(payload, out);
        }
        out.extend_from_slice(payload);
        Ok(())
    }

    fn decompress(&self, stored: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match stored.first() {
            #[cfg(feature = "zstd")]
            Some(&COMPRESSED) => match &self.compression {
                Some(compression) => compression.decode(stored, out),
                None => Compression::new().decode(stored, out),
            },
            #[cfg(not(feature = "zstd"))]
            Some(&COMPRESSED) => {
                Err(Error::new(ErrorKind::Unsupported, "the payload is compressed: build with the feature `zstd`"))
            }
            Some(b'{') => {
                out.extend_from_slice(stored);
                Ok(())
            }
            _ => Err(unknown()),
        }
    }

    #[cfg(feature = "encryption")]
    fn decrypt(&self, context: &PayloadContext<'_>, stored: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let cipher = self.cipher.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::WrongKey, "the payload is encrypted: open the store with a codec that has its key")
        })?;
        let opened = Zeroizing::new(cipher.open(context, stored)?);
        self.decompress(&opened, out)
    }

    #[cfg(not(feature = "encryption"))]
    fn decrypt(&self, _: &PayloadContext<'_>, _: &[u8], _: &mut Vec<u8>) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "the payload is encrypted: build with the feature `encryption`"))
    }
}

impl PayloadCodec for Codec {
    fn encode(&self, context: &PayloadContext<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        #[cfg(feature = "encryption")]
        if let Some(cipher) = &self.cipher
            && cipher.encrypts()
        {
            let mut inner = Zeroizing::new(Vec::with_capacity(payload.len()));
            self.compress(payload, &mut inner)?;
            return cipher.seal(context, &inner, out);
        }
        let _ = context;
        self.compress(payload, out)
    }

    fn decode(&self, context: &PayloadContext<'_>, stored: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match stored.first() {
            Some(&ENCRYPTED) => self.decrypt(context, stored, out),
            _ if self.strict => Err(Error::new(
                ErrorKind::Corrupt,
                "the payload is not encrypted, although this store requires it: another program wrote it",
            )),
            _ => self.decompress(stored, out),
        }
    }

    fn needs(&self) -> Vec<String> {
        let mut needs = Vec::new();
        #[cfg(feature = "encryption")]
        needs.extend(self.cipher.as_ref().and_then(Cipher::writes_with));
        #[cfg(feature = "zstd")]
        needs.extend(self.compression.as_ref().and_then(Compression::writes_with));
        needs
    }

    fn need_of(&self, stored: &[u8]) -> Option<String> {
        match stored.first() {
            #[cfg(feature = "encryption")]
            Some(&ENCRYPTED) => crate::encryption::key_of(stored),
            #[cfg(feature = "zstd")]
            Some(&COMPRESSED) => crate::compression::dictionary_of(stored),
            _ => None,
        }
    }

    fn has(&self, need: &str) -> bool {
        let mut has = false;
        #[cfg(feature = "encryption")]
        {
            has |= self.cipher.as_ref().is_some_and(|cipher| cipher.has(need));
        }
        #[cfg(feature = "zstd")]
        {
            has |= self.compression.as_ref().is_some_and(|compression| compression.has(need));
        }
        has
    }

    fn accepts_plain(&self) -> bool {
        !self.strict
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Codec");
        #[cfg(feature = "zstd")]
        shown.field("compression", &self.compression);
        #[cfg(feature = "encryption")]
        shown.field("cipher", &self.cipher);
        shown.field("strict", &self.strict).finish()
    }
}

/// Builds a [`Codec`].
///
/// ```
/// use highwater_codec::Codec;
/// # #[cfg(feature = "encryption")] {
/// use highwater_codec::{EncryptionKey, KeyRing};
/// let keys = KeyRing::new(1, EncryptionKey::generate()?);
/// let codec = Codec::builder().encrypt(keys).require_encryption().build();
/// # let _ = codec;
/// # }
/// # let _ = Codec::builder();
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Debug)]
pub struct CodecBuilder {
    #[cfg(feature = "zstd")]
    compression: Option<Compression>,
    #[cfg(feature = "encryption")]
    keys: Option<KeyRing>,
    #[cfg(feature = "encryption")]
    environment: Arc<dyn Environment>,
    strict: bool,
}

impl CodecBuilder {
    /// Compresses payloads where that makes them shorter. Off by default.
    #[cfg(feature = "zstd")]
    #[must_use]
    pub fn compress(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Encrypts payloads with the ring's encrypting key, and decrypts with any of its keys. Off by default.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encrypt(mut self, keys: KeyRing) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets the source of the random part of nonces, for tests that repeat exactly. The system's by default.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Refuses payloads that are not encrypted, instead of reading them as records from before encryption was switched on.
    /// Whoever can write to the file then cannot insert a plain record. Off by default.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn require_encryption(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Builds the codec.
    pub fn build(self) -> Arc<dyn PayloadCodec> {
        Arc::new(Codec {
            #[cfg(feature = "zstd")]
            compression: self.compression,
            #[cfg(feature = "encryption")]
            cipher: self.keys.map(|keys| Cipher::new(keys, self.environment)),
            strict: self.strict,
        })
    }
}
