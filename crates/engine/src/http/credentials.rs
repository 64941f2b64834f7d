//! Credentials of connections.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::{ConfigKey, Secret};
use serde::{Deserialize, Serialize};

use super::oauth::client_pair;
use super::tokens::{OAuthGrant, OAuthTokens};
use crate::documents::TokenEnd;
use crate::timer::millis;

/// A user name of this length that is not a mail address may be an API key.
const KEY_LIKE: usize = 8;

/// The credentials of a connection. Highwater keeps them in memory and never stores them: pass them to
/// [`Engine::use_credentials`](crate::Engine::use_credentials) at each start, or give the engine a
/// [`CredentialStore`](crate::CredentialStore).
///
/// ```
/// use highwater_engine::{Credentials, Secret};
/// let credentials = Credentials::token(Secret::new("ghp_..."));
/// assert_eq!(format!("{credentials:?}"), "Credentials(token)");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) sign_in: SignInMethod,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// How a connection signs in. `Debug` shows none of its texts.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignInMethod {
    /// Not at all: there are secret settings at most.
    #[default]
    Nothing,
    /// By a token or an API key.
    Token(Secret),
    /// By a name and a password.
    Basic {
        /// The name. Some APIs use it for a key.
        username: String,
        /// The password.
        password: Secret,
    },
    /// By OAuth 2.
    OAuth2(Box<OAuthTokens>),
}

impl fmt::Debug for SignInMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignInMethod::Nothing => "none",
            SignInMethod::Token(_) => "token",
            SignInMethod::Basic { .. } => "basic",
            SignInMethod::OAuth2(_) => "oauth2",
        })
    }
}

impl Credentials {
    /// Returns credentials without a sign-in, for secret settings only.
    pub fn none() -> Self {
        Credentials::default()
    }

    /// Returns credentials of a token or an API key. The provider decides where requests carry it.
    pub fn token(token: Secret) -> Self {
        Credentials { sign_in: SignInMethod::Token(token), secrets: BTreeMap::new() }
    }

    /// Returns credentials of a name and a password.
    pub fn basic(username: impl Into<String>, password: Secret) -> Self {
        Credentials { sign_in: SignInMethod::Basic { username: username.into(), password }, secrets: BTreeMap::new() }
    }

    /// Returns credentials of OAuth 2.
    pub fn oauth2(tokens: OAuthTokens) -> Self {
        Credentials { sign_in: SignInMethod::OAuth2(Box::new(tokens)), secrets: BTreeMap::new() }
    }

    /// Adds a secret setting of the templates.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.secrets.insert(name.into(), secret);
        self
    }

    /// Returns how the connection signs in.
    pub fn method(&self) -> &SignInMethod {
        &self.sign_in
    }

    /// Whether they contain a sign-in.
    pub fn can_sign_in(&self) -> bool {
        self.sign_in != SignInMethod::Nothing
    }

    /// Returns the credentials as one text, for a keychain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`] if the text cannot be written, which does not happen.
    pub fn to_secret(&self) -> Result<Secret> {
        let text = serde_json::to_string(&Written::from(self))
            .map_err(|source| Error::new(ErrorKind::Internal, "the credentials cannot be written").because(source))?;
        Ok(Secret::new(text))
    }

    /// Reads the text that [`to_secret`](Credentials::to_secret) returned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for any other text. The error does not quote it.
    pub fn from_secret(text: &Secret) -> Result<Self> {
        // The parser's message could quote the text, so it is dropped.
        let written: Written = serde_json::from_str(text.expose())
            .map_err(|_| Error::new(ErrorKind::Invalid, "the text does not contain credentials: sign in again"))?;
        Ok(written.into())
    }

    /// Whether they are those of a GitHub App's installation.
    pub(crate) fn is_of_installation(&self) -> bool {
        matches!(&self.sign_in, SignInMethod::OAuth2(tokens) if tokens.grant == OAuthGrant::GitHubApp)
    }

    pub(crate) fn named(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).cloned()
    }

    /// Checks that the secret settings required by a template are there.
    pub(crate) fn check(&self, keys: &[ConfigKey]) -> Result<()> {
        let missing = keys.iter().find(|key| key.secret && key.required && !self.secrets.contains_key(&key.name));
        match missing {
            None => Ok(()),
            Some(key) => Err(Error::new(
                ErrorKind::Invalid,
                "a secret setting is missing: add it to the connection's credentials",
            )
            .with("setting", &key.name)
            .with("help", &key.help)),
        }
    }

    /// When the sign-in ends, if nothing renews it.
    pub(crate) fn end(&self) -> Option<TokenEnd> {
        match &self.sign_in {
            SignInMethod::OAuth2(tokens) if !tokens.can_refresh() => {
                tokens.expires_at.map(|end| TokenEnd::new(end, tokens.lifetime))
            }
            _ => None,
        }
    }

    /// Returns the name of the sign-in method in webhooks, such as `OAUTH2`, `API_KEY` or `NONE`.
    pub fn mode(&self) -> &'static str {
        match &self.sign_in {
            SignInMethod::Nothing => "NONE",
            SignInMethod::Token(_) => "API_KEY",
            SignInMethod::Basic { .. } => "BASIC",
            SignInMethod::OAuth2(tokens) => match tokens.grant {
                OAuthGrant::User => "OAUTH2",
                OAuthGrant::ClientCredentials => "OAUTH2_CC",
                OAuthGrant::ServiceAccount => "JWT",
                OAuthGrant::GitHubApp => "APP",
            },
        }
    }

    /// Every secret, and every text that represents one in a request: the texts to redact from logs and errors.
    pub(crate) fn all_secrets(&self) -> Vec<Secret> {
        let mut found: Vec<Secret> = self.secrets.values().cloned().collect();
        match &self.sign_in {
            SignInMethod::Nothing => {}
            SignInMethod::Token(token) => found.push(token.clone()),
            SignInMethod::Basic { username, password } => {
                found.push(password.clone());
                found.push(Secret::new(format!("{username}:{}", password.expose())));
                if username.chars().count() >= KEY_LIKE && !username.contains('@') {
                    found.push(Secret::new(username.as_str()));
                }
            }
            SignInMethod::OAuth2(tokens) => found.extend(tokens.secrets()),
        }
        found
    }
}

