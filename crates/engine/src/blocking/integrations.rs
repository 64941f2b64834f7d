//! Integrations for programs without a runtime.

use highwater_core::Result;

use super::Engine;
use crate::documents::ConnectionSettings;
use crate::integrations::IntegrationSettings;

impl Engine {
    /// See [`Engine::create_integration`](crate::Engine::create_integration).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn create_integration(&self, settings: IntegrationSettings) -> Result<IntegrationHandle> {
        let inner = self.wait(self.engine().create_integration(settings))?;
        Ok(IntegrationHandle { engine: self.clone(), inner })
    }

    /// Returns a handle to an integration: see [`Engine::integration`](crate::Engine::integration).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](highwater_core::ErrorKind::Invalid) for a key that no integration can have.
    pub fn integration(&self, key: impl AsRef<str>) -> Result<IntegrationHandle> {
        Ok(IntegrationHandle { engine: self.clone(), inner: self.engine().integration(key)? })
    }

    /// See [`Engine::integrations`](crate::Engine::integrations).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn integrations(&self) -> Result<Vec<IntegrationSettings>> {
        self.wait(self.engine().integrations())
    }
}

/// An [`IntegrationHandle`](crate::IntegrationHandle) whose calls block the calling thread. A clone is the same integration.
#[derive(Clone, Debug)]
pub struct IntegrationHandle {
    engine: Engine,
    inner: crate::IntegrationHandle,
}

impl IntegrationHandle {
    /// Returns its key.
    pub fn key(&self) -> &str {
        self.inner.key()
    }

    /// See [`IntegrationHandle::settings`](crate::IntegrationHandle::settings).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn settings(&self) -> Result<IntegrationSettings> {
        self.engine.wait(self.inner.settings())
    }

    /// See [`IntegrationHandle::connections`](crate::IntegrationHandle::connections).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn connections(&self) -> Result<Vec<ConnectionSettings>> {
        self.engine.wait(self.inner.connections())
    }
}
