//! The unit of isolation and of ordering.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The variant of a stream nobody named one for.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamKey {
    connection: Arc<str>,
    model: Arc<str>,
    variant: Arc<str>,
}

impl StreamKey {
    /// The stream of `model` at `connection`, in the default variant.
    pub fn new(connection: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        StreamKey { connection: connection.into(), model: model.into(), variant: DEFAULT_VARIANT.into() }
    }

    /// The same model in another variant.
    #[must_use]
    pub fn variant(mut self, variant: impl Into<Arc<str>>) -> Self {
        self.variant = variant.into();
        self
    }

    /// The connection's id.
    pub fn connection(&self) -> &str {
        &self.connection
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The variant's name.
    pub fn variant_name(&self) -> &str {
        &self.variant
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (part, name) in [("connection", &self.connection), ("model", &self.model), ("variant", &self.variant)] {
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
        let mut bytes = Vec::with_capacity(3 + self.connection.len() + self.model.len() + self.variant.len());
        for part in [&self.connection, &self.model, &self.variant] {
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
            std::str::from_utf8(name).ok().map(Arc::from)
        };
        let (connection, model, variant) = (part()?, part()?, part()?);
        Some(StreamKey { connection, model, variant })
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connection, self.model)?;
        if &*self.variant != DEFAULT_VARIANT {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}
