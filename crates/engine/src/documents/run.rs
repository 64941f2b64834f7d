//! The stored parts of a run: its report, and the lines of its log.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result, RunId, Timestamp};
use highwater_template::LogLevel;
use highwater_template::host::{Counts, Progress};
use serde::{Deserialize, Serialize};

use super::key::SyncKey;

/// The kind of a log entry: a kind of run, or another operation that is kept in the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// A run that reads everything: the first run, or a full refresh.
    #[serde(alias = "INITIAL")]
    Initial,
    /// A run that reads the changes since the checkpoint.
    #[serde(alias = "INCREMENTAL")]
    Incremental,
    /// Not a run, but a webhook of the provider: see [`Engine::receive`](crate::Engine::receive).
    #[serde(alias = "WEBHOOK")]
    Webhook,
    /// Not a run, but an action: see [`Engine::act`](crate::Engine::act).
    #[serde(alias = "ACTION")]
    Action,
    /// Not a run, but a request of the host's own: see [`Engine::proxy`](crate::Engine::proxy).
    #[serde(alias = "PROXY")]
    Proxy,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// It waits for a slot.
    Queued,
    /// It is in progress. In the store this may also be a run whose process is gone, which the next run detects.
    Running,
    /// It succeeded.
    Success,
    /// It failed.
    Error,
    /// It was cancelled.
    Cancelled,
    /// It exceeded its time limit.
    TimedOut,
    /// It is parked, because it would delete more than its guard allows.
    AwaitingApproval,
}

impl RunState {
    /// The final state of a run that failed with this kind.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Cancelled => RunState::Cancelled,
            ErrorKind::TimedOut => RunState::TimedOut,
            ErrorKind::AwaitingApproval => RunState::AwaitingApproval,
            _ => RunState::Error,
        }
    }
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was written.
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub at: Timestamp,
    /// Its level.
    pub level: LogLevel,
    /// Its text.
    pub message: String,
}

impl LogLine {
    pub(crate) fn new(at: Timestamp, level: LogLevel, message: String) -> Self {
        LogLine { at, level, message }
    }
}

/// The deletes of one model that a parked run holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeldDeletes {
    /// The model.
    pub model: String,
    /// How many records would be deleted.
    pub deletes: u64,
    /// How many records the model has.
    pub live: u64,
    /// Records without an id: it is uncertain which records are missing.
    pub unidentified: u64,
    /// The first ids.
    pub ids: Vec<String>,
}

/// A record that a run could not save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordSetAside {
    /// The model.
    pub model: String,
    /// Its id, if known.
    pub id: Option<String>,
    /// Why it could not be saved.
    pub reason: String,
}

/// The report of a run: stored, and returned to the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The run's id.
    pub id: RunId,
    /// The connection.
    pub connection: String,
    /// The template.
    pub template: String,
    /// The variant, if it is not the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The kind of run.
    pub mode: RunMode,
    /// Its state.
    pub state: RunState,
    /// When it began.
    #[serde(rename = "started_ms", with = "highwater_core::timestamp::unix_ms")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(rename = "ended_ms", with = "highwater_core::timestamp::unix_ms::option", default)]
    pub ended_at: Option<Timestamp>,
    /// How often it was resumed after an interruption.
    #[serde(default)]
    pub resumed: u32,
    /// Its progress.
    pub progress: Progress,
    /// The counts by model.
    #[serde(default)]
    pub models: BTreeMap<String, Counts>,
    /// Why it failed or was stopped, in one line.
    pub error: Option<String>,
    /// The kind of `error`. `None` without an error, and in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// The deletes that wait for approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldDeletes>,
    /// The first records that could not be saved; their number is in [`models`](RunReport::models).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<RecordSetAside>,
    /// Models that were not read completely, and why: nothing of them was deleted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub incomplete: BTreeMap<String, String>,
}

impl RunReport {
    pub(crate) fn new(key: &SyncKey, id: RunId, mode: RunMode, now: Timestamp) -> Self {
        RunReport {
            id,
            connection: key.connection.clone(),
            template: key.template.clone(),
            variant: key.variant.clone(),
            mode,
            state: RunState::Running,
            started_at: now,
            ended_at: None,
            resumed: 0,
            progress: Progress::default(),
            models: BTreeMap::new(),
            error: None,
            error_kind: None,
            held: Vec::new(),
            set_aside: Vec::new(),
            incomplete: BTreeMap::new(),
        }
    }

    /// Returns whether it succeeded completely: no record was set aside, no model is incomplete.
    pub fn is_clean(&self) -> bool {
        self.state == RunState::Success && self.incomplete.is_empty() && self.progress.counts.set_aside == 0
    }

    pub(crate) fn key(&self) -> Result<SyncKey> {
        let sync = match &self.variant {
            Some(variant) => format!("{}::{variant}", self.template),
            None => self.template.clone(),
        };
        SyncKey::new(&self.connection, &sync)
    }

    /// Returns whether somebody has to do something before the next run can succeed: see [`ErrorKind::needs_action`].
    pub fn needs_action(&self) -> bool {
        self.error_kind.is_some_and(ErrorKind::needs_action)
    }

    /// Ends it successfully.
    pub(crate) fn succeed(&mut self, now: Timestamp) {
        self.close(RunState::Success, now);
        (self.error, self.error_kind) = (None, None);
    }

    /// Ends it with an error.
    pub(crate) fn fail(&mut self, error: &Error, now: Timestamp) {
        self.end(RunState::of(error), now, error.kind(), error.to_string());
    }

    /// Ends it before it was finished.
    pub(crate) fn end(&mut self, state: RunState, now: Timestamp, kind: ErrorKind, why: impl Into<String>) {
        self.close(state, now);
        (self.error, self.error_kind) = (Some(why.into()), Some(kind));
    }

    fn close(&mut self, state: RunState, now: Timestamp) {
        self.state = state;
        self.ended_at = Some(now);
        self.progress.rate_limited_until = None;
    }
}
