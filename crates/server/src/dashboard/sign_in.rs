//! Signing in, by a link that works once or by a key, and out.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ORIGIN, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use maud::html;

use super::visit::{Answer, COOKIE_NAME, Visit, base, pairs, read_form, redirect};
use super::{Dashboard, frame};
use crate::error::ApiError;
use crate::keys::{Key, id_of};
use crate::state::State;

/// The longest address that a sign-in leads on to.
const MAX_NEXT: usize = 2000;

pub(super) fn routes(dashboard: &Arc<Dashboard>) -> MethodRouter {
    let dashboard = Arc::clone(dashboard);
    get(ask).post(move |request: Request| sign_in(dashboard, request))
}

/// Leads from the root to the dashboard.
pub(super) async fn lead_on(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mount = base(&parts);
    // With a slash at the end the path is the dashboard's own.
    let mount = mount.strip_suffix("/dashboard").unwrap_or(&mount);
    redirect(&format!("{mount}/dashboard"))
}

async fn ask(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = pairs(parts.uri.query().unwrap_or_default());
    let field = |name: &str| query.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
    page(&base(&parts), field("link"), field("next"), None)
}

/// The form. A link is not used up by opening it: programs that look at links before people do would.
fn page(base: &str, link: &str, next: &str, refused: Option<ApiError>) -> Response {
    let content = html! {
        form.card.sign-in method="post" action={ (base) "/dashboard/sign-in" } {
            h1 { "Sign in to Highwater" }
            @if let Some(error) = &refused { (frame::error_note(error)) }
            input type="hidden" name="next" value=(next);
            @if link.is_empty() {
                p { "Use a key of this server. What you can do here is what the key may do." }
                label { "Key" input type="password" name="key" required autocomplete="current-password" placeholder="hwk_…"; }
                button.primary { "Sign in" }
                p.hint { "Without a key, open the link that the server printed when it started, or have one made." }
            } @else {
                p { "This link signs you in once, for 12 hours, in this browser." }
                input type="hidden" name="link" value=(link);
                button.primary autofocus { "Sign in" }
            }
        }
    };
    let status = refused.map_or(StatusCode::OK, |error| error.into_response().status());
    frame::bare(base, status, "Sign in", &content)
}

async fn sign_in(dashboard: Arc<Dashboard>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let base = base(&parts);
    let form = match read_form(&dashboard, body).await {
        Ok(form) => form,
        Err(error) => return page(&base, "", "", Some(error)),
    };
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim());
    let found = match field("link") {
        "" => find_key(&dashboard.state, field("key"))
            .await
            .map(|key| (key.clone(), !is_temporary(&dashboard.state, &key))),
        link => key_of_link(&dashboard, link).map(|key| (key, false)),
    };
    let (key, stored) = match found {
        Ok(found) => found,
        Err(error) => return page(&base, "", field("next"), Some(error)),
    };
    let token = dashboard.sessions.begin(&**dashboard.state.environment(), key, stored);
    let encrypted = parts.headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if encrypted { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={token}; Path={base}/; HttpOnly; SameSite=Strict{secure}");
    ([(SET_COOKIE, cookie)], redirect(&format!("{base}{}", next(field("next"))))).into_response()
}

/// Returns where the sign-in leads: a page of the dashboard, whatever the form says.
fn next(wanted: &str) -> &str {
    let rest = wanted.strip_prefix("/dashboard").filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let plain = wanted.len() <= MAX_NEXT && wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if rest.is_some() && plain { wanted } else { "/dashboard" }
}

async fn find_key(state: &State, text: &str) -> Result<Key, ApiError> {
    if id_of(text).is_none() {
        let message = "this is not the form of a key: paste it exactly as it was given out";
        return Err(ApiError::unauthenticated("invalid_secret_key_format", message));
    }
    state.authorize(Some(&format!("Bearer {text}")), crate::keys::Scope::Read).await
}

fn is_temporary(state: &State, key: &Key) -> bool {
    state.temporary.as_ref().is_some_and(|(known, _)| known.id == key.id)
}

fn key_of_link(dashboard: &Dashboard, link: &str) -> Result<Key, ApiError> {
    let state = &dashboard.state;
    let scope = dashboard.sessions.take_link(&**state.environment(), link).ok_or_else(|| {
        let message = "this link was used already, or is older than 15 minutes: have another made, or use a key";
        ApiError::unauthenticated("invalid_link", message)
    })?;
    // Nobody gets the key's secret: it only says who is signed in.
    Ok(state.keys.temporary("a link", scope).key)
}

pub(super) async fn sign_out(visit: Visit) -> Answer {
    visit.end_session();
    let cookie = format!("{COOKIE_NAME}=; Path={}/; HttpOnly; SameSite=Strict; Max-Age=0", visit.base);
    Ok(([(SET_COOKIE, cookie)], redirect(&format!("{}/dashboard/sign-in", visit.base))).into_response())
}
