//! The route of a host's own server that hands a connection's webhooks to the engine.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use highwater::{Engine, ErrorKind};

/// Hands an event to the engine, and answers as a host would.
pub(crate) async fn receive(
    connection: &str,
    State(engine): State<Engine>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    match engine.receive(connection, &headers, &body).await {
        Ok(received) => (StatusCode::OK, serde_json::to_string(&received).unwrap()),
        Err(error) if error.kind() == ErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, error.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
