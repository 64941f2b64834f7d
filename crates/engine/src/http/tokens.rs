//! The tokens of OAuth 2, and their expiry.

use std::fmt;
use std::time::Duration;

use highwater_core::Timestamp;
use highwater_template::records::text_at;
use highwater_template::{HttpResponse, Provider, Secret};

/// A token is refreshed at most this long before it expires.
const EARLY: Duration = Duration::from_secs(60);

/// And at most this part of its lifetime before it expires: a tenth.
const EARLY_PART: u32 = 10;

/// A longer body says nothing about tokens.
const ABOUT_TOKENS: usize = 64 * 1024;

/// How new access tokens are obtained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthGrant {
    /// A user signed in: the refresh token obtains new access tokens. Without one, the user signs in again.
    #[default]
    User,
    /// The application signs in as itself (`client_credentials`): it sees what the application may see, not a user's data.
    ClientCredentials,
    /// A service account's key signs requests for access tokens (RFC 7523): see [`OAuthTokens::service_account`].
    ServiceAccount,
    /// A GitHub App's key signs requests for the tokens of an installation: see [`OAuthTokens::github_app`].
    GitHubApp,
}

/// The tokens of OAuth 2 and what is needed to refresh them.
///
/// ```
/// use highwater_engine::credentials::OAuthTokens;
/// use highwater_engine::{Credentials, Secret};
/// // A sign-in whose tokens the host already has:
/// let tokens = OAuthTokens::new("the-client-id").access(Secret::new("at-1"), None).refresh(Secret::new("rt-1"));
/// let credentials = Credentials::oauth2(tokens);
/// // The application itself, without a user:
/// let own = OAuthTokens::client_credentials("the-client-id", Secret::new("the-secret")).scope("read");
/// # let _ = (credentials, own);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OAuthTokens {
    /// The access token; requested if there is none yet.
    pub access_token: Option<Secret>,
    /// The refresh token. Without one a user's sign-in ends with its access token.
    pub refresh_token: Option<Secret>,
    /// When the access token expires. Without it the token is used until the API rejects it.
    pub expires_at: Option<Timestamp>,
    /// The lifetime of the access token, if the API stated it.
    pub lifetime: Option<Duration>,
    /// The application's id at the API.
    pub client_id: String,
    /// The application's secret, if it has one.
    pub client_secret: Option<Secret>,
    /// The token endpoint, if it differs from the provider's.
    pub token_url: Option<String>,
    /// The requested scopes; for client credentials, the scopes to request.
    pub scopes: Vec<String>,
    /// The scopes that the API granted; empty if it did not say.
    pub granted: Vec<String>,
    /// How new access tokens come.
    pub grant: OAuthGrant,
    /// The private key that signs requests for access tokens, as PEM. Then `client_id` is whom it belongs to.
    pub private_key: Option<Secret>,
    /// The name of the private key, where it has one.
    pub key_id: Option<String>,
    /// The user that a service account acts as.
    pub subject: Option<String>,
    /// The installation of a GitHub App.
    pub installation: Option<String>,
    /// What the token response told of the base URL, where the provider says that it does.
    pub base_url: Option<String>,
}

impl OAuthTokens {
    /// Returns the tokens of a user's sign-in to an application, without tokens yet: add those from the sign-in.
    pub fn new(client_id: impl Into<String>) -> Self {
        OAuthTokens { client_id: client_id.into(), ..OAuthTokens::default() }
    }

    /// Returns the sign-in of the application itself, without a user: access tokens are obtained by client credentials.
    pub fn client_credentials(client_id: impl Into<String>, client_secret: Secret) -> Self {
        let client_secret = Some(client_secret);
        OAuthTokens {
            client_id: client_id.into(),
            client_secret,
            grant: OAuthGrant::ClientCredentials,
            ..OAuthTokens::default()
        }
    }

    /// Sets the access token and when it expires.
    #[must_use]
    pub fn access(mut self, token: Secret, expires_at: Option<Timestamp>) -> Self {
        self.access_token = Some(token);
        self.expires_at = expires_at;
        self
    }

    /// Sets the refresh token.
    #[must_use]
    pub fn refresh(mut self, token: Secret) -> Self {
        self.refresh_token = Some(token);
        self
    }

    /// Sets the application's secret.
    #[must_use]
    pub fn client_secret(mut self, secret: Secret) -> Self {
        self.client_secret = Some(secret);
        self
    }

