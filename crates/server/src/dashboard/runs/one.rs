//! One run: how it went, what it saved, what it holds back, and its log.

use highwater_core::{RunId, StreamKey};
use highwater_engine::runs::{RunMode, RunPhaseKind, RunReport, RunRequest, RunState, RunTrace};
use maud::{Markup, html};

use super::super::frame::{Page, button, sentence};
use super::super::home::record_page;
use super::super::visit::{Answer, Visit};
use super::super::words::{Look, bytes, counted, cut, length, number, of_run, state, when};
use super::{lines_table, name, took};
use crate::error::ApiError;
use crate::keys::Scope;

/// The most log lines of a page: the last ones.
const LINES: usize = 1000;
/// The most ids of held deletes that are listed.
const IDS: usize = 100;

pub(in super::super) async fn one(visit: Visit) -> Answer {
    let id: RunId = visit.path("id").parse()?;
    let run = visit.engine().fetch_run(id).await?;
    let lines = visit.engine().run_log(id).await?;
    let trace = visit.engine().run_trace(id).await?;
    let kind = match run.mode {
        RunMode::Initial => "A run that read everything",
        RunMode::Incremental => "A run that read what had changed",
        RunMode::Webhook => "A webhook of the provider",
        RunMode::Action => "An action",
        RunMode::Proxy => "A request of your own",
    };
    let took = took(&visit, &run);
    let lead = html! {
        (of_run(run.state)) " " (kind) ", " (when(run.started_at, visit.now)) ". "
        @if run.ended_at.is_some() { "It took " (took) "." } @else { "It has taken " (took) " so far." }
        @if run.resumed > 0 { " It was resumed " (counted(u64::from(run.resumed), "time", "times")) "." }
    };
    let content = html! {
        @if let Some(error) = run.error.as_ref().filter(|_| run.state != RunState::AwaitingApproval) {
            div.error { p { (cut(&sentence(error), 1000)) } @if let Some(kind) = run.error_kind { code { (kind.as_str()) } } }
        }
        @if !run.held.is_empty() { (held(&visit, &run)) }
        section {
            h2 { "What it saved" }
            p.quiet { (counted(run.progress.pages, "page", "pages")) ", " (counted(run.progress.fetched, "record", "records")) " fetched"
                @if let Some(total) = run.progress.total { " of " (number(total)) } "." }
            @if !run.models.is_empty() {
                div.scroll { table {
                    thead { tr { th { "Model" } th.number { "Added" } th.number { "Updated" } th.number.wide { "Unchanged" } th.number { "Deleted" } th.number.wide { "Set aside" } } }
                    tbody { @for (model, counts) in &run.models {
                        tr { td { (cut(model, 80)) } @for (count, wide) in [(counts.added, false), (counts.updated, false), (counts.unchanged, true), (counts.deleted, false), (counts.set_aside, true)] { td.number.wide[wide] { (number(count)) } } }
                    } }
                } }
            }
            @for (model, why) in &run.incomplete { p { (state(Look::Waits, "incomplete")) " " (cut(model, 80)) ": " (cut(why, 500)) } }
            @if !run.set_aside.is_empty() {
                h3 { "Records that could not be saved" }
                ul { @for record in &run.set_aside { li { (cut(&record.model, 80)) " " @if let Some(id) = &record.id { code { (cut(id, 120)) } } ": " (cut(&record.reason, 300)) } } }
            }
        }
        @if trace.sent > 0 { (requests(&trace)) }
        section {
            h2 { "Log" }
            @if lines.is_empty() { p.quiet { "It wrote no line." } } @else {
                @if lines.len() > LINES { p.quiet { "The last " (LINES) " of " (number(lines.len() as u64)) " lines." } }
                (lines_table(&visit, lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default()))
            }
        }
    };
    let page = Page::new(&visit, cut(&format!("{} of {}", name(&run), run.connection), 120), lead);
    Ok(page.under("Logs", visit.to(["runs"])).beside(again(&visit, &run)).live().show(content))
}

/// The requests to the API, and what the time was spent on.
fn requests(trace: &RunTrace) -> Markup {
    let shown = trace.requests.len() as u64;
    html! {
        section {
            h2 { "Requests" }
            p.quiet {
                @for (place, phase) in trace.phases.iter().enumerate() {
                    @if place > 0 { ", " } (word(phase.phase)) " " (length(phase.took)) " (" (number(phase.count)) ")"
                } "."
                @if shown < trace.sent { " The first and the last of " (counted(trace.sent, "request", "requests")) ": " (number(shown)) "." }
            }
            div.scroll { table {
                thead { tr { th { "Answer" } th { "Request" } th.number.wide { "Attempt" } th.number.wide { "Waited" } th.number { "Took" } th.number.wide { "Size" } } }
                tbody { @for request in &trace.requests { (request_row(request)) } }
            } }
        }
    }
}

fn request_row(request: &RunRequest) -> Markup {
    let look = match request.status {
        Some(200..400) => Look::Well,
        Some(429) => Look::Waits,
        _ => Look::Failed,
    };
    let answer = match (request.status, request.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(kind)) => kind.as_str().to_owned(),
        (None, None) => "no answer".to_owned(),
    };
    html! {
        tr {
            td { (state(look, &answer)) }
            td.long { code { (cut(&request.method, 20)) " " (cut(&request.url, 200)) } }
            td.number.wide { (request.attempt) }
            td.number.wide { @if let Some(wait) = request.wait { span title=(wait.reason.as_str()) { (length(wait.time)) } } }
            td.number { (length(request.took)) }
            td.number.wide { (bytes(request.bytes)) }
        }
    }
}

fn word(phase: RunPhaseKind) -> &'static str {
    match phase {
        RunPhaseKind::Fetch => "answers",
        RunPhaseKind::Wait => "waits",
        RunPhaseKind::Save => "commits",
        RunPhaseKind::Deletes => "deletes found",
        _ => "other work",
    }
}

/// The buttons that run the sync again.
fn again(visit: &Visit, run: &RunReport) -> Markup {
    let is_sync = matches!(run.mode, RunMode::Initial | RunMode::Incremental);
    let (name, action) = (name(run), visit.to(["connections", &run.connection, "sync"]));
    html! {
        a.button href=(visit.to(["connections", &run.connection])) { "The connection" }
        @if is_sync && visit.may(Scope::Write) && run.ended_at.is_some() {
            (button(visit, &action, &[("sync", &name), ("do", "run")], "plain-button", "Run again"))
        }
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
                details open[waits] {
                    summary { @if held.ids.len() as u64 == held.deletes { "What would go" } @else { "The first " (held.ids.len().min(IDS)) " of what would go" } }
                    ul.ids { @for id in held.ids.iter().take(IDS) { li { a href=(record_page(visit, &stream(run, &held.model), id)) { code { (cut(id, 120)) } } } } }
                }
            }
            @if waits && visit.may(Scope::Write) {
                div.buttons {
                    (button(visit, &action, &[("decision", "reject")], "primary", "Reject: the records stay"))
                    (button(visit, &action, &[("decision", "approve")], "danger", "Approve: delete the records"))
                }
            } @else if waits { p.quiet { "Deciding needs a key of the scope write." } }
        }
    }
}

/// Where a run saves the records of a model.
fn stream(run: &RunReport, model: &str) -> StreamKey {
    let stream = StreamKey::new(&run.connection, model);
    run.variant.as_ref().map_or(stream.clone(), |variant| stream.with_variant(variant))
}

pub(in super::super) async fn decide(visit: Visit) -> Answer {
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
