//! `GET /health`: whether the server works, for whoever starts and watches it.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::json;

use crate::call::Call;
use crate::keys::Scope;
use crate::route::{Answer, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/health", Scope::Read, health)]
}

/// Answers once the store does.
async fn health(call: Call) -> Answer {
    call.store().document("health").await?;
    Ok(Json(json!({ "status": "ok" })).into_response())
}
