//! Records as their source has them, and deletes of them.

use bytes::Bytes;

use highwater_core::{RecordId, SourceVersion};

/// A record to save: a JSON object, as the source has it.
///
/// ```
/// use highwater_template::SourceRecord;
/// // Its id is the member `id`.
/// let note = SourceRecord::from(bytes::Bytes::from_static(br#"{"id": 7, "text": "buy milk"}"#));
/// // Its id is given.
/// let user = SourceRecord::with_id("octocat", r#"{"login": "octocat"}"#);
/// # assert_eq!((note.id, user.id.as_deref()), (None, Some("octocat")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceRecord {
    /// The id; `None` where it is the payload's member `id`.
    pub id: Option<RecordId>,
    /// The JSON text.
    pub payload: Bytes,
}

impl SourceRecord {
    /// Makes a record with an id that is not its member `id`.
    pub fn with_id(id: impl Into<RecordId>, payload: impl Into<Bytes>) -> Self {
        SourceRecord { id: Some(id.into()), payload: payload.into() }
    }
}

impl From<Bytes> for SourceRecord {
    fn from(payload: Bytes) -> Self {
        SourceRecord { id: None, payload }
    }
}

/// A record to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceDelete {
    /// The id.
    pub id: RecordId,
    /// The version at which the source deleted the record. Nothing of this version or an older one restores it.
    pub version: Option<SourceVersion>,
}

impl SourceDelete {
    /// Makes a delete without a version.
    pub fn new(id: impl Into<RecordId>) -> Self {
        SourceDelete { id: id.into(), version: None }
    }

    /// Sets the version at which the source deleted the record.
    #[must_use]
    pub fn version(mut self, version: SourceVersion) -> Self {
        self.version = Some(version);
        self
    }
}

impl From<RecordId> for SourceDelete {
    fn from(id: RecordId) -> Self {
        SourceDelete::new(id)
    }
}

impl From<&str> for SourceDelete {
    fn from(id: &str) -> Self {
        SourceDelete::new(id)
    }
}

impl From<String> for SourceDelete {
    fn from(id: String) -> Self {
        SourceDelete::new(id)
    }
}
