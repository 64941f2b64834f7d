//! Credentials of a connection: kept in the host's store, or used for as long as the engine lives.

use highwater_core::{ErrorKind, Result};
use highwater_template::{Account, Secret};

use crate::account::AccountChange;
use crate::documents::{Finding, Obstacle, StoredHealth};
use crate::engine::Engine;
use crate::http::Credentials;
use crate::parts::Changed;
use crate::webhooks::outbox::AuthOperation;

impl Engine {
    /// Signs a connection in: saves its credentials in the [`CredentialStore`](crate::CredentialStore), and uses them from now
    /// on. They are durable when this returns. A connection that needed a sign-in is well again, and its syncs go on at once,
    /// in every process on the store.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::{Credentials, Secret};
    /// engine.sign_in("github-main", Credentials::token(Secret::new("ghp_..."))).await
    /// # }
    /// ```
    ///
    /// If the provider declares a request that tells whose account it is, it is sent first, with the new credentials. The account is
    /// noted with the connection, and credentials of another account are refused from then on: records of two accounts would mix.
    /// [`sign_in_with`](Engine::sign_in_with) allows the change. The former sign-in is not revoked at the provider: many
    /// providers would revoke the new one with it. Call [`revoke_credentials`](Engine::revoke_credentials) before, if it is to end.
    ///
    /// # Errors
    ///
    /// Nothing changed then:
    ///
    /// * [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Unsupported`] where the engine has no credential store
    ///   ([`use_credentials`](Engine::use_credentials) needs none), and those of the credential store.
    /// * [`ErrorKind::Conflict`] for credentials of another account. If the connection's account is known and the API does not tell
    ///   that of the new credentials: [`ErrorKind::Unauthorized`] if it rejects them, [`ErrorKind::TimedOut`] after ten seconds,
    ///   and those of sending.
    pub async fn sign_in(&self, connection: &str, credentials: Credentials) -> Result<()> {
        self.sign_in_with(connection, credentials, AccountChange::Refuse).await
    }

    /// Signs a connection in as [`sign_in`](Engine::sign_in) does, also to another account if `change` allows it.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine, credentials: highwater_engine::Credentials) -> highwater_core::Result<()> {
    /// use highwater_engine::connections::AccountChange;
    /// use highwater_engine::{DisableMode, SyncOptions};
    /// let issues = engine.sync("github-main", "github/issues")?;
    /// issues.disable(DisableMode::Clear).await?; // the former account's records
    /// engine.sign_in_with("github-main", credentials, AccountChange::Allow).await?;
    /// issues.enable(SyncOptions::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sign_in`](Engine::sign_in). With [`AccountChange::Allow`] only those of its first point.
    pub async fn sign_in_with(&self, connection: &str, credentials: Credentials, change: AccountChange) -> Result<()> {
        let settings = self.connection(connection).await?;
        let health = self.meet(connection).await;
        let (credentials, account) = if self.parts().sessions.keeps_credentials() {
            let known = self.health_of(connection).await?;
            self.admit_account(&settings, known.account(), credentials, change).await?
        } else {
            (credentials, Account::default())
        };
        // Credentials that cannot be read are no reason to refuse new ones.
        let first = health.as_ref().is_ok_and(StoredHealth::is_fresh);
        if self.parts().sessions.keeps_credentials() && health.map_or(true, |health| health.has_problem()) {
            // Cut short behind the save, the next use of the credentials finds out how they are.
            let now = self.parts().environment.now();
            self.change_health(connection, AuthOperation::Refresh, |health| health.begin_sign_in(now)).await?;
        }
        let parts = self.parts();
        parts.sessions.of(connection).sign_in(&self.place(), &credentials).await?;
        let operation = if first { AuthOperation::Creation } else { AuthOperation::Override };
        let noted = self.change_health(connection, operation, |health| {
            health.end_sign_in(credentials.end(), account.clone());
        });
        let noted = noted.await;
        if noted.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            // Removed meanwhile: nothing of it is to be left.
            self.remove_orphaned(connection).await?;
        }
        noted
    }

    /// Notes whose account a connection is, if that was unknown.
    pub(crate) async fn note_account(&self, connection: &str, account: &Account) -> Result<()> {
        self.change_health(connection, AuthOperation::Refresh, |health| health.note_account(account)).await
    }

    /// Notes that a connection's access was withdrawn, as a provider may tell by a webhook: its syncs rest until somebody signs
    /// in again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection.
    pub async fn mark_revoked(&self, connection: &str) -> Result<()> {
        let now = self.parts().environment.now();
        let revoked = |health: &mut StoredHealth| health.find(Finding::Failed(Obstacle::Revoked), None, now);
        self.change_health(connection, AuthOperation::Refresh, revoked).await
    }

    /// Uses a token for a connection until this engine is dropped: see [`use_credentials`](Engine::use_credentials).
    pub fn use_token(&self, connection: impl AsRef<str>, token: Secret) {
        self.use_credentials(connection, Credentials::token(token));
    }

    /// Uses credentials for a connection until this engine is dropped. They stay in memory: other processes do not see
    /// them, and the host supplies them again at the next start. If the engine has a [`CredentialStore`](crate::CredentialStore),
    /// refreshed tokens are saved there; [`sign_in`](Engine::sign_in) saves the credentials themselves. Syncs of this engine that
    /// rest until somebody signs in try the credentials at once.
    ///
    /// ```no_run
    /// # fn example(engine: highwater_engine::Engine) {
    /// use highwater_engine::{Credentials, Secret};
    /// let credentials = Credentials::token(Secret::new("ghp_...")).secret("webhook_secret", Secret::new("It's a secret"));
    /// engine.use_credentials("github-main", credentials);
    /// # }
    /// ```
    pub fn use_credentials(&self, connection: impl AsRef<str>, credentials: Credentials) {
        let connection = connection.as_ref();
        self.parts().sessions.of(connection).set(credentials);
        // It is fine if no scheduler is running.
        let _ = self.parts().changes.send(Changed::Connection(connection.to_owned()));
    }
}
