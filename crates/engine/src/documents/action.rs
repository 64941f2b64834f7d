//! Queued actions.

use highwater_core::{ErrorKind, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::holder::Holder;

/// The key prefix of actions that have not ended.
pub(crate) const OPEN_ACTIONS: &str = "action/open/";

/// The key prefix of the outcomes of ended ones.
pub(crate) const PERFORMED_ACTIONS: &str = "action/done/";

/// An action that waits, or is in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenAction {
    pub(crate) id: RunId,
    pub(crate) connection: String,
    pub(crate) action: String,
    pub(crate) input: Value,
    /// How often it is tried again after a failure.
    #[serde(default)]
    pub(crate) retries: u32,
    /// The tries that failed.
    #[serde(default)]
    pub(crate) failures: u32,
    #[serde(rename = "queued_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) queued_at: Timestamp,
    /// When it is due.
    #[serde(rename = "due_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) due_at: Timestamp,
    /// The engine that performs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) holder: Option<Holder>,
}

/// The outcome of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PerformedAction {
    pub(crate) id: RunId,
    pub(crate) connection: String,
    pub(crate) action: String,
    #[serde(rename = "queued_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) queued_at: Timestamp,
    #[serde(rename = "ended_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) ended_at: Timestamp,
    /// What it returned, if it succeeded.
    #[serde(default)]
    pub(crate) output: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ActionError>,
}

/// Why an action failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActionError {
    /// The kind.
    pub kind: ErrorKind,
    /// One line for people, without any secret of the connection.
    pub message: String,
}

pub(crate) fn open_action_key(id: RunId) -> String {
    format!("{OPEN_ACTIONS}{id}")
}

pub(crate) fn performed_action_key(id: RunId) -> String {
    format!("{PERFORMED_ACTIONS}{id}")
}
