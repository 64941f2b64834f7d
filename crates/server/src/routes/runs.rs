//! `/runs`, `/logs`: what ran, what came of it, and what it said, in the forms of `docs/json.md`.

mod events;
mod filter;

pub(super) use filter::{After, page_filter, page_parameters};

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::RunId;
use highwater_engine::RunReport;
use highwater_engine::logs::LogLine;
use highwater_engine::runs::RunTrace;
use serde::Serialize;
use serde_json::json;

use crate::about::{About, forms, param, schema};
use crate::call::Call;
use crate::error::ApiError;
use crate::input::value::{number, text, word};
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The most lines of a page.
const MOST_LINES: usize = 1000;
/// The longest text to find, in bytes.
const TEXT: usize = 255;

pub(crate) fn routes() -> Vec<Route> {
    let line = |name| schema::array(schema::reference(name));
    let lines = schema::object([("lines", line("LogLine")), ("next", schema::nullable(schema::text()))]);
    let all_lines = schema::object([("lines", line("RunLogLine")), ("next", schema::nullable(schema::text()))]);
    let level = || param("level", schema::words(forms::LEVELS), "Only lines of this level and above.");
    let found = || param("text", schema::name(TEXT), "Only lines with this text, in any case of letters.");
    let of_lines = [
        level(),
        found(),
        param("after", schema::name(20), "Continue after a page: its `next`."),
        param("limit", schema::integer(1, MOST_LINES as u64), "At most this many; 100 by default."),
    ];
    vec![
        Route::get("/runs", Scope::Read, list).query(page_parameters()).about(
            About::new("Lists runs, newest first, a page at a time.").answer(
                200,
                "A page.",
                schema::reference("RunPage"),
            ),
        ),
        Route::get("/runs/events", Scope::Read, events::follow).query(events::parameters()).about(events::about()),
        Route::get("/runs/{id}", Scope::Read, show).about(
            About::new(
                "Returns one run: its state, its counts by model, what it holds back, its requests, and what its time was spent on.",
            )
            .answer(200, "The run.", schema::reference("RunDetails")),
        ),
        Route::get("/runs/{id}/lines", Scope::Read, lines_of)
            .query(of_lines)
            .about(About::new("Returns the log lines of one run, in order.").answer(200, "A page.", lines)),
        Route::get("/logs", Scope::Read, logs).query(page_parameters().into_iter().chain([level()])).about(
            About::new("Lists the log lines of every run: the newest run first, each run's lines in order.")
                .answer(200, "A page.", all_lines),
        ),
    ]
}

async fn list(call: Call) -> Answer {
    let filter = page_filter(&call, After::Run)?;
    Ok(Json(call.engine().runs_matching(&filter).await?).into_response())
}

/// Reads the id of a run in a path.
pub(super) fn run_id(call: &Call) -> Result<RunId, ApiError> {
    let none = || ApiError::not_found("there is no such run: it never existed, or is no longer kept");
    call.path("id", super::common::MAX_SYNC)?.parse().map_err(|_| none())
}

/// A run and its trace, as one object.
#[derive(Serialize)]
struct WithTrace {
    #[serde(flatten)]
    run: RunReport,
    #[serde(flatten)]
    trace: RunTrace,
}

async fn show(call: Call) -> Answer {
    let id = run_id(&call)?;
    let run = call.engine().fetch_run(id).await?;
    let trace = call.engine().run_trace(id).await?;
    Ok(Json(WithTrace { run, trace }).into_response())
}

/// `next` is the number of the line to continue after.
async fn lines_of(call: Call) -> Answer {
    let id = run_id(&call)?;
    let query = &call.query;
    let level = query.optional("level", word(filter::LEVELS))?;
    let wanted = query.optional("text", text(TEXT))?.map(|text| text.to_lowercase());
    let after = query.optional("after", number(0..=u32::MAX as usize))?.unwrap_or(0);
    let limit = query.optional("limit", number(1..=MOST_LINES))?.unwrap_or(100);
    call.engine().fetch_run(id).await?;
    let takes = |line: &LogLine| {
        level.is_none_or(|level| line.level >= level)
            && wanted.as_ref().is_none_or(|text| line.message.to_lowercase().contains(text))
    };
    let lines = call.engine().run_log(id).await?.into_iter().enumerate().skip(after);
    let mut found = lines.filter(|(_, line)| takes(line)).peekable();
    let (mut page, mut last) = (Vec::new(), after);
    while page.len() < limit
        && let Some((place, line)) = found.next()
    {
        last = place + 1;
        page.push(line);
    }
    let next = found.peek().map(|_| last.to_string());
    Ok(Json(json!({ "lines": page, "next": next })).into_response())
}

async fn logs(call: Call) -> Answer {
    let mut filter = page_filter(&call, After::Line)?;
    filter.level = call.query.optional("level", word(filter::LEVELS))?;
    Ok(Json(call.engine().log_lines(&filter).await?).into_response())
}
