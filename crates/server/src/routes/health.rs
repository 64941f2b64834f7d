//! `GET /health`: whether the server works, for whoever starts and watches it.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::json;

use crate::about::{About, schema};
use crate::call::Call;
use crate::route::{Access, Answer, Route};

pub(crate) fn routes() -> Vec<Route> {
    let status = schema::object([("status", schema::words(&["ok"]))]);
    let about =
        About::new("Answers once the store does: for whoever starts and watches the server. It says nothing else.");
    vec![Route::get("/health", Access::Anyone, health).about(about.answer(200, "The store answers.", status))]
}

/// Answers once the store does.
async fn health(call: Call) -> Answer {
    call.store().document("health").await?;
    Ok(Json(json!({ "status": "ok" })).into_response())
}
