//! `/connect/sessions`: links on which an end user connects an account.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::common::{connection_id, integration_key, iso, text};
use super::connections::import::config;
use super::connections::notes::{self, EndUserBody, Tags};
use super::incoming::origin;
use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::connect::{ChangeRule, Purpose};
use crate::error::{ApiError, Place};
use crate::input::Object;
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The most integrations that a session names.
const MOST: usize = 100;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/connect/sessions", Scope::Write, create).about(about(
            "Makes a link on which an end user connects an account.",
            vec![("allowed_integrations?", schema::array_of(schema::name(MAX_NAME), MOST))],
            json!({ "end_user": { "id": "ann" } }),
        )),
        Route::post("/connect/sessions/reconnect", Scope::Write, reconnect).about(about(
            "Makes a link on which an end user signs in again.",
            vec![
                ("connection_id", schema::name(MAX_NAME)),
                ("integration_id", schema::name(MAX_NAME)),
                ("account_change?", schema::words(&ChangeRule::WORDS.map(|(word, _)| word))),
            ],
            json!({ "connection_id": "demo", "integration_id": "demo-crm" }),
        )),
    ]
}

fn about(summary: &'static str, own: Vec<(&'static str, Value)>, example: Value) -> About {
    let setting = json!({ "type": ["string", "number", "boolean"] });
    let defaults = schema::closed([("connection_config?", schema::nullable(schema::map(setting)))]);
    let organization = schema::closed([("id", schema::name(255)), ("display_name?", schema::nullable(schema::text()))]);
    let common = [
        ("end_user?", notes::end_user_schema()),
        ("organization?", schema::nullable(organization)),
        ("tags?", schema::nullable(notes::tags_schema())),
        ("integrations_config_defaults?", schema::map(defaults)),
    ];
    let made =
        schema::object([("token", schema::text()), ("connect_link", schema::text()), ("expires_at", schema::time())]);
    About::new(summary).body(schema::closed(own.into_iter().chain(common)), example).answer(
        201,
        "The link, and the session's token.",
        schema::object([("data", made)]),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    end_user: Option<Object<EndUserBody>>,
    organization: Option<Object<Organization>>,
    tags: Option<Tags>,
    #[serde(default)]
    allowed_integrations: Vec<String>,
    #[serde(default)]
    integrations_config_defaults: BTreeMap<String, Object<Defaults>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReconnectBody {
    connection_id: String,
    integration_id: String,
    account_change: Option<String>,
    end_user: Option<Object<EndUserBody>>,
    organization: Option<Object<Organization>>,
    tags: Option<Tags>,
    #[serde(default)]
    integrations_config_defaults: BTreeMap<String, Object<Defaults>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Organization {
    id: String,
    #[serde(default, rename = "display_name")]
    _display_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    connection_config: Option<Map<String, Value>>,
}

async fn create(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    let mut purpose = purpose(
        body.end_user.as_deref(),
        body.organization.as_deref(),
        body.tags.as_ref(),
        &body.integrations_config_defaults,
    )?;
    if body.allowed_integrations.len() > MOST {
        let why = "names more than 100 integrations: leave it out for all";
        return Err(ApiError::parameter(Place::Body, "allowed_integrations", "too_long", why));
    }
    for key in body.allowed_integrations.iter().chain(purpose.defaults.keys()) {
        let key = integration_key(key)?;
        if call.engine().integration(&key)?.settings().await.is_err() {
            let why = format!("names `{}`, which is no integration: create it first", crate::error::shown(&key));
            return Err(ApiError::parameter(Place::Body, "allowed_integrations", "invalid", why));
        }
    }
    purpose.allowed = body.allowed_integrations;
    made(&call, purpose)
}

async fn reconnect(mut call: Call) -> Answer {
    let body: ReconnectBody = call.json().await?;
    let mut purpose = purpose(
        body.end_user.as_deref(),
        body.organization.as_deref(),
        body.tags.as_ref(),
        &body.integrations_config_defaults,
    )?;
    let (key, id) = (integration_key(&body.integration_id)?, connection_id(&body.connection_id)?);
    let connection = match call.connection_of(&key, &id).await {
        Ok(connection) => connection,
        Err(_) => {
            let why = "is no connection of this integration: check both";
            return Err(ApiError::parameter(Place::Body, "connection_id", "invalid", why));
        }
    };
    purpose.allowed = vec![connection.integration_key().to_owned()];
    purpose.reconnect = Some(id);
    if let Some(word) = &body.account_change {
        let known = ChangeRule::WORDS.into_iter().find(|(known, _)| known == word);
        let (_, rule) = known.ok_or_else(|| {
            let why = "is none of `refuse`, `ask` and `allow`: leave it out for `refuse`";
            ApiError::parameter(Place::Body, "account_change", "invalid", why)
        })?;
        purpose.account_change = rule;
    }
    made(&call, purpose)
}

fn purpose(
    user: Option<&EndUserBody>,
    organization: Option<&Organization>,
    tags: Option<&Tags>,
    defaults: &BTreeMap<String, Object<Defaults>>,
) -> Result<Purpose, ApiError> {
    let mut purpose = Purpose::default();
    if let Some(user) = user.map(EndUserBody::read).transpose()? {
        (purpose.end_user, purpose.tags) = (Some(user.end_user), user.tags);
    }
    if let Some(organization) = organization {
        let id = text("organization.id", &organization.id, 255)?;
        purpose.end_user = purpose.end_user.map(|user| user.organisation(id));
    }
    purpose.tags.extend(tags.map(notes::read_tags).transpose()?.unwrap_or_default());
    for (key, defaults) in defaults {
        purpose.defaults.insert(integration_key(key)?, config(defaults.connection_config.as_ref())?);
    }
    Ok(purpose)
}

fn made(call: &Call, purpose: Purpose) -> Answer {
    let (token, session) = call.state.connect.create(&**call.state.environment(), purpose)?;
    let origin = origin(&call.state, &call.parts);
    let link = format!("{origin}/connect?session_token={token}");
    let data = json!({"token": token, "connect_link": link, "expires_at": iso(session.until)});
    Ok((StatusCode::CREATED, Json(json!({ "data": data }))).into_response())
}
