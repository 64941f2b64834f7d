//! Sign-ins with a key, a name and a password, or nothing, by a host's own page and a session's token: the routes of the peer's
//! browser client (`auth`, `create`) that open no window.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde_json::{Map, Value, json};

use super::super::Dashboard;
use super::super::visit::{base, pairs};
use super::{Guest, find, make, unknown};
use crate::error::ApiError;
use crate::input::read_bytes;

/// The largest body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// `POST /api-auth/api-key/{key}`, `/api-auth/basic/{key}`, `/auth/unauthenticated/{key}`. `way` is that of the forms.
pub(in super::super) fn sign_in(dashboard: &Arc<Dashboard>, way: &'static str) -> MethodRouter {
    let dashboard = Arc::clone(dashboard);
    post(move |request: Request| async move {
        match connect(&dashboard, request, way).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    })
}

async fn connect(dashboard: &Arc<Dashboard>, request: Request, way: &str) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let query = pairs(parts.uri.query().unwrap_or_default());
    let token = query.iter().find(|(name, _)| name == "connect_session_token").map_or("", |(_, token)| token);
    let session = find(dashboard, token).ok_or_else(unknown)?;
    let limits = &dashboard.state.limits;
    let body = read_bytes(body, MAX_BODY.min(limits.body_bytes), limits.body_time).await?;
    let body: Map<String, Value> = match body.is_empty() {
        true => Map::new(),
        false => serde_json::from_slice(&body)
            .map_err(|_| ApiError::bad("invalid_body", "the body is no JSON object: send the credentials as one"))?,
    };
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let key = path.ok().and_then(|path| path.iter().next().map(|(_, key)| key.to_owned())).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut form = BTreeMap::from([
        ("way".to_owned(), way.to_owned()),
        ("integration".to_owned(), key),
        ("token".to_owned(), text("apiKey")),
        ("username".to_owned(), text("username")),
        ("password".to_owned(), text("password")),
    ]);
    // Settings arrive as `params[name]=value`.
    for (name, value) in &query {
        if let Some(name) = name.strip_prefix("params[").and_then(|name| name.strip_suffix(']')) {
            form.insert(format!("config.{name}"), value.clone());
        }
    }
    let guest = Guest {
        dashboard: Arc::clone(dashboard),
        session,
        token: token.to_owned(),
        base: base(&parts),
        origin: String::new(),
        form: form.into_iter().collect(),
    };
    guest.session.attempt()?;
    let (settings, credentials) = make::given(&guest).await?;
    let made = make::finish(&guest, settings, credentials).await?;
    Ok(Json(json!({ "providerConfigKey": made.integration, "connectionId": made.connection })).into_response())
}
