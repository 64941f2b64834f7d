//! Runs and their log lines in the store: where they lie, how they are found again, when they go.
//!
//! A run's report lies under its sync, newest first, and a pointer to it in the order of time. Lines
//! are packed: those of one commit are one document, written with that commit.

use highwater_core::template::LogLevel;
use highwater_core::{Document, Result, RunId, Store, WriteBatch};
use serde::Serialize;

use crate::engine::Engine;
use crate::run::{LogLine, RunMode, RunReport, RunState, parse_run_id};
use crate::sync::SyncKey;
use crate::timer::millis;

/// Documents read at a time.
const PAGE: usize = 200;

/// Documents removed in one commit.
const SWEEP: usize = 500;

const POINTERS: &str = "op/";

/// What is kept of runs, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPolicy {
    /// Lines below this level are not kept.
    pub level: LogLevel,
    /// Lines kept of one run; later ones of lesser importance are left out.
    pub lines_per_run: u64,
    /// Runs kept of one sync.
    pub runs_per_sync: usize,
    /// Runs older than this go.
    pub max_age: std::time::Duration,
    /// Whether actions and requests by proxy are kept too, each in a commit of its own.
    pub calls: bool,
}

impl Default for LogPolicy {
    /// Infos and above, 5,000 lines of a run, 50 runs of a sync (as many webhooks, calls of an action, requests), 30 days.
    fn default() -> Self {
        LogPolicy {
            level: LogLevel::Info,
            lines_per_run: 5000,
            runs_per_sync: 50,
            max_age: std::time::Duration::from_secs(30 * 24 * 3600),
            calls: true,
        }
    }
}

impl LogPolicy {
    /// Keeps lines of this level and above.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = level;
        self
    }

    /// Keeps so many lines of a run.
    #[must_use]
    pub fn lines_per_run(mut self, lines: u64) -> Self {
        self.lines_per_run = lines;
        self
    }

    /// Keeps so many runs of a sync.
    #[must_use]
    pub fn runs_per_sync(mut self, runs: usize) -> Self {
        self.runs_per_sync = runs.max(1);
        self
    }

    /// Keeps actions and requests by proxy, or does not.
    #[must_use]
    pub fn calls(mut self, keep: bool) -> Self {
        self.calls = keep;
        self
    }

    /// Keeps runs for so long.
    #[must_use]
    pub fn max_age(mut self, age: std::time::Duration) -> Self {
        self.max_age = age;
        self
    }
}

/// Which runs, and which of their lines. All conditions apply together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFilter {
    /// In one of these states; empty: any.
    pub states: Vec<RunState>,
    /// Of this type.
    pub mode: Option<RunMode>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this connection.
    pub connection: Option<String>,
    /// Of this template (and variant behind `::`).
    pub sync: Option<String>,
    /// Begun (lines: written) at or after this time, Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Begun (lines: written) before this time.
    pub until_ms: Option<u64>,
    /// Lines at or above this level.
    pub level: Option<LogLevel>,
    /// With this text, in any case: in the error of a run, in a line.
    pub text: Option<String>,
    /// Where to continue: the last page's `next`.
    pub after: Option<String>,
    /// At most this many. 25 runs or 100 lines unless told.
    pub limit: Option<usize>,
}

impl LogFilter {
    /// Of this connection.
    #[must_use]
    pub fn connection(mut self, connection: impl Into<String>) -> Self {
        self.connection = Some(connection.into());
        self
    }

    /// Of this template.
    #[must_use]
    pub fn sync(mut self, sync: impl Into<String>) -> Self {
        self.sync = Some(sync.into());
        self
    }

    /// In this state.
    #[must_use]
    pub fn state(mut self, state: RunState) -> Self {
        self.states.push(state);
        self
    }

    /// With this text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Behind the page that named this.
    #[must_use]
    pub fn after(mut self, next: Option<String>) -> Self {
        self.after = next;
        self
    }

