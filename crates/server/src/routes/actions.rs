//! `/action/*`: actions, performed while the client waits or later.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use highwater_core::{Error, ErrorKind, RunId};
use highwater_engine::actions::{ActionError, ActionState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::common::{MAX_SYNC, SWITCH, text};
use crate::about::{About, param, schema};
use crate::call::Call;
use crate::error::{ApiError, shown_facts};
use crate::input::value;
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// How long an action may take while the client waits.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15 * 60);

pub(crate) fn routes() -> Vec<Route> {
    let words: Vec<&str> = SWITCH.iter().map(|(word, _)| *word).collect();
    let headers = [
        param("X-Async", schema::words(&words), "Whether to answer at once, and perform the action later."),
        param("X-Max-Retries", schema::integer(0, 5), "How often a later action is tried again."),
    ];
    let body = schema::object([("action_name", schema::name(MAX_SYNC)), ("input?", schema::any())]);
    let queued = schema::object([("id", schema::text()), ("statusUrl", schema::text())]);
    let failing = |about: About| {
        about
            .error(424, "script_http_error")
            .error(424, "upstream_unauthorized")
            .error(429, "upstream_rate_limited")
            .error(502, "upstream_failed")
            .error(502, "upstream_unavailable")
    };
    vec![
        Route::post("/action/trigger", Scope::Write, trigger).answer_time(PATIENCE).about(failing(
            About::new("Performs an action with a connection's credentials.")
                .of_connection()
                .headers(headers)
                .body(body, json!({ "action_name": "create_contact", "input": { "name": "Ann" } }))
                .answer(200, "The action's output.", schema::any())
                .answer(202, "Where to read the output later.", queued),
        )),
        Route::get("/action/{id}", Scope::Write, outcome).about(failing(
            About::new("Returns the output of an action that was performed later; 404 until it has ended.")
                .answer(200, "The output.", schema::any())
                .error(400, "invalid_body")
                .error(500, "script_aborted"),
        )),
    ]
}

#[derive(Deserialize)]
struct Trigger {
    action_name: String,
    #[serde(default)]
    input: Value,
}

async fn trigger(mut call: Call) -> Answer {
    let later = call.headers().optional("X-Async", value::word(SWITCH))?.unwrap_or(false);
    let retries = call.headers().optional("X-Max-Retries", value::number(0..=5u32))?.unwrap_or(0);
    let body: Trigger = call.json().await?;
    let name = text("action_name", &body.action_name, MAX_SYNC)?;
    let connection = call.connection().await?;
    let engine = call.engine();
    let action = if name.contains('/') { name } else { format!("{}/{name}", connection.provider) };
    if !engine.actions().any(|known| known.id() == action) {
        return Err(ApiError::not_found("the provider has no such action: check its name"));
    }
    if later {
        let id = engine.queue_action(&connection.id, &action, body.input, retries).await.map_err(invalid)?;
        let place = format!("/action/{id}");
        let answer = Json(json!({ "id": id.to_string(), "statusUrl": place }));
        return Ok((StatusCode::ACCEPTED, [(LOCATION, place)], answer).into_response());
    }
    match engine.act(&connection.id, &action, body.input).await {
        Ok(output) => Ok(Json(output).into_response()),
        Err(error) => Err(failed(error)),
    }
}

/// The output of an action that was performed later, once it has succeeded.
async fn outcome(call: Call) -> Answer {
    let id: RunId = match call.path("id", 64)?.parse() {
        Ok(id) => id,
        Err(_) => return Err(ApiError::not_found("no such action: pass the id as it was given out")),
    };
    let action = call.engine().queued_action(id).await?;
    match (action.state, action.error) {
        (ActionState::Success, _) => Ok(Json(action.output).into_response()),
        (ActionState::Error, Some(error)) => Err(failed_later(&error)),
        _ => Err(ApiError::not_found("the action has not ended: ask again later")),
    }
}

fn invalid(error: Error) -> ApiError {
    match error.kind() {
        ErrorKind::Invalid => ApiError::bad("invalid_body", shown_facts(&error)),
        _ => error.into(),
    }
}

/// An action that failed because of what its API answered.
fn failed(error: Error) -> ApiError {
    let status = error.context("status").and_then(|status| status.parse::<u16>().ok());
    match (error.kind(), status) {
        (ErrorKind::Invalid, None) => invalid(error),
        (_, Some(status)) => {
            let payload = json!({ "message": error.message(), "told": error.context("told"), "status": status });
            upstream_failed().with_payload(payload)
        }
        _ => error.into(),
    }
}

fn failed_later(error: &ActionError) -> ApiError {
    let payload = json!({ "message": error.message, "kind": error.kind });
    match error.kind {
        ErrorKind::Invalid => ApiError::bad("invalid_body", &*error.message),
        ErrorKind::Cancelled => {
            let message = "the action was cut off: check the API before you repeat it";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "script_aborted", message).with_payload(payload)
        }
        _ => upstream_failed().with_payload(payload),
    }
}

fn upstream_failed() -> ApiError {
    let message = "the action failed at the API: see the payload";
    ApiError::new(StatusCode::FAILED_DEPENDENCY, "script_http_error", message)
}
