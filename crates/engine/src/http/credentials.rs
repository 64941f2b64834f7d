//! Credentials of connections.

use std::collections::BTreeMap;
use std::fmt;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::{ConfigKey, Secret};

use super::oauth::client_pair;
use super::tokens::{OAuthGrant, OAuthTokens};
use super::written::Written;
use crate::documents::TokenEnd;

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
        Written::from(self).to_secret()
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

#[cfg(test)]
mod tests {
    use highwater_core::Timestamp;

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
