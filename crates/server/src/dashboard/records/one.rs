//! One record: its payload, what is known of it, and its earlier versions.

use std::time::Duration;

use highwater_core::{Record, StreamKey, Timestamp, Version};
use highwater_engine::RunReport;
use highwater_engine::logs::LogFilter;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::frame::{Page, fact};
use super::super::home::{action, stream_page};
use super::super::visit::{Answer, Visit};
use super::super::words::{bytes, cut, when};
use super::difference::differences;
use super::stream;
use crate::error::ApiError;

/// The most of a payload that is shown, in bytes.
const SHOWN: usize = 256 << 10;
/// The most versions that are compared.
const VERSIONS: usize = 50;

pub(in super::super) async fn one(visit: Visit) -> Answer {
    let stream =
        stream(&visit).ok_or_else(|| ApiError::not_found("the address names no model: choose one under Records"))?;
    // Not `field`: an id may begin with a blank.
    let id = visit.exact("id");
    let found = visit.store().get(&stream, &[id]).await?.into_iter().flatten().next();
    let record = found.ok_or_else(|| {
        ApiError::not_found("the model has no record of this id: it never had, or its tombstone was pruned")
    })?;
    let versions = visit.store().versions(&stream, id).await?;
    let metadata = &record.metadata;
    let lead = html! {
        "Last " (action(metadata.last_action)) " " (when(metadata.last_modified_at, visit.now)) ", first seen " (when(metadata.first_seen_at, visit.now)) "."
    };
    let run = run_of(&visit, &stream, metadata.last_modified_at).await?;
    let content = html! {
        div.split {
            div {
                section {
                    h2 { "Content" }
                    (payload(&record))
                }
                section {
                    h2 { "History" }
                    (history(&visit, &versions))
                }
            }
            aside.side aria-label="About the record" { dl {
                (fact("Id", &html! { code data-copy="the id" title=(highwater_core::printable(id)) { (cut(id, 60)) } }))
                (fact("Cursor", &html! { code data-copy="the cursor" { (metadata.cursor) } }))
                (fact("First seen", &when(metadata.first_seen_at, visit.now)))
                (fact("Last modified", &when(metadata.last_modified_at, visit.now)))
                @if let Some(run) = &run { (fact("Run at that time", &html! { a href=(visit.to(["runs", &run.id.to_string()])) { (cut(&run.template, 60)) } })) }
                @if let Some(at) = metadata.deleted_at { (fact("Deleted", &when(at, visit.now))) }
                @if let Some(at) = metadata.pruned_at { (fact("Payload pruned", &when(at, visit.now))) }
                (fact("Connection", &html! { a href=(visit.to(["connections", stream.connection()])) { (cut(stream.connection(), 60)) } }))
            } }
        }
    };
    let page = Page::new(&visit, cut(id, 120), lead)
        .under("Records", visit.to(["records"]))
        .under(&cut(stream.model(), 80), stream_page(&visit, &stream));
    Ok(page.show(content))
}

/// Returns the kept run of the record's sync that was in progress at a time.
async fn run_of(visit: &Visit, stream: &StreamKey, at: Timestamp) -> Result<Option<RunReport>, ApiError> {
    let engine = visit.engine();
    // The connection may be gone while its records are kept.
    let Ok(settings) = engine.connection(stream.connection()).await else { return Ok(None) };
    let mut templates = engine.templates().filter(|info| info.provider.name == settings.provider);
    let template = templates.find(|info| info.models.iter().any(|model| model.name == stream.model()));
    let Some(id) = template.map(|info| info.id()) else { return Ok(None) };
    let variant = Some(stream.variant()).filter(|variant| *variant != highwater_core::DEFAULT_VARIANT);
    let sync = variant.map_or(id.clone(), |variant| format!("{id}::{variant}"));
    let mut filter = LogFilter::default().connection(stream.connection()).sync(sync).limit(1);
    filter.until = Some(at + Duration::from_millis(1));
    let run = engine.runs_matching(&filter).await?.runs.into_iter().next();
    Ok(run.filter(|run| run.ended_at.is_none_or(|ended| ended >= at)))
}

fn payload(record: &Record) -> Markup {
    let Some(payload) = &record.payload else { return html! { p.quiet { "Its payload was pruned." } } };
    let size = payload.as_bytes().len();
    if size > SHOWN {
        return html! { p.quiet { "The payload has " (bytes(size as u64)) ": too much for a page. Export the model, or read it from a program." } };
    }
    let pretty = payload.to::<Value>().ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = pretty.unwrap_or_else(|| payload.as_str().to_owned());
    let lines: Vec<String> = text.lines().map(|line| highwater_core::printable(line).to_string()).collect();
    html! { pre data-copy="the content" { (lines.join("\n")) } }
}

fn history(visit: &Visit, versions: &[Version]) -> Markup {
    if versions.len() < 2 {
        return html! { p.quiet { "No earlier version is kept. A stream keeps superseded versions where its history is turned on." } };
    }
    html! {
        ol.history {
            @for (place, version) in versions.iter().take(VERSIONS).enumerate() {
                @let record = &version.record;
                li {
                    p { (action(record.metadata.last_action)) " " (when(record.metadata.last_modified_at, visit.now)) }
                    @match versions.get(place + 1) {
                        Some(before) => { (changed(&before.record, record)) },
                        None => { p.quiet { "The earliest version that is kept." } },
                    }
                }
            }
        }
    }
}

fn changed(before: &Record, after: &Record) -> Markup {
    let members = |record: &Record| {
        record.payload.as_ref().and_then(|payload| payload.to::<Map<String, Value>>().ok()).unwrap_or_default()
    };
    let (before, after) = (members(before), members(after));
    let found = differences(&before, &after);
    html! {
        @if found.is_empty() { p.quiet { "The content is the same." } } @else {
            div.scroll { table.differences {
                thead { tr { th { "Member" } th { "Before" } th { "After" } } }
                tbody { @for difference in found {
                    tr {
                        td { code { (cut(&difference.pointer, 120)) } }
                        td { @if let Some(value) = difference.before { del { (super::cell(value)) } } }
                        td { @if let Some(value) = difference.after { ins { (super::cell(value)) } } }
                    }
                } }
            } }
        }
    }
}
