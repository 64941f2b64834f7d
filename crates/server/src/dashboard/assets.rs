//! The style, the script and the icon: parts of the program, served from its own address.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("style.css");
const LIVE: &str = include_str!("live.js");
const CONNECT: &str = include_str!("connect.js");
const ICON: &str = include_str!("icon.svg");

pub(super) async fn style(request: Request) -> Response {
    asset(&request, "text/css; charset=utf-8", STYLE)
}

pub(super) async fn live(request: Request) -> Response {
    asset(&request, "text/javascript; charset=utf-8", LIVE)
}

pub(super) async fn connect(request: Request) -> Response {
    asset(&request, "text/javascript; charset=utf-8", CONNECT)
}

pub(super) async fn icon(request: Request) -> Response {
    asset(&request, "image/svg+xml", ICON)
}

/// Answers with the text, or says that the browser's copy is current.
fn asset(request: &Request, kind: &'static str, text: &'static str) -> Response {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let tag = format!("\"{}\"", hash.get(..16).unwrap_or_default());
    let known = request.headers().get_all(IF_NONE_MATCH).iter().any(|known| known.as_bytes() == tag.as_bytes());
    let headers = [(CONTENT_TYPE, kind.to_owned()), (CACHE_CONTROL, "no-cache".to_owned()), (ETAG, tag)];
    if known { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, text).into_response() }
}
