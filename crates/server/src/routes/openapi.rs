//! `GET /openapi.json`: what every route takes and answers, for programs.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::about::{About, schema};
use crate::call::Call;
use crate::keys::Scope;
use crate::openapi::openapi;
use crate::route::{Answer, Route};

pub(crate) fn routes() -> Vec<Route> {
    let document = schema::object([("openapi", schema::text()), ("paths", schema::map(schema::any()))]);
    let about = About::new("Describes every route, as an OpenAPI 3.1 document.");
    vec![Route::get("/openapi.json", Scope::Read, show).about(about.answer(200, "The document.", document))]
}

async fn show(_: Call) -> Answer {
    Ok(([(CONTENT_TYPE, "application/json")], openapi()).into_response())
}
