//! Connections as answers show them.

use highwater_core::{ErrorKind, Timestamp};
use highwater_engine::connections::ConnectionState;
use highwater_engine::credentials::{OAuthGrant, OAuthTokens, SignInMethod};
use highwater_engine::{ConnectionSettings, Credentials, Secret};
use serde_json::{Map, Value, json};

use super::notes::NAME_TAG;
use crate::about::schema;
use crate::call::Call;
use crate::error::ApiError;
use crate::routes::common::{iso, number};

fn common_schema() -> Vec<(&'static str, Value)> {
    let fault = schema::object([("type", schema::words(&["auth", "sync"])), ("log_id", schema::text())]);
    vec![
        ("id", schema::count()),
        ("connection_id", schema::text()),
        ("provider_config_key", schema::text()),
        ("provider", schema::text()),
        ("errors", schema::array(fault)),
        ("end_user", schema::nullable(schema::object([("id", schema::text())]))),
        ("tags", schema::map(schema::text())),
        ("metadata", schema::nullable(schema::map(schema::any()))),
    ]
}

/// The schema of a connection of a list.
pub(super) fn short_schema() -> Value {
    schema::object(common_schema().into_iter().chain([("created", schema::time())]))
}

/// The schema of a connection.
pub(super) fn schema() -> Value {
    schema::object(common_schema().into_iter().chain([
        ("connection_config", schema::map(schema::text())),
        ("webhook_url_override", json!({ "type": "null" })),
        ("created_at", schema::time()),
        ("updated_at", schema::time()),
        ("last_fetched_at", schema::nullable(schema::time())),
        ("credentials", schema::map(schema::any())),
    ]))
}

/// A connection of a list.
pub(super) async fn short(call: &Call, state: &ConnectionState) -> Result<Value, ApiError> {
    let mut shown = common(call, state).await?;
    shown.insert("created".to_owned(), iso(state.created_at.unwrap_or_default()).into());
    Ok(shown.into())
}

/// A connection with everything but its credentials: `credentials` is an empty object.
pub(super) async fn full(call: &Call, id: &str) -> Result<Value, ApiError> {
    let state = call.engine().connection_state(id).await?;
    let mut shown = common(call, &state).await?;
    let created = with_offset(state.created_at.unwrap_or_default());
    for (name, value) in [
        ("connection_config", json!(state.settings.config)),
        ("webhook_url_override", Value::Null),
        ("created_at", json!(created)),
        ("updated_at", json!(created)),
        ("last_fetched_at", json!(state.last_fetched_at.map(with_offset))),
        ("credentials", json!({})),
    ] {
        shown.insert(name.to_owned(), value);
    }
    Ok(shown.into())
}

async fn common(call: &Call, state: &ConnectionState) -> Result<Map<String, Value>, ApiError> {
    let settings = &state.settings;
    let metadata = if settings.metadata.is_empty() { Value::Null } else { settings.metadata.clone().into() };
    let shown = json!({
        "id": number(&settings.id),
        "connection_id": settings.id,
        "provider_config_key": settings.integration_key(),
        "provider": settings.provider,
        "errors": errors(call, state).await?,
        "end_user": end_user(settings),
        "tags": settings.tags,
        "metadata": metadata,
    });
    match shown {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}

/// What is wrong with the connection, and the run that found it.
async fn errors(call: &Call, state: &ConnectionState) -> Result<Vec<Value>, ApiError> {
    let Some(error) = &state.last_error else { return Ok(Vec::new()) };
    let Some(sync) = &error.sync else { return Ok(vec![json!({ "type": "auth", "log_id": "" })]) };
    let run = match call.engine().sync(&state.settings.id, sync)?.state().await {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        state => state?.status.last_run,
    };
    let log = run.map_or_else(String::new, |run| run.to_string());
    Ok(vec![json!({ "type": "sync", "log_id": log })])
}

fn end_user(settings: &ConnectionSettings) -> Value {
    let Some(user) = &settings.end_user else { return Value::Null };
    let organisation = user.organisation.as_ref().map(|id| json!({ "id": id, "display_name": null }));
    json!({
        "id": user.id,
        "display_name": settings.tags.get(NAME_TAG),
        "email": user.email,
        "tags": null,
        "organization": organisation,
    })
}

/// A time with a numeric offset, as the peer's server writes those of one connection.
fn with_offset(at: Timestamp) -> String {
    let text = iso(at);
    format!("{}+00:00", text.strip_suffix('Z').unwrap_or(&text))
}

/// Credentials for a key that may read them. A refresh token is shown only if it was asked for; a client's secret never.
pub(super) fn credentials(credentials: &Credentials, show_refresh: bool) -> Value {
    let kind = credentials.mode();
    match credentials.method() {
        SignInMethod::Token(token) => json!({ "type": kind, "apiKey": token.expose() }),
        SignInMethod::Basic { username, password } => {
            json!({ "type": kind, "username": username, "password": password.expose() })
        }
        SignInMethod::OAuth2(tokens) => oauth(kind, tokens, show_refresh),
        _ => json!({}),
    }
}

fn oauth(kind: &str, tokens: &OAuthTokens, show_refresh: bool) -> Value {
    let expose = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let access = expose(&tokens.access_token);
    let name = if tokens.grant == OAuthGrant::ClientCredentials { "token" } else { "access_token" };
    let mut shown = Map::new();
    shown.insert("type".to_owned(), kind.into());
    shown.insert(name.to_owned(), json!(access));
    // The answer of the token endpoint is not kept: this is what is known of it.
    let mut raw =
        Map::from_iter([("access_token".to_owned(), json!(access)), ("token_type".to_owned(), "bearer".into())]);
    if !tokens.granted.is_empty() {
        raw.insert("scope".to_owned(), tokens.granted.join(" ").into());
    }
    if let Some(end) = tokens.expires_at {
        shown.insert("expires_at".to_owned(), iso(end).into());
        raw.insert("expires_at".to_owned(), iso(end).into());
    }
    if let Some(refresh) = expose(&tokens.refresh_token).filter(|_| show_refresh) {
        shown.insert("refresh_token".to_owned(), refresh.clone().into());
        raw.insert("refresh_token".to_owned(), refresh.into());
    }
    shown.insert("raw".to_owned(), raw.into());
    shown.into()
}
