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
/// The most payload that a page reads, in bytes.
const PAGE_BYTES: usize = 4 << 20;

const ACTIONS: [(&str, Action); 3] =
    [("added", Action::Added), ("updated", Action::Updated), ("deleted", Action::Deleted)];

const TIMES: [(&str, &str, u64); 4] = [
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
                thead { tr { th { "Model" } th { "Connection" } th.number { "Records" } th.number { "Deleted" } th.number { "Size" } th { "Last change" } } }
                tbody { @for head in &heads {
                    tr {
                        td { a href=(stream_page(visit, &head.stream)) { (cut(head.stream.model(), 80)) } (variant(&head.stream)) }
                        td { a href=(visit.to(["connections", head.stream.connection()])) { (cut(head.stream.connection(), 80)) } }
                        td.number { (number(head.live)) }
                        td.number { (number(head.deleted)) }
                        td.number { (bytes(head.bytes)) }
                        td { (when(head.high_water.time(), visit.now)) }
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
    let known = members(&payloads);
    let chosen: Vec<String> = match visit.optional("columns") {
        Some(columns) => columns.split(',').map(|name| name.trim().to_owned()).take(MOST_COLUMNS).collect(),
        None => known.iter().take(COLUMNS).cloned().collect(),
    };
    let lead = html! {
        (counted(head.live, "record", "records")) " of " (cut(stream.connection(), 60)) ", "
        (number(head.deleted)) " deleted, " (bytes(head.bytes)) "."
    };
    let filter = [
        ("action", visit.field("action")),
        ("since", visit.field("since")),
        ("id", visit.field("id")),
        ("columns", visit.field("columns")),
    ];
    let query: Vec<(&str, &str)> = stream_query(&stream).into_iter().chain(filter).collect();
    let more = |cursor: &str| visit.to_with("records", &[query.as_slice(), &[("cursor", cursor)]].concat());
    let filtered =
        filter.iter().any(|(name, value)| *name != "columns" && !value.is_empty()) || !visit.field("cursor").is_empty();
    let cursor = page.next_cursor.to_string();
    let content = html! {
        (filters(visit, &stream, &known))
        @if page.changes.is_empty() {
            @if filtered { (empty("No record is like that", &html! { a href=(stream_page(visit, &stream)) { "Show all records" } })) }
            @else { (empty("The model has no records", &html! { "They arrive with the next run of its sync." })) }
        } @else {
            div.scroll { table {
                thead { tr { th { "Change" } th { "Id" } @for name in &chosen { th.number[is_number(&payloads, name)] { (cut(name, 40)) } } th { "Modified" } } }
                tbody { @for (change, payload) in page.changes.iter().zip(&payloads) { (row(visit, &stream, change, payload.as_ref(), &chosen)) } }
            } }
        }
        p.pages {
            @if !visit.field("cursor").is_empty() { a href=(visit.to_with("records", &query)) { "First page" } " " }
            @if page.has_more { a rel="next" href=(more(&cursor)) { "Next page" } " " }
            a href=(visit.to_with("export", &[query.as_slice(), &[("format", "jsonl")]].concat())) download { "Export as JSON Lines" } " "
            a href=(visit.to_with("export", &[query.as_slice(), &[("format", "csv")]].concat())) download { "as CSV" }
        }
        (how(visit, &stream, &cursor))
    };
    let page = Page::new(visit, cut(stream.model(), 80), lead).under("Records", visit.to(["records"])).live();
    Ok(page.show(content))
}

fn filters(visit: &Visit, stream: &StreamKey, known: &[String]) -> Markup {
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
            label { span.hidden { "Columns" } input name="columns" value=(visit.field("columns")) placeholder=(known.iter().take(COLUMNS).cloned().collect::<Vec<_>>().join(","))
                title={ "Columns, with commas between them. On this page there are: " (known.iter().map(|name| cut(name, 40)).take(40).collect::<Vec<_>>().join(", ")) }; }
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
            @for name in columns {
                @match payload.and_then(|payload| payload.get(name)) {
                    Some(Value::Number(value)) => { td.number { (value) } },
                    Some(value) => { td { (cell(value)) } },
                    None => { td.quiet { "–" } },
                }
            }
            td { (when(record.metadata.last_modified_at, visit.now)) }
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
fn members(payloads: &[Option<Map<String, Value>>]) -> Vec<String> {
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (name, value) in payloads.iter().flatten().flatten() {
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
            p.hint { "Both continue behind the last record of this page: its cursor is " code data-copy { (cursor) } "." }
            pre data-copy { (highwater_core::printable(&curl)) }
            pre data-copy { (highwater_core::printable(&rust)) }
        }
    }
}
