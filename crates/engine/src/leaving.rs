//! Connections that leave their integrations. A commit that removes some rewrites the documents of those.

use std::collections::BTreeMap;

use highwater_core::{ErrorKind, Json, Result, WriteBatch};

use crate::documents::{ConnectionSettings, StoredIntegration, integration_key};
use crate::engine::Engine;

/// The integrations of connections that one commit removes, each read once.
#[derive(Default)]
pub(crate) struct Leaving(BTreeMap<String, (Json, StoredIntegration)>);

impl Leaving {
    /// Notes that a connection leaves its integration. Returns its settings, with those of the integration.
    pub(crate) async fn leave(&mut self, engine: &Engine, settings: ConnectionSettings) -> Result<ConnectionSettings> {
        let Some(key) = &settings.integration else { return Ok(settings) };
        if !self.0.contains_key(key) {
            match engine.stored_integration(key).await {
                Ok(stored) => drop(self.0.insert(key.clone(), stored)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(match self.0.get(key) {
            Some((_, integration)) => integration.settings.fill_in(settings),
            None => settings,
        })
    }

    /// Adds it to the commit.
    pub(crate) fn finish(self, batch: &mut WriteBatch) -> Result<()> {
        for (key, (document, integration)) in self.0 {
            batch.expect_document(integration_key(&key), Some(&document));
            integration.put_next(batch)?;
        }
        Ok(())
    }
}
