//! The events that a host can watch: of its runs, and of every change of its syncs and its connections.

use highwater_core::{ErrorKind, RunId};
use highwater_template::host::Progress;
use serde::Serialize;

use crate::documents::{ConnectionHealth, RunReport, RunState, SyncKey};

/// An event of a run, for watchers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// The run's id; `None` while it waits for a slot.
    pub run: Option<RunId>,
    /// The connection.
    pub connection: String,
    /// The template.
    pub template: String,
    /// The variant, if it is not the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Its state.
    pub state: RunState,
    /// Its progress.
    pub progress: Progress,
    /// A log line, if that is the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it failed or was stopped: in the event about its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kind of `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

impl RunEvent {
    /// Returns whether somebody has to do something before the next run can succeed: see [`ErrorKind::needs_action`].
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

/// A kind of change of a sync.
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
    /// It was already enabled, and its settings changed.
    SettingsChanged,
    /// A run was requested.
    Triggered,
    /// It became due, and the background work takes it up.
    Due,
    /// Its run waits for its turn.
    Queued,
    /// Its run has begun.
    Started,
    /// Its run has ended, or was parked.
    Ended,
    /// The deletes of its parked run were approved and done.
    Approved,
    /// The deletes of its parked run were rejected; what the run saved stays.
    Rejected,
    /// Its API is unreachable: it is retried soon.
    Offline,
    /// Its API is reachable again.
    Online,
    /// Somebody has to do something before it can succeed, such as signing in again or giving a setting.
    NeedsAction,
}

/// A change of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SyncEvent {
    /// The connection.
    pub connection: String,
    /// The template, with the variant behind `::` if there is one.
    pub sync: String,
    /// The kind of change.
    pub change: SyncChange,
    /// The run that began or ended, or whose deletes were approved or rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// How the run ended, or stands now.
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

/// What changed about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionChange {
    /// It was connected, and is new.
    Connected,
    /// Its settings, tags, end user or metadata changed.
    SettingsChanged,
    /// Somebody signed in.
    SignedIn,
    /// It stands otherwise than before.
    HealthChanged,
    /// It was removed.
    Disconnected,
    /// It was removed, and its credentials could not be removed from the credential store: see
    /// [`Engine::pending_removals`](crate::Engine::pending_removals). Reported after each failed try.
    RemovalFailed,
    /// Its credentials are removed after all, after a try that failed.
    CredentialsRemoved,
}

/// A change of a connection. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionEvent {
    /// The connection.
    pub connection: String,
    /// What changed.
    pub change: ConnectionChange,
    /// How it stands now, with `SignedIn` and `HealthChanged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<ConnectionHealth>,
}

impl ConnectionEvent {
    pub(crate) fn new(connection: &str, change: ConnectionChange) -> Self {
        ConnectionEvent { connection: connection.to_owned(), change, health: None }
    }
}

/// What changed about an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IntegrationChange {
    /// It was created.
    Created,
    /// It has other settings now.
    SettingsChanged,
    /// It has another client secret or webhook secret, or none any more.
    SecretsChanged,
    /// One of its endpoints was enabled, or has other options now.
    EndpointEnabled,
    /// One of its endpoints was disabled.
    EndpointDisabled,
    /// It was deleted.
    Deleted,
    /// It was deleted, and its secrets could not be removed from the credential store: see
    /// [`Engine::pending_removals`](crate::Engine::pending_removals). Reported after each failed try.
    RemovalFailed,
    /// Its secrets are removed after all, after a try that failed.
    SecretsRemoved,
}

/// A change of an integration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IntegrationEvent {
    /// The integration's key.
    pub integration: String,
    /// What changed.
    pub change: IntegrationChange,
    /// The endpoint's template, and the variant behind it, where one was enabled or disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<String>,
}

impl IntegrationEvent {
    pub(crate) fn new(key: &str, change: IntegrationChange) -> Self {
        IntegrationEvent { integration: key.to_owned(), change, sync: None }
    }
}
