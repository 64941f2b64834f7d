//! Where the tokens of a sign-in are valid, for APIs whose base URL depends on the sign-in.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::{CredentialUse, OAuth2, TokenBaseUrl};
use highwater_template::{HttpRequest, LogLevel};

use crate::documents::{ConnectionSettings, FoundBaseUrl};
use crate::engine::Engine;
use crate::http::{Client, Credentials, SignInMethod, is_loopback};
use crate::timer;
use crate::urls::Url;

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
        let depends = |oauth: &OAuth2| oauth.base_url.is_some() || oauth.token_base_url.is_some();
        let is_own = settings.base_url.is_some() || !matches!(credentials.method(), SignInMethod::OAuth2(_));
        if is_own || !provider.oauth2().is_some_and(depends) {
            return Ok((credentials, None));
        }
        let filled = provider.filled_in(&parts.config_of(settings, provider))?;
        let Some(oauth) = filled.oauth2() else { return Ok((credentials, None)) };
        let mut settings = settings.clone();
        settings.found_base_url = None;
        let session = parts.sessions.trial(&settings.id, credentials.clone());
        let found = async {
            let urls = parts.urls(&settings, provider)?;
            let usual = urls.first().cloned().unwrap_or_default();
            let client =
                parts.client_of(&settings, provider, &urls, CredentialUse::Required, Arc::clone(&session)).await?;
            let url = match (&oauth.base_url, &oauth.token_base_url) {
                (Some(lookup), _) => {
                    let request = HttpRequest::get(&lookup.url).any_status();
                    lookup.find(&client.send(request, &|_: LogLevel, _: &str| ()).await?, &usual)?
                }
                (None, Some(told)) => with_tokens(&client, told).await?,
                (None, None) => usual.clone(),
            };
            // It is kept in the open.
            if session.redact(&url) != url {
                return Err(Error::new(ErrorKind::Remote, "the API told a base URL with a secret in it"));
            }
            Ok(FoundBaseUrl { usual, url })
        };
        let late = || {
            let message = "the API did not tell in time where the sign-in is valid: try again later";
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

/// The base URL that came with the tokens. Tokens that came without it, as a host's own may, are renewed for it.
async fn with_tokens(client: &Client, told: &TokenBaseUrl) -> Result<String> {
    let of = |credentials: &Credentials| match credentials.method() {
        SignInMethod::OAuth2(tokens) => tokens.base_url.clone(),
        _ => None,
    };
    let text = match of(&client.current_credentials(false).await?) {
        Some(text) => text,
        None => of(&client.current_credentials(true).await?).ok_or_else(|| {
            let message =
                "the tokens came without the base URL at which they are valid: give the connection a base URL";
            Error::new(ErrorKind::Invalid, message).with("member", &told.member)
        })?,
    };
    let base_url = told.of(&text);
    let usable = |url: &Url| (url.is_https() || is_loopback(url)) && !url.has_credentials() && url.query().is_none();
    if !Url::parse(&base_url).is_ok_and(|url| usable(&url)) {
        let message = "the API told a base URL that cannot be used: it is to begin with https://, and to have no query";
        return Err(Error::new(ErrorKind::Remote, message).with("member", &told.member).with("told", base_url));
    }
    Ok(base_url)
}
