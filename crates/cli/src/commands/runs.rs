//! `highwater runs`, `highwater logs`

use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand, ValueEnum};
use highwater::engine::logs::LogFilter;
use highwater::engine::runs::RunMode;
use highwater::engine::{RunReport, RunState};
use highwater::template::LogLevel;
use highwater::{Engine, Result, Store, Timestamp};

use crate::args::StoreOptions;
use crate::args::values::{at_least_one, duration};
use crate::output::{Output, counted};
use crate::stores;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RunsOptions {
    #[command(subcommand)]
    pub(crate) action: Option<RunsAction>,
    #[command(flatten)]
    pub(crate) filter: FilterOptions,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Show one run, with its log.
    Show(RunOptions),
    /// Apply the deletes that a run holds for approval.
    Approve(RunOptions),
    /// Drop the deletes that a run holds for approval.
    Reject(RunOptions),
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The run's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Debug, Args)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    pub(crate) filter: FilterOptions,
    /// Only lines of this level and above.
    #[arg(long, value_enum)]
    pub(crate) level: Option<Level>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FilterOptions {
    /// Only of this connection.
    #[arg(long)]
    pub(crate) connection: Option<String>,
    /// Only of this template, such as `github/issues`.
    #[arg(long)]
    pub(crate) sync: Option<String>,
    /// Only of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only in these states.
    #[arg(long, value_delimiter = ',', value_parser = state)]
    pub(crate) state: Vec<RunState>,
    /// Only of this type: `initial`, `incremental`, `webhook`, `action` or `proxy`.
    #[arg(long = "type", value_parser = mode, value_name = "TYPE")]
    pub(crate) mode: Option<RunMode>,
    /// Only since this time: RFC 3339, or `2h` ago.
    #[arg(long, value_parser = time)]
    pub(crate) since: Option<Timestamp>,
    /// Only before this time.
    #[arg(long, value_parser = time)]
    pub(crate) until: Option<Timestamp>,
    /// Only with this text.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// At most so many.
    #[arg(long, value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// Behind the page that named this.
    #[arg(long)]
    pub(crate) after: Option<String>,
}

impl FilterOptions {
    fn filter(&self) -> LogFilter {
        let mut filter = LogFilter::default();
        filter.connection.clone_from(&self.connection);
        filter.sync.clone_from(&self.sync);
        filter.provider.clone_from(&self.provider);
        filter.states.clone_from(&self.state);
        filter.mode = self.mode;
        (filter.since, filter.until) = (self.since, self.until);
        filter.text.clone_from(&self.text);
        filter.limit = self.limit;
        filter.after.clone_from(&self.after);
        filter
    }
}

pub(crate) async fn run(options: &RunsOptions, output: &Output) -> Result<()> {
    match &options.action {
        None => list(options, output).await,
        Some(RunsAction::Show(run)) => show(run, output).await,
        Some(RunsAction::Approve(run)) => settle(run, output, true).await,
        Some(RunsAction::Reject(run)) => settle(run, output, false).await,
    }
}

async fn list(options: &RunsOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let page = engine(&store)?.runs_matching(&options.filter.filter()).await?;
    for run in &page.runs {
        output.object(run);
        output.line(line(run));
    }
    if page.runs.is_empty() {
        output.note("No such runs.");
    }
    if let Some(next) = &page.next {
        output.note(format!("More: --after {next}"));
    }
    store.close().await
}

async fn show(options: &RunOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let engine = engine(&store)?;
    let run = engine.fetch_run(options.id.parse()?).await?;
    output.object(&run);
    output.line(line(&run));
    for (model, counts) in &run.models {
        let aside = if counts.set_aside > 0 { format!(", {} set aside", counts.set_aside) } else { String::new() };
        output.line(format!(
            "  {model}: {} added, {} updated, {} unchanged, {} deleted{aside}",
            counts.added, counts.updated, counts.unchanged, counts.deleted
        ));
    }
    left_out(&run).iter().for_each(|line| output.line(line));
    if run.resumed > 0 {
        output.line(format!("  resumed {} after an interruption", counted(run.resumed, "time")));
    }
    for held in &run.held {
        output.line(format!(
            "  waits for approval to delete {} of {}: {} ...",
            held.deletes,
            counted(held.live, &format!("{} record", held.model)),
            held.ids.join(", ")
        ));
    }
    for line in engine.run_log(run.id).await? {
        output.object(&line);
        output.line(format!(
            "  {} {:<7} {}",
            moment(line.at),
            format!("{:?}", line.level).to_lowercase(),
            line.message
        ));
    }
    store.close().await
}

/// What a run could not save, and what it did not see.
pub(super) fn left_out(run: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    for record in &run.set_aside {
        let id = record.id.as_ref().map_or_else(|| "without a known id".to_owned(), |id| format!("with id {id:?}"));
        lines.push(format!("  set aside: {} {id}: {}", record.model, record.reason));
    }
    let more = run.progress.counts.set_aside.saturating_sub(run.set_aside.len() as u64);
    if more > 0 {
        lines.push(format!("  set aside: {more} more"));
    }
    for (model, reason) in &run.incomplete {
        lines.push(format!("  not all of {model} was read, nothing of it was deleted: {reason}"));
    }
    lines
}

async fn settle(options: &RunOptions, output: &Output, approve: bool) -> Result<()> {
    let store = stores::open_existing(&options.store)?;
    let engine = engine(&store)?;
    let id = options.id.parse()?;
    let run = if approve { engine.approve(id).await? } else { engine.reject(id).await? };
    output.object(&run);
    output.line(line(&run));
    store.close().await
}

pub(crate) async fn logs(options: &LogsOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let mut filter = options.filter.filter();
    filter.level = options.level.map(|level| match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warning => LogLevel::Warning,
        Level::Error => LogLevel::Error,
    });
    let page = engine(&store)?.log_lines(&filter).await?;
    for entry in &page.lines {
        output.object(entry);
        let level = format!("{:?}", entry.line.level).to_lowercase();
        output.line(format!(
            "{} {level:<7} {} {}: {}",
            moment(entry.line.at),
            entry.connection,
            entry.sync,
            entry.line.message
        ));
    }
    if page.lines.is_empty() {
        output.note("No such lines.");
    }
    if let Some(next) = &page.next {
        output.note(format!("More: --after {next}"));
    }
    store.close().await
}

