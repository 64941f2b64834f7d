//! The unit of isolation and of ordering.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The default variant of a stream.
pub const DEFAULT_VARIANT: &str = "base";

/// The longest connection, model or variant name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A stream: one model of one connection, in one variant.
///
/// ```
/// use highwater_core::StreamKey;
/// let issues = StreamKey::new("github-main", "Issue");
/// assert_eq!(issues.to_string(), "github-main/Issue");
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Names", from = "Names")]
pub struct StreamKey {
    /// The three names, one behind the other: a key is cloned for every page and looked up for most.
    names: Arc<str>,
    connection_end: usize,
    model_end: usize,
}

impl StreamKey {
    /// The stream of `model` at `connection`, in the default variant.
    pub fn new(connection: impl AsRef<str>, model: impl AsRef<str>) -> Self {
        StreamKey::of(connection.as_ref(), model.as_ref(), DEFAULT_VARIANT)
    }

    fn of(connection: &str, model: &str, variant: &str) -> Self {
        let connection_end = connection.len();
        let model_end = connection_end + model.len();
        StreamKey { names: [connection, model, variant].concat().into(), connection_end, model_end }
    }

    /// Returns the stream of the same model in another variant.
    #[must_use]
    pub fn with_variant(self, variant: impl AsRef<str>) -> Self {
        StreamKey::of(self.connection(), self.model(), variant.as_ref())
    }

    /// The connection's id.
    pub fn connection(&self) -> &str {
        self.names.get(..self.connection_end).unwrap_or_default()
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        self.names.get(self.connection_end..self.model_end).unwrap_or_default()
    }

    /// The variant's name.
    pub fn variant(&self) -> &str {
        self.names.get(self.model_end..).unwrap_or_default()
    }

    fn parts(&self) -> [&str; 3] {
        [self.connection(), self.model(), self.variant()]
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (part, name) in ["connection", "model", "variant"].into_iter().zip(self.parts()) {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(Error::invalid(format!(
                    "a stream's {part} must have 1 to {MAX_NAME_BYTES} bytes, this one has {}",
                    name.len()
                )));
            }
        }
        Ok(())
    }

    /// An unambiguous encoding: each part behind its length.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 + self.names.len());
        for part in self.parts() {
            bytes.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut part = || {
            let (&length, tail) = rest.split_first()?;
            let (name, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            std::str::from_utf8(name).ok()
        };
        Some(StreamKey::of(part()?, part()?, part()?))
    }
}

impl PartialEq for StreamKey {
    fn eq(&self, other: &Self) -> bool {
        let ends = |key: &StreamKey| (key.connection_end, key.model_end);
        ends(self) == ends(other) && (Arc::ptr_eq(&self.names, &other.names) || self.names == other.names)
    }
}

impl Eq for StreamKey {}

impl Hash for StreamKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Where the names end tells few keys apart: equality does.
        self.names.hash(state);
    }
}

impl PartialOrd for StreamKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By connection, then by model, then by variant.
impl Ord for StreamKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [connection, model, variant] = self.parts();
        f.debug_struct("StreamKey")
            .field("connection", &connection)
            .field("model", &model)
            .field("variant", &variant)
            .finish()
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connection(), self.model())?;
        match self.variant() {
            DEFAULT_VARIANT => Ok(()),
            variant => write!(f, "/{variant}"),
        }
    }
}

/// A version of what a stream holds, from [`Store::stream_version`](crate::Store::stream_version).
///
/// Two equal versions of one stream, from one handle, mean that every page of the stream is the same, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamVersion([u8; 16]);

impl StreamVersion {
    /// The version of a stream whose stored state is `state`.
    pub(crate) fn of(state: &[u8]) -> Self {
        let mut version = [0; 16];
        version.copy_from_slice(&blake3::hash(state).as_bytes()[..16]);
        StreamVersion(version)
    }
}

/// A key as it is serialized.
#[derive(Serialize, Deserialize)]
struct Names {
    connection: String,
    model: String,
    variant: String,
}

impl From<StreamKey> for Names {
    fn from(key: StreamKey) -> Self {
        let [connection, model, variant] = key.parts().map(str::to_owned);
        Names { connection, model, variant }
    }
}

impl From<Names> for StreamKey {
    fn from(Names { connection, model, variant }: Names) -> Self {
        StreamKey::of(&connection, &model, &variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::{BuildHasher, RandomState};

    proptest! {
        #[test]
        fn keys_compare_as_their_names_do(a in names(), b in names()) {
            let (one, other) = (key(&a), key(&b));
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one == other, a == b);
            let hasher = RandomState::new();
            prop_assert!(one != other || hasher.hash_one(&one) == hasher.hash_one(&other));
        }

        #[test]
        fn keys_keep_their_names(a in names()) {
            let one = key(&a);
            prop_assert_eq!([one.connection(), one.model(), one.variant()], a.each_ref().map(String::as_str));
            prop_assert_eq!(StreamKey::from_bytes(&one.to_bytes()), Some(one.clone()));
            let text = serde_json::to_string(&one).unwrap();
            prop_assert_eq!(serde_json::from_str::<StreamKey>(&text).unwrap(), one);
        }
    }

    fn key([connection, model, variant]: &[String; 3]) -> StreamKey {
        StreamKey::new(connection, model).with_variant(variant)
    }

    /// Short ones of few letters: the same text parted in different places is what could be mistaken.
    fn names() -> impl Strategy<Value = [String; 3]> {
        [0, 1, 2].map(|_| "[abé/]{0,2}")
    }
}
