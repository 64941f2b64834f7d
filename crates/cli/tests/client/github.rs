//! A stand-in for GitHub on this machine, after <https://docs.github.com/en/rest/issues/issues>, and some paths that requests
//! through the server can be watched with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};

/// The token that it accepts. No answer but that of credentials may hold it.
pub(crate) const TOKEN: &str = "t0ken-nobody-may-see";

/// Requests to `/flaky`, of which the first two fail.
type Flaky = Arc<AtomicUsize>;

/// Starts it on a thread of its own, and returns its address.
pub(crate) fn start() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = Router::new()
                .route("/user", get(|| async { axum::Json(json!({ "login": "octocat", "id": 1 })) }))
                .route("/repos/o/r/issues", get(issues).post(create))
                .route("/status/{status}", any(status))
                .route("/flaky", any(flaky))
                .fallback(echo)
                .with_state(Flaky::default());
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    url
}

fn issue(number: u64, title: &str) -> Value {
    let time = format!("2026-01-01T00:0{number}:00Z");
    json!({
        "id": number, "number": number, "title": title, "state": "open", "body": null, "labels": [],
        "user": { "login": "octocat", "id": 1 }, "created_at": time, "updated_at": time, "closed_at": null,
    })
}

fn is_signed(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|token| token == &format!("Bearer {TOKEN}"))
}

async fn issues(headers: HeaderMap) -> Response {
    if !is_signed(&headers) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({ "message": "Bad credentials" }))).into_response();
    }
    axum::Json(json!([issue(1, "Leak"), issue(2, "Flood")])).into_response()
}

async fn create(axum::Json(input): axum::Json<Value>) -> Response {
    let title = input["title"].as_str().unwrap_or_default();
    if title != "refused" {
        return (StatusCode::CREATED, axum::Json(issue(3, title))).into_response();
    }
    let error = json!({ "resource": "Issue", "field": "title", "code": "invalid" });
    let told = json!({ "message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest" });
    (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(told)).into_response()
}

async fn status(Path(status): Path<u16>, body: Bytes) -> Response {
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn flaky(State(seen): State<Flaky>) -> StatusCode {
    match seen.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

/// Answers with what it was sent, and headers that must not be passed on.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let shown = parts.headers.iter().filter(|(name, _)| *name != "authorization");
    let shown: serde_json::Map<String, Value> =
        shown.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let seen = json!({
        "method": parts.method.as_str(), "path": parts.uri.path(), "query": parts.uri.query(), "headers": shown,
        "signed": is_signed(&parts.headers), "body": String::from_utf8_lossy(&body),
    });
    let mut response = axum::Json(seen).into_response();
    for (name, value) in [
        ("x-request-id", "r1"),
        ("link", "</next>; rel=\"next\""),
        ("set-cookie", "a=b"),
        ("access-control-allow-origin", "*"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    response
}
