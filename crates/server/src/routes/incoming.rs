//! `/webhook/{key}`: the webhooks of providers, which are signed and have no key.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use serde_json::json;

use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::dashboard::{base, encoded};
use crate::error::ApiError;
use crate::route::{Access, Answer, Route};
use crate::serve::scheme;
use crate::state::State;

/// The longest webhook. Each may be forwarded, and wait for a receiver in the store.
const MOST: usize = 1 << 20;

pub(crate) fn routes() -> Vec<Route> {
    let about = |summary| {
        let taken = schema::object([
            ("event", schema::text()),
            ("connections", schema::array(schema::text())),
            ("duplicate", schema::switch()),
            ("forwarded", schema::count()),
        ]);
        About::new(summary)
            .any_body()
            .answer(200, "It was processed. `duplicate` says that every connection knew it already; a challenge is answered by its text alone.", taken)
            .answer_as(200, "The text that the provider wants to see.", "text/plain")
            .error(408, "body_timeout")
            .error(413, "body_too_large")
            .error(400, "invalid_body")
            .error(401, "webhook_refused")
    };
    vec![
        Route::post("/webhook/{key}", Access::Anyone, to_integration)
            .about(about("Receives a webhook of an integration's provider, for the connections that it is for.")),
        Route::post("/webhook/{key}/{connection}", Access::Anyone, to_connection)
            .about(about("Receives a webhook of an integration's provider for one connection.")),
    ]
}

/// The address at which an integration receives webhooks, at an [`origin`].
pub(crate) fn address(origin: &str, key: &str) -> String {
    format!("{origin}/webhook/{}", encoded(key))
}

/// What links to this server begin with: what it was told by `public_url`, or as the client calls it.
pub(crate) fn origin(state: &State, parts: &Parts) -> String {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    state.public_url.clone().unwrap_or_else(|| format!("{}://{host}{}", scheme(parts), base(parts)))
}

async fn to_integration(call: Call) -> Answer {
    receive(call, false).await
}

async fn to_connection(call: Call) -> Answer {
    receive(call, true).await
}

async fn receive(mut call: Call, for_connection: bool) -> Answer {
    let key = call.path("key", MAX_NAME)?;
    let connection = if for_connection { Some(call.path("connection", MAX_NAME)?) } else { None };
    let body = call.bytes(MOST.min(call.state.limits.body_bytes)).await?;
    let headers = call.parts.headers.iter();
    let headers: Vec<(&str, &str)> =
        headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let received = async {
        let integration = call.engine().integration(&key)?;
        match &connection {
            Some(connection) => integration.receive_for(connection, &headers, &body).await,
            None => integration.receive(&headers, &body).await,
        }
    };
    let received = match received.await {
        Ok(received) => received,
        Err(error) => return Err(refused(&call.state, &key, error)),
    };
    if let Some(answer) = received.answer {
        return Ok((StatusCode::OK, [(CONTENT_TYPE, "text/plain; charset=utf-8")], answer).into_response());
    }
    let duplicate = !received.connections.is_empty() && received.connections.values().all(|taken| taken.duplicate);
    let connections: Vec<&String> = received.connections.keys().collect();
    let answer = json!({
        "event": received.event, "connections": connections, "duplicate": duplicate, "forwarded": received.forwarded,
    });
    Ok(Json(answer).into_response())
}

/// The same for an integration that there is not, one without a secret, and a wrong signature: strangers learn nothing. The log has
/// the reason.
fn refused(state: &State, key: &str, error: highwater_core::Error) -> ApiError {
    match error.kind() {
        // A genuine event: the engine names its id behind the check of its signature.
        ErrorKind::Invalid if error.context("event").is_some() => {
            ApiError::bad("invalid_body", "the event cannot be read: send JSON, or a form with the member payload")
        }
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unauthorized | ErrorKind::Unsupported => {
            tracing::warn!(target: "highwater::webhook", integration = %crate::error::shown(key), "a webhook was refused: {error}");
            if let Err(too_many) = state.admit_stranger() {
                return too_many;
            }
            let message = "the webhook was refused: check its address, and the secret that it is signed with";
            ApiError::new(StatusCode::UNAUTHORIZED, "webhook_refused", message)
        }
        _ => error.into(),
    }
}
