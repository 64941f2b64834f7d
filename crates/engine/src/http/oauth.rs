//! OAuth 2: refresh and client credentials (RFC 6749), the authorization code with PKCE (RFC 7636).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use highwater_core::template::{ClientAuth, HttpRequest, HttpResponse, OAuth2, Secret, Transport, escape};
use highwater_core::{Environment, Error, ErrorKind, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::answer;
use super::credentials::OAuthTokens;
use super::origins::is_loopback;

/// A token is refreshed this long before it ends.
const EARLY_MS: u64 = 60_000;

/// A sign-in in progress: what the host keeps between the page where the user agrees and the redirect
/// that follows. For desktops: listen on `127.0.0.1` with any port, send the user to [`url`](SignIn::url), take
/// one request, check its `state`, and pass its `code` on.
///
/// ```
/// use highwater_core::SystemEnvironment;
/// use highwater_core::template::{DesktopSignIn, OAuth2};
/// use highwater_engine::{OAuthTokens, SignIn};
///
/// let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::PkcePublic);
/// let sign_in = SignIn::begin(&oauth, OAuthTokens::new("my-app"), "http://127.0.0.1:4000/", &["read"], &SystemEnvironment);
/// assert!(sign_in.url().starts_with("https://a.example/authorize?response_type=code&client_id=my-app"));
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
    /// Begins a sign-in. `client` has the application's id, and its secret where it has one.
    pub fn begin(
        oauth: &OAuth2,
        client: OAuthTokens,
        redirect_uri: &str,
        scopes: &[&str],
        environment: &dyn Environment,
    ) -> Self {
        let (mut verifier, mut state) = ([0; 32], [0; 16]);
        environment.fill_random(&mut verifier);
        environment.fill_random(&mut state);
        let (verifier, state) = (URL_SAFE_NO_PAD.encode(verifier), URL_SAFE_NO_PAD.encode(state));
        let mut all: Vec<&str> = oauth.scopes.iter().map(String::as_str).collect();
        all.extend(scopes.iter().filter(|scope| !oauth.scopes.iter().any(|known| known == *scope)));
        let challenge = challenge(&verifier);
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &client.client_id),
            ("redirect_uri", redirect_uri),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let scope = all.join(" ");
        if !scope.is_empty() {
            query.push(("scope", &scope));
        }
        query.extend(oauth.authorize_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let pairs: Vec<String> =
            query.into_iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let mark = if oauth.authorize_url.contains('?') { '&' } else { '?' };
        let url = format!("{}{mark}{}", oauth.authorize_url, pairs.join("&"));
        SignIn {
            url,
            state,
            verifier: Secret::new(verifier),
            redirect_uri: redirect_uri.to_owned(),
            oauth: oauth.clone(),
            client,
        }
    }

    /// Where to send the user.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes the redirect's parameters into tokens. A `state` that is not ours is refused.
    pub async fn finish(
        &self,
        code: &str,
        state: &str,
        transport: &dyn Transport,
        environment: &dyn Environment,
    ) -> Result<OAuthTokens> {
        if state != self.state {
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

/// Whether the access token is missing or about to end.
pub(super) fn is_due(tokens: &OAuthTokens, now_ms: u64) -> bool {
    tokens.access_token.is_none() || tokens.expires_at_ms.is_some_and(|end| end <= now_ms.saturating_add(EARLY_MS))
}

/// Whether there is a way to a new access token.
pub(super) fn can_refresh(tokens: &OAuthTokens) -> bool {
    tokens.refresh_token.is_some() || tokens.client_secret.is_some()
}

/// Why there are no new tokens.
pub(super) struct Refusal {
    pub(super) error: Error,
    /// Asking with this refresh token will never bring any.
    pub(super) over: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, over: false }
    }
}

/// The error for a refresh token that the API does not take.
pub(super) fn over() -> Error {
    Error::new(ErrorKind::Unauthorized, "the sign-in is over or was revoked: sign in again")
}

/// New tokens for old.
pub(super) async fn refresh(
    oauth: Option<&OAuth2>,
    tokens: &OAuthTokens,
    transport: &dyn Transport,
    environment: &dyn Environment,
) -> Result<OAuthTokens, Refusal> {
    let scope = tokens.scopes.join(" ");
    let fields: Vec<(&str, &str)> = match &tokens.refresh_token {
        Some(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())],
        None if scope.is_empty() => vec![("grant_type", "client_credentials")],
        None => vec![("grant_type", "client_credentials"), ("scope", &scope)],
    };
    TokenRequest { oauth, tokens, fields: &fields }.send(transport, environment).await
}

struct TokenRequest<'a> {
    oauth: Option<&'a OAuth2>,
    tokens: &'a OAuthTokens,
    fields: &'a [(&'a str, &'a str)],
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
    /// Some APIs write it as a text.
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

/// What a token endpoint complains of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenFault {
    error: String,
    error_description: String,
    /// HubSpot's name for it.
    status: String,
}

