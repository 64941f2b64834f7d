//! Where the tokens of a sign-in are valid, for APIs whose base URL depends on the sign-in.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::HttpRequest;
use highwater_template::auth::CredentialUse;

use crate::documents::{ConnectionSettings, FoundBaseUrl};
use crate::engine::Engine;
use crate::http::{Credentials, SignInMethod};
use crate::timer;

/// The longest wait for the API to tell the sites of a sign-in.
const PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Returns the base URL at which new credentials are valid, where the provider says that it depends on the sign-in, as Jira
    /// does. [`sign_in`](Engine::sign_in) does this by itself. A host that keeps credentials in memory only
    /// ([`use_credentials`](Engine::use_credentials)) connects with what is found:
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine, credentials: highwater_engine::Credentials) -> highwater_core::Result<()> {
    /// use highwater_engine::ConnectionSettings;
    /// let mut settings = ConnectionSettings::new("work", "jira").config("site", "acme");
    /// if let Some(url) = engine.find_base_url(&settings, &credentials).await? {
    ///     settings = settings.public_base_url(url);
    /// }
    /// engine.connect(settings).await?;
    /// engine.use_credentials("work", credentials);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `None` where the connection or its integration has a base URL of its own, for credentials that are not OAuth's, and for other
    /// providers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the sign-in does not include the site that the settings name: the error lists those that it
    /// includes. [`ErrorKind::TimedOut`] after ten seconds, and those of sending.
    pub async fn find_base_url(
        &self,
        settings: &ConnectionSettings,
        credentials: &Credentials,
    ) -> Result<Option<String>> {
        let settings = self.with_integration(settings.clone()).await?;
        let (_, found) = self.locate(&settings, credentials.clone()).await?;
        Ok(found.map(|found| found.url))
    }

    /// Finds the base URL at which credentials are valid. Returns them too: renewing them may have been necessary for it.
    pub(super) async fn locate(
        &self,
        settings: &ConnectionSettings,
        credentials: Credentials,
    ) -> Result<(Credentials, Option<FoundBaseUrl>)> {
        let parts = self.parts();
        let provider = parts.provider_of(settings)?;
        if provider.oauth2().is_none_or(|oauth| oauth.base_url.is_none()) {
            return Ok((credentials, None));
        }
        let filled = provider.filled_in(&parts.config_of(settings, provider))?;
        let lookup = filled.oauth2().and_then(|oauth| oauth.base_url.as_deref());
        let (Some(lookup), None, SignInMethod::OAuth2(_)) = (lookup, &settings.base_url, credentials.method()) else {
            return Ok((credentials, None));
        };
        let mut settings = settings.clone();
        settings.found_base_url = None;
        let session = parts.sessions.trial(&settings.id, credentials.clone());
        let found = async {
            let urls = parts.urls(&settings, provider)?;
            let usual = urls.first().cloned().unwrap_or_default();
            let client =
                parts.client_of(&settings, provider, &urls, CredentialUse::Required, Arc::clone(&session)).await?;
            let response = client
                .send(HttpRequest::get(&lookup.url).any_status(), &|_: highwater_template::LogLevel, _: &str| ())
                .await?;
            let url = lookup.find(&response, &usual)?;
            // It is kept in the open.
            if session.redact(&url) != url {
                return Err(Error::new(ErrorKind::Remote, "the API told a base URL with a secret in it"));
            }
            Ok(FoundBaseUrl { usual, url })
        };
        let late = || {
            let message = "the API did not tell in time which sites the sign-in includes: try again later";
            Err(Error::new(ErrorKind::TimedOut, message).with("seconds", PATIENCE.as_secs()))
        };
        let found = timer::timeout(PATIENCE, found).await.unwrap_or_else(late);
        let found = found.map_err(|error| {
            let error = error.during("finding where the sign-in is valid").with("connection", &settings.id);
            session.redact_error(error)
        })?;
        Ok((session.known().unwrap_or(credentials), Some(found)))
    }
}