    fn takes(&self, report: &RunReport) -> bool {
        let sync = report.key().map(|key| key.sync_name()).unwrap_or_default();
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let provider = report.template.split('/').next().unwrap_or_default();
        (self.states.is_empty() || self.states.contains(&report.state))
            && self.mode.is_none_or(|mode| mode == report.mode)
            && is(&self.provider, provider)
            && is(&self.connection, &report.connection)
            && is(&self.sync, &sync)
    }

    fn has_text(&self, text: &str) -> bool {
        self.text.as_ref().is_none_or(|wanted| text.to_lowercase().contains(&wanted.to_lowercase()))
    }

    fn takes_line(&self, line: &LogLine) -> bool {
        self.level.is_none_or(|level| line.level >= level)
            && self.since_ms.is_none_or(|since| line.at_ms >= since)
            && self.until_ms.is_none_or(|until| line.at_ms < until)
            && self.has_text(&line.message)
    }
}

/// A page of runs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunReport>,
    /// Where to continue, if there may be more.
    pub next: Option<String>,
}

/// A line, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunLine {
    /// The run.
    pub run: String,
    /// The connection.
    pub connection: String,
    /// The template, and the variant behind it.
    pub sync: String,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// A page of lines: newest run first, each run's lines in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LinePage {
    /// The lines.
    pub lines: Vec<RunLine>,
    /// Where to continue, if there may be more.
    pub next: Option<String>,
}

impl Engine {
    /// The kept runs of every sync, newest first.
    pub async fn runs_matching(&self, filter: &LogFilter) -> Result<RunPage> {
        let limit = filter.limit.unwrap_or(25).max(1);
        let mut scan = RunScan::new(self, filter)?;
        let mut runs: Vec<RunReport> = Vec::new();
        while let Some(report) = scan.next().await? {
            if filter.text.is_some() && !filter.has_text(report.error.as_deref().unwrap_or_default()) {
                continue;
            }
            if runs.len() == limit {
                let next = runs.last().map(|last| last.id.clone());
                return Ok(RunPage { runs, next });
            }
            runs.push(report);
        }
        Ok(RunPage { runs, next: None })
    }

    /// The kept runs of a sync, newest first.
    pub async fn runs(&self, connection: &str, sync: &str) -> Result<Vec<RunReport>> {
        let filter = LogFilter::default().connection(connection).sync(sync).limit(usize::MAX);
        Ok(self.runs_matching(&filter).await?.runs)
    }

    /// A run by its id.
    pub async fn run(&self, id: &str) -> Result<RunReport> {
        let id = parse_run_id(id)?;
        find_run(self.store().as_ref(), id).await?.ok_or_else(|| {
            highwater_core::Error::new(
                highwater_core::ErrorKind::NotFound,
                "no such run: it never was, or is no longer kept",
            )
            .with("run", id)
        })
    }

    /// Log lines of every run.
    pub async fn log_lines(&self, filter: &LogFilter) -> Result<LinePage> {
        let limit = filter.limit.unwrap_or(100).max(1);
        let (resume, mut skip) = match filter.after.as_deref().map(|after| after.split_once(':')) {
            Some(Some((run, count))) => (Some(parse_run_id(run)?), count.parse().unwrap_or(0)),
            _ => (None, 0_usize),
        };
        // Runs that began before the period may have lines within it.
        let mut runs = filter.clone();
        (runs.since_ms, runs.after) = (None, None);
        let mut scan = RunScan::new(self, &runs)?;
        if let Some(run) = resume {
            scan.begin_at(run);
        }
        let mut lines: Vec<RunLine> = Vec::new();
        while let Some(report) = scan.next().await? {
            if filter.since_ms.is_some_and(|since| report.ended_ms.is_some_and(|ended| ended < since)) {
                continue;
            }
            let kept = lines_of(self.store().as_ref(), report.run_id()?).await?;
            let from =
                if resume.is_some_and(|run| run.to_string() == report.id) { std::mem::take(&mut skip) } else { 0 };
            for (place, line) in kept.into_iter().enumerate().skip(from) {
                if !filter.takes_line(&line) {
                    continue;
                }
                if lines.len() == limit {
                    return Ok(LinePage { lines, next: Some(format!("{}:{place}", report.id)) });
                }
                lines.push(RunLine {
                    run: report.id.clone(),
                    connection: report.connection.clone(),
                    sync: report.key()?.sync_name(),
                    line,
                });
            }
        }
        Ok(LinePage { lines, next: None })
    }

