//! What a template hands to its host in one commit.

use bytes::Bytes;

use highwater_core::SourceVersion;

/// A record to save: a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRecord {
    /// Its id; taken from its member `id` when `None`.
    pub id: Option<String>,
    /// Its JSON text.
    pub payload: Bytes,
}

impl PageRecord {
    /// A record under an id that is not (or not only) its member `id`.
    pub fn with_id(id: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        PageRecord { id: Some(id.into()), payload: payload.into() }
    }
}

impl From<Bytes> for PageRecord {
    fn from(payload: Bytes) -> Self {
        PageRecord { id: None, payload }
    }
}

/// A record to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageDelete {
    /// Its id.
    pub id: String,
    /// The version at which the source deleted it: nothing that is not newer brings it back.
    pub version: Option<SourceVersion>,
}

impl PageDelete {
    /// A record that was deleted at a version of its own.
    pub fn at_version(id: impl Into<String>, version: SourceVersion) -> Self {
        PageDelete { id: id.into(), version: Some(version) }
    }
}

impl From<String> for PageDelete {
    fn from(id: String) -> Self {
        PageDelete { id, version: None }
    }
}

/// A record that cannot be saved: kept with the reason, beside the records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// The model it would belong to.
    pub model: String,
    /// Its id, where that is known.
    pub id: Option<String>,
    /// What came, or the beginning of it.
    pub payload: Bytes,
    /// Why it cannot be saved.
    pub reason: String,
}

/// What becomes durable in one commit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageOfChanges {
    /// The records' model.
    pub model: String,
    /// Records to save.
    pub records: Vec<PageRecord>,
    /// Records to delete.
    pub deleted: Vec<PageDelete>,
    /// Records, of any model, that cannot be saved.
    pub aside: Vec<SetAside>,
    /// Where to go on after this page.
    pub checkpoint: Option<Bytes>,
    /// Whether every record of the model was seen in this run.
    pub complete: bool,
}
