//! The pages of connect sessions: somebody with a link chooses an integration and signs in, and a connection is made.
//!
//! No key is needed: the session's token is the secret. It arrives in the link, and moves to a cookie of this session at once, so that it
//! is in no later address. The cookie is `SameSite=Lax`: the redirect of a provider must carry it, because a redirect is taken only
//! by the browser in which its sign-in began. Everything else is a form with the session's own token.

mod embed;
mod headless;
mod make;
mod pages;

pub(super) use embed::{embedded, outcome};
pub(super) use headless::sign_in as headless;
pub(super) use make::begin;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, COOKIE, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use highwater_core::mutant;
use highwater_sign_in::Redirect;
use serde_json::json;

use super::visit::{base, pairs, read_form, redirect};
use super::{Dashboard, frame};
use crate::connect::{ConnectSession, LIFE, same};
use crate::error::ApiError;
use crate::serve::scheme;

/// The cookie of a session, before its id.
const COOKIE_NAME: &str = "highwater_connect_";

/// A request of somebody with the token of a session.
struct Guest {
    dashboard: Arc<Dashboard>,
    session: Arc<ConnectSession>,
    token: String,
    base: String,
    /// The origin that the browser says the page has.
    origin: String,
    form: Vec<(String, String)>,
}

impl Guest {
    /// Returns a field of the form, or a parameter of the query; empty if it was left out.
    fn field(&self, name: &str) -> &str {
        self.form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    fn engine(&self) -> &highwater_engine::Engine {
        &self.dashboard.state.engine
    }

    /// The address of the session's page.
    fn page(&self) -> String {
        format!("{}/connect/page/{}", self.base, self.session.id)
    }

    /// Where providers send the user back to.
    fn redirect_uri(&self) -> String {
        let public = self.dashboard.state.public_url.clone();
        format!("{}/oauth/callback", public.unwrap_or_else(|| format!("{}{}", self.origin, self.base)))
    }
}

/// The link: moves the token from the address to a cookie.
pub(super) fn arrive(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let dashboard = Arc::clone(dashboard);
    get(move |request: Request| async move {
        let (parts, _) = request.into_parts();
        let base = base(&parts);
        let query = pairs(parts.uri.query().unwrap_or_default());
        let token = query.iter().find(|(name, _)| name == "session_token").map_or("", |(_, token)| token);
        match find(&dashboard, token) {
            None => over(&base),
            Some(session) => (
                [(SET_COOKIE, cookie(&dashboard, &session, token, &parts))],
                redirect(&format!("{base}/connect/page/{}", session.id)),
            )
                .into_response(),
        }
    })
}

fn cookie(dashboard: &Dashboard, session: &ConnectSession, token: &str, parts: &Parts) -> String {
    let public = dashboard.state.public_url.as_deref().unwrap_or_else(|| scheme(parts));
    let secure = if public.starts_with("https") { "; Secure" } else { "" };
    let base = base(parts);
    let life = LIFE.as_secs();
    format!("{COOKIE_NAME}{}={token}; Path={base}/; HttpOnly; SameSite=Lax; Max-Age={life}{secure}", session.id)
}

/// The page: what there is to choose, and the forms.
pub(super) fn page(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let (shown, sent) = (Arc::clone(dashboard), Arc::clone(dashboard));
    let show = get(move |request: Request| async move {
        let (parts, _) = request.into_parts();
        let form = pairs(parts.uri.query().unwrap_or_default());
        match enter(&shown, parts, form).await {
            Ok(guest) => pages::choose(&guest, None).await,
            Err(response) => response,
        }
    });
    show.post(move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let base = base(&parts);
        let form = match read_form(&sent, body).await {
            Ok(form) => form,
            Err(error) => return frame::outside(&base, error),
        };
        let guest = match enter(&sent, parts, form).await {
            Ok(guest) => guest,
            Err(response) => return response,
        };
        if !same(&guest.session.csrf, guest.field("csrf")) && !mutant!("connect-form-of-others") {
            let message = "the form is not of this session: open the link again";
            return frame::outside(&base, ApiError::new(StatusCode::FORBIDDEN, "invalid_csrf_token", message));
        }
        let time = sent.state.limits.answer_time;
        let submitted = async {
            guest.session.attempt()?;
            make::submit(&guest).await
        };
        match tokio::time::timeout(time, submitted).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => pages::choose(&guest, Some(error)).await,
            Err(_) => {
                pages::choose(&guest, Some(ApiError::bad("timed_out", "the provider took too long: try again"))).await
            }
        }
    })
}

