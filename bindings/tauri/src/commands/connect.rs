//! Accounts: connecting, signing in, disconnecting. Secrets go in here, and never out.

use std::collections::BTreeMap;

use highwater::engine::credentials::Revocation;
use highwater::engine::{Credentials, DisconnectMode};
use highwater::{ConnectionSettings, Error, ErrorKind, Result, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tauri::{AppHandle, Runtime, Webview};

use super::{Answer, answer, done, opened};

/// An account to connect: of a provider, or of an integration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountArguments {
    id: String,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    integration: Option<String>,
    #[serde(default)]
    base_url: Option<String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

impl TryFrom<AccountArguments> for ConnectionSettings {
    type Error = Error;

    fn try_from(account: AccountArguments) -> Result<Self> {
        let mut settings = match (&account.provider, &account.integration) {
            (Some(provider), None) => ConnectionSettings::new(&account.id, provider),
            (None, Some(key)) => ConnectionSettings::of_integration(&account.id, key),
            _ => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "name the account's provider or its integration, one of the two",
                )
                .with("connection", &account.id));
            }
        };
        if let Some(url) = account.base_url {
            // What a window says leads to no private address.
            settings = settings.public_base_url(url);
        }
        if let Some(name) = account.display_name {
            settings = settings.display_name(name);
        }
        settings.config = account.config;
        settings.tags = account.tags;
        settings.metadata = account.metadata;
        Ok(settings)
    }
}

/// What a user types in. Not `Debug`, so that it reaches no log.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum TypedCredentials {
    Token { token: String },
    Password { username: String, password: String },
}

impl From<TypedCredentials> for Credentials {
    fn from(typed: TypedCredentials) -> Self {
        match typed {
            TypedCredentials::Token { token } => Credentials::token(Secret::new(token)),
            TypedCredentials::Password { username, password } => Credentials::basic(username, Secret::new(password)),
        }
    }
}

/// Connects an account, and signs it in if there are credentials: both, or nothing.
#[tauri::command]
pub(crate) async fn connect_account<R: Runtime>(
    app: AppHandle<R>,
    account: AccountArguments,
    credentials: Option<TypedCredentials>,
) -> Answer {
    let (highwater, settings) = (opened(&app)?, ConnectionSettings::try_from(account)?);
    match credentials {
        Some(credentials) => highwater.engine().connect_and_sign_in(settings, credentials.into()).await?,
        None => highwater.engine().connect(settings).await?,
    }
    done()
}

#[tauri::command]
pub(crate) async fn sign_in_account<R: Runtime>(
    app: AppHandle<R>,
    connection: String,
    credentials: TypedCredentials,
) -> Answer {
    opened(&app)?.engine().sign_in(&connection, credentials.into()).await?;
    done()
}

/// Signs an account in with the system's browser. Waits for the user; ends with the window, or by `cancel_sign_in`.
#[tauri::command]
pub(crate) async fn sign_in_in_browser<R: Runtime>(
    webview: Webview<R>,
    connection: String,
    ports: Option<Vec<u16>>,
) -> Answer {
    let highwater = opened(&webview)?;
    let engine = highwater.engine();
    let settings = engine.connection(&connection).await?;
    let ports = ports.unwrap_or_default();
    let credentials = highwater.sign_ins().run(engine, &settings, webview.label(), ports).await?;
    engine.sign_in(&connection, credentials).await?;
    done()
}

#[tauri::command]
pub(crate) async fn cancel_sign_in<R: Runtime>(app: AppHandle<R>, connection: String) -> Answer {
    answer(&opened(&app)?.sign_ins().end(&connection))
}

/// What becomes of the records of a disconnected account.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordsOfGone {
    Keep,
    Clear,
}

#[derive(Serialize)]
struct Disconnected {
    /// Whether the provider ended the sign-in.
    revoked: bool,
}

#[tauri::command]
pub(crate) async fn disconnect_account<R: Runtime>(
    app: AppHandle<R>,
    connection: String,
    records: RecordsOfGone,
) -> Answer {
    let mode = match records {
        RecordsOfGone::Keep => DisconnectMode::KeepRecords,
        RecordsOfGone::Clear => DisconnectMode::ClearRecords,
    };
    let highwater = opened(&app)?;
    highwater.sign_ins().end(&connection);
    let report = highwater.engine().disconnect(&connection, mode).await?;
    answer(&Disconnected { revoked: matches!(report.revocation, Some(Ok(Revocation::Revoked))) })
}
