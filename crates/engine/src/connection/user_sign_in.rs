//! Signing in the user of a connection, in a browser or by a code: with the application of its integration, at the addresses that
//! its settings lead to.

use std::fmt;
use std::sync::Arc;

use highwater_core::{Environment, Error, ErrorKind, Result};
use highwater_template::auth::OAuth2;
use highwater_template::http::Transport;

use crate::documents::ConnectionSettings;
use crate::engine::Engine;
use crate::http::{Credentials, DeviceSignIn, OAuthTokens, SignIn, SignInMethod};

/// A sign-in in a browser that has begun: from [`Engine::begin_browser_sign_in`]. It holds what the redirect is checked by, so it
/// stays in memory.
pub struct BrowserSignIn {
    begun: SignIn,
    transport: Arc<dyn Transport>,
    environment: Arc<dyn Environment>,
}

impl BrowserSignIn {
    /// Returns the URL to send the user to.
    pub fn url(&self) -> &str {
        self.begun.url()
    }

    /// Returns the state that the redirect must carry.
    pub fn state(&self) -> &str {
        self.begun.state()
    }

    /// Exchanges the redirect's parameters for credentials, once: pass them to [`Engine::sign_in`].
    ///
    /// # Errors
    ///
    /// Those of [`SignIn::finish`].
    pub async fn finish(&self, code: &str, state: &str) -> Result<Credentials> {
        let tokens = self.begun.finish(code, state, &*self.transport, &*self.environment).await?;
        Ok(Credentials::oauth2(tokens))
    }
}

impl fmt::Debug for BrowserSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserSignIn").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// A sign-in by a code that has begun: from [`Engine::begin_code_sign_in`].
pub struct CodeSignIn {
    begun: DeviceSignIn,
    transport: Arc<dyn Transport>,
    environment: Arc<dyn Environment>,
}

impl CodeSignIn {
    /// Returns the code and the address where the user enters it.
    pub fn begun(&self) -> &DeviceSignIn {
        &self.begun
    }

    /// Waits until the user has consented, and returns the credentials. Drop the future to stop waiting.
    ///
    /// # Errors
    ///
    /// Those of [`DeviceSignIn::finish`].
    pub async fn finish(&self) -> Result<Credentials> {
        let tokens = self.begun.finish(&*self.transport, &*self.environment).await?;
        Ok(Credentials::oauth2(tokens))
    }
}

impl fmt::Debug for CodeSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeSignIn").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// What a sign-in needs.
struct Way {
    oauth: OAuth2,
    client: OAuthTokens,
    scopes: Vec<String>,
    transport: Arc<dyn Transport>,
    environment: Arc<dyn Environment>,
}

impl Engine {
    /// Begins a sign-in of a user in a browser, for a connection that is there or is to be: with the application of its integration, or
    /// else with that of its credentials. Nothing is stored. `redirect_uri` is registered with the provider.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::ConnectionSettings;
    /// let ann = ConnectionSettings::of_integration("ann", "github");
    /// let begun = engine.begin_browser_sign_in(&ann, "https://app.example.com/callback").await?;
    /// println!("send the user to {}", begun.url());
    /// # let (code, state) = ("", "");
    /// // At the redirect:
    /// let credentials = begun.finish(code, state).await?;
    /// engine.connect(ann).await?;
    /// engine.sign_in("ann", credentials).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown integration or provider, [`ErrorKind::Unsupported`] for a provider whose users do not sign
    /// in by OAuth 2, and those of [`SignIn::begin`].
    pub async fn begin_browser_sign_in(
        &self,
        settings: &ConnectionSettings,
        redirect_uri: &str,
    ) -> Result<BrowserSignIn> {
        let Way { oauth, client, scopes, transport, environment } = self.way_to_sign_in(settings).await?;
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let begun = SignIn::begin(&oauth, client, redirect_uri, &scopes, &*environment)?;
        Ok(BrowserSignIn { begun, transport, environment })
    }

    /// Begins a sign-in of a user by a code that is entered on any device, like
    /// [`begin_browser_sign_in`](Engine::begin_browser_sign_in).
    ///
    /// # Errors
    ///
    /// Those of [`begin_browser_sign_in`](Engine::begin_browser_sign_in) and of [`DeviceSignIn::begin`].
    pub async fn begin_code_sign_in(&self, settings: &ConnectionSettings) -> Result<CodeSignIn> {
        let Way { oauth, client, scopes, transport, environment } = self.way_to_sign_in(settings).await?;
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let begun = DeviceSignIn::begin(&oauth, client, &scopes, &*transport, &*environment).await?;
        Ok(CodeSignIn { begun, transport, environment })
    }

    /// Returns the transport that a connection's requests go through, for a sign-in that the host does itself, with
    /// [`SignIn`](crate::credentials::SignIn) or [`DeviceSignIn`](crate::credentials::DeviceSignIn). It reaches private addresses as
    /// [`PrivateAddresses`](crate::transport::PrivateAddresses) says. The connection may be one that is to be; `settings` hold what its
    /// integration says, as those of [`connection`](Engine::connection) do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown provider.
    pub fn transport_of(&self, settings: &ConnectionSettings) -> Result<Arc<dyn Transport>> {
        Ok(self.parts().transport_for(settings, self.parts().provider_of(settings)?))
    }

    async fn way_to_sign_in(&self, settings: &ConnectionSettings) -> Result<Way> {
        let parts = self.parts();
        let (mut client, mut scopes, mut whole) = (OAuthTokens::default(), Vec::new(), settings.clone());
        if let Some(key) = &settings.integration {
            let integration = self.integration(key)?;
            let found = integration.settings().await?;
            client.client_id = found.client_id.clone().unwrap_or_default();
            client.client_secret = integration.client_secret().await?;
            scopes.clone_from(&found.scopes);
            whole = found.fill_in(whole);
        }
        if client.client_id.is_empty()
            && let SignInMethod::OAuth2(tokens) = parts.sessions.of(&settings.id).credentials().await?.sign_in
        {
            (client.client_id, client.client_secret, scopes) = (tokens.client_id, tokens.client_secret, tokens.scopes);
        }
        let provider = parts.provider_of(&whole)?;
        let filled = provider.filled_in(&parts.config_of(&whole, provider))?;
        let oauth = filled.oauth2().cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the provider's users do not sign in by OAuth 2: take a key or a password",
            )
            .with("provider", &provider.name)
        })?;
        let transport = parts.transport_for(&whole, provider);
        Ok(Way { oauth, client, scopes, transport, environment: Arc::clone(&parts.environment) })
    }
}
