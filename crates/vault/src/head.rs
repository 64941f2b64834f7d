//! The vault's own document: its id, and its data keys, each wrapped with the master key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_codec::{Codec, EncryptionKey, KeyRing};
use highwater_core::{Environment, Error, ErrorKind, PayloadCodec, PayloadContext, Result, StreamKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The only format so far.
const FORMAT: u32 = 1;

/// The number of every master key: their check bytes distinguish them.
const MASTER: u8 = 1;

/// The stored form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    format: u32,
    /// Random: binds rows and keys to this vault.
    pub(crate) id: String,
    /// The first one seals; each opens rows that were sealed under its number.
    pub(crate) keys: Vec<Wrapped>,
}

/// A data key under the master key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wrapped {
    pub(crate) number: u8,
    wrapped: String,
}

/// The wrapped contents: JSON, because the codec expects payloads in JSON.
#[derive(Serialize, Deserialize)]
struct Inner<'a> {
    key: &'a str,
}

/// A data key and the number by which rows refer to it.
#[derive(Clone, Debug)]
pub(crate) struct DataKey {
    pub(crate) number: u8,
    pub(crate) key: EncryptionKey,
}

impl Head {
    /// Creates a vault with these data keys.
    pub(crate) fn new(
        id: String,
        keys: &[DataKey],
        master: &EncryptionKey,
        environment: &Arc<dyn Environment>,
    ) -> Result<Self> {
        let codec = codec(master, environment);
        let wrap = |data: &DataKey| {
            let key = Zeroizing::new(STANDARD.encode(data.key.expose()));
            let text = serde_json::to_vec(&Inner { key: &key }).map(Zeroizing::new).map_err(unwritten)?;
            let mut sealed = Vec::new();
            codec.encode(&PayloadContext { stream: &slot(&id), id: &data.number.to_string() }, &text, &mut sealed)?;
            Ok(Wrapped { number: data.number, wrapped: STANDARD.encode(sealed) })
        };
        let keys = keys.iter().map(wrap).collect::<Result<_>>()?;
        Ok(Head { format: FORMAT, id, keys })
    }

    /// Refuses a document that a later version wrote.
    pub(crate) fn check(&self) -> Result<()> {
        if self.format == FORMAT && !self.keys.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Incompatible, "the vault was written by a later version: update this program")
            .with("format", self.format))
    }

    /// Returns the data keys, unwrapped with the first master key that fits, and which one that is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongKey`] if none fits, [`ErrorKind::Corrupt`] if one fits and the wrapped key was changed.
    pub(crate) fn unwrap(
        &self,
        masters: &[EncryptionKey],
        environment: &Arc<dyn Environment>,
    ) -> Result<(Vec<DataKey>, usize)> {
        for (index, master) in masters.iter().enumerate() {
            let codec = codec(master, environment);
            match self.keys.iter().map(|wrapped| self.unwrap_one(wrapped, &*codec)).collect() {
                Err(error) if error.kind() == ErrorKind::WrongKey => {}
                keys => return keys.map(|keys| (keys, index)),
            }
        }
        Err(Error::new(ErrorKind::WrongKey, "the vault was locked with another key"))
    }

    fn unwrap_one(&self, wrapped: &Wrapped, codec: &dyn PayloadCodec) -> Result<DataKey> {
        let sealed = STANDARD.decode(&wrapped.wrapped).map_err(|_| changed())?;
        let mut text = Zeroizing::new(Vec::new());
        codec
            .decode(&PayloadContext { stream: &slot(&self.id), id: &wrapped.number.to_string() }, &sealed, &mut text)
            .map_err(|error| if error.kind() == ErrorKind::WrongKey { error } else { changed() })?;
        let inner: Inner<'_> = serde_json::from_slice(&text).map_err(|_| changed())?;
        let bytes = STANDARD.decode(inner.key.as_bytes()).map(Zeroizing::new).map_err(|_| changed())?;
        Ok(DataKey { number: wrapped.number, key: EncryptionKey::from_bytes(&bytes)? })
    }
}

/// The data that wrapped keys are bound to.
fn slot(id: &str) -> StreamKey {
    StreamKey::new("highwater-vault", "data key").with_variant(id)
}

fn codec(master: &EncryptionKey, environment: &Arc<dyn Environment>) -> Arc<dyn PayloadCodec> {
    let ring = KeyRing::new(MASTER, master.clone());
    Codec::builder().encrypt(ring).require_encryption().environment(Arc::clone(environment)).build()
}

fn unwritten(source: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "a key of the vault cannot be written").because(source)
}

fn changed() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the vault's wrapped key was changed: restore a backup of the store, or sign in again",
    )
}
