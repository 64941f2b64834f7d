//! One endpoint of an integration: what its template reads and needs, and the first records that it would bring.

use highwater_engine::connections::ConnectionFilter;
use highwater_engine::runs::DryRun;
use highwater_template::auth::CredentialUse;
use highwater_template::{ModelInfo, TemplateInfo};
use maud::{Markup, html};
use serde_json::Value;

use super::super::frame::{Page, csrf, fact, sentence};
use super::super::records::cell;
use super::super::runs::lines_table;
use super::super::visit::{Answer, Visit};
use super::super::words::{counted, cut, length};
use super::{name, own_connection, switch, template};
use crate::error::ApiError;
use crate::keys::Scope;

/// Sample records of each model.
const SAMPLES: usize = 5;
/// Connections to choose from.
const CONNECTIONS: usize = 100;
/// The most members of a record that are shown.
const MEMBERS: usize = 6;

pub(in super::super) async fn endpoint(visit: Visit) -> Answer {
    show(&visit, None).await
}

/// Reads the first records, and stores nothing.
pub(in super::super) async fn dry_run(visit: Visit) -> Answer {
    let connection = own_connection(&visit).await?;
    let outcome = visit.engine().sync(connection, visit.field("sync"))?.dry_run(SAMPLES).await;
    show(&visit, Some(outcome)).await
}

async fn show(visit: &Visit, tried: Option<highwater_core::Result<DryRun>>) -> Answer {
    let handle = visit.engine().integration(visit.path("key"))?;
    let settings = handle.settings().await?;
    let sync = visit.field("sync");
    let found = template(visit, sync).filter(|info| info.provider.name == settings.provider);
    let info =
        found.ok_or_else(|| ApiError::not_found("the integration has no such endpoint: choose one of its list"))?;
    let endpoints = handle.endpoints().await?;
    let turn =
        endpoints.iter().find(|endpoint| endpoint.sync == sync).map(|endpoint| switch(visit, &settings.key, endpoint));
    let filter = ConnectionFilter::default().integration(&settings.key).limit(CONNECTIONS);
    let connections = visit.engine().connection_states(&filter).await?.connections;
    let content = html! {
        div.split {
            div {
                section {
                    h2 { "Sample records" }
                    @match &tried {
                        Some(Ok(found)) => { (samples(visit, info, found)) },
                        Some(Err(error)) => { div.error role="alert" { p { (cut(&sentence(error.message()), 500)) } code { (error.kind().as_str()) } } },
                        None => { p.quiet { "A dry run reads the first records from the API and stores nothing." } },
                    }
                    @if !visit.may(Scope::Write) { p.quiet { "A dry run needs a key of the scope write." } }
                    @else if connections.is_empty() {
                        p { "It needs an account. " a href=(visit.to_with("connect", &[("integration", &settings.key)])) { "Connect an account" } }
                    } @else {
                        form.filters method="post" action=(visit.to(["integrations", &settings.key, "try"])) {
                            (csrf(visit))
                            input type="hidden" name="sync" value=(sync);
                            label { span.hidden { "Account" } select name="connection" {
                                @for connection in &connections { @let id = &connection.settings.id; option value=(id) selected[id == visit.field("connection")] { (cut(id, 60)) } }
                            } }
                            button { @if tried.is_some() { "Try it again" } @else { "Try it" } }
                        }
                    }
                }
                section {
                    h2 { "What it brings" }
                    @for model in &info.models { (fields(model)) }
                }
            }
            (facts(info))
        }
    };
    let title = cut(sync, 80);
    let page = Page::new(visit, title, html! { (cut(&sentence(&info.description), 300)) })
        .under("Integrations", visit.to(["integrations"]))
        .under(&name(&settings), visit.to(["integrations", &settings.key]));
    Ok(page.beside(html! { @if let Some(turn) = &turn { (turn) } }).show(content))
}

fn facts(info: &TemplateInfo) -> Markup {
    let credentials = match info.credentials {
        CredentialUse::Required => "needed",
        CredentialUse::Optional => "not needed for public data",
        CredentialUse::Unused => "none are sent",
    };
    let told = |text: &str| html! { (cut(text, 300)) };
    html! {
        aside.side aria-label="About the endpoint" { dl {
            (fact("Template", &html! { code { (info.id()) } " version " (info.version) }))
            (fact("Runs", &html! { "every " (length(info.interval)) }))
            @if !info.changes.is_empty() { (fact("How changes are found", &told(&info.changes))) }
            @if !info.deletes.is_empty() { (fact("How deletes are found", &told(&info.deletes))) }
            (fact("Credentials", &told(credentials)))
            @if !info.scopes.is_empty() { (fact("Scopes", &html! { @for scope in &info.scopes { div { code { (scope) } } } })) }
            @for key in &info.config {
                (fact(&format!("Setting {}{}", key.name, if key.required { "" } else { " (may be left out)" }), &told(&key.help)))
            }
        } }
    }
}

/// The members of a model, as its schema has them.
fn fields(model: &ModelInfo) -> Markup {
    let schema = model.schema.as_ref();
    let members = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = |value: &Value| match value.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ if value.get("enum").is_some() => "one of several".to_owned(),
        _ => "any".to_owned(),
    };
    html! {
        h3 { (cut(&model.name, 80)) }
        p.quiet { (cut(&sentence(&model.description), 300)) @if members.is_none() { " The API's own form is kept: it has no schema." } }
        @if let Some(members) = members {
            div.scroll { table {
                thead { tr { th { "Member" } th { "Type" } th.wide { "What it is" } } }
                tbody { @for (name, member) in members {
                    tr { td { code { (cut(name, 60)) } } td { (cut(&kind(member), 60)) } td.wide { (cut(&text(member, "description"), 200)) } }
                } }
            } }
        }
    }
}

fn samples(visit: &Visit, info: &TemplateInfo, found: &DryRun) -> Markup {
    html! {
        p.notice role="status" {
            "Read " (counted(found.progress.fetched, "record", "records")) " in " (counted(found.progress.pages, "page", "pages"))
            @if found.complete { ", which is all there is. Nothing was stored." } @else { ", then stopped. Nothing was stored." }
        }
        @for (model, records) in &found.records {
            @let payloads: Vec<_> = records.iter().filter_map(|record| record.payload.as_ref()?.to::<serde_json::Map<String, Value>>().ok()).collect();
            @let names = super::super::records::members(payloads.iter());
            @if info.models.len() > 1 { h3 { (cut(model, 80)) } }
            @if payloads.is_empty() { p.quiet { "No record came." } } @else {
                div.scroll { table {
                    thead { tr { th { "Id" } @for name in names.iter().take(MEMBERS) { th { (cut(name, 40)) } } } }
                    tbody { @for (record, payload) in records.iter().zip(&payloads) {
                        tr { td { code { (cut(record.id.as_str(), 60)) } } @for name in names.iter().take(MEMBERS) { td.cut { @if let Some(value) = payload.get(name) { (cell(value)) } } } }
                    } }
                } }
                details { summary { "The first one, whole" } pre data-copy="the record" { (cut(&serde_json::to_string_pretty(&payloads.first()).unwrap_or_default(), 20_000)) } }
            }
        }
        @if !found.lines.is_empty() {
            details { summary { (counted(found.lines.len() as u64, "request or line", "requests and lines")) } (lines_table(visit, &found.lines)) }
        }
    }
}
