//! The stored form of an integration: the document `integration/<key>`.

use highwater_core::{Error, ErrorKind, Result, Timestamp, WriteBatch};
use serde::{Deserialize, Serialize};

use super::settings::IntegrationSettings;

pub(super) const PREFIX: &str = "integration/";

/// An integration as it is stored. Whoever adds or removes one of its connections or endpoints expects this document as it was
/// read and writes it anew, so that none of them can miss another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredIntegration {
    #[serde(flatten)]
    pub(crate) settings: IntegrationSettings,
    /// Counts changes of its settings, endpoints and connections.
    #[serde(default)]
    pub(crate) revision: u64,
}

impl StoredIntegration {
    pub(crate) fn new(mut settings: IntegrationSettings, now: Timestamp) -> Self {
        (settings.created_at, settings.changed_at) = (now, now);
        StoredIntegration { settings, revision: 0 }
    }

    /// Adds to a batch that it is stored, as a later revision of what was read.
    pub(super) fn put_next(mut self, batch: &mut WriteBatch) -> Result<()> {
        self.revision += 1;
        batch.put_document(integration_key(&self.settings.key), &self).map(drop)
    }
}

pub(super) fn integration_key(key: &str) -> String {
    format!("{PREFIX}{key}")
}

pub(crate) fn no_integration(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no such integration: create it first").with("integration", key)
}
