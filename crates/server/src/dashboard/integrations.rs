//! Integrations: which APIs are set up, and what each syncs for all its connections.

mod actions;
mod endpoint;
mod settings;

pub(super) use actions::{act, actions};
pub(super) use endpoint::{dry_run, endpoint};
pub(super) use settings::{delete, set_secret, settings, update};

use std::time::Duration;

use highwater_engine::integrations::Endpoint;
use highwater_engine::{DisableMode, IntegrationSettings, SyncOptions};
use highwater_template::TemplateInfo;
use maud::{Markup, html};

use super::frame::{Page, csrf, empty};
use super::visit::{Answer, Visit};
use super::words::{Look, counted, cut, number, schedule, state, when};
use crate::error::ApiError;
use crate::keys::Scope;

pub(super) async fn list(visit: Visit) -> Answer {
    let engine = visit.engine();
    let mut rows = Vec::new();
    for settings in engine.integrations().await? {
        let handle = engine.integration(&settings.key)?;
        let connections = handle.connections().await?.len() as u64;
        let endpoints = handle.endpoints().await?;
        rows.push((settings, connections, endpoints));
    }
    let lead = match rows.len() {
        0 => html! { "No API is set up yet." },
        count => html! { (counted(count as u64, "API is set up.", "APIs are set up.")) },
    };
    let content = html! {
        @if rows.is_empty() {
            (empty("An integration is an API as you set it up, once for all its accounts", &html! {
                @if visit.may(Scope::Admin) { "Add one below, then turn on its endpoints." } @else { "Somebody with an admin's key can add one here." }
            }))
        } @else {
            div.scroll { table {
                thead { tr { th { "Integration" } th.wide { "Provider" } th.number { "Connections" } th.number { "Endpoints on" } th.wide { "Changed" } } }
                tbody {
                    @for (settings, connections, endpoints) in &rows {
                        @let on = endpoints.iter().filter(|endpoint| endpoint.is_enabled()).count();
                        tr {
                            td { a href=(visit.to(["integrations", &settings.key])) { (cut(settings.display_name.as_ref().unwrap_or(&settings.key), 80)) } }
                            td.wide { (cut(&settings.provider, 60)) }
                            td.number { (number(*connections)) }
                            td.number { (on) " of " (endpoints.len()) }
                            td.wide { (when(settings.changed_at, visit.now)) }
                        }
                    }
                }
            } }
        }
        @if visit.may(Scope::Admin) { (add_form(&visit)) }
    };
    Ok(Page::new(&visit, "Integrations", lead).show(content))
}

fn add_form(visit: &Visit) -> Markup {
    html! {
        section {
            h2 { "Add an integration" }
            form.card method="post" action=(visit.to(["integrations"])) {
                (csrf(visit))
                label { "Provider"
                    select name="provider" required {
                        @for provider in visit.engine().providers() { option value=(provider.name) { (provider.name) } }
                    }
                }
                label { "Key" input name="key" required maxlength="200" placeholder="github"; span.hint { "Your name for it: programs use it. It never changes." } }
                label { "Display name" input name="display_name" maxlength="200"; span.hint { "What people call it. May be left out." } }
                button.primary { "Add" }
            }
        }
    }
}

pub(super) async fn create(visit: Visit) -> Answer {
    let key = visit.field("key");
    let mut settings = IntegrationSettings::new(key, visit.field("provider"));
    settings.display_name = visit.optional("display_name").map(str::to_owned);
    visit.engine().create_integration(settings).await?;
    visit.done(visit.to(["integrations", key]), "The integration is set up. Turn on what it is to sync.")
}

/// Returns the connection that a form names, if it belongs to the integration of the page.
async fn own_connection(visit: &Visit) -> Result<&str, ApiError> {
    let connection = visit.field("connection");
    let integration = visit.engine().connection(connection).await?.integration;
    if integration.as_deref() != Some(visit.path("key")) {
        let message = "the connection belongs to another integration: choose one of the list";
        return Err(ApiError::bad("invalid_body", message));
    }
    Ok(connection)
}

/// The name of an integration, for people.
fn name(settings: &IntegrationSettings) -> String {
    cut(settings.display_name.as_ref().unwrap_or(&settings.key), 80)
}

/// A page of an integration: one of its parts.
fn part<'v>(visit: &'v Visit, settings: &IntegrationSettings, lead: Markup, part: &str) -> Page<'v> {
    let key = settings.key.as_str();
    let tabs = [
        ("Endpoints", visit.to(["integrations", key]), part == "endpoints"),
        ("Actions", visit.to(["integrations", key, "actions"]), part == "actions"),
        ("Settings", visit.to(["integrations", key, "settings"]), part == "settings"),
    ];
    Page::new(visit, name(settings), lead).under("Integrations", visit.to(["integrations"])).tabs(&tabs)
}

