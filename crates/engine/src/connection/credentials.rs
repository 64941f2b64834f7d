//! A connection's credentials for the host itself, renewed if they are about to expire.

use highwater_core::Result;

use crate::engine::Engine;
use crate::http::Credentials;

/// When [`Engine::fetch_credentials`] renews credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialRenewal {
    /// If they have expired or are about to, as for a request.
    #[default]
    WhenDue,
    /// In any case, if they can be renewed.
    Always,
}

impl Engine {
    /// Returns a connection's credentials, for a host that calls the API itself. OAuth tokens that are about to expire are renewed
    /// first, and the new ones are saved before this returns. Other credentials are returned as they are.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::connections::CredentialRenewal;
    /// use highwater_engine::credentials::SignInMethod;
    /// let credentials = engine.fetch_credentials("github-main", CredentialRenewal::WhenDue).await?;
    /// if let SignInMethod::Token(token) = credentials.method() {
    ///     println!("{} bytes", token.expose().len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown connection,
    /// [`ErrorKind::Unauthorized`](highwater_core::ErrorKind::Unauthorized) if somebody has to sign in again, and those of the
    /// token endpoint and the credential store.
    pub async fn fetch_credentials(&self, connection: &str, renewal: CredentialRenewal) -> Result<Credentials> {
        let settings = self.connection(connection).await?;
        let (client, met) = self.provider_client(&settings, self.parts().provider_of(&settings)?).await?;
        let outcome = client.current_credentials(renewal == CredentialRenewal::Always).await;
        let outcome = outcome.map_err(|error| client.session().redact_error(error));
        self.settle_health(connection, &met, outcome.as_ref().err()).await;
        outcome
    }
}
