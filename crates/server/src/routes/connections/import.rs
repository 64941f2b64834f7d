//! Connections that come with their credentials.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::{ErrorKind, Timestamp};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials, IntegrationHandle, Secret};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::notes::{self, EndUserBody, Tags, in_body};
use super::view;
use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::input::{Object, value};
use crate::route::Answer;
use crate::routes::common::{connection_id, integration_key, provider_of, text};

/// The longest token, password or key, in bytes.
const SECRET: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    provider_config_key: String,
    connection_id: Option<String>,
    metadata: Option<Map<String, Value>>,
    connection_config: Option<Map<String, Value>>,
    webhook_url_override: Option<String>,
    credentials: Object<CredentialsBody>,
    end_user: Option<Object<EndUserBody>>,
    tags: Option<Tags>,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum CredentialsBody {
    #[serde(rename = "OAUTH2")]
    OAuth2 {
        access_token: String,
        refresh_token: Option<String>,
        expires_at: Option<String>,
        config_override: Option<Object<Application>>,
    },
    #[serde(rename = "OAUTH2_CC")]
    ClientCredentials { token: Option<String>, client_id: String, client_secret: String, expires_at: Option<String> },
    #[serde(rename = "API_KEY")]
    ApiKey {
        #[serde(rename = "apiKey")]
        api_key: String,
    },
    #[serde(rename = "BASIC")]
    Basic { username: String, password: String },
    #[serde(rename = "NONE")]
    Nothing {},
}

/// The application that tokens belong to, if it is another than the integration's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    client_id: Option<String>,
    client_secret: Option<String>,
}

pub(super) fn about() -> About {
    let secret = || schema::name(SECRET);
    let kind = |kind: &str, members: Vec<(&'static str, Value)>| {
        schema::closed([("type", json!({ "const": kind }))].into_iter().chain(members))
    };
    let application = schema::closed([("client_id?", schema::text()), ("client_secret?", schema::text())]);
    let end = || ("expires_at?", schema::time());
    let credentials = json!({ "oneOf": [
        kind("OAUTH2", vec![("access_token", secret()), ("refresh_token?", secret()), end(), ("config_override?", application)]),
        kind("OAUTH2_CC", vec![("token?", secret()), ("client_id", schema::name(2048)), ("client_secret", secret()), end()]),
        kind("API_KEY", vec![("apiKey", secret())]),
        kind("BASIC", vec![("username", schema::line(SECRET)), ("password", schema::line(SECRET))]),
        kind("NONE", vec![]),
    ] });
    let setting = json!({ "type": ["string", "number", "boolean"] });
    let body = schema::closed([
        ("provider_config_key", schema::name(MAX_NAME)),
        ("connection_id?", schema::name(MAX_NAME)),
        ("metadata?", schema::map(schema::any())),
        ("connection_config?", schema::map(setting)),
        ("webhook_url_override?", schema::nullable(json!({ "const": "" }))),
        ("credentials", credentials),
        ("end_user?", notes::end_user_schema()),
        ("tags?", schema::nullable(notes::tags_schema())),
    ]);
    let example =
        json!({ "provider_config_key": "demo-crm", "connection_id": "ann", "credentials": { "type": "NONE" } });
    About::new("Imports a connection with its credentials.").body(body, example).answer(
        201,
        "The connection.",
        view::schema(),
    )
}

