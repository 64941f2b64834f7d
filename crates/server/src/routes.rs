//! The routes, one module for each subject.
//!
//! # Adding a route
//!
//! A module of `routes/` has `pub(crate) fn routes() -> Vec<Route>`, and [`all`] lists it. A route says what it needs when it is
//! made, and cannot be made without:
//!
//! ```text
//! pub(crate) fn routes() -> Vec<Route> {
//!     vec![
//!         Route::get("/sync/status", Scope::Read, status).query(&["syncs", "provider_config_key", "connection_id"]),
//!         Route::post("/sync/trigger", Scope::Write, trigger),
//!     ]
//! }
//!
//! async fn status(call: Call) -> Answer {
//!     let connection = call.query.required("connection_id", value::text(MAX_NAME))?;
//!     let state = call.engine().connection_state(&connection).await?;
//!     Ok(Json(state).into_response())
//! }
//! ```
//!
//! * Before the handler runs, the [guard](crate::guard) has checked Host, Origin and sizes, the key has the route's `Scope` and
//!   requests left ([`Access::Anyone`](crate::route::Access::Anyone) needs none), and the query has no name that the route does not list (none by default;
//!   [`Route::foreign_query`] takes any).
//! * A path is written without a slash at the end, and answers with one too. `{name}` is read with `call.path("name", most)?`.
//! * Parameters are read with `call.query`, `call.headers()` and the readers of [`value`](crate::input::value); a body with
//!   `call.json::<T>().await?`, where `T` has `#[serde(deny_unknown_fields)]`, or `call.bytes(most).await?`. Each refuses with a
//!   400 that names the parameter. `call.connection().await?` resolves the headers `Connection-Id` and `Provider-Config-Key`.
//! * `?` turns the library's errors into an [`ApiError`](crate::error::ApiError) with one status and code for each kind. Where a
//!   client expects another, match on `error.kind()` first and make it with `ApiError::bad("code", "message")` or
//!   `ApiError::new(status, code, message)`, with `.with_payload(json)`.
//! * An answer must begin within [`Limits::answer_time`](crate::Limits::answer_time); a route that waits on purpose says
//!   [`Route::answer_time`], and ends its wait when `call.state.stopping` is cancelled.

mod actions;
mod approvals;
pub(crate) mod backup;
mod common;
mod connections;
mod consumers;
mod functions;
mod health;
pub(crate) mod incoming;
mod integrations;
#[cfg(feature = "metrics")]
mod metrics;
mod openapi;
mod providers;
mod proxy;
mod records;
mod runs;
mod sessions;
mod store;
mod syncs;
mod webhooks;

pub(crate) use common::{iso, uuid};
#[cfg(feature = "metrics")]
pub(crate) use metrics::Served;
pub(crate) use records::{AnswerCache, Shared as Followed};

use crate::route::Route;

/// Returns every route.
pub(crate) fn all() -> Vec<Route> {
    let groups = [
        health::routes(),
        records::routes(),
        consumers::routes(),
        syncs::routes(),
        connections::routes(),
        integrations::routes(),
        providers::routes(),
        actions::routes(),
        proxy::routes(),
        sessions::routes(),
        runs::routes(),
        approvals::routes(),
        webhooks::routes(),
        incoming::routes(),
        store::routes(),
        backup::routes(),
        #[cfg(feature = "metrics")]
        metrics::routes(),
        openapi::routes(),
    ];
    groups.into_iter().flatten().collect()
}
