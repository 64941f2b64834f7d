//! The filter of runs and log lines, as a query.

use highwater_core::RunId;
use highwater_engine::RunState;
use highwater_engine::logs::LogFilter;
use highwater_engine::runs::RunMode;
use highwater_template::host::LogLevel;

use super::TEXT;
use crate::about::{Parameter, forms, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::ApiError;
use crate::input::value::{Refused, list, number, text, timestamp, word};
use crate::routes::common::MAX_SYNC;

/// The most runs or lines of a page.
const MOST: usize = 1000;

pub(super) const LEVELS: &[(&str, LogLevel)] =
    &[("debug", LogLevel::Debug), ("info", LogLevel::Info), ("warning", LogLevel::Warning), ("error", LogLevel::Error)];

const STATES: &[(&str, RunState)] = &[
    ("queued", RunState::Queued),
    ("running", RunState::Running),
    ("success", RunState::Success),
    ("error", RunState::Error),
    ("cancelled", RunState::Cancelled),
    ("timed_out", RunState::TimedOut),
    ("awaiting_approval", RunState::AwaitingApproval),
];

const MODES: &[(&str, RunMode)] = &[
    ("initial", RunMode::Initial),
    ("incremental", RunMode::Incremental),
    ("webhook", RunMode::Webhook),
    ("action", RunMode::Action),
    ("proxy", RunMode::Proxy),
];

/// What `after` continues behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// A run's id.
    Run,
    /// A run's id and the number of a line of it.
    Line,
}

/// Returns the parameters of a page of runs or lines.
pub(crate) fn page_parameters() -> Vec<Parameter> {
    vec![
        param("connection", schema::name(MAX_NAME), "Only of this connection."),
        param("sync", schema::name(MAX_SYNC), "Only of this sync, such as `github/issues`."),
        param("provider", schema::name(MAX_NAME), "Only of this provider."),
        param(
            "state",
            schema::word_list(forms::RUN_STATES),
            "Only runs in one of these states, with commas between them.",
        ),
        param("type", schema::words(forms::RUN_MODES), "Only runs of this type."),
        param("since", schema::time(), "Only at or after this time."),
        param("until", schema::time(), "Only before this time."),
        param("text", schema::name(TEXT), "Only with this text: in the error of a run, or in a line."),
        param("after", schema::name(60), "Continue after a page: its `next`."),
        param("limit", schema::integer(1, MOST as u64), "At most this many; 25 runs or 100 lines by default."),
    ]
}

/// Reads them.
pub(crate) fn page_filter(call: &Call, after: After) -> Result<LogFilter, ApiError> {
    let query = &call.query;
    let mut filter = LogFilter::default();
    filter.connection = query.optional("connection", text(MAX_NAME))?;
    filter.sync = query.optional("sync", text(MAX_SYNC))?;
    filter.provider = query.optional("provider", text(MAX_NAME))?;
    filter.states = query.optional("state", list(word(STATES), STATES.len()))?.unwrap_or_default();
    filter.mode = query.optional("type", word(MODES))?;
    filter.since = query.optional("since", timestamp)?;
    filter.until = query.optional("until", timestamp)?;
    filter.text = query.optional("text", text(TEXT))?;
    filter.after = query.optional("after", position(after))?;
    filter.limit = query.optional("limit", number(1..=MOST))?;
    Ok(filter)
}

fn position(after: After) -> impl Fn(&str) -> Result<String, Refused> {
    move |text| {
        let (run, line) = text.split_once(':').map_or((text, None), |(run, line)| (run, Some(line)));
        let of_kind = match after {
            After::Run => line.is_none(),
            After::Line => line.is_some_and(|line| line.parse::<u32>().is_ok()),
        };
        match run.parse::<RunId>() {
            Ok(_) if of_kind => Ok(text.to_owned()),
            _ => Err(Refused::expected("the `next` of a page, exactly as it was given", text)),
        }
    }
}
