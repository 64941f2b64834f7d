//! A full refresh that has not ended.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{RunId, Timestamp};
use highwater_template::host::Progress;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The progress of a full refresh, stored with each of its pages so that it can be resumed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OpenRefresh {
    pub(crate) run: RunId,
    #[serde(rename = "started_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) started_at: Timestamp,
    /// When its last page was saved.
    #[serde(rename = "saved_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) saved_at: Timestamp,
    /// Models whose streams have the run open.
    pub(crate) begun: BTreeSet<String>,
    /// Models that were read completely.
    pub(crate) complete: BTreeSet<String>,
    pub(crate) checkpoint: Option<Box<RawValue>>,
    /// Its pages and fetched records; their changes are in the summaries of its models.
    pub(crate) progress: Progress,
    /// Attempts since the last page.
    pub(crate) tries: u32,
    /// Models that were not read completely, and why: they are never complete in this run.
    pub(crate) incomplete: BTreeMap<String, String>,
    /// The gaps have to be read again: the run leaves no checkpoint.
    pub(crate) again: bool,
}
