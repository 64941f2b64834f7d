//! Runs and log lines.

use highwater::engine::RunState;
use highwater::engine::logs::{LinePage, LogFilter, LogLine, RunPage};
use highwater::engine::runs::RunMode;
use highwater::template::LogLevel;
use highwater::{Result, RunId, RunReport, Timestamp};
use serde::Deserialize;

use crate::engine::Open;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    connection: Option<String>,
    provider: Option<String>,
    sync: Option<String>,
    #[serde(default)]
    states: Vec<RunState>,
    mode: Option<RunMode>,
    since: Option<String>,
    until: Option<String>,
    level: Option<LogLevel>,
    text: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

impl Filter {
    fn read(self) -> Result<LogFilter> {
        let time = |text: Option<String>| text.map(|text| text.parse::<Timestamp>()).transpose();
        let mut filter = LogFilter::default().after(self.after);
        filter.connection = self.connection;
        filter.provider = self.provider;
        filter.sync = self.sync;
        filter.states = self.states;
        filter.mode = self.mode;
        (filter.since, filter.until) = (time(self.since)?, time(self.until)?);
        filter.level = self.level;
        filter.text = self.text;
        filter.limit = self.limit;
        Ok(filter)
    }
}

pub(super) async fn runs(open: &Open, given: Filter) -> Result<RunPage> {
    open.engine.runs_matching(&given.read()?).await
}

pub(super) async fn lines(open: &Open, given: Filter) -> Result<LinePage> {
    open.engine.log_lines(&given.read()?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ById {
    id: RunId,
}

pub(super) async fn report(open: &Open, given: ById) -> Result<RunReport> {
    open.engine.fetch_run(given.id).await
}

pub(super) async fn log(open: &Open, given: ById) -> Result<Vec<LogLine>> {
    open.engine.run_log(given.id).await
}

pub(super) async fn approve(open: &Open, given: ById) -> Result<RunReport> {
    open.engine.approve(given.id).await
}

pub(super) async fn reject(open: &Open, given: ById) -> Result<RunReport> {
    open.engine.reject(given.id).await
}
