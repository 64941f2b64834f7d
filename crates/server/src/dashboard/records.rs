//! Records: what the store holds, as tables, and one record with its history.

mod difference;
mod one;

pub(super) use one::one;

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{Action, Actions, Change, Cursor, PageRequest, StreamHead, StreamKey};
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::frame::{Page, empty};
use super::home::{action, record_page, stream_page, stream_query};
use super::visit::{Answer, Visit};
use super::words::{bytes, counted, cut, id, number, when};
use crate::error::ApiError;

/// Records of a page.
const LIMIT: usize = 50;
/// Columns of a table, unless others are chosen.
const COLUMNS: usize = 4;
/// The most columns that may be chosen.
const MOST_COLUMNS: usize = 20;
/// Columns to choose from.
const MOST_CHOICES: usize = 60;
/// The most payload that a page reads, in bytes.
const PAGE_BYTES: usize = 4 << 20;

const ACTIONS: [(&str, Action); 3] =
    [("added", Action::Added), ("updated", Action::Updated), ("deleted", Action::Deleted)];

/// How far back a filter goes, in seconds.
pub(super) const TIMES: [(&str, &str, u64); 4] = [
    ("1h", "last hour", 3600),
    ("24h", "last 24 hours", 86_400),
    ("7d", "last 7 days", 604_800),
    ("30d", "last 30 days", 2_592_000),
];

pub(super) async fn page(visit: Visit) -> Answer {
    match stream(&visit) {
        Some(stream) => table(&visit, stream).await,
        None => streams(&visit).await,
    }
}

/// Returns the stream that the query names.
pub(super) fn stream(visit: &Visit) -> Option<StreamKey> {
    let stream = StreamKey::new(visit.optional("connection")?, visit.optional("model")?);
    Some(visit.optional("variant").map_or(stream.clone(), |variant| stream.with_variant(variant)))
}

async fn streams(visit: &Visit) -> Answer {
    let heads: Vec<StreamHead> =
        visit.store().streams().await?.into_iter().filter(|head| !head.never_written()).collect();
    let records: u64 = heads.iter().map(|head| head.live).sum();
    let lead = match heads.len() {
        0 => html! { "No record has arrived yet." },
        count => {
            html! { (counted(records, "record", "records")) " in " (counted(count as u64, "model", "models")) "." }
        }
    };
    let content = html! {
        @if heads.is_empty() {
            (empty("Records of each model are listed here", &html! {
                a href=(visit.to(["connect"])) { "Connect an account" } " and turn on a sync: its first run brings them."
            }))
        } @else {
            div.scroll { table {
                thead { tr { th { "Model" } th { "Connection" } th.number { "Records" } th.number.wide { "Deleted" } th.number.wide { "Size" } th.number { "Last change" } } }
                tbody { @for head in &heads {
                    tr {
                        td { a href=(stream_page(visit, &head.stream)) { (cut(head.stream.model(), 80)) } (variant(&head.stream)) }
                        td { a href=(visit.to(["connections", head.stream.connection()])) { (cut(head.stream.connection(), 80)) } }
                        td.number { (number(head.live)) }
                        td.number.wide { (number(head.deleted)) }
                        td.number.wide { (bytes(head.bytes)) }
                        td.number { (when(head.high_water.time(), visit.now)) }
                    }
                } }
            } }
        }
    };
    Ok(Page::new(visit, "Records", lead).live().show(content))
}

fn variant(stream: &StreamKey) -> Markup {
    html! { @if stream.variant() != highwater_core::DEFAULT_VARIANT { div.quiet { "variant " (cut(stream.variant(), 80)) } } }
}

