//! The dashboard: pages for people, made by the server, under `/dashboard`.
//!
//! Everything is done through the engine's and the store's public methods. The pages work without scripts: links and forms, and a
//! redirect after each change. A small module in the browser adds what scripts alone can do. Addresses such as `/records` belong
//! to programs, so that the pages have a folder of their own; `/` leads there.

mod assets;
mod connections;
mod end_users;
mod environment;
mod events;
mod export;
mod frame;
mod home;
mod integrations;
mod newest;
mod plot;
mod records;
mod runs;
mod sessions;
mod sign_in;
mod visit;
mod webhooks;
mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, get, post};
use highwater_engine::Secret;

use crate::guard::guard;
use crate::keys::Scope;
use crate::routes::backup;
use crate::server::Server;
use crate::state::State;
use sessions::Sessions;
use visit::{Answer, Visit};
pub(crate) use visit::{base, encoded};

/// What the pages share.
pub(crate) struct Dashboard {
    state: Arc<State>,
    sessions: Sessions,
}

impl Server {
    /// Returns a path, with a query, under which one person can sign in to the dashboard once, within 15 minutes: append it to the
    /// address of the server, and show it to that person alone. What they may do there is limited by `scope`.
    ///
    /// Sessions are kept in memory: they end after 12 hours, and with the server. Holders of a key sign in with that.
    ///
    /// ```no_run
    /// # fn example(server: highwater_server::Server) {
    /// let link = server.dashboard_link(highwater_server::Scope::Admin);
    /// println!("http://127.0.0.1:3003{}", link.expose());
    /// # }
    /// ```
    pub fn dashboard_link(&self, scope: Scope) -> Secret {
        self.dashboard.link(scope)
    }
}

impl Dashboard {
    pub(crate) fn new(state: &Arc<State>) -> Arc<Self> {
        Arc::new(Dashboard { state: Arc::clone(state), sessions: Sessions::default() })
    }

    fn link(&self, scope: Scope) -> Secret {
        let token = self.sessions.add_link(&**self.state.environment(), scope);
        Secret::new(format!("/dashboard/sign-in?link={token}"))
    }
}

/// Returns the pages. They pass the same guard as every other route.
pub(crate) fn router(dashboard: &Arc<Dashboard>) -> Router {
    let page = |path: &'static str, handled: MethodRouter| (path, handled);
    let d = dashboard;
    let pages = [
        page("/", get(sign_in::lead_on)),
        page("/dashboard/", get(sign_in::lead_on)),
        page("/dashboard", read(d, home::page)),
        page(
            "/dashboard/integrations",
            read(d, integrations::list).merge(change(d, Scope::Admin, integrations::create)),
        ),
        page("/dashboard/integrations/{key}", read(d, integrations::one)),
        page(
            "/dashboard/integrations/{key}/endpoint",
            read(d, integrations::endpoint).merge(change(d, Scope::Admin, integrations::toggle)),
        ),
        page("/dashboard/integrations/{key}/try", change(d, Scope::Write, integrations::dry_run)),
        page("/dashboard/integrations/{key}/actions", read(d, integrations::actions)),
        page("/dashboard/integrations/{key}/act", change(d, Scope::Write, integrations::act)),
        page(
            "/dashboard/integrations/{key}/settings",
            read(d, integrations::settings).merge(change(d, Scope::Admin, integrations::update)),
        ),
        page("/dashboard/integrations/{key}/secret", change(d, Scope::Admin, integrations::set_secret)),
        page("/dashboard/integrations/{key}/delete", change(d, Scope::Admin, integrations::delete)),
        page("/dashboard/connections", read(d, connections::list).merge(change(d, Scope::Write, connections::create))),
        page("/dashboard/connect", read(d, connections::new)),
        page("/dashboard/connect/sign-in", change(d, Scope::Write, end_users::begin)),
        page("/connect", end_users::arrive(d)),
        page("/connect/", end_users::embedded(d)),
        page("/connect/outcome", end_users::outcome(d)),
        page("/api-auth/api-key/{key}", end_users::headless(d, "token")),
        page("/api-auth/basic/{key}", end_users::headless(d, "basic")),
        page("/auth/unauthenticated/{key}", end_users::headless(d, "nothing")),
        page("/connect/page/{id}", end_users::page(d)),
        page("/connect/session", end_users::session(d)),
        page("/oauth/callback", end_users::callback(d)),
        page("/dashboard/connections/{id}", read(d, connections::one)),
        page("/dashboard/connections/{id}/sync", change(d, Scope::Write, connections::change_sync)),
        page("/dashboard/connections/{id}/about", change(d, Scope::Write, connections::set_about)),
        page("/dashboard/connections/{id}/metadata", change(d, Scope::Write, connections::set_metadata)),
        page("/dashboard/connections/{id}/token", change(d, Scope::Write, connections::set_token)),
        page(
            "/dashboard/connections/{id}/delete",
            read(d, connections::ask_delete).merge(change(d, Scope::Write, connections::delete)),
        ),
        page("/dashboard/records", read(d, records::page)),
        page("/dashboard/record", read(d, records::one)),
        page("/dashboard/export", read(d, export::export)),
        page("/dashboard/runs", read(d, runs::list)),
        page("/dashboard/lines", read(d, runs::lines)),
        page("/dashboard/events", read(d, events::follow)),
        page("/dashboard/runs/{id}", read(d, runs::one)),
        page("/dashboard/runs/{id}/decision", change(d, Scope::Write, runs::decide)),
        page("/dashboard/webhooks", read(d, webhooks::list).merge(change(d, Scope::Admin, webhooks::change))),
        page("/dashboard/webhooks/{id}", read(d, webhooks::one)),
        page("/dashboard/environment", read(d, environment::page)),
        page("/dashboard/environment/doctor", change(d, Scope::Read, environment::doctor)),
        page("/dashboard/environment/compact", change(d, Scope::Admin, environment::compact)),
        page("/dashboard/environment/backup", change_within(d, backup::PATIENCE, Scope::Admin, environment::back_up)),
        page("/dashboard/environment/prune", change(d, Scope::Admin, environment::prune)),
        page("/dashboard/environment/key", change(d, Scope::Admin, environment::change_key)),
        page("/dashboard/sign-in", sign_in::routes(d)),
        page("/dashboard/sign-out", change(d, Scope::Read, sign_in::sign_out)),
        page("/dashboard/style.css", get(assets::style)),
        page("/dashboard/live.js", get(assets::live)),
        page("/dashboard/connect.js", get(assets::connect)),
        page("/dashboard/icon.svg", get(assets::icon)),
        page("/dashboard/{*rest}", read(d, visit::no_page)),
    ];
    let router = pages.into_iter().fold(Router::new(), |router, (path, handled)| router.route(path, handled));
    router.layer(axum::middleware::from_fn_with_state(Arc::clone(&dashboard.state), guard))
}

/// A page that whoever is signed in may see.
fn read<F, A>(dashboard: &Arc<Dashboard>, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    let dashboard = Arc::clone(dashboard);
    get(move |request: Request| visit::show(dashboard, request, handler))
}

/// A change by a form: with the session's token, and for sessions of the scope.
fn change<F, A>(dashboard: &Arc<Dashboard>, scope: Scope, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    change_within(dashboard, dashboard.state.limits.answer_time, scope, handler)
}

/// The same, where the answer may take longer to begin.
fn change_within<F, A>(dashboard: &Arc<Dashboard>, time: Duration, scope: Scope, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    let dashboard = Arc::clone(dashboard);
    post(move |request: Request| visit::change(dashboard, time, scope, request, handler))
}
