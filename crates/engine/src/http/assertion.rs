//! Access tokens for which a private key signs: those of service accounts (RFC 7523) and of installations of GitHub Apps.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use highwater_core::{Environment, Error, ErrorKind, Result, Timestamp};
use highwater_template::auth::OAuth2;
use highwater_template::http::{Transport, escape};
use highwater_template::records::parse_time;
use highwater_template::redact::Redactor;
use highwater_template::{HttpRequest, HttpResponse, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::oauth::{Refusal, TokenRequest, secure};
use super::skew::with_skew;
use super::tokens::{OAuthGrant, OAuthTokens};
use super::written::Shown;
use crate::urls::Url;

/// The grant type of RFC 7523.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long a service account's request is valid: the most that Google accepts.
const ASSERTION: Duration = Duration::from_secs(3600);

/// The same for a GitHub App, which may sign for ten minutes. It begins a minute early, for clocks that are slow.
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
const APP: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(540));

/// A service account's key file, as Google gives it.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: Shown,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

impl OAuthTokens {
    /// A service account, from the text of its JSON key file: its access tokens come by requests that the key signs. The account
    /// sees what was shared with it; see [`subject`](OAuthTokens::subject) for acting as a user.
    ///
    /// Scopes are those of the provider and the ones that are [added](OAuthTokens::scope).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a text that is no such file. The error does not quote it. [`ErrorKind::Unsupported`] without the
    /// feature `jwt`.
    pub fn service_account(key_file: &Secret) -> Result<Self> {
        // The parser's message could quote the text: it stays out.
        let file: KeyFile = serde_json::from_str(key_file.expose()).map_err(|_| {
            Error::new(
                ErrorKind::Invalid,
                "this is not the key file of a service account: give the JSON file that was downloaded when the key was made",
            )
        })?;
        if file.kind != "service_account" {
            let message =
                "the key file is not one of a service account: make a key for a service account, of type JSON";
            return Err(
                Error::new(ErrorKind::Invalid, message).with("type", file.kind.chars().take(40).collect::<String>())
            );
        }
        secure(&file.token_uri, "token_uri")?;
        let private_key = file.private_key.0;
        signing::check(&private_key)?;
        Ok(OAuthTokens {
            client_id: file.client_email,
            private_key: Some(private_key),
            key_id: file.private_key_id,
            token_url: Some(file.token_uri),
            grant: OAuthGrant::ServiceAccount,
            ..OAuthTokens::default()
        })
    }

