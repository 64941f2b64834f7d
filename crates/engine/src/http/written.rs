//! The text form of credentials, for keychains and vaults.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::credentials::{Credentials, SignInMethod};
use super::tokens::{OAuthGrant, OAuthTokens};
use crate::timer::millis;

/// A secret in a text that is itself secret.
#[derive(Clone)]
pub(super) struct Shown(pub(super) Secret);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'d> Deserialize<'d> for Shown {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Shown(Secret::new(text)))
    }
}

/// The serialized form.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Shown>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic: Option<(String, Shown)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oauth2: Option<WrittenTokens>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, Shown>,
}

#[derive(Serialize, Deserialize)]
struct WrittenTokens {
    access_token: Option<Shown>,
    refresh_token: Option<Shown>,
    expires_at_ms: Option<u64>,
    client_id: String,
    client_secret: Option<Shown>,
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
    private_key: Option<Shown>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
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

fn shown(secret: &Secret) -> Shown {
    Shown(secret.clone())
}

/// Counts what is written.
#[derive(Default)]
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    pub(super) fn to_secret(&self) -> Result<Secret> {
        let unwritten = || Error::new(ErrorKind::Internal, "the credentials cannot be written");
        let mut length = Length::default();
        serde_json::to_writer(&mut length, self).map_err(|source| unwritten().because(source))?;
        // A text that grows is moved, and leaves copies behind that nobody wipes.
        let mut text = Vec::with_capacity(length.0);
        serde_json::to_writer(&mut text, self).map_err(|source| unwritten().because(source))?;
        String::from_utf8(text).map(Secret::new).map_err(|_| unwritten())
    }
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
                    base_url: tokens.base_url.clone(),
                });
            }
        }
        written
    }
}

impl From<Written> for Credentials {
    fn from(written: Written) -> Self {
        let secrets = written.secrets.into_iter().map(|(name, secret)| (name, secret.0)).collect();
        let sign_in = match written {
            Written { token: Some(token), .. } => SignInMethod::Token(token.0),
            Written { basic: Some((username, password)), .. } => SignInMethod::Basic { username, password: password.0 },
            Written { oauth2: Some(tokens), .. } => SignInMethod::OAuth2(Box::new(OAuthTokens {
                grant: tokens.grant(),
                access_token: tokens.access_token.map(|secret| secret.0),
                refresh_token: tokens.refresh_token.map(|secret| secret.0),
                expires_at: tokens.expires_at_ms.map(Timestamp::from_unix_ms),
                client_id: tokens.client_id,
                client_secret: tokens.client_secret.map(|secret| secret.0),
                token_url: tokens.token_url,
                scopes: tokens.scopes,
                granted: tokens.granted,
                lifetime: tokens.lifetime_ms.map(Duration::from_millis),
                private_key: tokens.private_key.map(|secret| secret.0),
                key_id: tokens.key_id,
                subject: tokens.subject,
                installation: tokens.installation,
                base_url: tokens.base_url,
            })),
            _ => SignInMethod::Nothing,
        };
        Credentials { sign_in, secrets }
    }
}