impl TokenFault {
    /// Its code, where it is one.
    fn code(&self) -> String {
        let code = if self.error.is_empty() { &self.status } else { &self.error };
        code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
    }

    /// Whether the refresh token (or the code) is what is refused. The standard has one name for it, and APIs have more.
    fn is_over(&self) -> bool {
        match self.code().as_str() {
            "invalid_grant"
            | "bad_refresh_token"
            | "invalid_refresh_token"
            | "BAD_REFRESH_TOKEN"
            | "token_revoked"
            | "token_expired" => true,
            // Atlassian says so of the application, and means the token.
            "unauthorized_client" | "invalid_request" => self.error_description.contains("refresh_token is invalid"),
            _ => false,
        }
    }
}

impl TokenRequest<'_> {
    async fn send(&self, transport: &dyn Transport, environment: &dyn Environment) -> Result<OAuthTokens, Refusal> {
        let request = self.request()?;
        let response = transport.send(request).await.map_err(|error| error.during("refreshing the token"))?;
        let response = answer::readable(response, false).map_err(|unreadable| unreadable.error)?;
        self.read(&response, environment.now_ms())
    }

    fn request(&self) -> Result<HttpRequest> {
        let provided = self.oauth.map(|oauth| oauth.token_url.as_str());
        let url = self.tokens.token_url.as_deref().or(provided).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "nobody says where tokens come from: give the credentials a token URL")
        })?;
        let parsed = Url::parse(url).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the token URL is not a URL").with("token_url", url).because(source)
        })?;
        if parsed.scheme() != "https" && !is_loopback(&parsed) {
            return Err(Error::new(ErrorKind::Invalid, "tokens are not asked for over plain http: use https://")
                .with("token_url", url));
        }
        let secret = self.tokens.client_secret.as_ref();
        let mut fields = self.fields.to_vec();
        let request = HttpRequest::new("POST", url).header("accept", "application/json");
        let client = self.oauth.map(|oauth| oauth.client).unwrap_or_default();
        let by_header = client != ClientAuth::Body;
        let request = match secret {
            Some(secret) if by_header => {
                let pair = format!("{}:{}", escape(&self.tokens.client_id), escape(secret.expose()));
                request.header("authorization", format!("Basic {}", STANDARD.encode(pair)))
            }
            _ => {
                fields.push(("client_id", &self.tokens.client_id));
                fields.extend(secret.map(|secret| ("client_secret", secret.expose())));
                request
            }
        };
        if client == ClientAuth::BasicWithJson {
            return request.json(&fields.into_iter().collect::<BTreeMap<_, _>>());
        }
        Ok(request.form(fields))
    }

    fn read(&self, response: &HttpResponse, now_ms: u64) -> Result<OAuthTokens, Refusal> {
        // What the token endpoint writes may hold secrets: only its error code is told.
        let fault: TokenFault = serde_json::from_slice(&response.body).unwrap_or_default();
        let answer: Result<TokenAnswer, _> = serde_json::from_slice(&response.body);
        let answer = match answer {
            Ok(answer) if (200..300).contains(&response.status) => answer,
            _ => {
                let over = fault.is_over();
                let code = fault.code();
                let error = match (response.status, code.as_str()) {
                    _ if over => self::over(),
                    (_, "invalid_client" | "unauthorized_client") | (401 | 403, _) => Error::new(
                        ErrorKind::Unauthorized,
                        "the API does not accept the application: check client id and secret",
                    ),
                    (429, _) => Error::new(ErrorKind::RateLimited, "the API asks to slow down: try again later"),
                    (500.., _) => Error::new(ErrorKind::Unavailable, "the API's token endpoint fails: try again later"),
                    _ => Error::new(ErrorKind::Unauthorized, "the API gave no token: check client id and secret"),
                };
                let error = error.with("status", response.status).with("error", code);
                return Err(Refusal { error, over });
            }
        };
        let mut tokens = self.tokens.clone();
        let seconds = answer
            .expires_in
            .as_ref()
            .and_then(|value| value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok())));
        tokens.access_token = Some(Secret::new(answer.access_token));
        tokens.expires_at_ms = seconds.map(|seconds| now_ms.saturating_add((seconds.max(0.0) * 1000.0) as u64));
        if let Some(refresh) = answer.refresh_token.filter(|token| !token.is_empty()) {
            tokens.refresh_token = Some(Secret::new(refresh));
        }
        Ok(tokens)
    }
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
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

    #[test]
    fn tokens_are_due_early() {
        let tokens = |end| OAuthTokens::new("a").access(Secret::new("x"), end);
        assert!(is_due(&OAuthTokens::new("a"), 0));
        assert!(!is_due(&tokens(None), u64::MAX));
        assert!(!is_due(&tokens(Some(100_000)), 39_999) && is_due(&tokens(Some(100_000)), 40_000));
    }
}
