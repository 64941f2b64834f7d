//! A page that a host shows in a frame of its own page, as the peer's browser client does (`openConnectUI`): it tells the host's
//! page that it is ready, receives a session's token, and tells how the session ends.
//!
//! Browsers keep the cookies of frames apart, and providers refuse to be framed: the sign-in itself happens in a window of its
//! own, and the frame asks the server how it went.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use maud::html;
use serde_json::json;

use super::super::visit::base;
use super::super::{Dashboard, frame};
use super::{bearer, unknown};

/// The page. Only pages of the server itself and of the origins that it lists may frame it.
pub(in super::super) fn embedded(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let dashboard = Arc::clone(dashboard);
    get(move |request: Request| async move {
        let (parts, _) = request.into_parts();
        let base = base(&parts);
        let content = html! {
            div.card data-connect={ (base) "/connect" } {
                h1 { "Connect an account" }
                p data-said role="status" { "This page is opened by another one, which says what it is for." }
                p.buttons {
                    a.button.primary data-go hidden target="_blank" rel="noopener" { "Continue in a new window" }
                    button type="button" data-close { "Close" }
                }
            }
            script type="module" src={ (base) "/dashboard/connect.js" } {}
        };
        let mut response = frame::bare(&base, StatusCode::OK, "Connect an account", &content);
        let origins = dashboard.state.guard.origins().join(" ");
        let policy = frame::POLICY.replace("frame-ancestors 'none'", &format!("frame-ancestors 'self' {origins}"));
        if let Ok(policy) = HeaderValue::from_str(policy.trim_end()) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    })
}

/// `GET /connect/outcome`: how a session stands, for whoever has its token.
pub(in super::super) fn outcome(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let dashboard = Arc::clone(dashboard);
    get(move |headers: HeaderMap| async move {
        if bearer(&dashboard, &headers).is_some() {
            return Json(json!({ "data": { "state": "open" } })).into_response();
        }
        let token = super::bearer_text(&headers).unwrap_or_default();
        match dashboard.state.connect.made_by(dashboard.state.environment().now(), token) {
            Some(made) => answer(&made.connection, &made.integration),
            None => unknown().into_response(),
        }
    })
}

fn answer(connection: &str, integration: &str) -> Response {
    let data = json!({ "state": "connected", "connection_id": connection, "provider_config_key": integration });
    Json(json!({ "data": data })).into_response()
}
