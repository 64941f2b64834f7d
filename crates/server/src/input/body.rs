//! The body of a request.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::Object;
use crate::error::{ApiError, Place};

/// Reads a whole body of at most `most` bytes that arrives within `time`.
pub(crate) async fn read_bytes(body: Body, most: usize, time: Duration) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("the body has more than {most} bytes: send less");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    };
    let announced = body.size_hint().lower();
    if announced > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(time, axum::body::to_bytes(body, most)).await;
    let read = read.map_err(|_| {
        let message = format!("the body did not arrive within {} seconds: send it at once", time.as_secs());
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
    })?;
    read.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(found) = cause {
            // The body's type says that it was too long in words alone.
            if found.to_string().contains("length limit exceeded") {
                return too_large();
            }
            cause = found.source();
        }
        ApiError::bad("invalid_body", "the body broke off: send all of it")
    })
}

/// Reads a body as `T`, which is a JSON object. Members that `T` does not know are refused if it says so (`deny_unknown_fields`).
pub(crate) fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "the body must be JSON: send it with the header Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_content_type", message));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data if path != "." => {
                ApiError::parameter(Place::Body, &path, "invalid", format!("was refused: {inner}"))
            }
            _ => ApiError::bad("invalid_body", format!("the body was refused: {inner}")),
        }
    })?;
    reader.end().map_err(|error| ApiError::bad("invalid_body", format!("the body was refused: {error}")))?;
    Ok(value)
}