/// Where providers send users back to.
pub(super) fn callback(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let dashboard = Arc::clone(dashboard);
    get(move |request: Request| async move {
        let (parts, _) = request.into_parts();
        let base = base(&parts);
        let query = parts.uri.query().unwrap_or_default();
        let state = Redirect::state_of(query).unwrap_or_default();
        let found = guests(&dashboard, &parts.headers, &base).find_map(|guest| {
            let begun = guest.session.take_browser(&state)?;
            Some((guest, begun))
        });
        let Some((guest, (begun, settings))) = found else {
            let message = "this page belongs to another sign-in, or to one that has ended: open your link again";
            return frame::outside(&base, ApiError::bad("unknown_state", message));
        };
        let time = dashboard.state.limits.answer_time;
        let finished = async {
            guest.session.attempt()?;
            let redirect = Redirect::of_query(query, begun.state())?;
            let credentials = begun.finish(redirect.code.expose(), &redirect.state).await?;
            make::conclude(&guest, settings, credentials).await
        };
        match tokio::time::timeout(time, finished).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => pages::choose(&guest, Some(error)).await,
            Err(_) => {
                pages::choose(&guest, Some(ApiError::bad("timed_out", "the provider took too long: try again"))).await
            }
        }
    })
}

/// `GET` and `DELETE /connect/session`, for programs that have a session's token.
pub(super) fn session(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let (shown, ended) = (Arc::clone(dashboard), Arc::clone(dashboard));
    let show = get(move |headers: HeaderMap| async move {
        let Some((session, _)) = bearer(&shown, &headers) else { return unknown().into_response() };
        let purpose = &session.purpose;
        let user = purpose.end_user.as_ref().map(|user| json!({"id": user.id, "email": user.email}));
        let defaults: serde_json::Map<_, _> =
            purpose.defaults.iter().map(|(key, config)| (key.clone(), json!({"connection_config": config}))).collect();
        Json(json!({"data": {
            "end_user": user,
            "allowed_integrations": purpose.allowed,
            "integrations_config_defaults": defaults,
            "is_reconnecting": purpose.reconnect.is_some(),
            "expires_at": crate::routes::iso(session.until),
        }}))
        .into_response()
    });
    show.delete(move |headers: HeaderMap| async move {
        let Some((_, token)) = bearer(&ended, &headers) else { return unknown().into_response() };
        ended.state.connect.end(token);
        StatusCode::NO_CONTENT.into_response()
    })
}

fn bearer<'h>(dashboard: &Dashboard, headers: &'h HeaderMap) -> Option<(Arc<ConnectSession>, &'h str)> {
    let token = bearer_text(headers)?;
    Some((find(dashboard, token)?, token))
}

fn bearer_text(headers: &HeaderMap) -> Option<&str> {
    Some(headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?.trim())
}

fn unknown() -> ApiError {
    ApiError::unauthenticated(
        "invalid_connect_session_token",
        "the session is unknown here or has ended: create another",
    )
}

fn find(dashboard: &Dashboard, token: &str) -> Option<Arc<ConnectSession>> {
    dashboard.state.connect.find(dashboard.state.environment().now(), token)
}

/// The page of a link that leads nowhere any more.
fn over(base: &str) -> Response {
    let message = "this link has expired, was used already, or is incomplete: ask for another one";
    frame::outside(base, ApiError::new(StatusCode::GONE, "connect_session_over", message))
}

/// Every session that the browser has the token of.
fn guests(dashboard: &Arc<Dashboard>, headers: &HeaderMap, base: &str) -> impl Iterator<Item = Guest> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    cookies.filter_map(move |(name, token)| {
        let id = name.strip_prefix(COOKIE_NAME)?;
        let session = find(dashboard, token).filter(|session| session.id == id)?;
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        Some(Guest {
            dashboard: Arc::clone(dashboard),
            session,
            token: token.to_owned(),
            base: base.to_owned(),
            origin: origin.to_owned(),
            form: Vec::new(),
        })
    })
}

async fn enter(dashboard: &Arc<Dashboard>, mut parts: Parts, form: Vec<(String, String)>) -> Result<Guest, Response> {
    let base = base(&parts);
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let id = path.ok().and_then(|path| path.iter().next().map(|(_, id)| id.to_owned())).unwrap_or_default();
    let guest = guests(dashboard, &parts.headers, &base).find(|guest| guest.session.id == id);
    guest.map(|guest| Guest { form, ..guest }).ok_or_else(|| over(&base))
}
