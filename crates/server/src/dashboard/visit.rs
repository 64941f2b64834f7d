//! A request for a page: who makes it, and what it brings.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, OriginalUri, RawPathParams, Request};
use axum::http::header::{COOKIE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use highwater_core::{Store, Timestamp};
use highwater_engine::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::sessions::{Session, same};
use super::{Dashboard, frame};
use crate::error::ApiError;
use crate::input::read_bytes;
use crate::keys::Scope;
use crate::routes::incoming::origin;

/// What a page answers.
pub(super) type Answer = Result<Response, ApiError>;

/// The cookie of a session.
pub(super) const COOKIE_NAME: &str = "highwater_session";
/// The largest form, in bytes. Metadata has at most 64 KiB, and three times as much where every byte is encoded.
const MAX_FORM: usize = 256 << 10;

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request of somebody who is signed in.
pub(super) struct Visit {
    dashboard: Arc<Dashboard>,
    pub(super) session: Session,
    token: String,
    /// Where the router is mounted: a path without a slash at the end.
    pub(super) base: String,
    pub(super) now: Timestamp,
    parameters: Vec<(String, String)>,
    path: Vec<(String, String)>,
    /// The path and query as they stand in the address, below the mount.
    pub(super) address: String,
    /// What links to this server from elsewhere begin with.
    pub(super) origin: String,
}

impl Visit {
    pub(super) fn engine(&self) -> &Engine {
        &self.dashboard.state.engine
    }

    pub(super) fn state(&self) -> &crate::state::State {
        &self.dashboard.state
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        self.engine().store()
    }

    pub(super) fn keys(&self) -> &crate::keys::Keys {
        &self.dashboard.state.keys
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.session.key.scope >= scope
    }

    /// Returns a field of the form, or a parameter of the query; empty if it was left out.
    pub(super) fn field(&self, name: &str) -> &str {
        self.exact(name).trim()
    }

    /// The same with the blanks around it.
    pub(super) fn exact(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The same, where it has any text.
    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        Some(self.field(name)).filter(|value| !value.is_empty())
    }

    /// Returns every field whose name begins so, without that.
    pub(super) fn fields<'v>(&'v self, prefix: &'v str) -> impl Iterator<Item = (&'v str, &'v str)> {
        let fields =
            self.parameters.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.trim())));
        fields.filter(|(_, value)| !value.is_empty())
    }

    pub(super) fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns the address of a page: `["connections", id]`.
    pub(super) fn to<const N: usize>(&self, segments: [&str; N]) -> String {
        segments.iter().fold(format!("{}/dashboard", self.base), |path, segment| format!("{path}/{}", encoded(segment)))
    }

    /// The same with a query.
    pub(super) fn to_with(&self, page: &str, query: &[(&str, &str)]) -> String {
        let pairs: Vec<String> = query
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}/dashboard/{page}{mark}{}", self.base, pairs.join("&"))
    }

    /// Leads on to a page after a change, which says what was done.
    pub(super) fn done(&self, to: String, notice: impl Into<String>) -> Answer {
        self.dashboard.sessions.set_notice(&self.token, notice.into());
        Ok(redirect(&to))
    }

    /// Returns what the last change left to be said.
    pub(super) fn take_notice(&self) -> Option<String> {
        self.dashboard.sessions.take_notice(&self.token)
    }

    /// Whether the session has not ended since the request began.
    pub(super) async fn is_signed_in(&self) -> bool {
        let state = &self.dashboard.state;
        let found = self.dashboard.sessions.find(state.environment().now(), &self.token);
        found.is_some() && (!self.session.stored || state.check_key(&self.session.key).await.is_ok())
    }

    pub(super) fn end_session(&self) {
        self.dashboard.sessions.end(&self.token);
    }
}

/// Shows a page to whoever is signed in; others are led to the sign-in.
pub(super) async fn show<F, A>(dashboard: Arc<Dashboard>, request: Request, handler: F) -> Response
where
    F: Fn(Visit) -> A,
    A: Future<Output = Answer>,
{
    let (parts, _) = request.into_parts();
    let parameters = pairs(parts.uri.query().unwrap_or_default());
    let entered = enter(&dashboard, parts, parameters).await;
    answer(dashboard.state.limits.answer_time, entered, handler).await
}

