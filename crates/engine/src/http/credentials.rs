//! What a connection signs in with, and where the host keeps it.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use highwater_core::template::{ConfigKey, Secret};
use highwater_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// What a connection signs in with. Highwater keeps it in memory and never writes it down: give it to
/// [`Engine::set_credentials`](crate::Engine::set_credentials) at each start, or give the engine a
/// [`CredentialStore`].
///
/// ```
/// use highwater_engine::{Credentials, Secret};
/// let credentials = Credentials::token(Secret::new("ghp_..."));
/// assert_eq!(format!("{credentials:?}"), "Credentials(token)");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) sign_in: Means,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Means {
    #[default]
    Nothing,
    Token(Secret),
    Basic {
        username: String,
        password: Secret,
    },
    OAuth2(OAuthTokens),
}

/// The tokens of OAuth 2 and what is needed to refresh them.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OAuthTokens {
    /// The access token; asked for when there is none yet.
    pub access_token: Option<Secret>,
    /// The refresh token; without one, the access token comes by client credentials.
    pub refresh_token: Option<Secret>,
    /// When the access token ends: Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// The application's id at the API.
    pub client_id: String,
    /// The application's secret, where it has one.
    pub client_secret: Option<Secret>,
    /// Where tokens come from, if not where the provider says.
    pub token_url: Option<String>,
    /// Scopes to ask for by client credentials.
    pub scopes: Vec<String>,
}

impl OAuthTokens {
    /// Tokens for an application.
    pub fn new(client_id: impl Into<String>) -> Self {
        OAuthTokens { client_id: client_id.into(), ..OAuthTokens::default() }
    }

    /// With an access token and when it ends.
    #[must_use]
    pub fn access(mut self, token: Secret, expires_at_ms: Option<u64>) -> Self {
        self.access_token = Some(token);
        self.expires_at_ms = expires_at_ms;
        self
    }

    /// With a refresh token.
    #[must_use]
    pub fn refresh(mut self, token: Secret) -> Self {
        self.refresh_token = Some(token);
        self
    }

    /// With the application's secret.
    #[must_use]
    pub fn client_secret(mut self, secret: Secret) -> Self {
        self.client_secret = Some(secret);
        self
    }

    /// With another token endpoint than the provider's.
    #[must_use]
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }

    /// With a scope to ask for by client credentials.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }
}

impl fmt::Debug for OAuthTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthTokens")
            .field("client_id", &self.client_id)
            .field("refreshable", &self.refresh_token.is_some())
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Nothing to sign in with; for secret settings alone.
    pub fn none() -> Self {
        Credentials::default()
    }

    /// A token or an API key: it goes where the provider wants it.
    pub fn token(token: Secret) -> Self {
        Credentials { sign_in: Means::Token(token), secrets: BTreeMap::new() }
    }

    /// A name and a password.
    pub fn basic(username: impl Into<String>, password: Secret) -> Self {
        Credentials { sign_in: Means::Basic { username: username.into(), password }, secrets: BTreeMap::new() }
    }

    /// OAuth 2.
    pub fn oauth2(tokens: OAuthTokens) -> Self {
        Credentials { sign_in: Means::OAuth2(tokens), secrets: BTreeMap::new() }
    }

    /// Adds a secret setting of the templates.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.secrets.insert(name.into(), secret);
        self
    }

    /// Whether there is something to sign in with.
    pub fn can_sign_in(&self) -> bool {
        self.sign_in != Means::Nothing
    }

    /// As one text, for a keychain.
    pub fn to_secret(&self) -> Result<Secret> {
        let text = serde_json::to_string(&Written::from(self))
            .map_err(|source| Error::new(ErrorKind::Internal, "the credentials cannot be written").because(source))?;
        Ok(Secret::new(text))
    }

    /// From the text of [`to_secret`](Credentials::to_secret).
    pub fn from_secret(text: &Secret) -> Result<Self> {
        // The parser's message could quote the text: it stays out.
        let written: Written = serde_json::from_str(text.expose())
            .map_err(|_| Error::new(ErrorKind::Invalid, "these are no credentials: sign in again"))?;
        Ok(written.into())
    }

    pub(crate) fn named(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).cloned()
    }

    /// Checks that the secret settings a template cannot do without are there.
    pub(crate) fn check(&self, keys: &[ConfigKey]) -> Result<()> {
        let missing = keys.iter().find(|key| key.secret && key.required && !self.secrets.contains_key(&key.name));
        match missing {
            None => Ok(()),
            Some(key) => Err(Error::new(
                ErrorKind::Invalid,
                "a secret setting is missing: give it with the connection's credentials",
            )
            .with("setting", &key.name)
            .with("help", &key.help)),
        }
    }

    /// Every secret in it, to keep out of logs.
    pub(crate) fn all_secrets(&self) -> Vec<Secret> {
        let mut found: Vec<Secret> = self.secrets.values().cloned().collect();
        match &self.sign_in {
            Means::Nothing => {}
            Means::Token(token) => found.push(token.clone()),
            Means::Basic { password, .. } => found.push(password.clone()),
            Means::OAuth2(tokens) => {
                found.extend(
                    [&tokens.access_token, &tokens.refresh_token, &tokens.client_secret].into_iter().flatten().cloned(),
                );
            }
        }
        found
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sign_in {
            Means::Nothing => "Credentials(none)",
            Means::Token(_) => "Credentials(token)",
            Means::Basic { .. } => "Credentials(basic)",
            Means::OAuth2(_) => "Credentials(oauth2)",
        })
    }
}

