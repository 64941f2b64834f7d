//! Credentials of a connection: kept in the host's store, or used for as long as the engine lives.

use highwater_core::{ErrorKind, Result};
use highwater_template::{Account, Secret};

use crate::account::{AccountChange, same_account};
use crate::documents::{ConnectionSettings, Finding, FoundBaseUrl, Obstacle, StoredHealth};
use crate::engine::Engine;
use crate::http::Credentials;
use crate::mutants::mutant;
use crate::parts::Changed;
use crate::webhooks::outbox::AuthOperation;

/// New credentials that were tried at the API.
struct Tried {
    credentials: Credentials,
    account: Result<Account>,
    base_url: Option<FoundBaseUrl>,
    change: AccountChange,
}

impl Tried {
    /// Refuses another account than the one that a connection is signed in to.
    fn admitted(self, connection: &str, known: &Account) -> Result<Self> {
        if !self.compares() {
            return Ok(self);
        }
        match self.account {
            Err(error) if !known.is_unknown() => Err(error),
            account => {
                if let Ok(found) = &account {
                    same_account(connection, known, found)?;
                }
                Ok(Tried { account, ..self })
            }
        }
    }

    fn compares(&self) -> bool {
        self.change == AccountChange::Refuse && !mutant!("other-account-unnoticed")
    }
}

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
    /// [`sign_in_with`](Engine::sign_in_with) allows the change. Of two sign-ins at the same moment the second is compared with the
    /// first. Where the base URL depends on the sign-in, as Jira's does, it is found out and noted too
    /// ([`ConnectionSettings::found_base_url`]).
    ///
    /// The former sign-in is not revoked at the provider: many providers would revoke the new one with it. Call
    /// [`revoke_credentials`](Engine::revoke_credentials) before, if it is to end.
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
    /// * Those of [`find_base_url`](Engine::find_base_url), where the base URL depends on the sign-in.
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
    /// Those of [`sign_in`](Engine::sign_in). With [`AccountChange::Allow`] not those of its second point.
    pub async fn sign_in_with(&self, connection: &str, credentials: Credentials, change: AccountChange) -> Result<()> {
        let settings = self.connection(connection).await?;
        let session = self.parts().sessions.of(connection);
        session.must_keep()?;
        let (credentials, base_url) = self.locate(&settings, credentials).await?;
        let at_base_url = ConnectionSettings { found_base_url: base_url.clone(), ..settings };
        let (credentials, account) = self.ask_account(&at_base_url, credentials).await;
        let known = self.health_of(connection).await?;
        let tried = Tried { credentials, account, base_url, change }.admitted(connection, known.account())?;
        let signed_in = session.change_alone(&self.place(), Box::pin(self.keep_sign_in(connection, tried))).await;
        if signed_in.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            // Removed meanwhile: nothing of it is to be left.
            self.remove_orphaned(connection).await?;
        }
        signed_in
    }

    /// Keeps a sign-in, while nobody else signs the connection in or renews its credentials.
    async fn keep_sign_in(&self, connection: &str, mut tried: Tried) -> Result<()> {
        let met = self.meet(connection).await;
        let known = self.health_of(connection).await?;
        let compares = tried.compares() && !mutant!("first-sign-ins-mix");
        if compares {
            // Somebody else may have signed in while these credentials were tried.
            tried = tried.admitted(connection, known.account())?;
        }
        let Tried { credentials, account, base_url, change } = tried;
        // There may be nothing to compare with.
        let found = account.unwrap_or_default();
        let now = self.parts().environment.now();
        // Credentials that cannot be read are no reason to refuse new ones.
        let (first, unreadable) = (met.is_ok() && known.is_fresh(), met.is_err());
        let former = self.connection(connection).await?.found_base_url;
        let begun = self.change_sign_in(connection, AuthOperation::Refresh, |health, settings| {
            if compares {
                same_account(connection, health.account(), &found)?;
            }
            // Cut short behind the save, the next use of the credentials finds out how they are.
            if health.has_problem() || unreadable {
                health.begin_sign_in(now);
            }
            settings.found_base_url.clone_from(&base_url);
            Ok(())
        });
        begun.await?;
        if base_url != former {
            self.settle_address(&self.connection(connection).await?);
        }
        if let Err(error) = self.parts().sessions.of(connection).save_sign_in(self.store(), &credentials).await {
            if base_url != former {
                // The former credentials are valid where they were. If this fails too, somebody has to sign in.
                let back = |_: &mut StoredHealth, settings: &mut ConnectionSettings| {
                    settings.found_base_url.clone_from(&former);
                    Ok(())
                };
                let _ = self.change_sign_in(connection, AuthOperation::Refresh, back).await;
            }
            return Err(error);
        }
        let operation = if first { AuthOperation::Creation } else { AuthOperation::Override };
        self.change_health(connection, operation, |health| {
            let account = match change {
                AccountChange::Refuse => found.clone().or(health.account()),
                AccountChange::Allow => found.clone(),
            };
            health.end_sign_in(credentials.end(), account);
        })
        .await
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
    /// Sends nothing, so it does not compare accounts as [`sign_in`](Engine::sign_in) does, and finds no base URL. If the credentials
    /// come from people, call [`verify_connection`](Engine::verify_connection) and [`check_account`](Engine::check_account) next;
    /// [`find_base_url`](Engine::find_base_url) before.
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