/// Reads the request that the query makes of a stream.
pub(super) fn request(visit: &Visit, stream: &StreamKey) -> Result<PageRequest, ApiError> {
    let mut request = PageRequest::new(stream.clone());
    if let Some(wanted) = visit.optional("action") {
        let known = ACTIONS.iter().find(|(word, _)| *word == wanted);
        let (_, action) = known
            .ok_or_else(|| ApiError::bad("invalid_query_params", "there is no such action: choose one of the list"))?;
        request = request.filter([*action].into_iter().collect::<Actions>());
    }
    if let Some(wanted) = visit.optional("since") {
        let known = TIMES.iter().find(|(word, ..)| *word == wanted);
        let (_, _, seconds) = known
            .ok_or_else(|| ApiError::bad("invalid_query_params", "there is no such time: choose one of the list"))?;
        request = request.modified_after(visit.now - Duration::from_secs(*seconds));
    }
    if let Some(id) = visit.optional("id") {
        request = request.ids([id]);
    }
    if let Some(cursor) = visit.optional("cursor") {
        request = request.since(cursor.parse::<Cursor>()?);
    }
    Ok(request)
}

async fn table(visit: &Visit, stream: StreamKey) -> Answer {
    let head = visit.store().head(&stream).await?;
    let page = visit.store().page(request(visit, &stream)?.limit(LIMIT).max_bytes(PAGE_BYTES)).await?;
    let payloads: Vec<Option<Map<String, Value>>> = page.changes.iter().map(payload).collect();
    let known = members(payloads.iter().flatten());
    let mut chosen: Vec<String> = visit.fields("column").map(|(_, name)| name.to_owned()).take(MOST_COLUMNS).collect();
    if chosen.is_empty() {
        chosen = known.iter().take(COLUMNS).cloned().collect();
    }
    let lead = html! {
        (counted(head.live, "record", "records")) " of " (cut(stream.connection(), 60)) ", "
        (number(head.deleted)) " deleted, " (bytes(head.bytes)) "."
    };
    let filter = [("action", visit.field("action")), ("since", visit.field("since")), ("id", visit.field("id"))];
    let columns = visit.fields("column").map(|(_, name)| ("column", name)).take(MOST_COLUMNS);
    let query: Vec<(&str, &str)> = stream_query(&stream).into_iter().chain(filter).chain(columns).collect();
    let more = |cursor: &str| visit.to_with("records", &[query.as_slice(), &[("cursor", cursor)]].concat());
    let filtered = filter.iter().any(|(_, value)| !value.is_empty()) || !visit.field("cursor").is_empty();
    let cursor = page.next_cursor.to_string();
    let content = html! {
        (filters(visit, &stream, &known, &chosen))
        @if page.changes.is_empty() {
            @if filtered { (empty("No record is like that", &html! { a href=(stream_page(visit, &stream)) { "Show all records" } })) }
            @else { (empty("The model has no records", &html! { "They arrive with the next run of its sync." })) }
        } @else {
            div.scroll { table {
                thead { tr { th { "Change" } th { "Id" } @for (place, name) in chosen.iter().enumerate() { th.number[is_number(&payloads, name)].wide[place > 0] { (cut(name, 40)) } } th.number { "Modified" } } }
                tbody { @for (change, payload) in page.changes.iter().zip(&payloads) { (row(visit, &stream, change, payload.as_ref(), &chosen)) } }
            } }
        }
        p.pages {
            @if !visit.field("cursor").is_empty() { a href=(visit.to_with("records", &query)) { "First page" } }
            @if page.has_more { a rel="next" href=(more(&cursor)) { "Next page" } }
        }
        (how(visit, &stream, &cursor))
    };
    let file = |format: &'static str| visit.to_with("export", &[query.as_slice(), &[("format", format)]].concat());
    let buttons = html! {
        a.button href=(file("jsonl")) download { "Export JSON Lines" }
        a.button href=(file("csv")) download { "Export CSV" }
    };
    let page = Page::new(visit, cut(stream.model(), 80), lead).under("Records", visit.to(["records"])).live();
    Ok(page.beside(buttons).show(content))
}

