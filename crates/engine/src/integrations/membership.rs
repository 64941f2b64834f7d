//! Connections that come to an integration and leave it. Each rewrites the integration's document in its own commit.

use highwater_core::{Error, ErrorKind, Json, Result, WriteBatch};

use super::stored::{StoredIntegration, integration_key};
use crate::documents::ConnectionSettings;
use crate::engine::Engine;

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

    /// Adds to the commit that removes a connection that it leaves its integration.
    pub(crate) async fn leave(&self, settings: &ConnectionSettings, batch: &mut WriteBatch) -> Result<()> {
        let Some(key) = &settings.integration else { return Ok(()) };
        match self.stored_integration(key).await {
            Ok((document, integration)) => {
                batch.expect_document(integration_key(key), Some(&document));
                integration.put_next(batch)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Joining {
    /// Fills in what the connection does not say itself.
    pub(crate) fn fill_in(&self, connection: ConnectionSettings) -> ConnectionSettings {
        self.integration.settings.fill_in(connection)
    }

    /// Adds to the commit that stores the connection what comes with the integration.
    pub(crate) fn finish(self, batch: &mut WriteBatch) -> Result<()> {
        batch.expect_document(integration_key(&self.integration.settings.key), Some(&self.document));
        if self.new { self.integration.put_next(batch) } else { Ok(()) }
    }
}
