//! Which syncs were changed last.

use serde::{Deserialize, Serialize};

/// The document in which every process lists the syncs that it changed.
pub(crate) const CHANGES_KEY: &str = "schedule/changes";

/// The latest changes, for schedulers of other processes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) count: u64,
    pub(crate) recent: Vec<(u64, String)>,
}
