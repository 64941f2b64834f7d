//! Secrets of every way to sign in, and the forms in which an API may write them.
#![allow(unreachable_pub)] // a module of a test binary

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use highwater_core::Timestamp;
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{Credentials, Secret};
use highwater_template::http::escape;

/// What is secret about a way to sign in.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    Bearer,
    Header,
    Query,
    Basic,
    BasicPair,
    KeyAsUser,
    Access,
    Refresh,
    ClientSecret,
    ClientPair,
    Replaced,
    Setting,
    ServiceAccountKey,
    GitHubAppKey,
    /// A key in PEM as a secret setting: manifests sign with those.
    KeySetting,
    IntegrationClientSecret,
    IntegrationWebhookSecret,
}

pub const KEPT: [Kept; 17] = [
    Kept::Bearer,
    Kept::Header,
    Kept::Query,
    Kept::Basic,
    Kept::BasicPair,
    Kept::KeyAsUser,
    Kept::Access,
    Kept::Refresh,
    Kept::ClientSecret,
    Kept::ClientPair,
    Kept::Replaced,
    Kept::Setting,
    Kept::ServiceAccountKey,
    Kept::GitHubAppKey,
    Kept::KeySetting,
    Kept::IntegrationClientSecret,
    Kept::IntegrationWebhookSecret,
];

/// A token as APIs make them: with what needs escaping in one form or another.
pub const TOKEN: &str = "tk~9/Qa\"7+xß=Lm&pVw2";
const OTHER: &str = "another-Secret_55%20z";

/// What webhooks of a connection are signed with that has a secret of its own.
pub const SIGNING: &str = "signs-all-webhooks";

/// A private key that signs for nobody.
pub const KEY: &str = include_str!("nobodys-key.pem");

impl Kept {
    pub fn credentials(self) -> Credentials {
        let tokens =
            || OAuthTokens::new("app").access(Secret::new("access-plain-1"), Some(Timestamp::from_unix_ms(u64::MAX)));
        match self {
            Kept::Bearer | Kept::Header | Kept::Query => Credentials::token(Secret::new(TOKEN)),
            Kept::Basic | Kept::BasicPair => Credentials::basic("somebody", Secret::new(TOKEN)),
            Kept::KeyAsUser => Credentials::basic(TOKEN, Secret::new("")),
            Kept::Access => Credentials::oauth2(
                OAuthTokens::new("app").access(Secret::new(TOKEN), Some(Timestamp::from_unix_ms(u64::MAX))),
            ),
            Kept::Refresh => Credentials::oauth2(tokens().refresh(Secret::new(TOKEN))),
            Kept::ClientSecret | Kept::ClientPair => {
                Credentials::oauth2(tokens().refresh(Secret::new(OTHER)).client_secret(Secret::new(TOKEN)))
            }
            Kept::Replaced => {
                let over = OAuthTokens::new("app").access(Secret::new(TOKEN), Some(Timestamp::from_unix_ms(1)));
                Credentials::oauth2(over.refresh(Secret::new(OTHER)))
            }
            Kept::Setting => Credentials::none().secret("api_key", Secret::new(TOKEN)),
            Kept::ServiceAccountKey => {
                let file = serde_json::json!({
                    "type": "service_account", "client_email": "robot@echo.example", "private_key": KEY,
                    "private_key_id": "key-1", "token_uri": "https://echo.example/token",
                });
                Credentials::oauth2(OAuthTokens::service_account(&Secret::new(file.to_string())).unwrap())
            }
            Kept::GitHubAppKey => Credentials::oauth2(OAuthTokens::github_app("app", "42", Secret::new(KEY)).unwrap()),
            Kept::KeySetting => Credentials::none().secret("private_key", Secret::new(KEY)),
            Kept::IntegrationClientSecret => Credentials::oauth2(tokens()),
            // Its webhooks are signed with the secret of its integration.
            Kept::IntegrationWebhookSecret => return Credentials::oauth2(tokens()),
        }
        .secret("webhook_secret", Secret::new(SIGNING))
    }

    pub fn is_key(self) -> bool {
        matches!(self, Kept::ServiceAccountKey | Kept::GitHubAppKey | Kept::KeySetting)
    }

    pub fn text(self) -> String {
        match self {
            Kept::BasicPair => format!("somebody:{TOKEN}"),
            Kept::ClientPair => format!("app:{}", escape(TOKEN)),
            _ if self.is_key() => KEY.trim().to_owned(),
            _ => TOKEN.to_owned(),
        }
    }
}

/// How the API writes a secret.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Raw,
    Base64,
    Base64NoPad,
    Base64Url,
    Base64UrlNoPad,
    WithinBase64,
    Percent,
    PercentLower,
    UrlEncoded,
    PercentTwice,
    Json,
    JsonSlash,
    Unicode,
    Html,
    Hex,
    Broken,
    /// Lines that end as on Windows.
    Lines,
    /// The first and the last line left out, the others joined.
    Body,
}

pub const FORMS: [Form; 18] = [
    Form::Raw,
    Form::Base64,
    Form::Base64NoPad,
    Form::Base64Url,
    Form::Base64UrlNoPad,
    Form::WithinBase64,
    Form::Percent,
    Form::PercentLower,
    Form::UrlEncoded,
    Form::PercentTwice,
    Form::Json,
    Form::JsonSlash,
    Form::Unicode,
    Form::Html,
    Form::Hex,
    Form::Broken,
    Form::Lines,
    Form::Body,
];

impl Form {
    pub fn of(self, secret: &str) -> String {
        let lower = |text: String| {
            let mut parts = text.split('%');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |all, part| format!("{all}%{}{}", part[..2].to_lowercase(), &part[2..]))
        };
        let json = || {
            let quoted = serde_json::to_string(secret).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        };
        match self {
            Form::Raw => secret.to_owned(),
            Form::Base64 => STANDARD.encode(secret),
            Form::Base64NoPad => STANDARD_NO_PAD.encode(secret),
            Form::Base64Url => URL_SAFE.encode(secret),
            Form::Base64UrlNoPad => URL_SAFE_NO_PAD.encode(secret),
            Form::WithinBase64 => STANDARD.encode(format!("x{secret} and more")),
            Form::Percent => escape(secret),
            Form::PercentLower => lower(escape(secret)),
            Form::UrlEncoded => escape(secret).replace("%20", "+"),
            Form::PercentTwice => escape(&escape(secret)),
            Form::Json => json(),
            Form::JsonSlash => json().replace('/', "\\/"),
            Form::Unicode => secret.encode_utf16().fold(String::new(), |mut all, unit| {
                let _ = write!(all, "\\u{unit:04X}");
                all
            }),
            Form::Html => secret.replace('&', "&amp;").replace('"', "&quot;"),
            Form::Hex => hex::encode(secret),
            Form::Broken => {
                let middle = secret.char_indices().nth(secret.chars().count() / 2).map_or(0, |(at, _)| at);
                format!("{}\n  {}", &secret[..middle], &secret[middle..])
            }
            Form::Lines => secret.replace('\n', "\r\n"),
            Form::Body => secret.lines().filter(|line| !line.starts_with("-----")).collect(),
        }
    }
}