    /// Sets another token endpoint than the provider's.
    #[must_use]
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }

    /// Adds a scope to request by client credentials.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Returns the scopes that were requested but not granted. Empty if the API did not say what it granted.
    pub fn missing_scopes(&self) -> Vec<&str> {
        if self.granted.is_empty() {
            return Vec::new();
        }
        self.scopes.iter().filter(|scope| !self.granted.contains(scope)).map(String::as_str).collect()
    }

    /// Whether the access token is missing or about to expire.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let early = self.lifetime.map_or(EARLY, |lifetime| EARLY.min(lifetime / EARLY_PART));
        self.access_token.is_none() || self.expires_at.is_some_and(|end| end <= now + early)
    }

    /// Whether there is an access token that has not expired.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        self.access_token.is_some() && self.expires_at.is_none_or(|end| end > now)
    }

    /// Whether a new access token can be obtained.
    pub(super) fn can_refresh(&self) -> bool {
        match self.grant {
            OAuthGrant::User => self.refresh_token.is_some(),
            OAuthGrant::ClientCredentials | OAuthGrant::ServiceAccount | OAuthGrant::GitHubApp => true,
        }
    }
}

impl fmt::Debug for OAuthTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthTokens")
            .field("client_id", &self.client_id)
            .field("grant", &self.grant)
            .field("refreshable", &self.can_refresh())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Whether an answer says that the access token has expired: `401`, the challenge of RFC 6750 section 3, or the provider's own
/// form.
pub(super) fn is_over(response: &HttpResponse, provider: &Provider) -> bool {
    let challenged = || {
        let challenges = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        challenges.map(|(_, value)| value.to_ascii_lowercase()).any(|value| {
            let value: String = value.chars().filter(|found| !found.is_whitespace() && *found != '"').collect();
            value.contains("bearer") && value.contains("error=invalid_token")
        })
    };
    let told = || {
        response.body.len() <= ABOUT_TOKENS
            && provider
                .expired_token_texts
                .iter()
                .any(|end| text_at(&response.body, &end.pointer).is_ok_and(|text| text.as_deref() == Some(&*end.value)))
    };
    response.status == 401 || matches!(response.status, 400 | 403) && challenged() || told()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn tokens_are_due_early() {
        let tokens = |end| OAuthTokens::new("a").access(Secret::new("x"), end);
        assert!(OAuthTokens::new("a").is_due(at(0)));
        assert!(!tokens(None).is_due(at(u64::MAX)));
        assert!(!tokens(Some(at(100_000))).is_due(at(39_999)) && tokens(Some(at(100_000))).is_due(at(40_000)));
    }

    #[test]
    fn the_margin_is_a_part_of_a_short_lifetime() {
        let tokens = |lifetime_ms| OAuthTokens {
            lifetime: Some(Duration::from_millis(lifetime_ms)),
            ..OAuthTokens::new("a").access(Secret::new("x"), Some(at(10_000_000)))
        };
        for (lifetime_ms, early_ms) in [(30_000, 3000), (60_000, 6000), (600_000, 60_000), (3_600_000, 60_000)] {
            let due = |early: u64| tokens(lifetime_ms).is_due(at(10_000_000 - early));
            assert!(due(early_ms) && !due(early_ms + 1), "{lifetime_ms}");
        }
    }

    #[test]
    fn an_answer_that_says_the_token_is_over() {
        let slack = Provider::new("slack", "https://slack.com/api").expired_token_text("/error", "token_expired");
        let graph = Provider::new("graph", "https://graph.example").expired_token_text("/error/code", "190");
        let challenge = |status, value: &str| {
            is_over(&HttpResponse::new(status, vec![("WWW-Authenticate".into(), value.into())], "{}"), &slack)
        };
        assert!(challenge(401, "") && challenge(403, r#"Bearer realm="x", error="invalid_token""#));
        assert!(challenge(400, r#"bearer error = "invalid_token""#));
        assert!(
            !challenge(403, r#"Bearer error="insufficient_scope""#)
                && !challenge(200, r#"Bearer error="invalid_token""#)
        );
        let body = |status, body: &str| HttpResponse::new(status, Vec::new(), body.to_owned());
        assert!(is_over(&body(200, r#"{"ok":false,"error":"token_expired"}"#), &slack));
        assert!(!is_over(&body(200, r#"{"ok":false,"error":"channel_not_found"}"#), &slack));
        assert!(is_over(&body(400, r#"{"error":{"code":190,"type":"OAuthException"}}"#), &graph));
        assert!(!is_over(&body(400, r#"{"error":{"code":100}}"#), &graph) && !is_over(&body(400, "<html>"), &graph));
    }
}