    /// Every kept line of a run, in order.
    pub async fn run_log(&self, id: &str) -> Result<Vec<LogLine>> {
        lines_of(self.store().as_ref(), parse_run_id(id)?).await
    }

    /// Removes runs beyond the policy's age. The background does it daily; returns how many went.
    pub async fn sweep_logs(&self) -> Result<u64> {
        let oldest_ms = self.parts().environment.now_ms().saturating_sub(millis(self.parts().logs.max_age));
        let after = pointer_key(RunId::from_parts(oldest_ms, 0));
        let mut removed = 0;
        loop {
            let old = self.store().documents(POINTERS, &after, SWEEP).await?;
            if old.is_empty() {
                return Ok(removed);
            }
            let mut batch = WriteBatch::new();
            for pointer in &old {
                let Some(id) = id_of(&pointer.key) else { continue };
                let path: String = pointer.value.to()?;
                remove_run(self.store().as_ref(), &mut batch, &SyncKey::from_path(&path)?, id).await?;
                removed += 1;
            }
            self.store().commit(batch).await?;
        }
    }
}

/// Reads reports, newest first.
struct RunScan<'e> {
    engine: &'e Engine,
    filter: &'e LogFilter,
    /// The one sync that is asked for, if it is one.
    prefix: String,
    after: String,
    read: std::vec::IntoIter<Document>,
    ended: bool,
}

impl<'e> RunScan<'e> {
    fn new(engine: &'e Engine, filter: &'e LogFilter) -> Result<Self> {
        let prefix = match (&filter.connection, &filter.sync) {
            (Some(connection), Some(sync)) => SyncKey::new(connection, sync)?.runs_prefix(),
            _ => POINTERS.to_owned(),
        };
        let mut after = String::new();
        if let Some(until_ms) = filter.until_ms {
            // Keys run backwards in time: this one lies before every run of the period.
            after = format!("{prefix}{}", backwards(RunId::from_parts(until_ms, 0)));
        }
        if let Some(last) = &filter.after {
            after = after.max(format!("{prefix}{}", backwards(parse_run_id(last)?)));
        }
        Ok(RunScan { engine, filter, prefix, after, read: Vec::new().into_iter(), ended: false })
    }

    /// Begins with this run, itself included.
    fn begin_at(&mut self, run: RunId) {
        self.after = format!("{}{}", self.prefix, backwards(RunId::from(run.0.saturating_add(1))));
    }

    async fn next(&mut self) -> Result<Option<RunReport>> {
        loop {
            let Some(document) = self.read.next() else {
                if self.ended {
                    return Ok(None);
                }
                let page = self.engine.store().documents(&self.prefix, &self.after, PAGE).await?;
                self.ended = page.len() < PAGE;
                if let Some(last) = page.last() {
                    self.after.clone_from(&last.key);
                }
                self.read = page.into_iter();
                continue;
            };
            let Some(id) = id_of(&document.key) else { continue };
            if self.filter.since_ms.is_some_and(|since| id.timestamp_ms() < since) {
                self.ended = true;
                self.read = Vec::new().into_iter();
                return Ok(None);
            }
            let report: Option<RunReport> = if self.prefix == POINTERS {
                let path: String = document.value.to()?;
                read_run(self.engine.store().as_ref(), &SyncKey::from_path(&path)?, id).await?
            } else {
                Some(document.value.to()?)
            };
            if let Some(report) = report.filter(|report| self.filter.takes(report)) {
                return Ok(Some(report));
            }
        }
    }
}

