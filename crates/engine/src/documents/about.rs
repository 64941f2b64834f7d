//! A host's own data about a connection, and its limits.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest name or value, in bytes.
const TEXT: usize = 255;

/// The longest mail address (RFC 5321).
const EMAIL: usize = 254;

/// The most tags, and the longest name of one, in bytes.
const TAGS: usize = 64;
const TAG_NAME: usize = 64;

/// The most metadata, as JSON, in bytes.
const METADATA: usize = 64 * 1024;

/// Whose account a connection is, as the host knows them.
///
/// ```
/// use highwater_engine::connections::EndUser;
/// let user = EndUser::new("u-7").email("ann@example.com").organisation("acme");
/// assert_eq!(user.organisation.as_deref(), Some("acme"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndUser {
    /// The host's id of the user: 1 to 255 bytes.
    pub id: String,
    /// The user's mail address: at most 254 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The host's id of the user's organisation: at most 255 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl EndUser {
    /// Names a user by the host's id.
    pub fn new(id: impl Into<String>) -> Self {
        EndUser { id: id.into(), ..EndUser::default() }
    }

    /// Sets the mail address.
    #[must_use]
    pub fn email(mut self, email: impl Into<String>) -> Self {
        self.email = Some(email.into());
        self
    }

    /// Sets the organisation's id.
    #[must_use]
    pub fn organisation(mut self, organisation: impl Into<String>) -> Self {
        self.organisation = Some(organisation.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let organisation = self.organisation.as_deref().unwrap_or_default();
        if self.id.is_empty() || self.id.len() > TEXT || organisation.len() > TEXT {
            return Err(Error::new(
                ErrorKind::Invalid,
                "an end user's id has 1 to 255 bytes, and an organisation's at most 255: use shorter ids",
            ));
        }
        if self.email.as_deref().unwrap_or_default().len() > EMAIL {
            return Err(Error::new(ErrorKind::Invalid, "an end user's mail address has at most 254 bytes"));
        }
        Ok(())
    }
}

pub(crate) fn check_display_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > TEXT {
        return Err(Error::new(ErrorKind::Invalid, "a display name has 1 to 255 bytes")
            .with("bytes", name.len())
            .with("maximum", TEXT));
    }
    Ok(())
}

pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > TAGS {
        return Err(Error::new(ErrorKind::Invalid, "a connection has at most 64 tags: keep more in its metadata")
            .with("tags", tags.len()));
    }
    let fits = |name: &str, value: &str| !name.is_empty() && name.len() <= TAG_NAME && value.len() <= TEXT;
    match tags.iter().find(|(name, value)| !fits(name, value)) {
        None => Ok(()),
        Some((name, value)) => {
            let shown: String = name.chars().take(TAG_NAME).collect();
            Err(Error::new(ErrorKind::Invalid, "a tag's name has 1 to 64 bytes and its value at most 255")
                .with("tag", shown)
                .with("bytes", value.len()))
        }
    }
}

pub(crate) fn check_metadata(metadata: &Map<String, Value>) -> Result<()> {
    let text = serde_json::to_vec(metadata)
        .map_err(|source| Error::new(ErrorKind::Invalid, "the metadata cannot be written").because(source))?;
    if text.len() > METADATA {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a connection's metadata has at most 64 KiB as JSON: keep more in a store of your own",
        )
        .with("bytes", text.len())
        .with("maximum", METADATA));
    }
    Ok(())
}

/// Metadata as it is given: a JSON object.
pub(crate) fn object(metadata: Value) -> Result<Map<String, Value>> {
    match metadata {
        Value::Object(members) => Ok(members),
        _ => Err(Error::new(ErrorKind::Invalid, "metadata is a JSON object: give one, `{}` for none")),
    }
}
