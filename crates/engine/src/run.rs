//! One run of a sync: what it is asked, what it tells, what it leaves.

mod host;

use std::sync::Arc;
use std::time::Duration;

use highwater_core::template::{LogLevel, Progress, RunSetup, SyncContext, Template, TokenUse};
use highwater_core::{DeleteGuard, Error, ErrorKind, Result, RunId, WriteBatch};
use serde::Serialize;

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::outbox::Tally;
use crate::settings::{ConnectionSettings, SyncStatus, checkpoint_key, runs_prefix, status_key};
use host::Host;

/// Run records kept per sync.
const KEPT_RUNS: usize = 50;

/// How a run is to be.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// Reads everything again, whatever the checkpoint says, and notices deletes.
    pub full: bool,
    /// The host has looked at the deletes that a guard held back, and wants them.
    pub approve_deletes: bool,
    /// Stops the run.
    pub cancel: CancelToken,
}

impl RunOptions {
    /// Reads everything again.
    #[must_use]
    pub fn full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Approves deletes beyond the guard.
    #[must_use]
    pub fn approve_deletes(mut self, approve: bool) -> Self {
        self.approve_deletes = approve;
        self
    }

    /// Stops when `token` is cancelled.
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = token;
        self
    }
}

/// What a run read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunMode {
    /// Everything: the first run, or a full refresh.
    Initial,
    /// What changed since the checkpoint.
    Incremental,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// It runs.
    Running,
    /// It did all it was to do.
    Success,
    /// It failed.
    Error,
    /// It was asked to stop.
    Cancelled,
    /// It would delete more than its guard allows.
    AwaitingApproval,
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When: Unix milliseconds.
    pub at_ms: u64,
    /// How much it matters.
    pub level: LogLevel,
    /// What.
    pub message: String,
}

/// A run's account: kept in the store, and returned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The run's id, a ULID.
    pub id: String,
    /// The connection.
    pub connection: String,
    /// The template.
    pub template: String,
    /// What it read.
    pub mode: RunMode,
    /// How it stands.
    pub state: RunState,
    /// When it began: Unix milliseconds.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// How far it came.
    pub progress: Progress,
    /// Why it failed, in a line.
    pub error: Option<String>,
    /// The last lines of its log.
    pub log: Vec<LogLine>,
}

/// News of a run, for those who watch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// The run's id.
    pub run: String,
    /// The connection.
    pub connection: String,
    /// The template.
    pub template: String,
    /// How it stands.
    pub state: RunState,
    /// How far it has come.
    pub progress: Progress,
    /// A line of its log, if that is the news.
    pub message: Option<String>,
}

/// A run about to begin.
pub(crate) struct Run<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) connection: ConnectionSettings,
    pub(crate) template: Arc<dyn Template>,
    pub(crate) options: RunOptions,
}

impl Run<'_> {
    /// Runs to the end. The report is stored whatever happens; the error is returned too.
    pub(crate) async fn execute(self) -> Result<RunReport> {
        let info = self.template.info();
        let name = info.id();
        let store = &self.engine.parts().store;
        let config = self.connection.config_for(info)?;
        let origins = self.connection.origins(self.template.origins(&config)?);
        let parts = self.engine.parts();
        let client = parts.client(&self.connection.id, &info.provider, &origins).await?;
        let credentials = client.session().credentials().await?;
        if info.token == TokenUse::Required && !credentials.can_sign_in() {
            return Err(Error::new(ErrorKind::Unauthorized, "the template needs a token: give one to the connection")
                .with("template", &name)
                .with("connection", &self.connection.id));
        }
        credentials.check(&info.config)?;
        let fence = store.lease(&format!("run/{}/{name}", self.connection.id)).await?;
        let checkpoint = match self.options.full {
            true => None,
            false => store.document(&checkpoint_key(&self.connection.id, &name)).await?,
        };
        let mode = if checkpoint.is_some() { RunMode::Incremental } else { RunMode::Initial };
        let id = self.new_id();
        let report = RunReport {
            id: id.to_string(),
            connection: self.connection.id.clone(),
            template: name,
            mode,
            state: RunState::Running,
            started_ms: parts.environment.now_ms(),
            ended_ms: None,
            progress: Progress::default(),
            error: None,
            log: Vec::new(),
        };
        let guard = if self.options.approve_deletes { DeleteGuard::APPROVED } else { DeleteGuard::default() };
        let tally = Tally::open(&**store, &self.connection.id, &report.template).await?;
        let host = Host::new(self.engine, client, fence, id, guard, report, tally);
        host.store_report(None).await?;
        let setup = RunSetup::new(&self.connection.id).config(config).checkpoint(checkpoint);
        let mut context = SyncContext::new(&host, setup);
        let outcome = tokio::select! {
            biased;
            () = self.options.cancel.cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "the run was asked to stop; what was saved stays, the next run goes on from there"))
            }
            outcome = fetch(&*self.template, &mut context) => outcome,
        };
        let outcome = match outcome {
            Err(error) if error.kind() == ErrorKind::SourceReset => host.forget_checkpoint().await.and(Err(error)),
            outcome => outcome,
        };
        self.finish(&host, outcome).await
    }

    async fn finish(&self, host: &Host<'_>, outcome: Result<()>) -> Result<RunReport> {
        let now_ms = self.engine.parts().environment.now_ms();
        let report = host.ended(now_ms, outcome.as_ref().err());
        let key = status_key(&report.connection, &report.template);
        let store = &self.engine.parts().store;
        let known = store.document(&key).await?;
        let mut status: SyncStatus = known.and_then(|known| known.to().ok()).unwrap_or_default();
        status.last_started_ms = Some(report.started_ms);
        status.last_error.clone_from(&report.error);
        status.not_before_ms = None;
        match &outcome {
            Ok(()) => {
                status.last_success_ms = Some(now_ms);
                status.failures = 0;
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) => {
                status.failures += 1;
                let pause = error.retry_after().unwrap_or_else(|| backoff(status.failures));
                status.not_before_ms = Some(now_ms + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 2));
            }
        }
        let mut batch = WriteBatch::new();
        batch.put_document(key, &status)?;
        let prefix = runs_prefix(&report.connection, &report.template);
        let runs = store.documents(&prefix, "", KEPT_RUNS * 2).await?;
        for old in runs.iter().take(runs.len().saturating_sub(KEPT_RUNS)) {
            batch.remove_document(&old.key);
        }
        host.conclude(&report, outcome.as_ref().err(), &mut batch).await?;
        host.store_report(Some(batch)).await?;
        outcome.map(|()| report)
    }

    fn new_id(&self) -> RunId {
        let environment = &self.engine.parts().environment;
        let mut random = [0; 16];
        environment.fill_random(&mut random[6..]);
        RunId::from_parts(environment.now_ms(), u128::from_be_bytes(random))
    }
}

async fn fetch(template: &dyn Template, context: &mut SyncContext<'_>) -> Result<()> {
    template.fetch(context).await?;
    context.finish().await
}

/// The pause after so many failures in a row: from half a minute to an hour.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(30).saturating_mul(1 << failures.saturating_sub(1).min(7)).min(Duration::from_secs(3600))
}