pub(crate) fn engine(store: &Arc<dyn Store>) -> Result<Engine> {
    Engine::builder(Arc::clone(store)).templates(highwater::templates::all()).build()
}

fn line(run: &RunReport) -> String {
    let mode = match run.mode {
        RunMode::Initial => "initial",
        RunMode::Incremental => "incremental",
        RunMode::Webhook => "webhook",
        RunMode::Action => "action",
        RunMode::Proxy => "proxy",
    };
    let state = serde_json::to_value(run.state).ok().and_then(|state| state.as_str().map(ToOwned::to_owned));
    let progress = &run.progress;
    let mut text = format!(
        "{} {} {} {} {mode} {}: {} added, {} updated, {} deleted",
        run.id,
        moment(run.started_at),
        run.connection,
        run.variant.as_ref().map_or(run.template.clone(), |variant| format!("{}::{variant}", run.template)),
        state.unwrap_or_default(),
        progress.counts.added,
        progress.counts.updated,
        progress.counts.deleted
    );
    if progress.counts.set_aside > 0 {
        text.push_str(&format!(", {} set aside", progress.counts.set_aside));
    }
    if !run.incomplete.is_empty() {
        text.push_str(", incomplete");
    }
    if let Some(error) = &run.error {
        text.push_str(&format!(" ({})", error.replace('\n', " ")));
    }
    text
}

/// With milliseconds, so that columns stay in line.
pub(crate) fn moment(at: Timestamp) -> String {
    DateTime::<Utc>::from(SystemTime::from(at)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn state(text: &str) -> Result<RunState, String> {
    serde_json::from_value(serde_json::Value::from(text.to_lowercase().replace('-', "_")))
        .map_err(|_| "a state is queued, running, success, error, cancelled, timed_out or awaiting_approval".to_owned())
}

fn mode(text: &str) -> Result<RunMode, String> {
    match text.to_lowercase().as_str() {
        "initial" => Ok(RunMode::Initial),
        "incremental" => Ok(RunMode::Incremental),
        "webhook" => Ok(RunMode::Webhook),
        "action" => Ok(RunMode::Action),
        "proxy" => Ok(RunMode::Proxy),
        _ => Err("a type is initial, incremental, webhook, action or proxy".to_owned()),
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.with_timezone(&Utc),
        Err(_) => {
            DateTime::<Utc>::from(SystemTime::now())
                - duration(text).map_err(|_| "write a time as RFC 3339, or as 30m or 2h ago".to_owned())?
        }
    };
    let at_ms = u64::try_from(at.timestamp_millis()).map_err(|_| "the time lies before 1970".to_owned())?;
    Ok(Timestamp::from_unix_ms(at_ms))
}
