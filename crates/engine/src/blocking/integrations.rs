//! Integrations for programs without a runtime.

use highwater_core::Result;
use highwater_template::Secret;

use super::Engine;
use crate::control::DisableMode;
use crate::documents::{ConnectionSettings, IntegrationSettings, SyncOptions};
use crate::integrations::{DeleteMode, DeleteReport, Endpoint};
use crate::webhooks::ReceivedEvent;

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

    /// See [`IntegrationHandle::receive`](crate::IntegrationHandle::receive).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn receive<N: AsRef<str>, V: AsRef<str>>(&self, headers: &[(N, V)], body: &[u8]) -> Result<ReceivedEvent> {
        self.engine.wait(self.inner.receive(headers, body))
    }

    /// See [`IntegrationHandle::receive_for`](crate::IntegrationHandle::receive_for).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn receive_for<N: AsRef<str>, V: AsRef<str>>(
        &self,
        connection: &str,
        headers: &[(N, V)],
        body: &[u8],
    ) -> Result<ReceivedEvent> {
        self.engine.wait(self.inner.receive_for(connection, headers, body))
    }

    /// See [`IntegrationHandle::endpoints`](crate::IntegrationHandle::endpoints).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>> {
        self.engine.wait(self.inner.endpoints())
    }

    /// See [`IntegrationHandle::enable`](crate::IntegrationHandle::enable).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn enable(&self, sync: impl AsRef<str>, options: SyncOptions) -> Result<()> {
        self.engine.wait(self.inner.enable(sync, options))
    }

    /// See [`IntegrationHandle::disable`](crate::IntegrationHandle::disable).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn disable(&self, sync: impl AsRef<str>, mode: DisableMode) -> Result<()> {
        self.engine.wait(self.inner.disable(sync, mode))
    }

    /// See [`IntegrationHandle::update`](crate::IntegrationHandle::update).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn update(
        &self,
        change: impl FnMut(IntegrationSettings) -> IntegrationSettings,
    ) -> Result<IntegrationSettings> {
        self.engine.wait(self.inner.update(change))
    }

    /// See [`IntegrationHandle::delete`](crate::IntegrationHandle::delete).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn delete(&self, mode: DeleteMode) -> Result<DeleteReport> {
        self.engine.wait(self.inner.delete(mode))
    }

    /// See [`IntegrationHandle::set_client_secret`](crate::IntegrationHandle::set_client_secret).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_client_secret(&self, secret: Option<Secret>) -> Result<()> {
        self.engine.wait(self.inner.set_client_secret(secret))
    }

    /// See [`IntegrationHandle::set_webhook_secret`](crate::IntegrationHandle::set_webhook_secret).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn set_webhook_secret(&self, secret: Option<Secret>) -> Result<()> {
        self.engine.wait(self.inner.set_webhook_secret(secret))
    }

    /// See [`IntegrationHandle::use_client_secret`](crate::IntegrationHandle::use_client_secret).
    pub fn use_client_secret(&self, secret: Secret) {
        self.inner.use_client_secret(secret);
    }

    /// See [`IntegrationHandle::use_webhook_secret`](crate::IntegrationHandle::use_webhook_secret).
    pub fn use_webhook_secret(&self, secret: Secret) {
        self.inner.use_webhook_secret(secret);
    }

    /// See [`IntegrationHandle::client_secret`](crate::IntegrationHandle::client_secret).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn client_secret(&self) -> Result<Option<Secret>> {
        self.engine.wait(self.inner.client_secret())
    }

    /// See [`IntegrationHandle::webhook_secret`](crate::IntegrationHandle::webhook_secret).
    ///
    /// # Errors
    ///
    /// Those of the method it calls.
    pub fn webhook_secret(&self) -> Result<Option<Secret>> {
        self.engine.wait(self.inner.webhook_secret())
    }
}
