//! The layers of a stored payload: compressed inside, encrypted outside.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "encryption")]
use highwater_core::{Environment, SystemEnvironment};
use highwater_core::{Error, ErrorKind, PayloadCodec, PayloadContext, Result};

#[cfg(feature = "zstd")]
use crate::compression::Compression;
#[cfg(feature = "encryption")]
use crate::encryption::Cipher;
#[cfg(feature = "encryption")]
use crate::keys::KeyRing;

/// The first byte of an encrypted payload. Not `{`, like every tag.
pub(crate) const ENCRYPTED: u8 = 0xe1;
/// The first byte of a compressed payload.
pub(crate) const COMPRESSED: u8 = 0xc1;

/// A [`PayloadCodec`] that compresses, then encrypts; each where asked for.
///
/// It reads whatever any configuration of it wrote, as long as it has the key and the dictionary:
/// compression and encryption may be switched on for a store that has records already.
pub struct Codec {
    #[cfg(feature = "zstd")]
    compression: Option<Compression>,
    #[cfg(feature = "encryption")]
    cipher: Option<Cipher>,
    strict: bool,
}

impl Codec {
    /// A codec that does nothing yet.
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

    /// Appends the compressed form where there is one and it is shorter, else the payload.
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
        let opened = cipher.open(context, stored)?;
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
            let mut inner = Vec::with_capacity(payload.len());
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
                "the payload is not encrypted, in a store where every payload must be: somebody put it there",
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

/// What a [`Codec`] is to do.
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
    /// Compresses payloads where that makes them shorter.
    #[cfg(feature = "zstd")]
    #[must_use]
    pub fn compress(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Encrypts payloads with the ring's encrypting key, and decrypts with any of its keys.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encrypt(mut self, keys: KeyRing) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Takes the random part of nonces from `environment`, for tests that repeat exactly.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Refuses payloads that are not encrypted, rather than taking them for records from before
    /// encryption was switched on. Nobody who can write to the file can slip a plain one in then.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn require_encryption(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The codec.
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

pub(crate) fn unknown() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the stored payload is neither JSON nor anything this codec writes: open the store with the codec it was written with, or restore a backup",
    )
}