pub(super) async fn import(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    let key = integration_key(&body.provider_config_key)?;
    notes::refuse_webhook_url(body.webhook_url_override.as_deref())?;
    let id = match &body.connection_id {
        Some(id) => connection_id(id)?,
        None => new_id(&call),
    };
    let not_there =
        |_| ApiError::not_found("Integration does not exist: check provider_config_key, or create the integration");
    let provider = provider_of(&call, &key).await.map_err(not_there)?;
    let integration = call.engine().integration(&key)?;
    let of_integration = integration.settings().await.is_ok();
    let mut settings = if of_integration {
        ConnectionSettings::of_integration(&id, &key)
    } else {
        ConnectionSettings::new(&id, provider)
    };
    let (user, own) = (body.end_user.as_deref(), body.tags.as_ref());
    if let Some(user) = user.map(EndUserBody::read).transpose()? {
        settings = settings.end_user(user.end_user);
        settings.tags = user.tags;
    }
    settings.tags.extend(own.map(notes::read_tags).transpose()?.unwrap_or_default());
    settings.metadata = body.metadata.clone().unwrap_or_default();
    settings.config = config(body.connection_config.as_ref())?;
    let credentials = body.credentials.read(of_integration.then_some(&integration)).await?;
    match call.engine().connection(&id).await {
        Ok(known) if known.integration_key() != key => {
            let why = "is one of another integration: choose another id";
            return Err(ApiError::parameter(Place::Body, "connection_id", "invalid", why));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    if credentials.can_sign_in() {
        call.engine().connect_and_sign_in(settings, credentials).await.map_err(in_body)?;
    } else {
        call.engine().connect(settings).await.map_err(in_body)?;
    }
    let shown = view::full(&call, &id).await?;
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// An id that no other connection has, in the form of a UUID.
fn new_id(call: &Call) -> String {
    let mut random = [0; 32];
    call.state.environment().fill_random(&mut random);
    crate::routes::common::uuid(&[&hex::encode(random)])
}

/// Settings are texts here; numbers and switches are written as such.
pub(in crate::routes) fn config(given: Option<&Map<String, Value>>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut config = BTreeMap::new();
    for (name, value) in given.into_iter().flatten() {
        let written = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(switch) => switch.to_string(),
            _ => {
                let name = format!("connection_config.{name}");
                return Err(ApiError::parameter(
                    Place::Body,
                    &name,
                    "invalid",
                    "must be a text, a number, true or false",
                ));
            }
        };
        config.insert(name.clone(), written);
    }
    Ok(config)
}

impl CredentialsBody {
    async fn read(&self, integration: Option<&IntegrationHandle>) -> Result<Credentials, ApiError> {
        let secret = |name: &str, given: &str| text(&format!("credentials.{name}"), given, SECRET).map(Secret::new);
        Ok(match self {
            CredentialsBody::Nothing {} => Credentials::none(),
            CredentialsBody::ApiKey { api_key } => Credentials::token(secret("apiKey", api_key)?),
            CredentialsBody::Basic { username, password } => {
                // Some APIs take a key in place of either.
                if username.len() + password.len() > SECRET {
                    let why = "is too long: at most 16 KiB";
                    return Err(ApiError::parameter(Place::Body, "credentials.password", "too_long", why));
                }
                for (name, given) in [("username", username), ("password", password)] {
                    if !given.is_empty() {
                        secret(name, given)?;
                    }
                }
                Credentials::basic(username, Secret::new(password.as_str()))
            }
            CredentialsBody::ClientCredentials { token, client_id, client_secret, expires_at } => {
                let client = text("credentials.client_id", client_id, 2048)?;
                let mut tokens = OAuthTokens::client_credentials(client, secret("client_secret", client_secret)?);
                if let Some(token) = token {
                    tokens = tokens.access(secret("token", token)?, end(expires_at.as_deref())?);
                }
                Credentials::oauth2(tokens)
            }
            CredentialsBody::OAuth2 { access_token, refresh_token, expires_at, config_override } => {
                let own = config_override.as_ref();
                let mut client_id = own.and_then(|own| own.client_id.clone());
                let mut client_secret = own.and_then(|own| own.client_secret.clone()).map(Secret::new);
                if let Some(integration) = integration {
                    client_id = client_id.or(integration.settings().await?.client_id);
                    if client_secret.is_none() {
                        client_secret = integration.client_secret().await?;
                    }
                }
                let mut tokens = OAuthTokens::new(client_id.unwrap_or_default());
                tokens = tokens.access(secret("access_token", access_token)?, end(expires_at.as_deref())?);
                if let Some(refresh) = refresh_token {
                    tokens = tokens.refresh(secret("refresh_token", refresh)?);
                }
                if let Some(secret) = client_secret {
                    tokens = tokens.client_secret(secret);
                }
                Credentials::oauth2(tokens)
            }
        })
    }
}

fn end(given: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    given.map(|given| value::read(Place::Body, "credentials.expires_at", given, value::timestamp)).transpose()
}
