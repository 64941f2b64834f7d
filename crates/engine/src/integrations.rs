//! Integrations: what a host sets up once at a provider, and the endpoints that run for every connection to it.
//!
//! ```no_run
//! # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
//! use highwater_engine::{ConnectionSettings, IntegrationSettings, SyncOptions};
//! let github = engine.create_integration(IntegrationSettings::new("github", "github")).await?;
//! github.enable("issues", SyncOptions::default()).await?;
//! // Its issues are synced from here on.
//! engine.connect(ConnectionSettings::of_integration("octocat", "github").config("owner", "octocat")).await?;
//! for endpoint in github.endpoints().await? {
//!     println!("{}: {} connections", endpoint.sync, endpoint.connections);
//! }
//! # Ok(())
//! # }
//! ```

mod endpoints;
mod follow;
mod handle;
mod materialise;
mod membership;
mod receive;
mod secrets;
mod toggle;
mod waiting;

pub use crate::documents::IntegrationSettings;
pub use crate::events::{IntegrationChange, IntegrationEvent};
pub use endpoints::Endpoint;
pub use handle::{DeleteMode, DeleteReport, IntegrationHandle};

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Json, Result, WriteBatch};

use crate::documents::{ConnectionSettings, INTEGRATIONS, StoredIntegration, check_key, integration_key, removal_key};
use crate::engine::Engine;
use crate::errors::no_integration;

/// Tries of a commit that others keep overtaking.
const TRIES: u32 = 50;

impl Engine {
    /// Creates an integration and returns its handle. Creating it again with the same settings changes nothing, so that a host may
    /// do it at every start.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::{ConnectionSettings, IntegrationSettings};
    /// engine.create_integration(IntegrationSettings::new("github", "github").client_id("Iv1.abc")).await?;
    /// engine.connect(ConnectionSettings::of_integration("octocat", "github").config("owner", "octocat")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where no template has the provider; [`ErrorKind::Invalid`] for a key that cannot be one, a setting
    /// that no template of the provider reads, a text that is too long, a URL with credentials in it, and an integration that
    /// exists with other settings. Those of the credential store, if it still has secrets of a deleted integration of this key
    /// and they cannot be removed.
    pub async fn create_integration(&self, settings: IntegrationSettings) -> Result<IntegrationHandle> {
        self.check_integration(&settings)?;
        let handle = self.integration(&settings.key)?;
        let place = integration_key(&settings.key);
        let mut tries = 0;
        let taken = loop {
            match handle.settings().await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => break outcome?,
            }
            // Secrets of a former integration are not this one's.
            self.finish_removal(&place).await?;
            let now = self.parts().environment.now();
            let mut batch = WriteBatch::new();
            batch.expect_document(&*place, None).expect_document(removal_key(&place), None);
            batch.put_document(&*place, &StoredIntegration::new(settings.clone(), now))?;
            match self.store().commit(batch).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                outcome => {
                    outcome?;
                    self.publish_integration(IntegrationEvent::new(&handle.key, IntegrationChange::Created));
                    return Ok(handle);
                }
            }
        };
        if taken.says_the_same_as(&settings) {
            return Ok(handle);
        }
        Err(Error::new(
            ErrorKind::Invalid,
            "the integration exists with other settings: change those, or choose another key",
        )
        .with("integration", &taken.key)
        .with("provider", &taken.provider))
    }

    /// Returns a handle to an integration. Nothing is looked up yet: where there is no such integration, the methods of the handle
    /// fail with [`ErrorKind::NotFound`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a key that no integration can have.
    pub fn integration(&self, key: impl AsRef<str>) -> Result<IntegrationHandle> {
        check_key(key.as_ref())?;
        Ok(IntegrationHandle { engine: self.clone(), key: Arc::from(key.as_ref()) })
    }

    /// Returns the settings of every integration, in order of their keys.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn integrations(&self) -> Result<Vec<IntegrationSettings>> {
        let stored: Vec<StoredIntegration> = self.read_all(INTEGRATIONS).await?;
        Ok(stored.into_iter().map(|integration| integration.settings).collect())
    }

    pub(crate) async fn stored_integration(&self, key: &str) -> Result<(Json, StoredIntegration)> {
        let document = self.store().document(&integration_key(key)).await?;
        let document = document.ok_or_else(|| no_integration(key))?;
        let integration = document.to()?;
        Ok((document, integration))
    }

    /// Refuses settings that cannot be an integration's.
    fn check_integration(&self, settings: &IntegrationSettings) -> Result<()> {
        settings.check()?;
        let mut probe = ConnectionSettings::new("", &settings.provider);
        probe.config.clone_from(&settings.config);
        self.parts().provider_of(&probe)?;
        self.check_config_names(&probe)
    }

    /// Fills in what a connection takes from its integration: see [`ConnectionSettings::of_integration`].
    pub(crate) async fn with_integration(&self, connection: ConnectionSettings) -> Result<ConnectionSettings> {
        match &connection.integration {
            None => Ok(connection),
            Some(key) => {
                let (_, integration) = self.stored_integration(key).await?;
                Ok(integration.settings.fill_in(connection))
            }
        }
    }

    /// The same for all connections of the store.
    pub(crate) async fn with_integrations(
        &self,
        mut connections: Vec<ConnectionSettings>,
    ) -> Result<Vec<ConnectionSettings>> {
        if connections.iter().all(|connection| connection.integration.is_none()) {
            return Ok(connections);
        }
        let integrations: BTreeMap<String, IntegrationSettings> =
            self.integrations().await?.into_iter().map(|settings| (settings.key.clone(), settings)).collect();
        for connection in &mut connections {
            if let Some(settings) = connection.integration.as_ref().and_then(|key| integrations.get(key)) {
                *connection = settings.fill_in(connection.clone());
            }
        }
        Ok(connections)
    }
}
