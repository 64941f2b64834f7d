//! The signing secrets of destinations: given for as long as an outbox exists, or kept by the host's credential store.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Secret;

use super::Outbox;
use crate::documents::destination_key;
use crate::http::{Credentials, Session};
use crate::webhooks::signature::signing_secret;

/// The name of the secret that signs first, and of the one before it.
const CURRENT: &str = "signing_secret";
const FORMER: &str = "former_signing_secret";

/// The length of a secret that is made here, in bytes.
const BYTES: usize = 32;

/// The name under which the credential store keeps the secrets of a destination: one with a slash is no connection's id.
fn kept_under(destination: &str) -> String {
    format!("webhook/{destination}")
}

impl Outbox {
    /// Sets the secrets of a destination for as long as this outbox exists: one, or two during a rotation (the new one first).
    /// They are never stored, and take precedence over those that [`rotate_secret`](Outbox::rotate_secret) keeps.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a secret that is not 24 to 64 bytes in Base64, as Standard Webhooks requires (the prefix
    /// `whsec_`, padding and surrounding blanks are optional).
    pub fn set_secrets(&self, destination: impl Into<String>, secrets: Vec<Secret>) -> Result<()> {
        if secrets.is_empty() || secrets.len() > 2 {
            return Err(Error::new(ErrorKind::Invalid, "a destination has one secret, or two during a rotation"));
        }
        let secrets = secrets.iter().map(signing_secret).collect::<Result<_>>()?;
        lock(&self.parts.secrets).insert(destination.into(), secrets);
        Ok(())
    }

    /// Creates a signing secret for a destination, keeps it in the engine's credential store, and returns it: give it to the
    /// receiver. Deliveries are signed with it from now on in every process that has the credential store, over restarts too, and
    /// also with the secret before it, until the next rotation. Secrets of [`set_secrets`](Outbox::set_secrets) are dropped here.
    ///
    /// ```no_run
    /// # async fn example(outbox: highwater_engine::webhooks::Outbox) -> highwater_core::Result<()> {
    /// let secret = outbox.rotate_secret("crm").await?;
    /// println!("whoever receives the webhooks of crm verifies them with {}", secret.expose());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown destination, [`ErrorKind::Unsupported`] if the engine has no credential store, and
    /// those of the stores.
    pub async fn rotate_secret(&self, destination: &str) -> Result<Secret> {
        if self.parts.store.document(&destination_key(destination)).await?.is_none() {
            return Err(unknown(destination));
        }
        let session = self.kept_secrets(destination);
        if !session.has_store() {
            let message = "the engine has no credential store to keep the secret in: build it with one, or call `set_secrets` at each start";
            return Err(Error::new(ErrorKind::Unsupported, message).with("destination", destination));
        }
        let mut random = [0; BYTES];
        self.parts.environment.fill_random(&mut random);
        let secret = Secret::new(format!("whsec_{}", STANDARD.encode(random)));
        let keeping = session.keep(|kept: &mut Credentials| {
            if let Some(former) = kept.secrets.insert(CURRENT.to_owned(), secret.clone()) {
                kept.secrets.insert(FORMER.to_owned(), former);
            }
        });
        session.change_alone(&self.parts.engine.place(), Box::pin(keeping)).await?;
        lock(&self.parts.secrets).remove(destination);
        Ok(secret)
    }

    /// Returns whether deliveries to a destination can be signed here: whether it has a secret.
    ///
    /// # Errors
    ///
    /// Those of the credential store.
    pub async fn has_secret(&self, destination: &str) -> Result<bool> {
        Ok(!self.secrets_of(destination).await?.is_empty())
    }

    /// The secrets that sign, the newest first.
    pub(super) async fn secrets_of(&self, destination: &str) -> Result<Vec<Secret>> {
        if let Some(given) = lock(&self.parts.secrets).get(destination) {
            return Ok(given.clone());
        }
        let session = self.kept_secrets(destination);
        // Another process may have rotated them.
        session.reload().await?;
        let known = session.known().unwrap_or_default();
        Ok([CURRENT, FORMER].into_iter().filter_map(|name| known.named(name)).collect())
    }

    /// Drops the secrets of a destination that was removed.
    pub(super) async fn forget_secrets(&self, destination: &str) -> Result<()> {
        lock(&self.parts.secrets).remove(destination);
        self.kept_secrets(destination).remove_kept().await
    }

    fn kept_secrets(&self, destination: &str) -> Arc<Session> {
        self.parts.engine.parts().sessions.of(&kept_under(destination))
    }
}

pub(super) fn unknown(destination: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no such destination: list them with `destinations`")
        .with("destination", destination)
}
