//! OAuth 2: requests to a token endpoint (RFC 6749).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_core::{Environment, Error, ErrorKind, Result};
use highwater_template::auth::{ClientAuth, OAuth2};
use highwater_template::http::{Transport, escape};
use highwater_template::redact::Redactor;
use highwater_template::{HttpRequest, Secret};

use super::origins::is_loopback;
use super::token_answer;
use super::tokens::{OAuthGrant, OAuthTokens};
use super::{answer, assertion};
use crate::urls::Url;

/// Why there are no new tokens.
pub(super) struct Refusal {
    pub(super) error: Error,
    /// This refresh token will never work again.
    pub(super) over: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, over: false }
    }
}

/// The error for a refresh token that the API refuses.
pub(super) fn over() -> Error {
    Error::new(ErrorKind::Unauthorized, "the sign-in has expired or was revoked: sign in again")
}

/// Exchanges a refresh token for new tokens. `base_url` is the API's.
pub(super) async fn refresh(
    oauth: Option<&OAuth2>,
    base_url: Option<&Url>,
    tokens: &OAuthTokens,
    transport: &dyn Transport,
    environment: &dyn Environment,
) -> Result<OAuthTokens, Refusal> {
    let separator = oauth.map_or(" ", |oauth| &oauth.scope_separator);
    let scope = tokens.scopes.join(separator);
    let fields: Vec<(&str, &str)> = match (tokens.grant, &tokens.refresh_token) {
        (OAuthGrant::User, Some(token)) => vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())],
        (OAuthGrant::User, None) => return Err(Refusal { error: over(), over: true }),
        (OAuthGrant::ClientCredentials, _) if scope.is_empty() => vec![("grant_type", "client_credentials")],
        (OAuthGrant::ClientCredentials, _) => vec![("grant_type", "client_credentials"), ("scope", &scope)],
        (OAuthGrant::ServiceAccount, _) => {
            return assertion::of_service_account(oauth, tokens, transport, environment).await;
        }
        (OAuthGrant::GitHubApp, _) => {
            let base_url =
                base_url.ok_or_else(|| Error::new(ErrorKind::Invalid, "the connection has no base URL: give one"))?;
            return assertion::of_installation(base_url, tokens, transport, environment).await;
        }
    };
    TokenRequest { oauth, tokens, fields: &fields }.send(transport, environment).await
}

/// A request for tokens.
pub(super) struct TokenRequest<'a> {
    pub(super) oauth: Option<&'a OAuth2>,
    pub(super) tokens: &'a OAuthTokens,
    pub(super) fields: &'a [(&'a str, &'a str)],
}

impl TokenRequest<'_> {
    pub(super) async fn send(
        &self,
        transport: &dyn Transport,
        environment: &dyn Environment,
    ) -> Result<OAuthTokens, Refusal> {
        let hidden = self.hidden();
        let request = self.request()?;
        let response = transport.send(request).await;
        let response = response.map_err(|error| hidden.redact_error(error.during("requesting a token")))?;
        let response = answer::readable(response, false).map_err(|unreadable| hidden.redact_error(unreadable.error))?;
        let grant = self.fields.first().map_or("", |(_, grant)| *grant);
        let told = self.oauth.and_then(|oauth| oauth.token_base_url.as_deref()).map(|told| told.member.as_str());
        let fresh = token_answer::read(&response, self.tokens, grant, told, &hidden, environment.now())?;
        let missing = fresh.missing_scopes();
        if !missing.is_empty() {
            tracing::warn!(
                target: "highwater::http",
                missing = missing.join(" "),
                "the API granted fewer scopes than were requested",
            );
        }
        Ok(fresh)
    }

    /// Every secret that the answer could echo.
    pub(super) fn hidden(&self) -> Redactor {
        const SECRET: [&str; 6] = ["refresh_token", "code", "code_verifier", "device_code", "token", "assertion"];
        let fields = self.fields.iter().filter(|(name, _)| SECRET.contains(name));
        let mut secrets: Vec<Secret> = fields.map(|(_, value)| Secret::new(*value)).collect();
        secrets.extend(self.tokens.secrets());
        Redactor::new(&secrets)
    }

    /// The token endpoint.
    pub(super) fn token_url(&self) -> Result<&str> {
        let provided = self.oauth.map(|oauth| oauth.token_url.as_str());
        self.tokens.token_url.as_deref().or(provided).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "there is no token endpoint: set the token URL of the credentials")
        })
    }

    fn request(&self) -> Result<HttpRequest> {
        let url = self.token_url()?;
        secure(url, "token_url")?;
        if self.tokens.grant == OAuthGrant::ServiceAccount {
            // The assertion names the account: there is no application.
            let request = HttpRequest::new("POST", url).header("accept", "application/json");
            return Ok(request.form(self.fields.iter().copied()));
        }
        self.request_to(url, self.oauth.map_or(&[], |oauth| &oauth.token_parameters))
    }

    /// A request to an endpoint of the API with the application's own credentials.
    pub(super) fn request_to(&self, url: &str, parameters: &[(String, String)]) -> Result<HttpRequest> {
        check_client(self.oauth, self.tokens)?;
        let secret = self.tokens.client_secret.as_ref();
        let mut fields = self.fields.to_vec();
        fields.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let request = HttpRequest::new("POST", url).header("accept", "application/json");
        let client = self.oauth.map(|oauth| oauth.client).unwrap_or_default();
        let by_header = client != ClientAuth::Body;
        let request = match secret {
            Some(secret) if by_header => {
                let pair = client_pair(&self.tokens.client_id, secret);
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
}

/// Refuses a sign-in without a client id.
pub(super) fn check_client(oauth: Option<&OAuth2>, tokens: &OAuthTokens) -> Result<()> {
    if !tokens.client_id.trim().is_empty() {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Invalid,
        "the sign-in has no client id: register an application with the provider, and set its client id",
    );
    let page = oauth.map(|oauth| oauth.page.as_str()).filter(|page| !page.is_empty());
    Err(page.into_iter().fold(error, |error, page| error.with("page", page)))
}

/// Refuses an address that secrets must not be sent to: plain `http`, except on this machine.
pub(super) fn secure(url: &str, name: &'static str) -> Result<()> {
    let parsed = Url::parse(url)
        .map_err(|source| Error::new(ErrorKind::Invalid, "the address is not a URL").with(name, url).because(source))?;
    if parsed.is_https() || is_loopback(&parsed) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "tokens are not requested over plain http: use https://").with(name, url))
}

/// The header with an application's credentials (RFC 6749 section 2.3.1).
pub(super) fn client_pair(id: &str, secret: &Secret) -> String {
    format!("{}:{}", escape(id), escape(secret.expose()))
}
