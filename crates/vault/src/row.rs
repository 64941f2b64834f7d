//! One connection's credentials, sealed.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_codec::{Codec, KeyRing};
use highwater_core::{Environment, Error, ErrorKind, Json, PayloadCodec, PayloadContext, Result, StreamKey};
use highwater_engine::{Credentials, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::head::DataKey;
use crate::mutants::mutant;

/// The stored form.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row<'r> {
    /// The number of the data key.
    pub(crate) key: u8,
    #[serde(borrow)]
    sealed: Cow<'r, str>,
}

impl<'r> Row<'r> {
    /// Reads a stored row, without a copy; `None` where it is none.
    pub(crate) fn read(stored: &'r Json) -> Option<Self> {
        serde_json::from_str(stored.as_str()).ok()
    }

    /// Whether the row says of its data key what the sealed bytes say: their second byte is its number. A row that a rotation
    /// took for one of the newest key would be lost with the former key.
    pub(crate) fn is_sealed_with(&self, number: u8) -> bool {
        let header = self.sealed.get(..4).and_then(|begin| STANDARD.decode(begin).ok());
        self.key == number && header.is_some_and(|header| header.get(1) == Some(&number))
    }
}

/// The error for a row that is not as the vault wrote it for this connection.
pub(crate) fn changed(connection: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the stored credentials were changed, or belong to another connection or store: sign in again",
    )
    .with("connection", connection)
}

/// Seals and opens the rows of one vault.
#[derive(Debug)]
pub(crate) struct Sealer {
    codec: Arc<dyn PayloadCodec>,
    vault: String,
    /// The data key that seals.
    pub(crate) number: u8,
    numbers: Vec<u8>,
}

impl Sealer {
    /// Seals with the first of `keys`.
    pub(crate) fn new(vault: &str, keys: &[DataKey], environment: &Arc<dyn Environment>) -> Result<Self> {
        let (first, others) =
            keys.split_first().ok_or_else(|| Error::new(ErrorKind::Corrupt, "the vault has no key"))?;
        let ring = others.iter().fold(KeyRing::new(first.number, first.key.clone()), |ring, other| {
            ring.also_decrypt(other.number, other.key.clone())
        });
        let codec = Codec::builder().encrypt(ring).require_encryption().environment(Arc::clone(environment)).build();
        let numbers = keys.iter().map(|key| key.number).collect();
        Ok(Sealer { codec, vault: vault.to_owned(), number: first.number, numbers })
    }

    /// Whether the key of a row is known.
    pub(crate) fn opens(&self, row: &Row<'_>) -> bool {
        self.numbers.contains(&row.key)
    }

    pub(crate) fn seal(&self, connection: &str, credentials: &Credentials) -> Result<Row<'static>> {
        let text = credentials.to_secret()?;
        let mut sealed = Vec::new();
        let stream = self.slot(connection);
        self.codec.encode(&PayloadContext { stream: &stream, id: SLOT }, text.expose().as_bytes(), &mut sealed)?;
        Ok(Row { key: self.number, sealed: STANDARD.encode(sealed).into() })
    }

    pub(crate) fn open(&self, connection: &str, row: &Row<'_>) -> Result<Credentials> {
        let changed = || changed(connection);
        if !row.is_sealed_with(row.key) {
            return Err(changed());
        }
        let sealed = STANDARD.decode(row.sealed.as_bytes()).map_err(|_| changed())?;
        let mut text = Zeroizing::new(Vec::new());
        let stream = self.slot(connection);
        self.codec.decode(&PayloadContext { stream: &stream, id: SLOT }, &sealed, &mut text).map_err(|_| changed())?;
        let text = String::from_utf8(std::mem::take(&mut *text)).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            changed()
        })?;
        Credentials::from_secret(&Secret::new(text)).map_err(|error| error.with("connection", connection))
    }

    /// The data that a row is bound to.
    fn slot(&self, connection: &str) -> StreamKey {
        let connection = if mutant!("row-of-any-connection") { "any" } else { connection };
        StreamKey::new(connection, "credentials").with_variant(&*self.vault)
    }
}

const SLOT: &str = "credentials";
