//! Sign-in of a user by the authorization code flow with PKCE (RFC 7636).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use highwater_core::{Environment, Error, ErrorKind, Result};
use highwater_template::Secret;
use highwater_template::auth::OAuth2;
use highwater_template::http::{Transport, escape};

use super::oauth::{TokenRequest, check_client};
use super::tokens::{OAuthGrant, OAuthTokens};
use crate::mutants::mutant;

/// A sign-in in progress: the host keeps it between the page where the user consents and the redirect that follows. For
/// desktops: listen on `127.0.0.1` with any port, send the user to [`url`](SignIn::url), accept one request, and pass its
/// `state` and `code` to [`finish`](SignIn::finish).
///
/// ```
/// use highwater_core::SystemEnvironment;
/// use highwater_template::auth::{DesktopSignIn, OAuth2};
/// use highwater_engine::credentials::{OAuthTokens, SignIn};
///
/// # fn main() -> highwater_core::Result<()> {
/// let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::PkcePublic);
/// let sign_in = SignIn::begin(&oauth, OAuthTokens::new("my-app"), "http://127.0.0.1:4000/", &["read"], &SystemEnvironment)?;
/// assert!(sign_in.url().starts_with("https://a.example/authorize?response_type=code&client_id=my-app"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SignIn {
    url: String,
    state: String,
    verifier: Secret,
    redirect_uri: String,
    oauth: OAuth2,
    client: OAuthTokens,
}

impl SignIn {
    /// Begins a sign-in. `client` has the application's id, and its secret if it has one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if `client` has no id, [`ErrorKind::Unsupported`] if the API signs in applications only.
    pub fn begin(
        oauth: &OAuth2,
        client: OAuthTokens,
        redirect_uri: &str,
        scopes: &[&str],
        environment: &dyn Environment,
    ) -> Result<Self> {
        let authorize_url = oauth.authorize_url.as_deref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the provider signs in applications only, not users: use client credentials",
            )
        })?;
        check_client(Some(oauth), &client)?;
        let (mut verifier, mut state) = ([0; 32], [0; 16]);
        environment.fill_random(&mut verifier);
        environment.fill_random(&mut state);
        let (verifier, state) = (URL_SAFE_NO_PAD.encode(verifier), URL_SAFE_NO_PAD.encode(state));
        let scopes = oauth.scopes_with(scopes);
        let challenge = challenge(&verifier);
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &client.client_id),
            ("redirect_uri", redirect_uri),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let scope = scopes.join(&oauth.scope_separator);
        if !scope.is_empty() {
            query.push(("scope", &scope));
        }
        query.extend(oauth.authorize_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let pairs: Vec<String> =
            query.into_iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let mark = if authorize_url.contains('?') { '&' } else { '?' };
        let url = format!("{authorize_url}{mark}{}", pairs.join("&"));
        Ok(SignIn {
            url,
            state,
            verifier: Secret::new(verifier),
            redirect_uri: redirect_uri.to_owned(),
            oauth: oauth.clone(),
            client: OAuthTokens { scopes, granted: Vec::new(), grant: OAuthGrant::User, ..client },
        })
    }

    /// Returns the URL to send the user to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the state that the redirect must carry: it identifies a redirect of this sign-in.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Exchanges the redirect's parameters for tokens. An API may grant fewer scopes than were requested:
    /// [`OAuthTokens::missing_scopes`] names them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unauthorized`] for a `state` of another sign-in and for a code that the API refuses, and those of sending.
    pub async fn finish(
        &self,
        code: &str,
        state: &str,
        transport: &dyn Transport,
        environment: &dyn Environment,
    ) -> Result<OAuthTokens> {
        if state != self.state && !mutant!("exchange-without-state") {
            return Err(Error::new(
                ErrorKind::Unauthorized,
                "the redirect does not belong to this sign-in: begin again",
            ));
        }
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", self.verifier.expose()),
        ];
        let asked = TokenRequest { oauth: Some(&self.oauth), tokens: &self.client, fields: &fields };
        asked.send(transport, environment).await.map_err(|refusal| refusal.error)
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("redirect_uri", &self.redirect_uri)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_rfc_7636() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
