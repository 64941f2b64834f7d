//! Wishes for runs.

use highwater_core::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of a triggered run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerMode {
    /// The same as the next scheduled run.
    #[default]
    Plain,
    /// Drops the checkpoint and reads everything again.
    Reset,
    /// Also clears the streams; earlier cursors expire.
    ResetAndClear,
}

/// A requested run, until one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) mode: TriggerMode,
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) at: Timestamp,
}