/// The keys of a run's documents, so that later runs come first.
fn backwards(id: RunId) -> String {
    format!("{:032x}", !id.0)
}

fn id_of(key: &str) -> Option<RunId> {
    let digits = key.rsplit('/').next()?;
    u128::from_str_radix(digits, 16).ok().map(|number| RunId::from(!number))
}

fn pointer_key(id: RunId) -> String {
    format!("{POINTERS}{}", backwards(id))
}

fn run_key(key: &SyncKey, id: RunId) -> String {
    format!("{}{}", key.runs_prefix(), backwards(id))
}

fn lines_prefix(id: RunId) -> String {
    format!("log/{}/", backwards(id))
}

/// Stores a report, and makes it findable by time.
pub(crate) fn put_run(batch: &mut WriteBatch, key: &SyncKey, report: &RunReport, new: bool) -> Result<()> {
    let id = report.run_id()?;
    batch.put_document(run_key(key, id), report)?;
    if new {
        batch.put_document(pointer_key(id), &key.path())?;
    }
    Ok(())
}

/// Stores lines: number `chunk` of the run's attempt.
pub(crate) fn put_lines(batch: &mut WriteBatch, id: RunId, attempt: u32, chunk: u32, lines: &[LogLine]) -> Result<()> {
    batch.put_document(format!("{}{attempt:04}-{chunk:06}", lines_prefix(id)), lines).map(drop)
}

pub(crate) async fn read_run(store: &dyn Store, key: &SyncKey, id: RunId) -> Result<Option<RunReport>> {
    store.document(&run_key(key, id)).await?.map(|document| document.to()).transpose()
}

pub(crate) async fn find_run(store: &dyn Store, id: RunId) -> Result<Option<RunReport>> {
    let Some(path) = store.document(&pointer_key(id)).await? else { return Ok(None) };
    read_run(store, &SyncKey::from_path(&path.to::<String>()?)?, id).await
}

async fn lines_of(store: &dyn Store, id: RunId) -> Result<Vec<LogLine>> {
    let (prefix, mut after, mut lines) = (lines_prefix(id), String::new(), Vec::new());
    loop {
        let page = store.documents(&prefix, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lines) };
        after.clone_from(&last.key);
        for document in &page {
            lines.extend(document.value.to::<Vec<LogLine>>()?);
        }
    }
}

/// Removes a run with its lines.
pub(crate) async fn remove_run(store: &dyn Store, batch: &mut WriteBatch, key: &SyncKey, id: RunId) -> Result<()> {
    batch.remove_document(run_key(key, id)).remove_document(pointer_key(id));
    let (prefix, mut after) = (lines_prefix(id), String::new());
    loop {
        let page = store.documents(&prefix, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.key);
        for document in page {
            batch.remove_document(document.key);
        }
    }
}

/// Removes the runs of a sync beyond the policy's count and age. What is no run counts apart: many webhooks hide no run;
/// so many of them come with the batch.
pub(crate) async fn prune_runs(engine: &Engine, batch: &mut WriteBatch, key: &SyncKey, coming: usize) -> Result<()> {
    let (store, policy) = (engine.store().as_ref(), engine.parts().logs);
    let oldest_ms = engine.parts().environment.now_ms().saturating_sub(millis(policy.max_age));
    let kept = store.documents(&key.runs_prefix(), "", 2 * policy.runs_per_sync + 20).await?;
    let (mut runs, mut others) = (0, coming);
    for document in &kept {
        let Some(id) = id_of(&document.key) else { continue };
        let report: RunReport = document.value.to()?;
        let is_run = matches!(report.mode, RunMode::Initial | RunMode::Incremental);
        let count = if is_run { &mut runs } else { &mut others };
        *count += 1;
        if *count > policy.runs_per_sync || id.timestamp_ms() < oldest_ms {
            remove_run(store, batch, key, id).await?;
        }
    }
    Ok(())
}
