//! A handle to one integration.

use std::fmt;
use std::sync::Arc;

use highwater_core::Result;

use super::settings::IntegrationSettings;
use crate::documents::ConnectionSettings;
use crate::engine::Engine;

/// One integration of an engine. Made by [`Engine::integration`]; a clone is the same integration.
#[derive(Clone)]
pub struct IntegrationHandle {
    pub(super) engine: Engine,
    pub(super) key: Arc<str>,
}

impl IntegrationHandle {
    /// Returns the engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns its settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown integration.
    pub async fn settings(&self) -> Result<IntegrationSettings> {
        Ok(self.engine.stored_integration(&self.key).await?.1.settings)
    }

    /// Returns the settings of its connections, in order of their ids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown integration.
    pub async fn connections(&self) -> Result<Vec<ConnectionSettings>> {
        let (_, integration) = self.engine.stored_integration(&self.key).await?;
        let all: Vec<ConnectionSettings> = self.engine.read_all("connection/").await?;
        let own = all.into_iter().filter(|connection| connection.integration.as_deref() == Some(&*self.key));
        Ok(own.map(|connection| integration.settings.fill_in(connection)).collect())
    }
}

impl fmt::Debug for IntegrationHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntegrationHandle").field(&self.key).finish()
    }
}
