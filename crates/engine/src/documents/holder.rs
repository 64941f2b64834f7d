//! Who holds a sync's lease.

use highwater_core::Timestamp;
use serde::{Deserialize, Serialize};

/// The holder of a sync's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The engine.
    pub(crate) engine: String,
    /// Its process.
    pub(crate) process: u32,
    /// The time by which the next heartbeat must come.
    #[serde(rename = "until_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) until: Timestamp,
}
