//! The secrets of an integration: in the engine's memory, or in the host's credential store, and nowhere else.

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Secret;

use super::handle::IntegrationHandle;
use crate::documents::{ConnectionSettings, integration_key};
use crate::events::{IntegrationChange, IntegrationEvent};
use crate::http::{Credentials, Session};
use crate::parts::Parts;

const CLIENT_SECRET: &str = "client_secret";
const WEBHOOK_SECRET: &str = "webhook_secret";

/// The longest secret.
const MOST: usize = 64 * 1024;

impl Parts {
    /// Redacts the secrets of a connection's integration wherever those of the connection are: the provider has both, and may
    /// echo both. Secrets that cannot be read are left out.
    pub(crate) async fn hide_integration(&self, settings: &ConnectionSettings, session: &Session) {
        let Some(key) = &settings.integration else { return };
        let kept = self.sessions.of(&integration_key(key)).credentials().await.unwrap_or_default();
        let mut secrets = kept.all_secrets();
        let used = lock(&self.used_secrets);
        for name in [CLIENT_SECRET, WEBHOOK_SECRET] {
            secrets.extend(used.get(&(key.clone(), name)).cloned());
        }
        drop(used);
        session.hide(secrets);
    }
}

impl IntegrationHandle {
    /// Keeps the secret of the application that users sign in to, in the engine's [`CredentialStore`](crate::CredentialStore)
    /// under the name `integration/<key>`; `None` removes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration; [`ErrorKind::Unsupported`] where the engine has no credential store:
    /// give it one, or call [`use_client_secret`](IntegrationHandle::use_client_secret) at each start; [`ErrorKind::Invalid`] for
    /// a secret that is empty or longer than 64 KiB; those of the credential store.
    pub async fn set_client_secret(&self, secret: Option<Secret>) -> Result<()> {
        self.keep_secret(CLIENT_SECRET, secret).await
    }

    /// Keeps the secret with which the provider signs its webhooks, as [`set_client_secret`](IntegrationHandle::set_client_secret)
    /// does. It is used for connections that have none of their own.
    ///
    /// # Errors
    ///
    /// As [`set_client_secret`](IntegrationHandle::set_client_secret).
    pub async fn set_webhook_secret(&self, secret: Option<Secret>) -> Result<()> {
        self.keep_secret(WEBHOOK_SECRET, secret).await
    }

    /// Uses a client secret until this engine ends, in place of the one that is kept. It stays in memory: other processes do not
    /// see it, and at the next start it is given again.
    pub fn use_client_secret(&self, secret: Secret) {
        self.use_secret(CLIENT_SECRET, secret);
    }

    /// Uses a webhook secret until this engine ends, in place of the one that is kept. It stays in memory: other processes do not
    /// see it, and at the next start it is given again.
    pub fn use_webhook_secret(&self, secret: Secret) {
        self.use_secret(WEBHOOK_SECRET, secret);
    }

    /// Returns the client secret, for a sign-in; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Those of the credential store.
    pub async fn client_secret(&self) -> Result<Option<Secret>> {
        self.secret(CLIENT_SECRET).await
    }

    /// Returns the secret with which the provider signs its webhooks; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Those of the credential store.
    pub async fn webhook_secret(&self) -> Result<Option<Secret>> {
        self.secret(WEBHOOK_SECRET).await
    }

    fn use_secret(&self, name: &'static str, secret: Secret) {
        lock(&self.engine.parts().used_secrets).insert((self.key().to_owned(), name), secret);
    }

    async fn secret(&self, name: &'static str) -> Result<Option<Secret>> {
        if let Some(used) = lock(&self.engine.parts().used_secrets).get(&(self.key().to_owned(), name)) {
            return Ok(Some(used.clone()));
        }
        // Another process may keep another one by now.
        let session = self.engine.parts().sessions.of(&integration_key(&self.key));
        session.reload().await?;
        Ok(session.known().and_then(|known| known.named(name)))
    }

    async fn keep_secret(&self, name: &'static str, secret: Option<Secret>) -> Result<()> {
        let size = secret.as_ref().map_or(1, |secret| secret.expose().trim().len().min(secret.expose().len()));
        if size == 0 || size > MOST {
            return Err(Error::new(ErrorKind::Invalid, "a secret of an integration has 1 byte to 64 KiB")
                .with("integration", &*self.key)
                .with("secret", name)
                .with("bytes", size));
        }
        self.engine.stored_integration(&self.key).await?;
        let session = self.engine.parts().sessions.of(&integration_key(&self.key));
        if !session.has_store() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the engine has no credential store to keep the secret in: build it with one, or give the secret for the engine's lifetime at each start",
            )
            .with("integration", &*self.key)
            .with("secret", name));
        }
        // Deleted at this moment, its secrets are removed after this.
        let keeping = async {
            self.engine.stored_integration(&self.key).await?;
            let change = |kept: &mut Credentials| match &secret {
                Some(secret) => drop(kept.secrets.insert(name.to_owned(), secret.clone())),
                None => drop(kept.secrets.remove(name)),
            };
            session.keep(change).await
        };
        session.change_alone(&self.engine.place(), Box::pin(keeping)).await?;
        self.engine.publish_integration(IntegrationEvent::new(&self.key, IntegrationChange::SecretsChanged));
        Ok(())
    }

    pub(super) async fn forget_secrets(&self) -> Result<()> {
        lock(&self.engine.parts().used_secrets).retain(|(key, _), _| *key != *self.key);
        self.engine.remove_credentials(&integration_key(&self.key)).await
    }
}