impl OAuthTokens {
    pub(super) fn secrets(&self) -> impl Iterator<Item = Secret> {
        let tokens = [&self.access_token, &self.refresh_token, &self.client_secret, &self.private_key];
        let tokens = tokens.into_iter().flatten().cloned();
        let pair = self.client_secret.as_ref().map(|secret| Secret::new(client_pair(&self.client_id, secret)));
        tokens.chain(pair)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.sign_in)
    }
}

/// The serialized form.
#[derive(Serialize, Deserialize, Default)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oauth2: Option<WrittenTokens>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenTokens {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_at_ms: Option<u64>,
    client_id: String,
    client_secret: Option<String>,
    token_url: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    granted: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime_ms: Option<u64>,
    /// Absent in texts of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<WrittenGrant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installation: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenGrant {
    User,
    ClientCredentials,
    ServiceAccount,
    #[serde(rename = "github_app")]
    GitHubApp,
}

impl WrittenTokens {
    /// A text without a grant has no tokens but a secret only if the application signs in as itself: a user's
    /// sign-in always has an access token or a refresh token.
    fn grant(&self) -> OAuthGrant {
        let no_tokens = self.access_token.is_none() && self.refresh_token.is_none();
        match self.grant {
            Some(WrittenGrant::User) => OAuthGrant::User,
            Some(WrittenGrant::ClientCredentials) => OAuthGrant::ClientCredentials,
            Some(WrittenGrant::ServiceAccount) => OAuthGrant::ServiceAccount,
            Some(WrittenGrant::GitHubApp) => OAuthGrant::GitHubApp,
            None if no_tokens && self.client_secret.is_some() => OAuthGrant::ClientCredentials,
            None => OAuthGrant::User,
        }
    }
}

fn shown(secret: &Secret) -> String {
    secret.expose().to_owned()
}

