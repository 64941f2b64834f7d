//! What is told of connections: how they stand, and that somebody signed in.

use std::collections::BTreeMap;

use highwater_core::{Environment, Error, ErrorKind, Result, Store, WriteBatch};
use serde::{Deserialize, Serialize};

use super::collapse::collapse_waiting;
use super::destinations::destinations;
use super::news::{Ids, iso};
use crate::documents::{
    ConnectionError, ConnectionHealth, ConnectionSettings, Destination, OutboxRow, WebhookFormat, row_key,
};
use crate::mutants::mutant;

/// What a connection's health came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthOperation {
    /// The first sign-in.
    Creation,
    /// A later one.
    Override,
    /// The credentials were used, or renewed.
    Refresh,
}

impl AuthOperation {
    pub(crate) fn is_sign_in(self) -> bool {
        self != AuthOperation::Refresh
    }
}

/// News of a connection.
pub(crate) struct AuthNews<'n> {
    pub(crate) settings: &'n ConnectionSettings,
    pub(crate) operation: AuthOperation,
    /// The way to sign in.
    pub(crate) mode: &'static str,
    pub(crate) health: ConnectionHealth,
    pub(crate) error: Option<&'n ConnectionError>,
}

/// Adds a row per destination to the batch that changes how the connection stands. Returns those destinations.
pub(crate) async fn add_auth_rows(
    store: &dyn Store,
    environment: &dyn Environment,
    news: &AuthNews<'_>,
    attempt: u32,
    batch: &mut WriteBatch,
) -> Result<Vec<Destination>> {
    let mut told = Vec::new();
    if mutant!("health-untold") {
        return Ok(told);
    }
    let settings = news.settings;
    let integration = settings.integration.as_deref().unwrap_or(&settings.provider);
    let now = environment.now();
    let mut ids = Ids::new(environment, now, attempt);
    for destination in destinations(store).await? {
        if destination.disabled.is_some() || !destination.on_auth || !destination.wants(&settings.id, integration) {
            continue;
        }
        let row = OutboxRow::new(ids.next(), news.body(integration, destination.format)?, now);
        let key = row_key(&destination.id, &row.id);
        batch.expect_document(&*key, None).put_document(&*key, &row)?;
        told.push(destination);
    }
    Ok(told)
}

/// Bounds the rows of destinations that were told of a connection. If that fails, the next news does it.
pub(crate) async fn bound_rows(store: &dyn Store, environment: &dyn Environment, told: &[Destination]) {
    for destination in told {
        if let Err(error) = collapse_waiting(store, environment, destination).await {
            tracing::warn!(target: "highwater::outbox", destination = %destination.id, "its rows could not be collapsed: {error}");
        }
    }
}

impl AuthNews<'_> {
    fn body(&self, integration: &str, format: WebhookFormat) -> Result<String> {
        let settings = self.settings;
        let success = !self.health.needs_sign_in();
        let error = self
            .error
            .filter(|_| !success)
            .map(|error| AuthError { description: error.message.clone(), r#type: error.kind.as_str().to_owned() });
        let end_user = settings.end_user.as_ref().map(|user| AuthUser {
            end_user_email: user.email.clone(),
            end_user_id: user.id.clone(),
            organization_id: user.organisation.clone(),
        });
        let expires_at = match self.health {
            ConnectionHealth::Expiring { at } => Some(iso(at)),
            _ => None,
        };
        let operation = match self.operation {
            AuthOperation::Creation => "creation",
            AuthOperation::Override => "override",
            AuthOperation::Refresh => "refresh",
        };
        let body = AuthBody {
            auth_mode: self.mode.to_owned(),
            connection_id: settings.id.clone(),
            end_user,
            error,
            expires_at,
            from: format.sender().to_owned(),
            health: self.health.kind().as_str().to_owned(),
            operation: operation.to_owned(),
            provider: settings.provider.clone(),
            provider_config_key: integration.to_owned(),
            reason: self.health.reason().map(|reason| reason.as_str().to_owned()),
            success,
            tags: settings.tags.clone(),
            r#type: "auth".to_owned(),
        };
        serde_json::to_string(&body).map_err(|source| {
            Error::new(ErrorKind::Internal, "the body of a delivery cannot be written").because(source)
        })
    }
}

/// The members are in order of their names, so that the text is the same for the same facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthBody {
    auth_mode: String,
    connection_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_user: Option<AuthUser>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<AuthError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    from: String,
    health: String,
    operation: String,
    provider: String,
    provider_config_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    success: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    r#type: String,
}

/// News of the same connection and operation: a receiver that has the later one needs none of the earlier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AuthKey {
    integration: String,
    connection: String,
    operation: String,
}

impl AuthBody {
    pub(super) fn key(self) -> AuthKey {
        AuthKey { integration: self.provider_config_key, connection: self.connection_id, operation: self.operation }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthUser {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_user_email: Option<String>,
    end_user_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AuthError {
    description: String,
    r#type: String,
}