/// Makes a change for whoever has the scope, if the form carries the session's token.
pub(super) async fn change<F, A>(
    dashboard: Arc<Dashboard>,
    time: Duration,
    scope: Scope,
    request: Request,
    handler: F,
) -> Response
where
    F: Fn(Visit) -> A,
    A: Future<Output = Answer>,
{
    let (parts, body) = request.into_parts();
    let base = base(&parts);
    let entered = async {
        let form = read_form(&dashboard, body).await.map_err(|error| frame::outside(&base, error))?;
        let visit = enter(&dashboard, parts, form).await?;
        if !same(&visit.session.csrf, visit.field("csrf")) {
            let message = "the form is not of this session: open the page again, then send it";
            return Err(frame::fault(&visit, ApiError::new(StatusCode::FORBIDDEN, "invalid_csrf_token", message)));
        }
        if !visit.may(scope) {
            let message =
                format!("this needs a key of the scope {scope}; you signed in with {}", visit.session.key.scope);
            return Err(frame::fault(&visit, ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)));
        }
        Ok(visit)
    };
    let entered = entered.await;
    answer(time, entered, handler).await
}

async fn answer<F, A>(time: Duration, entered: Result<Visit, Response>, handler: F) -> Response
where
    F: Fn(Visit) -> A,
    A: Future<Output = Answer>,
{
    let visit = match entered {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    let again = visit.again();
    let answered = tokio::time::timeout(time, handler(visit)).await;
    let answered = answered.unwrap_or_else(|_| {
        let message = "the page took too long: try again";
        Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", message))
    });
    answered.unwrap_or_else(|error| frame::fault(&again, error))
}

impl Visit {
    /// The same visit, for the page that an error needs.
    fn again(&self) -> Visit {
        Visit {
            dashboard: Arc::clone(&self.dashboard),
            session: self.session.clone(),
            token: self.token.clone(),
            base: self.base.clone(),
            now: self.now,
            parameters: Vec::new(),
            path: Vec::new(),
            address: self.address.clone(),
            origin: self.origin.clone(),
        }
    }
}

async fn enter(
    dashboard: &Arc<Dashboard>,
    mut parts: Parts,
    parameters: Vec<(String, String)>,
) -> Result<Visit, Response> {
    let (base, state) = (base(&parts), &dashboard.state);
    let now = state.environment().now();
    let address = parts.uri.path_and_query().map_or("/dashboard", |path| path.as_str()).to_owned();
    let outside = |error: ApiError| frame::outside(&base, error);
    let signed_in =
        cookie(&parts.headers).and_then(|token| Some((dashboard.sessions.find(now, token)?, token.to_owned())));
    let Some((session, token)) = signed_in else {
        let next = if parts.method == axum::http::Method::GET { encoded(&address) } else { String::new() };
        return Err(redirect(&format!("{base}/dashboard/sign-in?next={next}")));
    };
    if session.stored && state.check_key(&session.key).await.is_err() {
        dashboard.sessions.end(&token);
        return Err(redirect(&format!("{base}/dashboard/sign-in?next={}", encoded(&address))));
    }
    let elapsed = state.environment().elapsed().unwrap_or_else(|| now.duration_since(Timestamp::UNIX_EPOCH));
    state.rate.take(&session.key.id, elapsed).map_err(outside)?;
    let path = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| outside(ApiError::not_found("there is no such page: its address is not percent-encoded UTF-8")))?;
    let path = path.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let dashboard = Arc::clone(dashboard);
    let origin = origin(&dashboard.state, &parts);
    Ok(Visit { dashboard, session, token, base, now, parameters, path, address, origin })
}

pub(super) async fn no_page(_: Visit) -> Answer {
    Err(ApiError::not_found("there is no such page: use the menu"))
}

pub(super) async fn read_form(dashboard: &Dashboard, body: Body) -> Result<Vec<(String, String)>, ApiError> {
    let limits = &dashboard.state.limits;
    let form = read_bytes(body, MAX_FORM.min(limits.body_bytes), limits.body_time).await?;
    Ok(pairs(&String::from_utf8_lossy(&form)))
}

/// Returns where the router is mounted.
pub(crate) fn base(parts: &Parts) -> String {
    let whole = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |OriginalUri(uri)| uri.path());
    let mount = whole.strip_suffix(parts.uri.path()).unwrap_or(if parts.uri.path() == "/" { whole } else { "" });
    mount.trim_end_matches('/').to_owned()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

pub(super) fn redirect(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Decodes a form, or a query.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}
