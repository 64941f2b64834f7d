//! Wishes for runs.

use highwater_core::Timestamp;
use serde::{Deserialize, Serialize};

/// What a triggered run is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerMode {
    /// What the next run would be anyway.
    #[default]
    Plain,
    /// The checkpoint is dropped, and everything read again.
    Reset,
    /// The streams are emptied too; cursors given out before expire.
    ResetAndClear,
}

/// A wish for a run, until one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) mode: TriggerMode,
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) at: Timestamp,
}
