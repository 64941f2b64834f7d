//! The account of a connection, and revoking its sign-in at the provider.

use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Verification;
use highwater_template::auth::CredentialUse;

use crate::documents::ConnectionSettings;
use crate::engine::Engine;
use crate::http::{Revocation, Session};

impl Engine {
    /// Returns the name of the account that a connection is signed in to, with one small request to the API that changes
    /// nothing. `None` if the credentials work but the API returns no name.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// if let Some(name) = engine.verify_connection("github-main").await? {
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
    pub async fn verify_connection(&self, id: &str) -> Result<Option<String>> {
        let settings = self.connection(id).await?;
        let provider = self.parts().provider_of(&settings)?;
        let credentials = self.parts().sessions.of(id).credentials().await?;
        // A token of an installation is no user's. <https://docs.github.com/en/rest/apps/installations>
        let of_installation = Verification::get("/installation/repositories?per_page=1");
        let of_provider =
            if credentials.is_of_installation() { Some(&of_installation) } else { provider.verification.as_ref() };
        let verification = of_provider.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the provider declares no request that returns the account's name")
                .with("provider", &provider.name)
        })?;
        if !credentials.can_sign_in() {
            return Err(Error::new(ErrorKind::Unauthorized, "the connection has no credentials: sign in first")
                .with("connection", id));
        }
        let response = self.proxy(id, verification.request()?).await?;
        let account = verification.account(&response).map_err(|error| error.with("connection", id));
        account.map_err(|error| self.parts().sessions.of(id).redact_error(error))
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
