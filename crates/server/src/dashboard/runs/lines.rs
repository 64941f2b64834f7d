//! The lines of all runs: what was asked, answered and noted.

use highwater_engine::logs::{LogLine, RunLine};
use highwater_template::LogLevel;
use maud::{Markup, html};

use super::super::frame::{Page, empty};
use super::super::records::TIMES;
use super::super::visit::{Answer, Visit};
use super::super::words::{counted, cut, when};
use super::{choice, earlier, filter, is_filtered, tabs};
use crate::error::ApiError;

/// Lines of a page.
const LIMIT: usize = 200;

const LEVELS: [(&str, &str, LogLevel); 3] = [
    ("info", "info and above", LogLevel::Info),
    ("warning", "warnings and errors", LogLevel::Warning),
    ("error", "errors", LogLevel::Error),
];

pub(in super::super) async fn lines(visit: Visit) -> Answer {
    let mut filter = filter(&visit)?.limit(LIMIT);
    if let Some(wanted) = visit.optional("level") {
        let known = LEVELS.iter().find(|(name, ..)| *name == wanted);
        let (_, _, level) = known
            .ok_or_else(|| ApiError::bad("invalid_query_params", "there is no such level: choose one of the list"))?;
        filter.level = Some(*level);
    }
    let page = visit.engine().log_lines(&filter).await?;
    let lead = html! {
        @if page.lines.is_empty() { "No line is like that." }
        @else { (counted(page.lines.len() as u64, "line", "lines")) ", those of the newest run first." }
    };
    let content = html! {
        form.filters method="get" action=(visit.to(["lines"])) role="search" {
            (choice(&visit, "level", "Level", "any level", LEVELS.iter().map(|(name, word, _)| (*name, *word))))
            (choice(&visit, "since", "Written in", "any time", TIMES.iter().map(|(name, word, _)| (*name, *word))))
            label { span.hidden { "Connection" } input name="connection" value=(visit.field("connection")) placeholder="Connection"; }
            label { span.hidden { "Sync" } input name="sync" value=(visit.field("sync")) placeholder="Sync"; }
            label { span.hidden { "Text of the line" } input type="search" name="text" value=(visit.field("text")) placeholder="Text of the line"; }
            button { "Show" }
        }
        @if page.lines.is_empty() {
            @if is_filtered(&visit) { (empty("No line is like that", &html! { a href=(visit.to(["lines"])) { "Show all lines" } })) }
            @else { (empty("Lines of runs are listed here", &html! { "Runs write a line where something is worth telling: a retry, a wait, a fault." })) }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Lines" { table.log {
                thead { tr { th { "At" } th.wide { "Run" } th { "Level" } th { "Line" } } }
                tbody { @for line in &page.lines { (row(&visit, line)) } }
            } }
        }
        @if let Some(next) = &page.next { p.pages { a rel="next" href=(earlier(&visit, "lines", next)) { "Earlier lines" } } }
    };
    Ok(Page::new(&visit, "Logs", lead).tabs(&tabs(&visit, "lines")).live().show(content))
}

fn row(visit: &Visit, line: &RunLine) -> Markup {
    let level = level(line.line.level);
    html! {
        tr.(level) {
            td { (when(line.line.at, visit.now)) }
            td.wide { a href=(visit.to(["runs", &line.run.to_string()])) { (cut(&line.sync, 60)) } div.quiet { (cut(&line.connection, 60)) } }
            td.level { (level) }
            td.line { (cut(&line.line.message, 2000)) }
        }
    }
}

/// The lines of one run.
pub(in super::super) fn lines_table(visit: &Visit, lines: &[LogLine]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Lines" { table.log {
            thead { tr { th { "At" } th { "Level" } th { "Line" } } }
            tbody { @for line in lines {
                tr.(level(line.level)) { td { (when(line.at, visit.now)) } td.level { (level(line.level)) } td.line { (cut(&line.message, 2000)) } }
            } }
        } }
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}