impl From<&Credentials> for Written {
    fn from(credentials: &Credentials) -> Self {
        let secrets = credentials.secrets.iter().map(|(name, secret)| (name.clone(), shown(secret))).collect();
        let mut written = Written { secrets, ..Written::default() };
        match &credentials.sign_in {
            SignInMethod::Nothing => {}
            SignInMethod::Token(token) => written.token = Some(shown(token)),
            SignInMethod::Basic { username, password } => written.basic = Some((username.clone(), shown(password))),
            SignInMethod::OAuth2(tokens) => {
                written.oauth2 = Some(WrittenTokens {
                    access_token: tokens.access_token.as_ref().map(shown),
                    refresh_token: tokens.refresh_token.as_ref().map(shown),
                    expires_at_ms: tokens.expires_at.map(Timestamp::unix_ms),
                    client_id: tokens.client_id.clone(),
                    client_secret: tokens.client_secret.as_ref().map(shown),
                    token_url: tokens.token_url.clone(),
                    scopes: tokens.scopes.clone(),
                    granted: tokens.granted.clone(),
                    lifetime_ms: tokens.lifetime.map(millis),
                    grant: Some(match tokens.grant {
                        OAuthGrant::User => WrittenGrant::User,
                        OAuthGrant::ClientCredentials => WrittenGrant::ClientCredentials,
                        OAuthGrant::ServiceAccount => WrittenGrant::ServiceAccount,
                        OAuthGrant::GitHubApp => WrittenGrant::GitHubApp,
                    }),
                    private_key: tokens.private_key.as_ref().map(shown),
                    key_id: tokens.key_id.clone(),
                    subject: tokens.subject.clone(),
                    installation: tokens.installation.clone(),
                });
            }
        }
        written
    }
}

impl From<Written> for Credentials {
    fn from(written: Written) -> Self {
        let secrets = written.secrets.into_iter().map(|(name, secret)| (name, Secret::new(secret))).collect();
        let sign_in = match written {
            Written { token: Some(token), .. } => SignInMethod::Token(Secret::new(token)),
            Written { basic: Some((username, password)), .. } => {
                SignInMethod::Basic { username, password: Secret::new(password) }
            }
            Written { oauth2: Some(tokens), .. } => SignInMethod::OAuth2(Box::new(OAuthTokens {
                grant: tokens.grant(),
                access_token: tokens.access_token.map(Secret::new),
                refresh_token: tokens.refresh_token.map(Secret::new),
                expires_at: tokens.expires_at_ms.map(Timestamp::from_unix_ms),
                client_id: tokens.client_id,
                client_secret: tokens.client_secret.map(Secret::new),
                token_url: tokens.token_url,
                scopes: tokens.scopes,
                granted: tokens.granted,
                lifetime: tokens.lifetime_ms.map(Duration::from_millis),
                private_key: tokens.private_key.map(Secret::new),
                key_id: tokens.key_id,
                subject: tokens.subject,
                installation: tokens.installation,
            })),
            _ => SignInMethod::Nothing,
        };
        Credentials { sign_in, secrets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_survive_a_keychain_and_show_nothing() {
        let tokens = OAuthTokens::new("app")
            .access(Secret::new("a1"), Some(Timestamp::from_unix_ms(5)))
            .refresh(Secret::new("r1"));
        for credentials in [
            Credentials::none(),
            Credentials::token(Secret::new("t0p")),
            Credentials::basic("user", Secret::new("pass")),
            Credentials::oauth2(tokens).secret("api_key", Secret::new("k3y")),
            Credentials::oauth2(OAuthTokens::client_credentials("app", Secret::new("h4sh"))),
        ] {
            assert_eq!(Credentials::from_secret(&credentials.to_secret().unwrap()).unwrap(), credentials);
            for secret in credentials.all_secrets() {
                assert!(!format!("{credentials:?} {:#?}", credentials.to_secret().unwrap()).contains(secret.expose()));
            }
        }
        let error = Credentials::from_secret(&Secret::new("not json s3cret")).unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"));
    }

    #[test]
    fn an_older_text_keeps_its_grant() {
        let grant = |tokens: &str| {
            let text = format!(r#"{{"oauth2":{{"client_id":"app","client_secret":"h4sh",{tokens}}}}}"#);
            match Credentials::from_secret(&Secret::new(text)).unwrap().sign_in {
                SignInMethod::OAuth2(tokens) => tokens.grant,
                _ => panic!("no tokens"),
            }
        };
        assert_eq!(grant(r#""access_token":null,"refresh_token":null"#), OAuthGrant::ClientCredentials);
        assert_eq!(grant(r#""access_token":"a1","refresh_token":null,"expires_at_ms":5"#), OAuthGrant::User);
        assert_eq!(grant(r#""access_token":null,"refresh_token":"r1""#), OAuthGrant::User);
    }

    #[test]
    fn a_key_may_stand_as_a_user_name() {
        let hides = |name: &str| {
            let secrets = Credentials::basic(name, Secret::new("")).all_secrets();
            secrets.iter().any(|secret| secret.expose() == name)
        };
        assert!(hides("sk_test_4eC39HqLyjW") && !hides("octocat") && !hides("somebody@example.com"));
    }
}
