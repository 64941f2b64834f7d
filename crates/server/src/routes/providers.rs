//! `/providers*`, `/scripts/config` and `/environment-variables`: what there is to set up.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::IntoResponse;
use highwater_template::Provider;
use highwater_template::auth::AuthKind;
use serde_json::{Value, json};

use super::functions::{Function, Kind, of_provider};
use super::integrations::schemas;
use crate::about::{About, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::ApiError;
use crate::input::value;
use crate::keys::Scope;
use crate::route::{Answer, Route};

pub(crate) fn routes() -> Vec<Route> {
    let provider = || {
        schema::object([
            ("name", schema::text()),
            ("display_name", schema::text()),
            ("auth_mode", schema::text()),
            ("docs", schema::nullable(schema::text())),
            ("proxy", schema::object([("base_url", schema::text())])),
        ])
    };
    let search = param("search", schema::name(MAX_NAME), "Only with this text in the name.");
    let format =
        param("format", schema::words(&["nango", "openai"]), "As what they are described; `nango` by default.");
    let configured =
        json!({ "anyOf": [schema::array(schema::map(schema::any())), schemas::data(schema::array(schema::any()))] });
    vec![
        Route::get("/providers", Scope::Read, list).query([search]).about(About::new("Lists the providers.").answer(
            200,
            "The providers.",
            schemas::data(schema::array(provider())),
        )),
        Route::get("/providers/{provider}", Scope::Read, get).about(About::new("Returns a provider.").answer(
            200,
            "The provider.",
            schemas::data(provider()),
        )),
        Route::get("/providers/{provider}/templates", Scope::Read, templates).about(
            About::new("Lists the templates and actions of a provider.").answer(
                200,
                "The templates and actions.",
                schemas::data(schema::array(schemas::function())),
            ),
        ),
        Route::get("/scripts/config", Scope::Read, config).query([format]).about(
            About::new("Lists the templates and actions of every integration.").answer(200, "They.", configured),
        ),
        Route::get("/environment-variables", Scope::Read, variables).about(
            About::new("Returns an empty list: there are no such variables.").answer(
                200,
                "Nothing.",
                schema::array(schema::any()),
            ),
        ),
    ]
}

fn view(provider: &Provider) -> Value {
    json!({
        "name": provider.name,
        "display_name": provider.name,
        "auth_mode": provider.auth.first().map_or("NONE", mode),
        "categories": [],
        "docs": provider.docs,
        "logo_url": "",
        "proxy": { "base_url": provider.base_url },
    })
}

/// How a way to sign in is called.
fn mode(auth: &AuthKind) -> &'static str {
    match auth {
        AuthKind::Bearer { .. } | AuthKind::Header { .. } | AuthKind::Query { .. } => "API_KEY",
        AuthKind::Basic { .. } => "BASIC",
        AuthKind::OAuth2(oauth) if oauth.authorize_url.is_none() => "OAUTH2_CC",
        AuthKind::OAuth2(_) => "OAUTH2",
        AuthKind::ServiceAccount { .. } => "JWT",
        AuthKind::GitHubApp { .. } => "APP",
        _ => "CUSTOM",
    }
}

async fn list(call: Call) -> Answer {
    let search = call.query.optional("search", value::text(MAX_NAME))?.map(|text| text.to_lowercase());
    let wanted = |name: &str| search.as_ref().is_none_or(|text| name.to_lowercase().contains(text));
    let found = call.engine().providers().filter(|provider| wanted(&provider.name)).map(view);
    Ok(Json(json!({ "data": found.collect::<Vec<_>>() })).into_response())
}

fn named(call: &Call) -> Result<&Provider, ApiError> {
    let name = call.path("provider", MAX_NAME)?;
    call.engine()
        .providers()
        .find(|provider| provider.name == name)
        .ok_or_else(|| ApiError::not_found("no provider has this name: GET /providers lists them"))
}

async fn get(call: Call) -> Answer {
    let shown = view(named(&call)?);
    Ok(Json(json!({ "data": shown })).into_response())
}

async fn templates(call: Call) -> Answer {
    let functions = of_provider(call.engine(), &named(&call)?.name);
    let shown: Vec<Value> = functions.into_iter().map(|function| function.json).collect();
    Ok(Json(json!({ "data": shown })).into_response())
}

#[derive(Clone, Copy)]
enum Format {
    Own,
    OpenAi,
}

const FORMATS: &[(&str, Format)] = &[("nango", Format::Own), ("openai", Format::OpenAi)];

/// The functions of every integration.
async fn config(call: Call) -> Answer {
    let format = call.query.optional("format", value::word(FORMATS))?.unwrap_or(Format::Own);
    let mut integrations: BTreeMap<String, String> = BTreeMap::new();
    for settings in call.engine().integrations().await? {
        integrations.insert(settings.key, settings.provider);
    }
    let functions = |provider: &str| of_provider(call.engine(), provider);
    let answer = match format {
        Format::Own => {
            integrations.iter().map(|(key, provider)| standard(key, provider, functions(provider))).collect()
        }
        Format::OpenAi => {
            let all = integrations.values().flat_map(|provider| functions(provider));
            json!({ "data": all.map(|function| tool(&function)).collect::<Vec<_>>() })
        }
    };
    Ok(Json(answer).into_response())
}

fn standard(key: &str, provider: &str, functions: Vec<Function>) -> Value {
    let of = |kind| -> Vec<Value> {
        let found = functions.iter().filter(|function| function.kind == kind);
        found
            .map(|function| {
                let mut shown = function.json.clone();
                for (name, value) in [
                    ("endpoints", json!([])),
                    ("features", json!([])),
                    ("enabled", json!(true)),
                    ("sdk_version", Value::Null),
                ] {
                    shown[name] = value;
                }
                shown
            })
            .collect()
    };
    json!({
        "providerConfigKey": key,
        "provider": provider,
        "syncs": of(Kind::Sync),
        "actions": of(Kind::Action),
        "on-events": [],
    })
}

/// A function as language models are told of tools.
fn tool(function: &Function) -> Value {
    let input = function.json["input"].as_str().unwrap_or_default();
    let schema = &function.json["json_schema"]["definitions"][input];
    let part = |name: &str, empty: Value| schema.get(name).cloned().unwrap_or(empty);
    json!({
        "name": function.name,
        "description": function.json["description"],
        "parameters": {
            "type": "object",
            "properties": part("properties", json!({})),
            "required": part("required", json!([])),
        },
    })
}

/// Templates get settings and secrets of their connections, and no variables of an environment.
async fn variables(_: Call) -> Answer {
    Ok(Json(json!([])).into_response())
}
