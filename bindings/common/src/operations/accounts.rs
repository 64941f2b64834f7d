//! Connections and their credentials.

use std::collections::BTreeMap;

use highwater::engine::connections::{
    Account, AccountChange, ConnectionFilter, ConnectionPage, ConnectionState, EndUser,
};
use highwater::engine::credentials::Revocation;
use highwater::engine::{Credentials, DisconnectMode};
use highwater::{ConnectionSettings, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Done, RecordsMode, refused};
use crate::credentials::CredentialsOptions;
use crate::engine::Open;
use crate::failure::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Connect {
    connection: String,
    provider: Option<String>,
    integration: Option<String>,
    base_url: Option<String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    display_name: Option<String>,
    end_user: Option<EndUserRead>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    metadata: Map<String, Value>,
    credentials: Option<CredentialsOptions>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndUserRead {
    id: String,
    email: Option<String>,
    organisation: Option<String>,
}

pub(super) async fn connect(open: &Open, given: Connect) -> Result<ConnectionState> {
    let id = given.connection;
    let mut settings = match (given.provider, given.integration) {
        (Some(provider), None) => ConnectionSettings::new(&id, provider),
        (None, Some(key)) => ConnectionSettings::of_integration(&id, key),
        _ => {
            return Err(refused(
                "provider",
                "a connection belongs to a provider or to an integration: give one of the two",
            ));
        }
    };
    if let Some(url) = given.base_url {
        settings = settings.base_url(url);
    }
    settings.config = given.config;
    settings.display_name = given.display_name;
    settings.end_user = given.end_user.map(|user| {
        let mut read = EndUser::new(user.id);
        (read.email, read.organisation) = (user.email, user.organisation);
        read
    });
    settings.tags = given.tags;
    settings.metadata = given.metadata;
    match given.credentials.map(CredentialsOptions::read).transpose()? {
        Some(credentials) if open.has_vault => open.engine.connect_and_sign_in(settings, credentials).await?,
        credentials => {
            open.engine.connect(settings).await?;
            if let Some(credentials) = credentials {
                open.engine.use_credentials(&id, credentials);
            }
        }
    }
    open.engine.connection_state(&id).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    connection: String,
    credentials: CredentialsOptions,
    #[serde(default)]
    allow_other_account: bool,
}

/// Without a vault the credentials last until the engine is closed.
pub(super) async fn sign_in(open: &Open, given: SignIn) -> Result<ConnectionState> {
    let (id, credentials): (_, Credentials) = (&given.connection, given.credentials.read()?);
    if open.has_vault {
        let change = match given.allow_other_account {
            true => AccountChange::Allow,
            false => AccountChange::Refuse,
        };
        open.engine.sign_in_with(id, credentials, change).await?;
    } else {
        open.engine.connection(id).await?;
        open.engine.use_credentials(id, credentials);
    }
    open.engine.connection_state(id).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    connection: String,
    records: RecordsMode,
}

/// Returns whether the sign-in was revoked at the provider, and the error if the provider did not confirm it.
pub(super) async fn disconnect(open: &Open, given: Disconnect) -> Result<Value> {
    let mode = match given.records {
        RecordsMode::Keep => DisconnectMode::KeepRecords,
        RecordsMode::Clear => DisconnectMode::ClearRecords,
    };
    let report = open.engine.disconnect(&given.connection, mode).await?;
    let revoked = matches!(report.revocation, Some(Ok(Revocation::Revoked)));
    let error = report.revocation.and_then(Result::err).map(Failure::from);
    Ok(json!({ "revoked": revoked, "error": error }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    connection: String,
}

pub(super) async fn state(open: &Open, given: Named) -> Result<ConnectionState> {
    open.engine.connection_state(&given.connection).await
}

pub(super) async fn verify(open: &Open, given: Named) -> Result<Account> {
    open.engine.verify_connection(&given.connection).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    integration: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    end_user: Option<String>,
    text: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(open: &Open, given: List) -> Result<ConnectionPage> {
    let mut filter = ConnectionFilter::default().after(given.after);
    filter.integrations.extend(given.integration);
    filter.provider = given.provider;
    filter.tags = given.tags;
    filter.end_user = given.end_user;
    filter.text = given.text;
    filter.limit = given.limit;
    open.engine.connection_states(&filter).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    connection: String,
    metadata: Map<String, Value>,
}

pub(super) async fn set_metadata(open: &Open, given: Metadata) -> Done {
    open.engine.set_metadata(&given.connection, Value::Object(given.metadata)).await
}

pub(super) async fn update_metadata(open: &Open, given: Metadata) -> Done {
    open.engine.update_metadata(&given.connection, Value::Object(given.metadata)).await
}
