//! The events that a host can watch: of its runs, and of every change of its syncs.

use highwater_core::{ErrorKind, RunId};
use highwater_template::host::Progress;
use serde::Serialize;

use crate::documents::{RunReport, RunState, SyncKey};

/// News of a run, for those who watch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// The run's id; `None` while it waits for its turn.
    pub run: Option<RunId>,
    /// The connection.
    pub connection: String,
    /// The template.
    pub template: String,
    /// The variant, if it is not the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// How far it has come.
    pub progress: Progress,
    /// A line of its log, if that is the news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it failed or was stopped: with the event that tells of its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to act on, beside `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

impl RunEvent {
    /// Whether somebody has to do something before the next run can succeed: see [`ErrorKind::needs_action`].
    pub fn needs_action(&self) -> bool {
        self.error_kind.is_some_and(ErrorKind::needs_action)
    }

    pub(crate) fn of(report: &RunReport, message: Option<String>) -> Self {
        RunEvent {
            run: Some(report.id),
            connection: report.connection.clone(),
            template: report.template.clone(),
            variant: report.variant.clone(),
            state: report.state,
            progress: report.progress,
            message,
            error: report.error.clone(),
            error_kind: report.error_kind,
        }
    }

    pub(crate) fn queued(key: &SyncKey) -> Self {
        RunEvent {
            run: None,
            connection: key.connection.clone(),
            template: key.template.clone(),
            variant: key.variant.clone(),
            state: RunState::Queued,
            progress: Progress::default(),
            message: None,
            error: None,
            error_kind: None,
        }
    }
}

/// What changed about a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncChange {
    /// It was enabled.
    Enabled,
    /// It was disabled, or its connection was removed.
    Disabled,
    /// It was paused.
    Paused,
    /// It is no longer paused.
    Resumed,
    /// It was enabled already, and has other settings now.
    SettingsChanged,
    /// Somebody asked for a run.
    Triggered,
    /// The background work takes it up: it is time for a run.
    Due,
    /// Its run waits for its turn.
    Queued,
    /// Its run has begun.
    Started,
    /// Its run has ended, or was parked.
    Ended,
    /// Its API cannot be reached: it is tried again soon.
    Offline,
    /// Its API can be reached again.
    Online,
    /// Somebody has to do something before it can succeed, such as signing in again.
    NeedsAction,
}

/// A change of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SyncEvent {
    /// The connection.
    pub connection: String,
    /// The template, and the variant behind it.
    pub sync: String,
    /// What changed.
    pub change: SyncChange,
    /// The run that began or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// Why it failed, was stopped, or needs action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

impl SyncEvent {
    pub(crate) fn new(key: &SyncKey, change: SyncChange) -> Self {
        SyncEvent {
            connection: key.connection.clone(),
            sync: key.sync_name(),
            change,
            run: None,
            state: None,
            error_kind: None,
        }
    }
}
