//! Runs and their logs: what happened, and why?

use highwater_core::RunId;
use highwater_engine::logs::LogFilter;
use highwater_engine::runs::{RunMode, RunReport, RunState};
use highwater_template::LogLevel;
use maud::{Markup, html};

use super::frame::{Page, button, empty, sentence};
use super::visit::{Answer, Visit};
use super::words::{Look, counted, cut, length, number, of_run, state, when};
use crate::error::ApiError;
use crate::keys::Scope;

/// Runs of a page.
const LIMIT: usize = 50;
/// The most log lines of a page: the last ones.
const LINES: usize = 1000;
/// The most ids of held deletes that are listed.
const IDS: usize = 100;

const STATES: [(&str, &str, RunState); 6] = [
    ("running", "running", RunState::Running),
    ("success", "succeeded", RunState::Success),
    ("error", "failed", RunState::Error),
    ("timed_out", "timed out", RunState::TimedOut),
    ("cancelled", "cancelled", RunState::Cancelled),
    ("awaiting_approval", "awaits approval", RunState::AwaitingApproval),
];

pub(super) async fn list(visit: Visit) -> Answer {
    let fields = ["state", "connection", "sync", "text"].map(|name| (name, visit.field(name)));
    let [(_, wanted), (_, connection), (_, sync), (_, text)] = fields;
    let mut filter = LogFilter::default().limit(LIMIT).after(visit.optional("after").map(str::to_owned));
    if !wanted.is_empty() {
        let known = STATES.iter().find(|(name, ..)| *name == wanted);
        filter = filter.state(
            known
                .ok_or_else(|| ApiError::bad("invalid_query_params", "there is no such state: choose one of the list"))?
                .2,
        );
    }
    if !connection.is_empty() {
        filter = filter.connection(connection);
    }
    if !sync.is_empty() {
        filter = filter.sync(sync);
    }
    if !text.is_empty() {
        filter = filter.text(text);
    }
    let filtered = filter.after.is_some() || fields.iter().any(|(_, value)| !value.is_empty());
    let page = visit.engine().runs_matching(&filter).await?;
    let failed = page.runs.iter().filter(|run| matches!(run.state, RunState::Error | RunState::TimedOut)).count();
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
                label { span.hidden { "State" } select name="state" {
                    option value="" { "any state" }
                    @for (name, word, _) in STATES { option value=(name) selected[name == wanted] { (word) } }
                } }
                label { span.hidden { "Connection" } input name="connection" value=(connection) placeholder="Connection"; }
                label { span.hidden { "Sync" } input name="sync" value=(sync) placeholder="Sync, such as github/issues"; }
                label { span.hidden { "Text of the error" } input type="search" name="text" value=(text) placeholder="Text of the error"; }
                button { "Show" }
            }
            div.scroll { table {
                thead { tr { th { "State" } th { "Run" } th { "Connection" } th { "Began" } th.number { "Took" } th.number { "Fetched" } th.number { "Changed" } } }
                tbody { @for run in &page.runs { (row(&visit, run)) } }
            } }
            @if let Some(next) = &page.next {
                p.pages { a rel="next" href=(visit.to_with("runs", &[fields.as_slice(), &[("after", next)]].concat())) { "Earlier runs" } }
            }
        }
    };
    Ok(Page::new(&visit, "Runs", lead).live().show(content))
}

