//! The environment: who may reach the server, how much it holds, and whether the store is sound.

mod doctor;
mod keys;

pub(super) use doctor::doctor;
pub(super) use keys::change_key;

use highwater_core::{Compaction, Maintenance, MaintenanceReport, PruneWhat, StreamHead};
use maud::{Markup, html};

use super::frame::{Page, button, csrf, fact};
use super::home::stream_page;
use super::records::stream as named_stream;
use super::visit::{Answer, Visit};
use super::words::{Look, bytes, counted, cut, number, state};
use crate::error::ApiError;
use crate::keys::Scope;
use crate::routes::backup::download;

/// Streams that are listed.
const STREAMS: usize = 200;

pub(super) async fn page(visit: Visit) -> Answer {
    show(&visit, None, None).await
}

/// `made`: a new key. `checked`: what the doctor found.
async fn show(visit: &Visit, made: Option<&str>, checked: Option<Markup>) -> Answer {
    let admin = visit.may(Scope::Admin);
    let keys = if admin { visit.keys().list().await? } else { Vec::new() };
    let mut heads: Vec<StreamHead> =
        visit.store().streams().await?.into_iter().filter(|head| !head.never_written()).collect();
    heads.sort_by_key(|head| std::cmp::Reverse(head.bytes));
    let size: u64 = heads.iter().map(|head| head.bytes).sum();
    let lead = html! {
        (counted(heads.iter().map(|head| head.live).sum(), "record", "records")) " in " (bytes(size)) " of payloads"
        @if admin { ", " (counted(keys.len() as u64, "key", "keys")) " to reach them" } "."
    };
    let content = html! {
        div.split {
            div {
                section {
                    h2 { "Keys" }
                    @if admin { (keys::section(visit, &keys, made)) } @else { p.quiet { "Keys are shown to those who sign in with a key of the scope admin." } }
                }
                section {
                    h2 { "Store" }
                    @if let Some(checked) = checked { (checked) }
                    p.quiet { "The doctor reads everything once and compares it with its sums; compacting gives free space back. Both take a while in a large store." }
                    div.buttons {
                        (button(visit, &visit.to(["environment", "doctor"]), &[], "plain-button", "Run the doctor"))
                        @if admin { (button(visit, &visit.to(["environment", "compact"]), &[], "plain-button", "Compact the store")) }
                    }
                    @if admin {
                        p.quiet { "A backup is a copy of the whole store that opens as it is. Whoever has the file can read the records in it, unless the store is encrypted." }
                        div.buttons { (button(visit, &visit.to(["environment", "backup"]), &[], "plain-button", "Download a backup")) }
                    }
                }
                section {
                    h2 { "Sizes" }
                    @if heads.is_empty() { p.quiet { "Nothing is stored yet." } } @else { (sizes(visit, &heads)) }
                }
            }
            (facts(visit).await?)
        }
    };
    Ok(Page::new(visit, "Environment", lead).show(content))
}

async fn facts(visit: &Visit) -> Result<Markup, ApiError> {
    let codec = match visit.store().maintain(Maintenance::CheckCodec).await? {
        MaintenanceReport::Codec(health) => Some(health),
        _ => None,
    };
    let engine = visit.engine();
    let (templates, actions) = (engine.templates().count() as u64, engine.actions().count() as u64);
    let key = match &codec {
        None => html! { "payloads are stored as they are" },
        Some(health) if health.unfinished => {
            html! { (state(Look::Waits, "being changed")) span.hint { " Recode again with both keys." } }
        }
        Some(health) if health.needs.is_empty() => html! { "payloads are stored as they are" },
        Some(health) => html! { @for need in &health.needs { div { code { (cut(need, 60)) } } } },
    };
    Ok(html! {
        aside.side aria-label="About this server" { dl {
            (fact("Version", &html! { "Highwater " (env!("CARGO_PKG_VERSION")) }))
            (fact("Licence", &html! { (env!("CARGO_PKG_LICENSE")) }))
            (fact("You signed in with", &html! { (cut(&visit.session.key.name, 80)) ", scope " (visit.session.key.scope) }))
            (fact("Keys and dictionaries of the payloads", &key))
            (fact("Built in", &html! { (counted(templates, "template", "templates")) ", " (counted(actions, "action", "actions")) }))
            (fact("For programs", &html! { code { "GET " (visit.base) "/openapi.json" } " describes every route" }))
        } }
    })
}

fn sizes(visit: &Visit, heads: &[StreamHead]) -> Markup {
    let admin = visit.may(Scope::Admin);
    html! {
        @if heads.len() > STREAMS { p.quiet { "The largest " (STREAMS) " of " (number(heads.len() as u64)) "." } }
        div.scroll { table {
            thead { tr { th { "Stream" } th.number { "Records" } th.number.wide { "Deleted" } th.number { "Size" } } }
            tbody { @for head in heads.iter().take(STREAMS) {
                tr {
                    td.long { a href=(stream_page(visit, &head.stream)) { (cut(&head.stream.to_string(), 120)) } @if admin { (prune_form(visit, head)) } }
                    td.number { (number(head.live)) } td.number.wide { (number(head.deleted)) } td.number { (bytes(head.bytes)) }
                }
            } }
        } }
    }
}

fn prune_form(visit: &Visit, head: &StreamHead) -> Markup {
    let stream = &head.stream;
    html! {
        @if head.deleted > 0 {
            details.quiet { summary { "Prune" }
                p.hint { "Removes what is left of the " (counted(head.deleted, "deleted record", "deleted records")) ". Readers that are further back than these must begin anew; named consumers are waited for." }
                form.inline method="post" action=(visit.to(["environment", "prune"])) {
                    (csrf(visit))
                    @for (name, value) in super::home::stream_query(stream) { input type="hidden" name=(name) value=(value); }
                    input type="hidden" name="up_to" value=(head.high_water);
                    button.small { "Prune deleted records" }
                }
            }
        }
    }
}

pub(super) async fn prune(visit: Visit) -> Answer {
    let stream = named_stream(&visit)
        .ok_or_else(|| ApiError::bad("invalid_body", "the form names no stream: open the page again"))?;
    let up_to = visit.field("up_to").parse()?;
    let task = Maintenance::Prune { stream, what: PruneWhat::Tombstones, up_to };
    let to = visit.to(["environment"]);
    match visit.store().maintain(task).await? {
        MaintenanceReport::Pruned { removed, held_by: Some(consumer), .. } => visit.done(
            to,
            format!(
                "{} removed, up to where the consumer {consumer} is.",
                counted(removed, "deleted record is", "deleted records are")
            ),
        ),
        MaintenanceReport::Pruned { removed, .. } => {
            visit.done(to, format!("{} removed.", counted(removed, "deleted record is", "deleted records are")))
        }
        _ => visit.done(to, "There was nothing to prune."),
    }
}

pub(super) async fn back_up(visit: Visit) -> Answer {
    download(visit.state()).await
}

pub(super) async fn compact(visit: Visit) -> Answer {
    let said = match visit.store().maintain(Maintenance::Compact).await? {
        MaintenanceReport::Compacted(Compaction::Complete) => "All free space was given back.",
        MaintenanceReport::Compacted(Compaction::Held) => {
            "Some free space is still in use by readers: compact again later."
        }
        _ => "This store reuses free space by itself: there was nothing to do.",
    };
    visit.done(visit.to(["environment"]), said)
}
