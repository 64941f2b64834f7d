//! The one error of the HTTP interface: a status, a stable code, and a sentence that helps.
//!
//! `{"error": {"code", "message", "errors"?, "payload"?}}`. `errors` names the parameters at fault:
//! `{"code": "too_long", "message": "...", "path": ["model"]}`. Codes never change; messages are for people and may.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use highwater_core::{CursorFault, Error, ErrorKind, printable};
use serde::Serialize;
use serde_json::{Value, json};

/// The most characters of a client's own text that an error repeats.
const SHOWN: usize = 64;

/// What is wrong with a request, or with the server.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    body: Body,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Serialize)]
struct Body {
    code: Cow<'static, str>,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

/// A parameter at fault.
#[derive(Debug, Serialize)]
struct Fault {
    code: &'static str,
    message: String,
    path: Vec<String>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    Header,
    Path,
    Body,
}

impl Place {
    /// The code of errors about parameters that stand here.
    fn code(self) -> &'static str {
        match self {
            Place::Query => "invalid_query_params",
            Place::Header => "invalid_headers",
            Place::Path => "invalid_uri_params",
            Place::Body => "invalid_body",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Place::Query => "query parameter",
            Place::Header => "header",
            Place::Path => "part of the path",
            Place::Body => "member of the body",
        }
    }
}

impl ApiError {
    /// Makes an error. `message` says what was refused and the way out, and nothing of the server's insides.
    pub(crate) fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let body = Body { code: code.into(), message: message.into(), errors: Vec::new(), payload: None };
        ApiError(Box::new(Inner { status, body, headers: Vec::new() }))
    }

    /// A wrong request: status 400.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A thing that does not exist: status 404.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// A wrong parameter. `fault` is a word that never changes: `missing`, `empty`, `invalid`, `too_long`, `repeated`, `unknown`.
    pub(crate) fn parameter(place: Place, name: &str, fault: &'static str, why: impl Into<String>) -> Self {
        let (name, why) = (shown(name), why.into());
        let mut error = ApiError::bad(place.code(), format!("the {} `{name}` {why}", place.noun()));
        error.0.body.errors.push(Fault { code: fault, message: why, path: vec![name] });
        error
    }

    /// A connection that there is not, in the words of the peer's clients.
    pub(crate) fn unknown_connection() -> Self {
        ApiError::bad(
            "unknown_connection",
            "no connection has this Connection-Id at this Provider-Config-Key: check both, or connect it first",
        )
    }

    /// Adds what a program needs to go on.
    #[must_use]
    pub(crate) fn with_payload(mut self, payload: Value) -> Self {
        self.0.body.payload = Some(payload);
        self
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.0.headers.push((name, value));
        }
        self
    }

    /// Says how long to wait before another try.
    #[must_use]
    pub(crate) fn retry_in(self, delay: Duration) -> Self {
        let seconds = delay.as_millis().div_ceil(1000).max(1);
        self.with_header(RETRY_AFTER, seconds.to_string())
    }

    /// Refuses a caller that did not say who it is.
    pub(crate) fn unauthenticated(code: &'static str, message: &'static str) -> Self {
        ApiError::new(StatusCode::UNAUTHORIZED, code, message).with_header(WWW_AUTHENTICATE, "Bearer")
    }

    /// Returns the error as it stands in an answer.
    pub(crate) fn json(&self) -> Value {
        json!({ "error": self.0.body })
    }

    /// Returns the status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }
}

/// Shortens and cleans a client's own text, for an error that repeats it.
pub(crate) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", printable(&short))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let text = self.json().to_string();
        let Inner { status, headers, .. } = *self.0;
        let mut response = (status, [(CONTENT_TYPE, "application/json")], text).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