pub(super) async fn one(visit: Visit) -> Answer {
    let handle = visit.engine().integration(visit.path("key"))?;
    let settings = handle.settings().await?;
    let endpoints = handle.endpoints().await?;
    let connections = handle.connections().await?.len() as u64;
    let on = endpoints.iter().filter(|endpoint| endpoint.is_enabled()).count();
    let lead = html! {
        (on) " of " (counted(endpoints.len() as u64, "endpoint is", "endpoints are")) " on for "
        a href=(visit.to_with("connections", &[("integration", &settings.key)])) { (counted(connections, "connection", "connections")) } "."
    };
    let connect = visit.to_with("connect", &[("integration", &settings.key)]);
    let content = html! {
        @if endpoints.is_empty() {
            (empty("This program has no template of the provider", &html! { "Build it with one, and its endpoints are listed here." }))
        } @else { (endpoint_table(&visit, &settings.key, &endpoints)) }
        @if connections == 0 && on > 0 { p.quiet { "Endpoints run once an account is connected." } }
    };
    let button = html! {
        @if visit.may(Scope::Write) { a.button.primary[connections == 0] href=(connect) { "Connect an account" } }
    };
    Ok(part(&visit, &settings, lead, "endpoints").beside(button).show(content))
}

fn endpoint_table(visit: &Visit, key: &str, endpoints: &[Endpoint]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "For all" } th { "Endpoint" } th.wide { "Models" } th.wide { "Runs" } th.number { "On for" } th.number.wide { "Own decisions" } } }
            tbody {
                @for endpoint in endpoints {
                    @let info = template(visit, &endpoint.sync);
                    tr {
                        td { (switch(visit, key, endpoint)) }
                        td {
                            a href=(visit.to_with(&format!("integrations/{}/endpoint", super::visit::encoded(key)), &[("sync", &endpoint.sync)])) { (cut(&endpoint.sync, 80)) }
                            @if let Some(info) = info { div.quiet { (cut(&info.description, 160)) } }
                            @if endpoint.waiting > 0 {
                                div { (state(Look::Waits, &format!("{} for: {}", counted(endpoint.waiting, "connection waits", "connections wait"),
                                    endpoint.missing_settings.keys().cloned().collect::<Vec<_>>().join(", ")))) }
                            }
                        }
                        td.wide { @if let Some(info) = info { (info.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ")) } }
                        td.wide { (every(endpoint, info)) }
                        td.number { (number(endpoint.connections)) }
                        td.number.wide { (number(endpoint.own_decisions)) }
                    }
                }
            }
        } }
    }
}

fn every(endpoint: &Endpoint, info: Option<&TemplateInfo>) -> String {
    match (endpoint.options.as_ref().and_then(|options| options.schedule.as_ref()), info) {
        (Some(known), _) => schedule(known),
        (None, Some(info)) => schedule(&info.interval.into()),
        (None, None) => String::new(),
    }
}

pub(super) fn template<'v>(visit: &'v Visit, sync: &str) -> Option<&'v TemplateInfo> {
    let id = sync.split("::").next().unwrap_or_default();
    visit.engine().templates().find(|info| info.id() == id)
}

fn switch(visit: &Visit, key: &str, endpoint: &Endpoint) -> Markup {
    let on = endpoint.is_enabled();
    if !visit.may(Scope::Admin) {
        return if on { state(Look::Well, "on") } else { state(Look::Off, "off") };
    }
    html! {
        form.inline method="post" action=(visit.to(["integrations", key, "endpoint"])) {
            (csrf(visit))
            input type="hidden" name="sync" value=(endpoint.sync);
            input type="hidden" name="turn" value=(if on { "off" } else { "on" });
            button.switch role="switch" aria-checked=(on) aria-label={ (endpoint.sync) " for all connections" } title=(if on { "Turn off" } else { "Turn on" }) {
                span.knob {} (if on { "on" } else { "off" })
            }
        }
    }
}

pub(super) async fn toggle(visit: Visit) -> Answer {
    let key = visit.path("key");
    let (handle, sync) = (visit.engine().integration(key)?, visit.field("sync"));
    let to = visit.to(["integrations", key]);
    match visit.field("turn") {
        "on" => {
            handle.enable(sync, SyncOptions::default()).await?;
            visit.done(to, format!("{sync} is on for every connection that has not decided otherwise."))
        }
        "off" => {
            handle.disable(sync, DisableMode::Keep).await?;
            visit.done(to, format!("{sync} is off. Its records stay."))
        }
        _ => Err(ApiError::bad("invalid_body", "an endpoint is turned on or off: use the switch")),
    }
}

/// Returns the interval that a form gives in minutes; `None` for an empty field.
pub(super) fn minutes(text: &str) -> Result<Option<Duration>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let minutes = text.parse::<u64>().ok().filter(|minutes| (1..=1_000_000).contains(minutes));
    let minutes =
        minutes.ok_or_else(|| ApiError::bad("invalid_body", "an interval is a whole number of minutes, at least 1"))?;
    Ok(Some(Duration::from_secs(minutes * 60)))
}