fn row(visit: &Visit, run: &RunReport) -> Markup {
    let counts = run.progress.counts;
    html! {
        tr {
            td { (of_run(run.state)) }
            td {
                a href=(visit.to(["runs", &run.id.to_string()])) { (cut(&name(run), 80)) }
                @if let Some(error) = &run.error { div.fault { (cut(error, 160)) } }
            }
            td { a href=(visit.to(["connections", &run.connection])) { (cut(&run.connection, 60)) } }
            td { (when(run.started_at, visit.now)) }
            td.number { (took(visit, run)) }
            td.number { (number(run.progress.fetched)) }
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

pub(super) async fn one(visit: Visit) -> Answer {
    let id: RunId = visit.path("id").parse()?;
    let run = visit.engine().fetch_run(id).await?;
    let lines = visit.engine().run_log(id).await?;
    let kind = match run.mode {
        RunMode::Initial => "A run that read everything",
        RunMode::Incremental => "A run that read what had changed",
        RunMode::Webhook => "A webhook of the provider",
        RunMode::Action => "An action",
        RunMode::Proxy => "A request of your own",
    };
    let lead = html! { (kind) ", " (when(run.started_at, visit.now)) ". It took " (took(&visit, &run)) "." };
    let content = html! {
        p { (of_run(run.state)) @if run.resumed > 0 { " resumed " (counted(u64::from(run.resumed), "time", "times")) } }
        @if let Some(error) = &run.error {
            div.error { p { (cut(&sentence(error), 1000)) } @if let Some(kind) = run.error_kind { code { (kind.as_str()) } } }
        }
        @if !run.held.is_empty() { (held(&visit, &run)) }
        section {
            h2 { "What it saved" }
            p.quiet { (counted(run.progress.pages, "page", "pages")) ", " (counted(run.progress.fetched, "record", "records")) " fetched"
                @if let Some(total) = run.progress.total { " of " (number(total)) } "." }
            @if !run.models.is_empty() {
                div.scroll { table {
                    thead { tr { th { "Model" } th.number { "Added" } th.number { "Updated" } th.number { "Unchanged" } th.number { "Deleted" } th.number { "Set aside" } } }
                    tbody { @for (model, counts) in &run.models {
                        tr { td { (cut(model, 80)) } @for count in [counts.added, counts.updated, counts.unchanged, counts.deleted, counts.set_aside] { td.number { (number(count)) } } }
                    } }
                } }
            }
            @for (model, why) in &run.incomplete { p { (state(Look::Waits, "incomplete")) " " (cut(model, 80)) ": " (cut(why, 500)) } }
            @if !run.set_aside.is_empty() {
                h3 { "Records that could not be saved" }
                ul { @for record in &run.set_aside { li { (cut(&record.model, 80)) " " @if let Some(id) = &record.id { code { (cut(id, 120)) } } ": " (cut(&record.reason, 300)) } } }
            }
        }
        section {
            h2 { "Log" }
            @if lines.is_empty() { p.quiet { "It wrote no line." } } @else {
                @if lines.len() > LINES { p.quiet { "The last " (LINES) " of " (number(lines.len() as u64)) " lines." } }
                div.scroll { table.log {
                    thead { tr { th { "At" } th { "Level" } th { "Line" } } }
                    tbody { @for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
                        tr.(level(line.level)) { td { (when(line.at, visit.now)) } td { (level(line.level)) } td { (cut(&line.message, 2000)) } }
                    } }
                } }
            }
        }
    };
    let page = Page::new(&visit, cut(&format!("{} of {}", name(&run), run.connection), 120), lead);
    Ok(page.under("Runs", visit.to(["runs"])).live().show(content))
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

/// The deletes that wait, and the buttons that decide.
fn held(visit: &Visit, run: &RunReport) -> Markup {
    let waits = run.state == RunState::AwaitingApproval;
    let action = visit.to(["runs", &run.id.to_string(), "decision"]);
    html! {
        section.card {
            h2 { "Deletes that " @if waits { "wait for you" } @else { "were held" } }
            @for held in &run.held {
                p { strong { (number(held.deletes)) " of " (counted(held.live, "record", "records")) } " of " (cut(&held.model, 80)) " were not in what the API gave." }
                @if held.unidentified > 0 { p.fault { (counted(held.unidentified, "record", "records")) " had no id: it is uncertain which are missing." } }
                details {
                    summary { "The first " (held.ids.len().min(IDS)) " ids" }
                    ul.ids { @for id in held.ids.iter().take(IDS) { li { code { (cut(id, 120)) } } } }
                }
            }
            @if waits && visit.may(Scope::Write) {
                (button(visit, &action, &[("decision", "reject")], "primary", "Reject: the records stay"))
                " " (button(visit, &action, &[("decision", "approve")], "danger", "Approve: delete the records"))
            } @else if waits { p.quiet { "Deciding needs a key of the scope write." } }
        }
    }
}

pub(super) async fn decide(visit: Visit) -> Answer {
    let id: RunId = visit.path("id").parse()?;
    let to = visit.to(["runs", &id.to_string()]);
    match visit.field("decision") {
        "approve" => {
            let run = visit.engine().approve(id).await?;
            visit.done(to, format!("Approved: {} deleted.", counted(run.progress.counts.deleted, "record", "records")))
        }
        "reject" => {
            visit.engine().reject(id).await?;
            visit.done(to, "Rejected: the records stay, and the next full refresh decides again.")
        }
        _ => Err(ApiError::bad("invalid_body", "deletes are approved or rejected: choose one")),
    }
}
