//! Connections: who is connected, and whether all is well with them.

mod about;
mod forms;
mod one;

pub(super) use about::{set_about, set_metadata};
pub(super) use forms::{ask_delete, create, delete, new};
pub(super) use one::{change_sync, one, set_token};

use highwater_engine::connections::{ConnectionFilter, HealthKind};
use maud::html;

use super::frame::{Page, empty};
use super::visit::{Answer, Visit};
use super::words::{counted, cut, of_health, when_or, why};
use crate::error::ApiError;
use crate::keys::Scope;

/// Connections of a page.
const LIMIT: usize = 50;

const HEALTHS: [(&str, &str, HealthKind); 4] = [
    ("ok", "well", HealthKind::Ok),
    ("expiring", "expiring", HealthKind::Expiring),
    ("needs_sign_in", "needs sign-in", HealthKind::NeedsSignIn),
    ("revoked", "revoked", HealthKind::Revoked),
];

pub(super) async fn list(visit: Visit) -> Answer {
    let (text, integration, health) = (visit.field("text"), visit.field("integration"), visit.field("health"));
    let mut filter = ConnectionFilter::default().limit(LIMIT).after(visit.optional("after").map(str::to_owned));
    if !text.is_empty() {
        filter = filter.text(text);
    }
    if !integration.is_empty() {
        filter = filter.integration(integration);
    }
    if !health.is_empty() {
        let known = HEALTHS.iter().find(|(name, ..)| *name == health);
        filter = filter.health(
            known
                .ok_or_else(|| {
                    ApiError::bad("invalid_query_params", "there is no such health: choose one of the list")
                })?
                .2,
        );
    }
    let page = visit.engine().connection_states(&filter).await?;
    let found = &page.connections;
    let filtered = !(text.is_empty() && integration.is_empty() && health.is_empty() && filter.after.is_none());
    let ill = found.iter().filter(|connection| connection.health.needs_sign_in()).count();
    let lead = match (found.len(), ill) {
        (0, _) if filtered => html! { "No connection is like that." },
        (0, _) => html! { "Nobody is connected yet." },
        (count, 0) => {
            html! { (counted(count as u64, "connection", "connections")) @if page.next.is_some() { " on this page" } ", all well." }
        }
        (count, ill) => {
            html! { (ill) " of " (counted(count as u64, "connection", "connections")) @if page.next.is_some() { " on this page" } @if ill == 1 { " needs" } @else { " need" } " a sign-in." }
        }
    };
    let content = html! {
        @if found.is_empty() && !filtered {
            (empty("A connection is one account at an API", &html! {
                @if visit.may(Scope::Write) { a href=(visit.to(["connect"])) { "Connect an account" } } @else { "Somebody with a key of the scope write can connect one." }
            }))
        } @else {
            form.filters method="get" action=(visit.to(["connections"])) role="search" {
                label { span.hidden { "Search" } input type="search" name="text" value=(text) placeholder="Id, name or mail address"; }
                label { span.hidden { "Health" } select name="health" {
                    option value="" { "any health" }
                    @for (name, word, _) in HEALTHS { option value=(name) selected[name == health] { (word) } }
                } }
                @if !integration.is_empty() { input type="hidden" name="integration" value=(integration); }
                button { "Search" }
            }
            div.scroll { table {
                thead { tr { th { "Connection" } th.wide { "Integration" } th { "Health" } th.wide { "End user" } th { "Last fetched" } th.wide { "Connected" } } }
                tbody {
                    @for connection in found {
                        @let settings = &connection.settings;
                        tr {
                            td { a href=(visit.to(["connections", &settings.id])) { (cut(&settings.id, 60)) }
                                @if let Some(name) = &settings.display_name { div.quiet { (cut(name, 80)) } } }
                            td.wide { (cut(settings.integration_key(), 60)) }
                            td title=(why(&connection.health)) { (of_health(&connection.health)) }
                            td.wide { @if let Some(user) = &settings.end_user { (cut(user.email.as_ref().unwrap_or(&user.id), 80)) } }
                            td { (when_or(connection.last_fetched_at, visit.now, "never")) }
                            td.wide { (when_or(connection.created_at, visit.now, "")) }
                        }
                    }
                }
            } }
            @if let Some(next) = &page.next {
                p.pages { a rel="next" href=(visit.to_with("connections", &[("text", text), ("integration", integration), ("health", health), ("after", next)])) { "Next page" } }
            }
        }
    };
    let button = html! { @if visit.may(Scope::Write) { a.button.primary href=(visit.to(["connect"])) { "Connect an account" } } };
    Ok(Page::new(&visit, "Connections", lead).beside(button).live().show(content))
}
