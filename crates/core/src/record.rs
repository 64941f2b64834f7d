//! Records as a reader sees them.

mod id;

pub use id::RecordId;

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::timestamp::Timestamp;

/// The last thing that happened to a record. In JSON and as text: `added`, `updated`, `deleted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It appeared, or came back after a deletion.
    #[serde(alias = "ADDED")]
    Added,
    /// Its content changed.
    #[serde(alias = "UPDATED")]
    Updated,
    /// It was deleted; the last payload is kept until pruned.
    #[serde(alias = "DELETED")]
    Deleted,
}

impl Action {
    /// Returns a small number that never changes, for storage.
    pub fn code(self) -> u8 {
        match self {
            Action::Added => 0,
            Action::Updated => 1,
            Action::Deleted => 2,
        }
    }

    /// Returns the action that has this number.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Action::Added),
            1 => Some(Action::Updated),
            2 => Some(Action::Deleted),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Added => "added",
            Action::Updated => "updated",
            Action::Deleted => "deleted",
        })
    }
}

/// What a modification means to a reader that holds everything up to its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetAction {
    /// The reader does not hold the record: insert it.
    #[serde(alias = "ADDED")]
    Added,
    /// The reader holds an older version: replace it.
    #[serde(alias = "UPDATED")]
    Updated,
    /// The reader holds the record: remove it.
    #[serde(alias = "DELETED")]
    Deleted,
    /// The record no longer matches the reader's filter: remove it.
    #[serde(alias = "LEFT")]
    Left,
    /// Born and deleted since the reader's cursor: nothing to do. A reader that stored records but lost the cursor
    /// behind them reads them again from an older one: it removes what it has of this record.
    #[serde(alias = "VOID")]
    Void,
}

impl NetAction {
    /// Returns whether the reader removes the record. One that stays and comes without a payload was pruned: what the reader holds of
    /// it stays too.
    ///
    /// ```
    /// use highwater_core::NetAction;
    /// assert!(NetAction::Left.removes() && !NetAction::Updated.removes());
    /// ```
    pub fn removes(self) -> bool {
        matches!(self, NetAction::Deleted | NetAction::Left | NetAction::Void)
    }
}

/// A record's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Metadata {
    /// The position of the last modification.
    pub cursor: Cursor,
    /// When the record was first seen.
    pub first_seen_at: Timestamp,
    /// When it last changed.
    pub last_modified_at: Timestamp,
    /// What that change was.
    pub last_action: Action,
    /// When it was deleted, if it is.
    pub deleted_at: Option<Timestamp>,
    /// When its payload was pruned, if it was.
    pub pruned_at: Option<Timestamp>,
}

/// A JSON object as text, exactly as it was saved.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    /// The text of stored bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if they are not UTF-8.
    pub(crate) fn from_stored(bytes: Bytes) -> Result<Self> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Json(bytes)),
            Err(source) => Err(Error::corrupt("a stored JSON text is not UTF-8").because(source)),
        }
    }

    /// Copies a text, and checks that it is JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is not.
    ///
    /// ```
    /// use highwater_core::Json;
    /// let json = Json::parse(r#"{"id": "a"}"#)?;
    /// assert_eq!(json.as_str(), r#"{"id": "a"}"#);
    /// assert!(Json::parse("{").is_err());
    /// # Ok::<(), highwater_core::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_slice::<serde::de::IgnoredAny>(text.as_bytes())
            .map_err(|source| Error::new(ErrorKind::Invalid, "the text is not JSON").because(source))?;
        Ok(Json(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Returns the text's bytes: valid UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text, as it was saved.
    pub fn as_str(&self) -> &str {
        // Both constructors have checked the bytes.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Reads the value as `T`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it does not have that shape.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0).map_err(unexpected)
    }
}

#[cold]
fn unexpected(source: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, "the JSON value does not have the expected shape").because(source)
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// A record of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// The record's id, unique in its stream.
    pub id: RecordId,
    /// The payload; `None` once pruned, and where only metadata was asked for.
    pub payload: Option<Json>,
    /// Where it stands in the log, and since when.
    pub metadata: Metadata,
}

impl Record {
    /// Reads the payload as `T`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it does not have that shape, and [`ErrorKind::NotFound`] if there is no payload: it was
    /// pruned, or only metadata was asked for.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        match &self.payload {
            Some(payload) => payload.to().map_err(|error| error.with("id", &self.id)),
            None => Err(Error::new(ErrorKind::NotFound, "the record's payload was pruned or not asked for")
                .with("id", &self.id)),
        }
    }
}

/// A modification, as a page of the log gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// What it means to a reader at the cursor the page was asked for with.
    pub net: NetAction,
    /// The record as it is now.
    #[serde(flatten)]
    pub record: Record,
}
