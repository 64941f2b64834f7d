//! Runs and their logs: what happened, and why?

mod lines;
mod one;

pub(super) use lines::{lines, lines_table};
pub(super) use one::{decide, one};

use std::time::Duration;

use highwater_engine::logs::LogFilter;
use highwater_engine::runs::{RunMode, RunReport, RunState};
use maud::{Markup, html};

use super::frame::{Page, empty};
use super::records::TIMES;
use super::visit::{Answer, Visit};
use super::words::{counted, cut, length, number, of_run, when};
use crate::error::ApiError;

/// Runs of a page.
const LIMIT: usize = 50;

const STATES: [(&str, &str, RunState); 6] = [
    ("running", "running", RunState::Running),
    ("success", "succeeded", RunState::Success),
    ("error", "failed", RunState::Error),
    ("timed_out", "timed out", RunState::TimedOut),
    ("cancelled", "cancelled", RunState::Cancelled),
    ("awaiting_approval", "awaits approval", RunState::AwaitingApproval),
];

const MODES: [(&str, &str, RunMode); 5] = [
    ("incremental", "changes only", RunMode::Incremental),
    ("initial", "everything", RunMode::Initial),
    ("webhook", "webhook", RunMode::Webhook),
    ("action", "action", RunMode::Action),
    ("proxy", "own request", RunMode::Proxy),
];

/// Runs, or lines.
pub(super) fn tabs(visit: &Visit, here: &str) -> [(&'static str, String, bool); 2] {
    [("Runs", visit.to(["runs"]), here == "runs"), ("Lines", visit.to(["lines"]), here == "lines")]
}

/// Reads what runs and lines are filtered by.
fn filter(visit: &Visit) -> Result<LogFilter, ApiError> {
    let text = |name: &str| visit.optional(name).map(str::to_owned);
    let wrong =
        |what: &str| ApiError::bad("invalid_query_params", format!("there is no such {what}: choose one of the list"));
    let mut filter = LogFilter::default().after(text("after"));
    (filter.connection, filter.sync, filter.text) = (text("connection"), text("sync"), text("text"));
    if let Some(wanted) = visit.optional("state") {
        filter = filter.state(STATES.iter().find(|(name, ..)| *name == wanted).ok_or_else(|| wrong("state"))?.2);
    }
    if let Some(wanted) = visit.optional("type") {
        filter.mode = Some(MODES.iter().find(|(name, ..)| *name == wanted).ok_or_else(|| wrong("type"))?.2);
    }
    if let Some(wanted) = visit.optional("since") {
        let (_, _, seconds) = TIMES.iter().find(|(name, ..)| *name == wanted).ok_or_else(|| wrong("time"))?;
        filter.since = Some(visit.now - Duration::from_secs(*seconds));
    }
    Ok(filter)
}

/// A choice of a filter.
fn choice(
    visit: &Visit,
    name: &str,
    label: &str,
    any: &str,
    words: impl Iterator<Item = (&'static str, &'static str)>,
) -> Markup {
    let wanted = visit.field(name);
    html! {
        label { span.hidden { (label) } select name=(name) {
            option value="" { (any) }
            @for (word, shown) in words { option value=(word) selected[word == wanted] { (shown) } }
        } }
    }
}

/// The fields of a filter, as the query has them.
const FIELDS: [&str; 7] = ["state", "type", "since", "level", "connection", "sync", "text"];

/// The same page further back.
fn earlier(visit: &Visit, page: &str, next: &str) -> String {
    let query: Vec<(&str, &str)> =
        FIELDS.iter().map(|name| (*name, visit.field(name))).chain([("after", next)]).collect();
    visit.to_with(page, &query)
}

fn is_filtered(visit: &Visit) -> bool {
    FIELDS.iter().chain(&["after"]).any(|name| visit.optional(name).is_some())
}

pub(super) async fn list(visit: Visit) -> Answer {
    let page = visit.engine().runs_matching(&filter(&visit)?.limit(LIMIT)).await?;
    let failed = page.runs.iter().filter(|run| matches!(run.state, RunState::Error | RunState::TimedOut)).count();
    let filtered = is_filtered(&visit);
    let lead = match (page.runs.len(), failed) {
        (0, _) if filtered => html! { "No run is like that." },
        (0, _) => html! { "Nothing has run yet." },
        (count, 0) => html! { "None of the " (counted(count as u64, "run", "runs")) " here failed." },
        (count, failed) => html! { (failed) " of the " (counted(count as u64, "run", "runs")) " here failed." },
    };
    let content = html! {
        @if page.runs.is_empty() && !filtered {
            (empty("Each run of a sync is listed here, with its log", &html! { "Turn on a sync of a " a href=(visit.to(["connections"])) { "connection" } "." }))
        } @else {
            form.filters method="get" action=(visit.to(["runs"])) role="search" {
                (choice(&visit, "state", "State", "any state", STATES.iter().map(|(name, word, _)| (*name, *word))))
                (choice(&visit, "type", "Type", "any type", MODES.iter().map(|(name, word, _)| (*name, *word))))
                (choice(&visit, "since", "Begun in", "any time", TIMES.iter().map(|(name, word, _)| (*name, *word))))
                label { span.hidden { "Connection" } input name="connection" value=(visit.field("connection")) placeholder="Connection"; }
                label { span.hidden { "Sync" } input name="sync" value=(visit.field("sync")) placeholder="Sync"; }
                label { span.hidden { "Text of the error" } input type="search" name="text" value=(visit.field("text")) placeholder="Text of the error"; }
                button { "Show" }
            }
            @if page.runs.is_empty() { (empty("No run is like that", &html! { a href=(visit.to(["runs"])) { "Show all runs" } })) } @else {
                div.scroll { table {
                    thead { tr { th { "State" } th { "Run" } th.wide { "Connection" } th.number { "Began" } th.number.wide { "Took" } th.number.wide { "Fetched" } th.number { "Changed" } } }
                    tbody { @for run in &page.runs { (row(&visit, run)) } }
                } }
            }
            @if let Some(next) = &page.next { p.pages { a rel="next" href=(earlier(&visit, "runs", next)) { "Earlier runs" } } }
        }
    };
    Ok(Page::new(&visit, "Logs", lead).tabs(&tabs(&visit, "runs")).live().show(content))
}

fn row(visit: &Visit, run: &RunReport) -> Markup {
    let counts = run.progress.counts;
    html! {
        tr {
            td { (of_run(run.state)) }
            td.long {
                a href=(visit.to(["runs", &run.id.to_string()])) { (cut(&name(run), 80)) }
                @if let Some(error) = &run.error { div.fault { (cut(error, 160)) } }
            }
            td.wide { a href=(visit.to(["connections", &run.connection])) { (cut(&run.connection, 60)) } }
            td.number { (when(run.started_at, visit.now)) }
            td.number.wide { (took(visit, run)) }
            td.number.wide { (number(run.progress.fetched)) }
            td.number { (number(counts.added + counts.updated + counts.deleted)) }
        }
    }
}

fn name(run: &RunReport) -> String {
    let variant = run.variant.as_ref().map(|variant| format!("::{variant}")).unwrap_or_default();
    format!("{}{variant}", run.template)
}

fn took(visit: &Visit, run: &RunReport) -> String {
    length(run.ended_at.unwrap_or(visit.now).duration_since(run.started_at))
}
