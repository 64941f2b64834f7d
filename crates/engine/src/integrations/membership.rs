//! Connections that come to an integration. Each rewrites the integration's document in its own commit.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Json, Result, WriteBatch};

use super::materialise::{first_due, settings_of};
use crate::documents::ConnectionSettings;
use crate::documents::{StoredIntegration, integration_key};
use crate::documents::{SyncKey, SyncStatus};
use crate::engine::Engine;
use crate::mutants::mutant;

/// The integration of a connection that is being connected, as it was read.
pub(crate) struct Joining {
    document: Json,
    integration: StoredIntegration,
    /// Whether the connection was not one of the integration's before.
    new: bool,
}

impl Engine {
    /// Reads the integration of a connection, if it names one, and takes out of the settings what they do not say otherwise.
    /// `before` is the connection as it is stored. For [`Engine::connect`], before anything is checked.
    pub(crate) async fn begin_joining(
        &self,
        settings: &mut ConnectionSettings,
        before: Option<&ConnectionSettings>,
    ) -> Result<Option<Joining>> {
        let of = |settings: &ConnectionSettings| settings.integration.clone();
        let left = before.and_then(of).filter(|left| Some(left) != of(settings).as_ref());
        if let Some(left) = left {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the connection belongs to an integration, and its credentials to that: choose another id, or disconnect it first",
            )
            .with("connection", &settings.id)
            .with("integration", left));
        }
        let Some(key) = of(settings) else { return Ok(None) };
        let (document, integration) = self.stored_integration(&key).await?;
        if !settings.provider.is_empty() && settings.provider != integration.settings.provider {
            return Err(Error::new(ErrorKind::Invalid, "the integration is one of another provider")
                .with("connection", &settings.id)
                .with("integration", key)
                .with("provider", &integration.settings.provider));
        }
        integration.settings.take_out(settings);
        Ok(Some(Joining { document, integration, new: before.and_then(of).is_none() }))
    }
}

impl Joining {
    /// Fills in what the connection does not say itself.
    pub(crate) fn fill_in(&self, connection: ConnectionSettings) -> ConnectionSettings {
        self.integration.settings.fill_in(connection)
    }

    /// Adds to the commit that stores the connection what comes with the integration: a connection that is new gets the settings
    /// of every endpoint that is on, except of syncs that it has already. Returns the syncs that it got.
    pub(crate) async fn finish(
        self,
        engine: &Engine,
        connection: &str,
        batch: &mut WriteBatch,
    ) -> Result<Vec<SyncKey>> {
        let Joining { document, integration, new } = self;
        batch.expect_document(integration_key(&integration.settings.key), Some(&document));
        let mut joined = Vec::new();
        if !new {
            return Ok(joined);
        }
        let now = engine.parts().environment.now();
        for (name, options) in &integration.endpoints {
            let key = SyncKey::new(connection, name)?;
            let stored = engine.store().document(&key.settings_key()).await?;
            batch.expect_document(key.settings_key(), stored.as_ref());
            if stored.is_some() {
                continue;
            }
            let status = engine.store().document(&key.status_key()).await?;
            let status: SyncStatus = status.as_ref().map(Json::to).transpose()?.unwrap_or_default();
            let mut settings = settings_of(&key, options);
            settings.first_due_at = Some(first_due(engine, &settings, &status, Duration::ZERO, now)?);
            batch.put_document(key.settings_key(), &settings)?;
            joined.push(key);
        }
        if !mutant!("joining-unnoted") {
            integration.put_next(batch)?;
        }
        Ok(joined)
    }
}
