//! Credentials as hosts give them.

use std::collections::BTreeMap;

use highwater::engine::Credentials;
use highwater::{Error, ErrorKind, Result, Secret};
use serde::Deserialize;
use serde_json::value::RawValue;

/// `{"token": TEXT}`, `{"username": TEXT, "password": TEXT}` or `{"oauth2": {...}}`, each with `secrets` beside it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialsOptions {
    token: Option<String>,
    username: Option<String>,
    password: Option<String>,
    /// The tokens of OAuth 2, as [`Credentials::to_secret`] writes them.
    oauth2: Option<Box<RawValue>>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

impl CredentialsOptions {
    pub(crate) fn read(self) -> Result<Credentials> {
        let credentials = match (self.token, self.username, self.password, self.oauth2) {
            (None, None, None, None) => Credentials::none(),
            (Some(token), None, None, None) => Credentials::token(Secret::new(token)),
            (None, Some(username), Some(password), None) => Credentials::basic(username, Secret::new(password)),
            (None, None, None, Some(tokens)) => {
                let whole = Secret::new(format!(r#"{{"oauth2":{}}}"#, tokens.get()));
                Credentials::from_secret(&whole).map_err(|_| refused("oauth2 needs a client_id and tokens"))?
            }
            _ => return Err(refused("credentials are a token, or username and password, or oauth2")),
        };
        Ok(self
            .secrets
            .into_iter()
            .fold(credentials, |credentials, (name, secret)| credentials.secret(name, Secret::new(secret))))
    }
}

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message).with("member", "credentials")
}
