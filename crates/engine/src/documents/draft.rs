//! Drafts of notifications: committed with the changes that they report, until they are turned into deliveries.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind, Result, RunId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use super::key::SyncKey;
use super::run::{RunMode, RunReport};

/// The key prefix of all drafts.
pub(crate) const DRAFTS: &str = "outbox/draft/";

/// The notification about a run or a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) run: RunId,
    pub(crate) connection: String,
    pub(crate) template: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
    pub(crate) mode: RunMode,
    #[serde(rename = "started_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) started: Timestamp,
    #[serde(rename = "ended_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) ended: Timestamp,
    /// The key of each model's summary.
    pub(crate) accounts: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure>,
    /// Whether it reports that the streams were cleared, rather than the changes of a run or a webhook.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cleared: bool,
}

/// Why a run failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    #[serde(deserialize_with = "kind")]
    pub(crate) kind: ErrorKind,
    pub(crate) description: String,
}

/// Reads the name of a kind, including the form before kinds had names in JSON: `RateLimited`.
fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == name || format!("{kind:?}") == name);
    Ok(known.unwrap_or(ErrorKind::Internal))
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        Failure { kind: error.kind(), description: error.to_string() }
    }
}

impl Draft {
    pub(crate) fn new(report: &RunReport, accounts: BTreeMap<String, String>) -> Self {
        Draft {
            run: report.id,
            connection: report.connection.clone(),
            template: report.template.clone(),
            variant: report.variant.clone(),
            mode: report.mode,
            started: report.started_at,
            ended: report.ended_at.unwrap_or(report.started_at),
            accounts,
            error: None,
            cleared: false,
        }
    }

    /// Reports that the streams are cleared, by the run of this id or by another caller.
    pub(crate) fn of_clear(key: &SyncKey, id: RunId, now: Timestamp) -> Self {
        let mut report = RunReport::new(key, id, RunMode::Initial, now);
        report.ended_at = Some(now);
        Draft { cleared: true, ..Draft::new(&report, BTreeMap::new()) }
    }

    /// The kind that is reported to receivers.
    pub(crate) fn sync_type(&self) -> &'static str {
        match self.mode {
            _ if self.cleared => "CLEAR",
            RunMode::Initial => "INITIAL",
            RunMode::Incremental => "INCREMENTAL",
            RunMode::Webhook => "WEBHOOK",
            RunMode::Action => "ACTION",
            RunMode::Proxy => "PROXY",
        }
    }

    /// Where it lies.
    pub(crate) fn key(&self, sync: &SyncKey) -> String {
        // The run itself has a draft too.
        format!("{}{}{}", drafts_of(sync), self.run, if self.cleared { "-clear" } else { "" })
    }
}

/// The key prefix of a sync's drafts.
pub(crate) fn drafts_of(sync: &SyncKey) -> String {
    format!("{DRAFTS}{}/", sync.path())
}
