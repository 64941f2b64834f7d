//! The account of a connection, and revoking its sign-in at the provider.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::CredentialUse;
use highwater_template::{Account, Provider, Verification};

use crate::documents::ConnectionSettings;
use crate::engine::Engine;
use crate::http::{Credentials, Revocation, Session};
use crate::timer;

/// The longest wait for the API to tell whose account new credentials are.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens when somebody signs in to another account than the connection's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountChange {
    /// The sign-in is refused: records of two accounts would mix in the same streams.
    #[default]
    Refuse,
    /// The connection is the new account's from then on. The records of the former account stay until they are
    /// [cleared](crate::DisableMode::Clear), or until a run that reads everything finds them missing.
    Allow,
}

impl Engine {
    /// Returns the account that a connection is signed in to, with one small request to the API that changes nothing. It has no
    /// name if the credentials work but the API tells none. If the connection's account was unknown, it is noted.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// if let Some(name) = engine.verify_connection("github-main").await?.name {
    ///     println!("signed in as {name}"); // octocat
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Unsupported`] if the provider declares no such request.
    /// * [`ErrorKind::Unauthorized`] if the API rejects the credentials, or there are none.
    /// * [`ErrorKind::Remote`] for an answer that is not from the API, such as a page of HTML, and those of sending.
    pub async fn verify_connection(&self, id: &str) -> Result<Account> {
        let settings = self.connection(id).await?;
        let provider = self.parts().provider_of(&settings)?;
        let credentials = self.parts().sessions.of(id).credentials().await?;
        let verification = verification(provider, &credentials).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the provider declares no request that returns the account's name")
                .with("provider", &provider.name)
        })?;
        if !credentials.can_sign_in() {
            return Err(Error::new(ErrorKind::Unauthorized, "the connection has no credentials: sign in first")
                .with("connection", id));
        }
        let response = self.proxy(id, verification.request()?).await?;
        let account = verification.account(&response).map_err(|error| error.with("connection", id));
        let session = self.parts().sessions.of(id);
        let account = account.map_err(|error| session.redact_error(error))?;
        // An API could put a secret into a name, and names are kept in the open.
        let account = account.map(|text| session.redact(text));
        self.note_account(id, &account).await?;
        Ok(account)
    }

    /// Refuses an account other than the one that a connection is signed in to, as [`sign_in`](Engine::sign_in) does. Nothing is
    /// refused while either is unknown.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Conflict`] for another account.
    pub async fn check_account(&self, connection: &str, account: &Account) -> Result<()> {
        same_account(connection, &self.connection_state(connection).await?.account, account)
    }

    /// Asks the API whose account new credentials are. Returns them too: renewing them may have been necessary for it.
    pub(crate) async fn ask_account(
        &self,
        settings: &ConnectionSettings,
        credentials: Credentials,
    ) -> (Credentials, Result<Account>) {
        let trial = self.parts().sessions.trial(&settings.id, credentials.clone());
        let found = timer::timeout(PATIENCE, self.account_of(settings, &credentials, Arc::clone(&trial))).await;
        let found = found.unwrap_or_else(|| {
            let message = "the API did not tell in time whose account it is: try again later";
            Err(Error::new(ErrorKind::TimedOut, message).with("seconds", PATIENCE.as_secs()))
        });
        let found = match found {
            // An API could put a secret into a name, and names are kept in the open.
            Ok(found) => Ok(found.map(|text| self.parts().sessions.of(&settings.id).redact(&trial.redact(text)))),
            Err(error) => {
                let error = error.during("checking whose account it is").with("connection", &settings.id);
                Err(trial.redact_error(error))
            }
        };
        (trial.known().unwrap_or(credentials), found)
    }

    async fn account_of(
        &self,
        settings: &ConnectionSettings,
        credentials: &Credentials,
        session: Arc<Session>,
    ) -> Result<Account> {
        let parts = self.parts();
        let provider = parts.provider_of(settings)?;
        let Some(verification) = verification(provider, credentials).filter(|_| credentials.can_sign_in()) else {
            return Ok(Account::default());
        };
        let urls = parts.urls(settings, provider)?;
        let client = parts.client_of(settings, provider, &urls, CredentialUse::Required, session).await?;
        let response =
            client.send(verification.request()?.any_status(), &|_: highwater_template::LogLevel, _: &str| ()).await?;
        verification.account(&response)
    }

    /// Revokes the sign-in of a connection at the provider, if it has a revocation endpoint (RFC 7009). Takes at most ten
    /// seconds. The connection and its credentials stay. [`disconnect`](Engine::disconnect) revokes the sign-in by itself.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::credentials::Revocation;
    /// match engine.revoke_credentials("github-main").await {
    ///     Ok(Revocation::Revoked) => println!("signed out everywhere"),
    ///     Ok(_) => println!("remove the application in the account's settings"),
    ///     Err(error) => println!("{error}"), // its tokens may work until they expire
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::NotFound`] for an unknown connection.
    /// * [`ErrorKind::Unauthorized`] if the provider refuses the application, [`ErrorKind::Remote`] if its endpoint fails.
    /// * [`ErrorKind::TimedOut`] after ten seconds, and those of the transport. The tokens may work until they expire.
    pub async fn revoke_credentials(&self, connection: &str) -> Result<Revocation> {
        self.revoke(&self.connection(connection).await?).await
    }

    /// Revokes a sign-in, also one that the API does not take any more.
    pub(crate) async fn revoke(&self, settings: &ConnectionSettings) -> Result<Revocation> {
        self.revoke_of(settings, self.parts().sessions.of(&settings.id)).await
    }

    /// Revokes the sign-in that the credential store has of a removed connection.
    pub(crate) async fn revoke_kept(&self, settings: &ConnectionSettings) -> Result<Revocation> {
        // Not the session of the id: somebody may have given it the credentials of a later connection.
        self.revoke_of(settings, self.parts().sessions.apart(&settings.id)).await
    }

    async fn revoke_of(&self, settings: &ConnectionSettings, session: Arc<Session>) -> Result<Revocation> {
        let parts = self.parts();
        let provider = parts.provider_of(settings)?;
        let urls = parts.urls(settings, provider)?;
        parts.client_of(settings, provider, &urls, CredentialUse::Optional, session).await?.revoke().await
    }
}

/// The request that tells whose account it is.
fn verification(provider: &Provider, credentials: &Credentials) -> Option<Verification> {
    // A token of an installation is no user's. <https://docs.github.com/en/rest/apps/installations>
    if credentials.is_of_installation() {
        return Some(Verification::get("/installation/repositories?per_page=1"));
    }
    provider.verification.clone()
}

pub(crate) fn same_account(connection: &str, known: &Account, found: &Account) -> Result<()> {
    if !known.differs_from(found) {
        return Ok(());
    }
    let message = "refused the credentials of another account: its records would mix with those of the connection's account; \
        connect the other account under an id of its own, or allow the change of the account";
    let shown = |account: &Account| account.name.clone().or_else(|| account.id.clone()).unwrap_or_default();
    let error = Error::new(ErrorKind::Conflict, message).with("connection", connection);
    Err(error.with("account", shown(known)).with("other", shown(found)))
}