/// Where the host keeps credentials: a keychain, its own vault. The engine asks it for a connection it
/// has no credentials of and before each refresh, and gives it renewed ones *before* it uses them.
///
/// ```
/// use highwater_core::async_trait::async_trait;
/// use highwater_engine::{CredentialStore, Credentials, Secret};
/// # use std::{collections::BTreeMap, sync::Mutex};
/// # #[derive(Debug, Default)] struct Vault(Mutex<BTreeMap<String, Secret>>);
/// # impl Vault {
/// #     fn read(&self, name: &str) -> Option<Secret> { self.0.lock().ok()?.get(name).cloned() }
/// #     fn write(&self, name: &str, secret: Secret) { self.0.lock().unwrap().insert(name.to_owned(), secret); }
/// # }
///
/// #[derive(Debug)]
/// struct Keychain(Vault);
///
/// #[async_trait]
/// impl CredentialStore for Keychain {
///     async fn load(&self, connection: &str) -> highwater_core::Result<Option<Credentials>> {
///         self.0.read(connection).as_ref().map(Credentials::from_secret).transpose()
///     }
///     async fn save(&self, connection: &str, credentials: &Credentials) -> highwater_core::Result<()> {
///         self.0.write(connection, credentials.to_secret()?); // durable when it returns
///         Ok(())
///     }
/// }
/// # let _ = Keychain(Vault::default());
/// ```
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync + 'static {
    /// The credentials of a connection.
    async fn load(&self, connection: &str) -> Result<Option<Credentials>>;
    /// Keeps them, durably: what was there before may be good for nothing any more.
    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()>;
}

/// The written form.
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
}

fn shown(secret: &Secret) -> String {
    secret.expose().to_owned()
}

impl From<&Credentials> for Written {
    fn from(credentials: &Credentials) -> Self {
        let secrets = credentials.secrets.iter().map(|(name, secret)| (name.clone(), shown(secret))).collect();
        let mut written = Written { secrets, ..Written::default() };
        match &credentials.sign_in {
            Means::Nothing => {}
            Means::Token(token) => written.token = Some(shown(token)),
            Means::Basic { username, password } => written.basic = Some((username.clone(), shown(password))),
            Means::OAuth2(tokens) => {
                written.oauth2 = Some(WrittenTokens {
                    access_token: tokens.access_token.as_ref().map(shown),
                    refresh_token: tokens.refresh_token.as_ref().map(shown),
                    expires_at_ms: tokens.expires_at_ms,
                    client_id: tokens.client_id.clone(),
                    client_secret: tokens.client_secret.as_ref().map(shown),
                    token_url: tokens.token_url.clone(),
                    scopes: tokens.scopes.clone(),
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
            Written { token: Some(token), .. } => Means::Token(Secret::new(token)),
            Written { basic: Some((username, password)), .. } => {
                Means::Basic { username, password: Secret::new(password) }
            }
            Written { oauth2: Some(tokens), .. } => Means::OAuth2(OAuthTokens {
                access_token: tokens.access_token.map(Secret::new),
                refresh_token: tokens.refresh_token.map(Secret::new),
                expires_at_ms: tokens.expires_at_ms,
                client_id: tokens.client_id,
                client_secret: tokens.client_secret.map(Secret::new),
                token_url: tokens.token_url,
                scopes: tokens.scopes,
            }),
            _ => Means::Nothing,
        };
        Credentials { sign_in, secrets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_survive_a_keychain_and_show_nothing() {
        let tokens = OAuthTokens::new("app").access(Secret::new("a1"), Some(5)).refresh(Secret::new("r1"));
        for credentials in [
            Credentials::none(),
            Credentials::token(Secret::new("t0p")),
            Credentials::basic("user", Secret::new("pass")),
            Credentials::oauth2(tokens).secret("api_key", Secret::new("k3y")),
        ] {
            assert_eq!(Credentials::from_secret(&credentials.to_secret().unwrap()).unwrap(), credentials);
            for secret in credentials.all_secrets() {
                assert!(!format!("{credentials:?} {:#?}", credentials.to_secret().unwrap()).contains(secret.expose()));
            }
        }
        let error = Credentials::from_secret(&Secret::new("not json s3cret")).unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}