    /// One installation of a GitHub App: its access tokens, of an hour each, come by requests that the App's private key signs.
    /// `app` is the App's client id or its number, `installation` the number at the end of the installation's URL, and `private_key`
    /// the PEM text that GitHub made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a key or a number that cannot be one; [`ErrorKind::Unsupported`] without the feature `jwt`.
    pub fn github_app(app: impl Into<String>, installation: impl Into<String>, private_key: Secret) -> Result<Self> {
        let installation = installation.into();
        if installation.is_empty() || !installation.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = "an installation's id is a number: take it from the end of the installation's URL";
            return Err(Error::new(ErrorKind::Invalid, message).with("installation", installation));
        }
        signing::check(&private_key)?;
        Ok(OAuthTokens {
            client_id: app.into(),
            private_key: Some(private_key),
            installation: Some(installation),
            grant: OAuthGrant::GitHubApp,
            ..OAuthTokens::default()
        })
    }

    /// With the user that a service account acts as, where an administrator has allowed it (Google's domain-wide delegation).
    #[must_use]
    pub fn subject(mut self, user: impl Into<String>) -> Self {
        self.subject = Some(user.into());
        self
    }

    fn signed(&self, claims: &Value) -> Result<Secret> {
        let key = self.private_key.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "the credentials have no private key: give the key file again")
        })?;
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.key_id {
            header["kid"] = Value::from(id.as_str());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let signature = signing::sign(key, text.as_bytes())?;
        Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// An access token for a service account.
pub(super) async fn of_service_account(
    oauth: Option<&OAuth2>,
    tokens: &OAuthTokens,
    transport: &dyn Transport,
    environment: &dyn Environment,
) -> Result<OAuthTokens, Refusal> {
    let asked = TokenRequest { oauth, tokens, fields: &[] };
    let url = asked.token_url()?;
    let added: Vec<&str> = tokens.scopes.iter().map(String::as_str).collect();
    let scopes = oauth.map_or_else(|| tokens.scopes.clone(), |oauth| oauth.scopes_with(&added));
    let now = environment.now();
    let mut claims = json!({
        "iss": tokens.client_id,
        "scope": scopes.join(" "),
        "aud": url,
        "iat": seconds(now),
        "exp": seconds(now + ASSERTION),
    });
    if let Some(subject) = &tokens.subject {
        claims["sub"] = Value::from(subject.as_str());
    }
    let assertion = tokens.signed(&claims)?;
    let fields = [("grant_type", JWT_BEARER), ("assertion", assertion.expose())];
    TokenRequest { oauth, tokens, fields: &fields }.send(transport, environment).await
}

/// An access token for an installation of a GitHub App, at the API's base URL.
pub(super) async fn of_installation(
    base_url: &Url,
    tokens: &OAuthTokens,
    transport: &dyn Transport,
    environment: &dyn Environment,
) -> Result<OAuthTokens, Refusal> {
    let now = environment.now();
    let (early, lasting) = APP;
    let begin =
        Timestamp::from_unix_ms(now.unix_ms().saturating_sub(u64::try_from(early.as_millis()).unwrap_or_default()));
    let claims = json!({"iss": tokens.client_id, "iat": seconds(begin), "exp": seconds(now + lasting)});
    let signed = tokens.signed(&claims)?;
    let mut secrets = vec![signed.clone()];
    secrets.extend(tokens.secrets());
    let hidden = Redactor::new(&secrets);
    let installation = tokens.installation.as_deref().unwrap_or_default();
    let base = base_url.as_str().trim_end_matches('/');
    let url = format!("{base}/app/installations/{}/access_tokens", escape(installation));
    secure(&url, "base_url")?;
    let request = HttpRequest::new("POST", url)
        .header("accept", "application/vnd.github+json")
        .header("authorization", format!("Bearer {}", signed.expose()));
    let response = transport.send(request).await;
    let response = response.map_err(|error| hidden.redact_error(error.during("asking for an installation's token")))?;
    let response = answer::readable(response, false).map_err(|unreadable| hidden.redact_error(unreadable.error))?;
    let response = response.redactor(hidden.clone());
    installation_token(&response, tokens, now).map_err(|error| Refusal::from(hidden.redact_error(error)))
}

fn installation_token(response: &HttpResponse, old: &OAuthTokens, now: Timestamp) -> Result<OAuthTokens> {
    let refused = |message| Err(with_skew(response.error(ErrorKind::Unauthorized, message), response, now));
    match response.status {
        401 => {
            return refused(
                "GitHub does not accept the App's signature: check the App's id, its private key, and this machine's clock",
            );
        }
        403 => return refused("GitHub does not let the App in: check whether the installation is suspended"),
        404 => {
            return refused(
                "the App has no such installation: check the installation's id, and that the App is still installed",
            );
        }
        _ => {}
    }
    let response = response.clone().error_for_status()?;
    let unusable = || {
        response.error(
            ErrorKind::Remote,
            "the API answered something that is no token of an installation: check the base URL",
        )
    };
    let text = |pointer: &str| response.text_at(pointer).ok().flatten().ok_or_else(unusable);
    let token = text("/token")?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable());
    }
    let end = parse_time(&text("/expires_at")?).map_err(|_| unusable())?;
    let mut tokens = old.clone();
    tokens.access_token = Some(Secret::new(token));
    (tokens.expires_at, tokens.lifetime) = (Some(end), Some(end.duration_since(now)));
    Ok(tokens)
}

fn seconds(time: Timestamp) -> u64 {
    time.unix_ms() / 1000
}

#[cfg(feature = "jwt")]
mod signing {
    use highwater_core::Result;
    use highwater_template::Secret;
    use highwater_template::rsa::{RsaAlgorithm, RsaKey};

    /// Refuses what cannot sign.
    pub(super) fn check(key: &Secret) -> Result<()> {
        RsaKey::from_pem(key).map(drop)
    }

    pub(super) fn sign(key: &Secret, text: &[u8]) -> Result<Vec<u8>> {
        RsaKey::from_pem(key)?.sign(RsaAlgorithm::Rs256, text)
    }
}

#[cfg(not(feature = "jwt"))]
mod signing {
    use highwater_core::{Error, ErrorKind, Result};
    use highwater_template::Secret;

    pub(super) fn check(_: &Secret) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "a private key signs only where the feature `jwt` is enabled"))
    }

    pub(super) fn sign(key: &Secret, _: &[u8]) -> Result<Vec<u8>> {
        check(key).map(|()| Vec::new())
    }
}
