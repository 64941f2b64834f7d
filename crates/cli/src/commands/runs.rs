//! `highwater runs`

use clap::{Args, Subcommand};
use highwater::Result;
use highwater::engine::RunReport;
use highwater::engine::runs::{RunMode, RunRequest, WaitReason};

use crate::args::StoreOptions;
use crate::args::run_filter::FilterOptions;
use crate::output::{Output, counted, moment};
use crate::stores;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RunsOptions {
    #[command(subcommand)]
    action: Option<RunsAction>,
    #[command(flatten)]
    filter: FilterOptions,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsAction {
    /// Show one run, with its phases, requests and log.
    Show(RunOptions),
    /// Apply the deletes that a run holds for approval.
    Approve(RunOptions),
    /// Drop the deletes that a run holds for approval.
    Reject(RunOptions),
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The run's id.
    id: String,
    #[command(flatten)]
    store: StoreOptions,
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
    let page = stores::engine(&store, &options.store)?.runs_matching(&options.filter.filter()).await?;
    for run in &page.runs {
        output.object("run", run);
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
    let engine = stores::engine(&store, &options.store)?;
    let run = engine.fetch_run(options.id.parse()?).await?;
    output.object("run", &run);
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
    let trace = engine.run_trace(run.id).await?;
    for phase in &trace.phases {
        output.object("run_phase", phase);
        let name = phase.phase.as_str();
        output.line(format!("  {name:<8} {:>7} in {:.1} s", phase.count, phase.took.as_secs_f64()));
    }
    for request in &trace.requests {
        output.object("run_request", request);
        output.line(format!("  {}", about(request)));
    }
    let left_out = trace.sent.saturating_sub(trace.requests.len() as u64);
    if left_out > 0 {
        output.line(format!("  {} between the first and the last are not kept", counted(left_out, "request")));
    }
    for line in engine.run_log(run.id).await? {
        output.object("log_line", &line);
        output.line(format!(
            "  {} {:<7} {}",
            moment(line.at),
            format!("{:?}", line.level).to_lowercase(),
            line.message
        ));
    }
    store.close().await
}

/// One line about a request.
fn about(request: &RunRequest) -> String {
    let status = match (request.status, request.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(kind)) => format!("no answer ({})", kind.as_str()),
        (None, None) => "no answer".to_owned(),
    };
    let RunRequest { method, url, attempt, took, bytes, .. } = request;
    let mut text = format!("{} {method} {url}: {status}, {} ms, {bytes} bytes", moment(request.at), took.as_millis());
    if *attempt > 1 {
        text.push_str(&format!(", attempt {attempt}"));
    }
    if let Some(wait) = request.wait {
        let reason = match wait.reason {
            WaitReason::RateLimit => "for the rate limit",
            _ => "after a failure",
        };
        text.push_str(&format!(", after waiting {:.1} s {reason}", wait.time.as_secs_f64()));
    }
    text
}

/// The records that a run could not save, and the models that it did not read completely.
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
    let engine = stores::engine(&store, &options.store)?;
    let id = options.id.parse()?;
    let run = if approve { engine.approve(id).await? } else { engine.reject(id).await? };
    output.object("run", &run);
    output.line(line(&run));
    store.close().await
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
