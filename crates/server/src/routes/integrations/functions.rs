//! The functions of an integration: templates and actions of its provider.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{named, schemas};
use crate::about::{About, param, schema};
use crate::call::Call;
use crate::error::ApiError;
use crate::input::value;
use crate::keys::Scope;
use crate::route::{Answer, Route};
use crate::routes::common::{MAX_SYNC, iso, number};
use crate::routes::functions::{Function, Kind, of_provider};

const KINDS: &[(&str, Option<Kind>)] =
    &[("sync", Some(Kind::Sync)), ("action", Some(Kind::Action)), ("on-event", None)];

const DELETABLE: &[(&str, Kind)] = &[("sync", Kind::Sync), ("action", Kind::Action)];

pub(super) fn routes() -> Vec<Route> {
    let kind = || param("type", schema::words(&["sync", "action", "on-event"]), "Only of this type.");
    let of_list = [
        kind(),
        param("search", schema::name(MAX_SYNC), "Only with this text in the name."),
        param("page", schema::integer(0, 1_000_000), "Which page, from 0."),
        param("limit", schema::integer(1, 100), "At most this many; 20 by default."),
    ];
    let deleted = param("type", schema::words(&["sync", "action"]), "Which type it is of.").required();
    vec![
        Route::get("/integrations/{key}/functions", Scope::Read, list).query(of_list).about(
            About::new("Lists the templates and actions of an integration's provider.").answer(
                200,
                "A page.",
                schemas::functions(),
            ),
        ),
        Route::get("/integrations/{key}/functions/{name}", Scope::Read, get).query([kind()]).about(
            About::new("Returns a template or an action.").answer(200, "It.", schemas::data(schemas::function())),
        ),
        Route::delete("/integrations/{key}/functions/{name}", Scope::Admin, delete).query([deleted]).about(
            About::new("Is refused always: templates and actions are part of the program.")
                .error(400, "function_managed_by_deploy"),
        ),
        Route::get("/integrations/{key}/functions/{name}/code", Scope::Read, code).query([kind()]).about(
            About::new("Is not found always: templates and actions are part of the program.").error(404, "not_found"),
        ),
    ]
}

/// The functions of the integration that a path names, each with its JSON.
async fn found(call: &Call) -> Result<Vec<(Function, Value)>, ApiError> {
    let (integration, settings) = named(call).await?;
    let enabled: Vec<String> = integration
        .endpoints()
        .await?
        .into_iter()
        .filter(|endpoint| endpoint.is_enabled())
        .map(|endpoint| endpoint.sync)
        .collect();
    let functions = of_provider(call.engine(), &settings.provider).into_iter().map(|function| {
        let mut shown = function.json.clone();
        let on = function.kind == Kind::Action || enabled.contains(&function.id);
        for (name, value) in [
            ("id", json!(number(&function.id))),
            ("enabled", json!(on)),
            ("last_deployed", json!(iso(settings.created_at))),
            ("source", json!("catalog")),
        ] {
            shown[name] = value;
        }
        (function, shown)
    });
    Ok(functions.collect())
}

async fn list(call: Call) -> Answer {
    let kind = call.query.optional("type", value::word(KINDS))?;
    let search = call.query.optional("search", value::text(MAX_SYNC))?.map(|text| text.trim().to_lowercase());
    let page = call.query.optional("page", value::number(0..=1_000_000usize))?.unwrap_or(0);
    let limit = call.query.optional("limit", value::number(1..=100usize))?.unwrap_or(20);
    let wanted = |function: &Function| {
        kind.is_none_or(|kind| kind == Some(function.kind))
            && search.as_ref().is_none_or(|text| function.name.to_lowercase().contains(text))
    };
    let found: Vec<Value> =
        found(&call).await?.into_iter().filter(|(function, _)| wanted(function)).map(|(_, shown)| shown).collect();
    let total = found.len();
    let data: Vec<Value> = found.into_iter().skip(page.saturating_mul(limit)).take(limit).collect();
    Ok(Json(json!({ "data": data, "pagination": { "total": total, "page": page, "limit": limit } })).into_response())
}

/// The functions of a name.
async fn of_name(call: &Call, kind: Option<Option<Kind>>) -> Result<Vec<(Function, Value)>, ApiError> {
    let name = call.path("name", MAX_SYNC)?;
    let mut found = found(call).await?;
    found.retain(|(function, _)| function.name == name && kind.is_none_or(|kind| kind == Some(function.kind)));
    if found.is_empty() {
        return Err(ApiError::not_found(
            "the provider has no such function: GET /integrations/KEY/functions lists them",
        ));
    }
    Ok(found)
}

async fn get(call: Call) -> Answer {
    let kind = call.query.optional("type", value::word(KINDS))?;
    let found = of_name(&call, kind).await?;
    let shown = found.into_iter().next().map(|(_, shown)| shown);
    Ok(Json(json!({ "data": shown })).into_response())
}

async fn code(call: Call) -> Answer {
    let kind = call.query.optional("type", value::word(KINDS))?;
    of_name(&call, kind).await?;
    Err(ApiError::not_found("the function is part of the program: it has no source file to show"))
}

/// What is part of the program cannot be deleted.
async fn delete(call: Call) -> Answer {
    let kind = call.query.required("type", value::word(DELETABLE))?;
    of_name(&call, Some(Some(kind))).await?;
    let message = "the function is part of the program: disable it for the integration instead";
    Err(ApiError::bad("function_managed_by_deploy", message))
}