fn filters(visit: &Visit, stream: &StreamKey, known: &[String], columns: &[String]) -> Markup {
    let chosen = |name: &str, value: &str| visit.field(name) == value;
    html! {
        form.filters method="get" action=(visit.to(["records"])) role="search" {
            @for (name, value) in stream_query(stream) { @if !value.is_empty() { input type="hidden" name=(name) value=(value); } }
            label { span.hidden { "Id" } input type="search" name="id" value=(visit.field("id")) placeholder="Exact id"; }
            label { span.hidden { "Last action" } select name="action" {
                option value="" { "any action" }
                @for (word, _) in ACTIONS { option value=(word) selected[chosen("action", word)] { (word) } }
            } }
            label { span.hidden { "Modified in" } select name="since" {
                option value="" { "any time" }
                @for (word, name, _) in TIMES { option value=(word) selected[chosen("since", word)] { (name) } }
            } }
            @if !known.is_empty() {
                details.columns { summary { "Columns" } div {
                    @for name in known.iter().chain(columns.iter().filter(|name| !known.contains(name))).take(MOST_CHOICES) {
                        label.check { input type="checkbox" name="column" value=(name) checked[columns.contains(name)]; " " (cut(name, 40)) }
                    }
                } }
            }
            button { "Show" }
        }
    }
}

fn row(
    visit: &Visit,
    stream: &StreamKey,
    change: &Change,
    payload: Option<&Map<String, Value>>,
    columns: &[String],
) -> Markup {
    let record = &change.record;
    html! {
        tr {
            td { (action(record.metadata.last_action)) }
            td { a href=(record_page(visit, stream, record.id.as_str())) { (id(record.id.as_str())) } }
            @for (place, name) in columns.iter().enumerate() {
                @let wide = place > 0;
                @match payload.and_then(|payload| payload.get(name)) {
                    Some(Value::Number(value)) => { td.number.wide[wide] { (value) } },
                    Some(value) => { td.cut.wide[wide] { (cell(value)) } },
                    None => { td.quiet.wide[wide] { "–" } },
                }
            }
            td.number { (when(record.metadata.last_modified_at, visit.now)) }
        }
    }
}

/// A value in a cell, on one line.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, 80),
        value => cut(&value.to_string(), 80),
    }
}

pub(super) fn payload(change: &Change) -> Option<Map<String, Value>> {
    change.record.payload.as_ref().and_then(|payload| payload.to::<Map<String, Value>>().ok())
}

/// The members of the records, plain ones and those that most records have first.
pub(super) fn members<'p>(payloads: impl Iterator<Item = &'p Map<String, Value>>) -> Vec<String> {
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (name, value) in payloads.flatten() {
        let (plain, nested) = found.entry(name).or_default();
        *if value.is_array() || value.is_object() { nested } else { plain } += 1;
    }
    let mut names: Vec<(&str, (usize, usize))> = found.into_iter().filter(|(name, _)| *name != "id").collect();
    names.sort_by_key(|(name, (plain, nested))| (std::cmp::Reverse((*plain, *nested)), rank(name)));
    names.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// Whether all values of a column are numbers.
fn is_number(payloads: &[Option<Map<String, Value>>], name: &str) -> bool {
    let mut values = payloads.iter().flatten().filter_map(|payload| payload.get(name)).peekable();
    values.peek().is_some() && values.all(Value::is_number)
}

/// Names that tell people what a record is come first.
fn rank(name: &str) -> usize {
    const TELLING: [&str; 8] = ["name", "title", "subject", "email", "state", "status", "amount", "kind"];
    TELLING.iter().position(|telling| *telling == name).unwrap_or(TELLING.len())
}

/// How a program reads the same, and goes on from here.
fn how(visit: &Visit, stream: &StreamKey, cursor: &str) -> Markup {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let (connection, model) = (stream.connection(), stream.model());
    let encoded = super::visit::encoded;
    let curl = format!(
        "curl -G \"$HIGHWATER_URL{}/records\" -H \"Authorization: Bearer $HIGHWATER_KEY\" -H {} -H \"Provider-Config-Key: $INTEGRATION\" -d {} -d cursor={}",
        visit.base,
        quoted(&format!("Connection-Id: {connection}")),
        quoted(&format!("model={}", encoded(model))),
        encoded(cursor),
    );
    let rust =
        format!("store.records(&StreamKey::new({connection:?}, {model:?})).since({cursor:?}.parse()?).page().await?");
    html! {
        details.card {
            summary { "Read this from a program" }
            p.hint { "Both continue behind the last record of this page: its cursor is " code data-copy="the cursor" { (cursor) } "." }
            pre data-copy="the command" { (highwater_core::printable(&curl)) }
            pre data-copy="the code" { (highwater_core::printable(&rust)) }
        }
    }
}
