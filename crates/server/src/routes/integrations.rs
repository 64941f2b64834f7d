//! `/integrations*`: integrations and the functions of their providers.

mod functions;
pub(super) mod schemas;

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::integrations::DeleteMode;
use highwater_engine::{DisconnectMode, IntegrationHandle, IntegrationSettings, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use super::common::{iso, text};
use super::incoming;
use crate::about::{About, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place, shown_facts};
use crate::input::{Object, value};
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The longest client id and scope, and secret, in bytes.
const TEXT: usize = 2048;
const SECRET: usize = 64 * 1024;

/// The longest value of a setting, in bytes.
const SETTING: usize = 16 * 1024;

pub(crate) fn routes() -> Vec<Route> {
    let include = schema::array(schema::words(&["webhook", "credentials"]));
    let include = param("include", include, "Members that are left out otherwise; may be repeated.");
    let mut routes = vec![
        Route::get("/integrations", Scope::Read, list).about(About::new("Lists the integrations.").answer(
            200,
            "The integrations.",
            schemas::data(schema::array(schemas::integration())),
        )),
        Route::post("/integrations", Scope::Admin, create).about(
            About::new("Creates an integration.")
                .body(schemas::create(), json!({ "provider": "crm", "unique_key": "crm-eu" }))
                .answer(200, "The integration.", schemas::data(schemas::integration())),
        ),
        Route::post("/integrations/quickstart", Scope::Admin, quickstart).about(
            About::new("Is refused always: no shared applications are registered here.").error(400, "invalid_body"),
        ),
        Route::get("/integrations/{key}", Scope::Read, get).query([include]).about(
            About::new("Returns an integration, with its secrets only for `credentials` and a key of the scope admin.")
                .answer(200, "The integration.", schemas::data(schemas::integration())),
        ),
        Route::patch("/integrations/{key}", Scope::Admin, patch).about(
            About::new("Changes an integration; what is left out stays.")
                .body(schemas::patch(), json!({ "display_name": "CRM" }))
                .answer(200, "The integration.", schemas::data(schemas::integration())),
        ),
        Route::delete("/integrations/{key}", Scope::Admin, delete)
            .about(About::new("Deletes an integration with its connections and their records.").success("It is gone.")),
    ];
    routes.extend(functions::routes());
    routes
}

/// An integration as answers show it, without a secret.
fn view(settings: &IntegrationSettings) -> Value {
    json!({
        "unique_key": settings.key,
        "provider": settings.provider,
        "display_name": settings.display_name.as_ref().unwrap_or(&settings.provider),
        "logo": "",
        "forward_webhooks": settings.forward_webhooks,
        "created_at": iso(settings.created_at),
        "updated_at": iso(settings.changed_at),
    })
}

fn data(shown: Value) -> Answer {
    Ok(Json(json!({ "data": shown })).into_response())
}

async fn list(call: Call) -> Answer {
    data(call.engine().integrations().await?.iter().map(view).collect())
}

/// The integration that a path names, and its settings.
async fn named(call: &Call) -> Result<(IntegrationHandle, IntegrationSettings), ApiError> {
    let integration = call.engine().integration(call.path("key", MAX_NAME)?)?;
    match integration.settings().await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(ApiError::not_found("no integration has this key: check it, or create the integration"))
        }
        settings => Ok((integration, settings?)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Include {
    Webhook,
    Credentials,
}

const INCLUDE: &[(&str, Include)] = &[("webhook", Include::Webhook), ("credentials", Include::Credentials)];

async fn get(call: Call) -> Answer {
    let include = call.query.repeated("include", 2, value::word(INCLUDE))?.unwrap_or_default();
    let (integration, settings) = named(&call).await?;
    let mut shown = view(&settings);
    if include.contains(&Include::Webhook) {
        let known = call.engine().providers().find(|known| known.name == settings.provider);
        let takes = known.is_some_and(|provider| provider.webhooks.is_some());
        shown["webhook_url"] =
            takes.then(|| incoming::address(&incoming::origin(&call.state, &call.parts), &settings.key)).into();
    }
    // Without the scope the member is left out, as the peer's server does.
    if include.contains(&Include::Credentials) && call.may(Scope::Admin) {
        let expose = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        shown["credentials"] = match &settings.client_id {
            None => Value::Null,
            Some(id) => json!({
                "type": "OAUTH2",
                "client_id": id,
                "client_secret": expose(integration.client_secret().await?),
                "scopes": settings.scopes.join(","),
                "webhook_secret": expose(integration.webhook_secret().await?),
            }),
        };
    }
    data(shown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    provider: String,
    unique_key: String,
    display_name: Option<String>,
    credentials: Option<Object<CredentialsBody>>,
    forward_webhooks: Option<bool>,
    integration_config: Option<BTreeMap<String, String>>,
    custom: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    unique_key: Option<String>,
    display_name: Option<String>,
    credentials: Option<Object<CredentialsBody>>,
    forward_webhooks: Option<bool>,
    integration_config: Option<BTreeMap<String, String>>,
    custom: Option<BTreeMap<String, String>>,
}

/// The application that users sign in to.
#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum CredentialsBody {
    #[serde(rename = "OAUTH2")]
    OAuth2 { client_id: String, client_secret: String, scopes: Option<String>, webhook_secret: Option<String> },
}

/// The same, read.
struct Application {
    client_id: String,
    client_secret: Secret,
    scopes: Option<Vec<String>>,
    webhook_secret: Option<Secret>,
}

impl CredentialsBody {
    fn read(&self) -> Result<Application, ApiError> {
        let CredentialsBody::OAuth2 { client_id, client_secret, scopes, webhook_secret } = self;
        let secret = |name: &str, given: &str| text(&format!("credentials.{name}"), given, SECRET).map(Secret::new);
        let listed = |scopes: &String| -> Result<Vec<String>, ApiError> {
            let scopes = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty());
            scopes.map(|scope| text("credentials.scopes", scope, TEXT)).collect()
        };
        Ok(Application {
            client_id: text("credentials.client_id", client_id, TEXT)?,
            client_secret: secret("client_secret", client_secret)?,
            scopes: scopes.as_ref().map(listed).transpose()?,
            webhook_secret: match webhook_secret.as_deref().filter(|given| !given.is_empty()) {
                Some(given) => Some(secret("webhook_secret", given)?),
                None => None,
            },
        })
    }
}

impl Application {
    /// Keeps the secrets, for which the engine needs a credential store.
    async fn keep(self, integration: &IntegrationHandle) -> Result<(), ApiError> {
        integration.set_client_secret(Some(self.client_secret)).await?;
        if let Some(secret) = self.webhook_secret {
            integration.set_webhook_secret(Some(secret)).await?;
        }
        Ok(())
    }
}

/// Settings of both names that bodies have for them.
fn settings_of(
    one: Option<&BTreeMap<String, String>>,
    other: Option<&BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut settings = BTreeMap::new();
    for (name, given) in one.into_iter().chain(other).flatten() {
        settings.insert(name.clone(), text(&format!("integration_config.{name}"), given, SETTING)?);
    }
    Ok(settings)
}

fn display_name(given: Option<&String>) -> Result<Option<String>, ApiError> {
    given.map(|name| text("display_name", name, 200)).transpose()
}

async fn create(mut call: Call) -> Answer {
    let body: Create = call.json().await?;
    let provider = text("provider", &body.provider, MAX_NAME)?;
    let key = text("unique_key", &body.unique_key, MAX_NAME)?;
    let mut settings = IntegrationSettings::new(&key, &provider);
    settings.display_name = display_name(body.display_name.as_ref())?;
    settings.forward_webhooks = body.forward_webhooks.unwrap_or(true);
    settings.config = settings_of(body.integration_config.as_ref(), body.custom.as_ref())?;
    let application = body.credentials.as_deref().map(CredentialsBody::read).transpose()?;
    if let Some(application) = &application {
        settings.client_id = Some(application.client_id.clone());
        settings.scopes = application.scopes.clone().unwrap_or_default();
    }
    if !call.engine().providers().any(|known| known.name == provider) {
        let why = "is unknown: GET /providers lists them";
        return Err(ApiError::parameter(Place::Body, "provider", "invalid", why));
    }
    let taken = || {
        ApiError::parameter(
            Place::Body,
            "unique_key",
            "invalid",
            "already exists: choose another key, or change that one",
        )
    };
    if call.engine().integration(&key).map_err(in_body)?.settings().await.is_ok() {
        return Err(taken());
    }
    let integration = call.engine().create_integration(settings).await.map_err(in_body)?;
    if let Some(application) = application
        && let Err(error) = application.keep(&integration).await
    {
        // An integration whose users cannot sign in is not what was asked for.
        integration.delete(DeleteMode::IfUnused).await?;
        return Err(error);
    }
    data(view(&integration.settings().await?))
}

/// Applications that somebody else registered are a service of the peer's cloud.
async fn quickstart(_: Call) -> Answer {
    let message = "no shared application is set up for this provider: register one there, and send its credentials to POST /integrations";
    Err(ApiError::bad("invalid_body", message))
}

async fn patch(mut call: Call) -> Answer {
    let body: Patch = call.json().await?;
    let (integration, before) = named(&call).await?;
    if body.unique_key.as_ref().is_some_and(|key| *key != before.key) {
        let why = "cannot be changed: create another integration";
        return Err(ApiError::parameter(Place::Body, "unique_key", "invalid", why));
    }
    let name = display_name(body.display_name.as_ref())?;
    let config = settings_of(body.integration_config.as_ref(), body.custom.as_ref())?;
    let application = body.credentials.as_deref().map(CredentialsBody::read).transpose()?;
    let changed = integration.update(|mut settings| {
        if let Some(name) = &name {
            settings.display_name = Some(name.clone());
        }
        settings.forward_webhooks = body.forward_webhooks.unwrap_or(settings.forward_webhooks);
        settings.config.extend(config.clone());
        if let Some(application) = &application {
            settings.client_id = Some(application.client_id.clone());
            if let Some(scopes) = &application.scopes {
                settings.scopes.clone_from(scopes);
            }
        }
        settings
    });
    let changed = changed.await.map_err(in_body)?;
    if let Some(application) = application {
        application.keep(&integration).await?;
    }
    data(view(&changed))
}

/// Deletes an integration with its connections and their records.
async fn delete(call: Call) -> Answer {
    let (integration, _) = named(&call).await?;
    integration.delete(DeleteMode::disconnect(DisconnectMode::ClearRecords)).await?;
    Ok((StatusCode::OK, Json(json!({ "success": true }))).into_response())
}

fn in_body(error: highwater_core::Error) -> ApiError {
    match error.kind() {
        ErrorKind::Invalid => ApiError::bad("invalid_body", shown_facts(&error)),
        _ => error.into(),
    }
}