/// Each kind has one status and code. What only whoever runs the server can mend is logged, and the client learns no more than
/// that.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let (status, code) = match kind {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid_request"),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            ErrorKind::CursorExpired => (StatusCode::GONE, "cursor_expired"),
            ErrorKind::CursorMalformed
            | ErrorKind::CursorForeign
            | ErrorKind::CursorForked
            | ErrorKind::CursorFuture
            | ErrorKind::FilterMismatch => (StatusCode::BAD_REQUEST, "invalid_cursor"),
            ErrorKind::Conflict | ErrorKind::Fenced => (StatusCode::CONFLICT, "conflict"),
            ErrorKind::LeaseLost => (StatusCode::CONFLICT, "lease_lost"),
            ErrorKind::BackingOff => (StatusCode::TOO_MANY_REQUESTS, "backing_off"),
            ErrorKind::AwaitingApproval => (StatusCode::CONFLICT, "awaiting_approval"),
            ErrorKind::Unsupported => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
            ErrorKind::Unauthorized => (StatusCode::FAILED_DEPENDENCY, "upstream_unauthorized"),
            ErrorKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "upstream_rate_limited"),
            ErrorKind::Remote | ErrorKind::SourceReset => (StatusCode::BAD_GATEWAY, "upstream_failed"),
            ErrorKind::Unavailable => (StatusCode::BAD_GATEWAY, "upstream_unavailable"),
            ErrorKind::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "timed_out"),
            ErrorKind::Busy | ErrorKind::Cancelled | ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ErrorKind::Full => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
        let message = match code {
            "server_error" => "the server failed: its log says more".to_owned(),
            "storage_full" => "the server has no space left: free some, then try again".to_owned(),
            "busy" => "the server is busy or about to stop: try again".to_owned(),
            _ => shown_facts(&error),
        };
        if status.is_server_error() {
            tracing::error!(kind = kind.as_str(), error = %error, "a request failed");
        }
        let answer = ApiError::new(status, code, message);
        let answer = match recovery(&error) {
            Some(payload) => answer.with_payload(payload),
            None => answer,
        };
        match (error.retry_after(), code) {
            (Some(delay), _) => answer.retry_in(delay),
            (None, "busy") => answer.retry_in(Duration::from_secs(1)),
            (None, _) => answer,
        }
    }
}

/// The message and its facts, without the causes, which may name files of the server.
pub(crate) fn shown_facts(error: &Error) -> String {
    const FACTS: [&str; 14] = [
        "connection",
        "sync",
        "template",
        "integration",
        "provider",
        "setting",
        "help",
        "known",
        "model",
        "id",
        "stream",
        "streams",
        "action",
        "pointer",
    ];
    let mut message = printable(error.message()).to_string();
    let facts: Vec<String> = FACTS
        .iter()
        .filter_map(|name| error.context(name).map(|value| format!("{name}: {}", printable(value))))
        .collect();
    if !facts.is_empty() {
        message = format!("{message} ({})", facts.join(", "));
    }
    message
}

/// What a reader with an unusable cursor does next.
fn recovery(error: &Error) -> Option<Value> {
    let kind = error.kind();
    let recover = match kind {
        ErrorKind::CursorExpired => "clear your copy and read from the start: leave the cursor out",
        ErrorKind::FilterMismatch => "read with the filter that the cursor was given for, or from the start",
        ErrorKind::CursorForked => {
            "go on from last_common if it is given, otherwise clear your copy and read from the start"
        }
        ErrorKind::CursorMalformed | ErrorKind::CursorForeign | ErrorKind::CursorFuture => {
            "pass a cursor exactly as this model's records gave it, or leave it out to read from the start"
        }
        _ => return None,
    };
    let mut payload = json!({ "reason": kind, "recover": recover });
    match error.cursor_fault() {
        Some(CursorFault::Expired { horizon }) => payload["horizon"] = json!(horizon),
        Some(CursorFault::Forked { last_common }) => payload["last_common"] = json!(last_common),
        Some(CursorFault::Future { high_water }) => payload["high_water"] = json!(high_water),
        _ => {}
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_and_says_nothing_of_the_servers_insides() {
        for kind in ErrorKind::ALL {
            let cause = std::io::Error::other("/secret/place");
            let error = Error::new(kind, "the thing failed: try another").with("db", "/secret/place").because(cause);
            let answer = ApiError::from(error);
            let status = answer.status();
            assert!(status.is_client_error() || status.is_server_error(), "{kind}");
            let text = serde_json::to_string(&answer.0.body).unwrap();
            assert!(!text.contains("/secret/place"), "{text}");
            let cursor = matches!(answer.0.body.code.as_ref(), "invalid_cursor" | "cursor_expired");
            assert_eq!(cursor, text.contains("recover"), "{text}");
        }
    }

    #[test]
    fn a_clients_text_is_shortened_and_cleaned() {
        let error = ApiError::parameter(Place::Query, &"\u{1b}[2J".repeat(1000), "unknown", "is unknown");
        let text = serde_json::to_string(&error.0.body).unwrap();
        assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{text}");
    }
}
