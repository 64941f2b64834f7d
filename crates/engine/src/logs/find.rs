//! Finds runs and lines, page by page, newest first.

use highwater_core::{Document, Result, RunId};
use serde::Serialize;

use super::{LogFilter, PAGE, POINTERS, backwards, find_run, id_of, lines_of, read_run};
use crate::documents::{LogLine, RunReport, SyncKey};
use crate::engine::Engine;

/// A page of runs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunReport>,
    /// The position to continue from, if there may be more.
    pub next: Option<String>,
}

/// A log line with its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunLine {
    /// The run.
    pub run: RunId,
    /// The connection.
    pub connection: String,
    /// The template, with the variant behind `::` if there is one.
    pub sync: String,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// A page of lines: newest run first, each run's lines in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LinePage {
    /// The lines.
    pub lines: Vec<RunLine>,
    /// The position to continue from, if there may be more.
    pub next: Option<String>,
}

impl Engine {
    /// Returns a page of the kept runs of every sync, newest first: 25 of them by default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](highwater_core::ErrorKind::Invalid) for a filter with invalid names or an invalid `after`, and those of the store.
    pub async fn runs_matching(&self, filter: &LogFilter) -> Result<RunPage> {
        let limit = filter.limit.unwrap_or(25).max(1);
        let mut scan = RunScan::new(self, filter)?;
        let mut runs: Vec<RunReport> = Vec::new();
        while let Some(report) = scan.next().await? {
            if filter.text.is_some() && !filter.has_text(report.error.as_deref().unwrap_or_default()) {
                continue;
            }
            if runs.len() == limit {
                let next = runs.last().map(|last| last.id.to_string());
                return Ok(RunPage { runs, next });
            }
            runs.push(report);
        }
        Ok(RunPage { runs, next: None })
    }

    /// Fetches a run's report by the run's id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for a run that never existed or is no longer kept.
    pub async fn fetch_run(&self, id: RunId) -> Result<RunReport> {
        find_run(self.store().as_ref(), id).await?.ok_or_else(|| {
            highwater_core::Error::new(
                highwater_core::ErrorKind::NotFound,
                "no such run: it never existed, or is no longer kept",
            )
            .with("run", id)
        })
    }

    /// Returns a page of the kept lines of every run: 100 of them by default, the newest run first, each run's lines in order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](highwater_core::ErrorKind::Invalid) for a filter with invalid names or an invalid `after`, and those of the store.
    pub async fn log_lines(&self, filter: &LogFilter) -> Result<LinePage> {
        let limit = filter.limit.unwrap_or(100).max(1);
        let (resume, mut skip) = match filter.after.as_deref().map(|after| after.split_once(':')) {
            Some(Some((run, count))) => (Some(run.parse()?), count.parse().unwrap_or(0)),
            _ => (None::<RunId>, 0_usize),
        };
        // Runs that began before the period may have lines within it.
        let mut runs = filter.clone();
        (runs.since, runs.after) = (None, None);
        let mut scan = RunScan::new(self, &runs)?;
        if let Some(run) = resume {
            scan.begin_at(run);
        }
        let mut lines: Vec<RunLine> = Vec::new();
        while let Some(report) = scan.next().await? {
            if filter.since.is_some_and(|since| report.ended_at.is_some_and(|ended| ended < since)) {
                continue;
            }
            let kept = lines_of(self.store().as_ref(), report.id).await?;
            let from = if resume == Some(report.id) { std::mem::take(&mut skip) } else { 0 };
            for (place, line) in kept.into_iter().enumerate().skip(from) {
                if !filter.takes_line(&line) {
                    continue;
                }
                if lines.len() == limit {
                    return Ok(LinePage { lines, next: Some(format!("{}:{place}", report.id)) });
                }
                lines.push(RunLine {
                    run: report.id,
                    connection: report.connection.clone(),
                    sync: report.key()?.sync_name(),
                    line,
                });
            }
        }
        Ok(LinePage { lines, next: None })
    }

    /// Returns every kept line of a run, in order.
    ///
    /// # Errors
    ///
    /// Those of the store. A run that is not kept has no lines.
    pub async fn run_log(&self, id: RunId) -> Result<Vec<LogLine>> {
        lines_of(self.store().as_ref(), id).await
    }
}

/// Reads reports, newest first.
struct RunScan<'e> {
    engine: &'e Engine,
    filter: &'e LogFilter,
    /// The only sync that the filter selects, if it is one.
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
        if let Some(until) = filter.until {
            // Keys run backwards in time: this one comes before every run of the period.
            after = format!("{prefix}{}", backwards(RunId::new(until, 0)));
        }
        if let Some(last) = &filter.after {
            after = after.max(format!("{prefix}{}", backwards(last.parse()?)));
        }
        Ok(RunScan { engine, filter, prefix, after, read: Vec::new().into_iter(), ended: false })
    }

    /// Starts with this run, inclusive.
    fn begin_at(&mut self, run: RunId) {
        self.after = format!("{}{}", self.prefix, backwards(RunId::from_u128(run.as_u128().saturating_add(1))));
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
            if self.filter.since.is_some_and(|since| id.time() < since) {
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
