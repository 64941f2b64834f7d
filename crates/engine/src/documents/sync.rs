//! Syncs: how they are to be run, and what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{DeleteGuard, ErrorKind, Result, RunId, Timestamp};
use highwater_template::host::Counts;
use serde::{Deserialize, Serialize};

use super::key::{SyncKey, VARIANT_MARK};
use super::run::RunReport;
use super::schedule::Schedule;
use crate::timer::duration_ms;

/// When a full refresh may delete what it did not see.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeletePolicy {
    /// Up to this many deletes always pass.
    pub count: u64,
    /// Up to this share of the live records always passes: 0.2 is a fifth.
    pub fraction: f64,
    /// Whether a run that saw nothing at all may empty a stream.
    pub confirm_empty: bool,
    /// In how many complete runs in a row a record must be absent before it is deleted.
    pub strikes: u32,
    /// Whether to ask the API for each missing record first, where the template can.
    pub verify: bool,
}

impl Default for DeletePolicy {
    /// 20 records or a fifth, no emptying, at the first absence, after a look where that is possible.
    fn default() -> Self {
        let guard = DeleteGuard::default();
        DeletePolicy {
            count: guard.count,
            fraction: guard.fraction,
            confirm_empty: guard.confirm_empty,
            strikes: 1,
            verify: true,
        }
    }
}

impl DeletePolicy {
    /// Lets so many deletes pass, or this share of the live records, whichever is more.
    #[must_use]
    pub fn guard(mut self, count: u64, fraction: f64) -> Self {
        self.count = count;
        self.fraction = fraction;
        self
    }

    /// Lets a run that saw nothing empty the stream.
    #[must_use]
    pub fn confirm_empty(mut self, yes: bool) -> Self {
        self.confirm_empty = yes;
        self
    }

    /// Deletes after this many absences in a row.
    #[must_use]
    pub fn strikes(mut self, strikes: u32) -> Self {
        self.strikes = strikes.max(1);
        self
    }

    /// Asks for missing records one by one, or does not.
    #[must_use]
    pub fn verify(mut self, yes: bool) -> Self {
        self.verify = yes;
        self
    }

    pub(crate) fn as_guard(&self) -> DeleteGuard {
        DeleteGuard::new().count(self.count).fraction(self.fraction).confirm_empty(self.confirm_empty)
    }
}

/// How a sync is to be run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SyncOptions {
    /// When; the template's own interval unless given.
    pub schedule: Option<Schedule>,
    /// Up to this much later than the schedule says, by chance, so that many syncs do not come together.
    pub jitter: Duration,
    /// Whether it begins to run by itself, or waits for [`SyncHandle::resume`](crate::SyncHandle::resume).
    pub auto_start: bool,
    /// When a full refresh may delete.
    pub deletes: DeletePolicy,
    /// The longest a run may take. 24 hours unless given.
    pub timeout: Duration,
}

impl Default for SyncOptions {
    fn default() -> Self {
        SyncOptions {
            schedule: None,
            jitter: Duration::ZERO,
            auto_start: true,
            deletes: DeletePolicy::default(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// The longest a run may take unless told.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

impl SyncOptions {
    /// Runs by this schedule.
    #[must_use]
    pub fn schedule(mut self, schedule: impl Into<Schedule>) -> Self {
        self.schedule = Some(schedule.into());
        self
    }

    /// Runs up to this much later, by chance.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Runs by itself, or waits to be started.
    #[must_use]
    pub fn auto_start(mut self, yes: bool) -> Self {
        self.auto_start = yes;
        self
    }

    /// Deletes by this policy.
    #[must_use]
    pub fn deletes(mut self, policy: DeletePolicy) -> Self {
        self.deletes = policy;
        self
    }

    /// Ends a run that takes longer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A sync that is enabled, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncSettings {
    /// The connection.
    pub connection: String,
    /// The template, such as `github/issues`.
    pub template: String,
    /// The variant, if it is not the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// When it runs.
    pub schedule: Schedule,
    /// Up to this much later than the schedule says, by chance.
    #[serde(default, rename = "jitter_ms", with = "duration_ms")]
    pub jitter: Duration,
    /// Whether it waits to be started. Survives restarts.
    #[serde(default)]
    pub paused: bool,
    /// When a full refresh may delete.
    #[serde(default)]
    pub deletes: DeletePolicy,
    /// The longest a run may take.
    #[serde(default = "default_timeout", rename = "timeout_ms", with = "duration_ms")]
    pub timeout: Duration,
}

fn default_timeout() -> Duration {
    DEFAULT_TIMEOUT
}

impl SyncSettings {
    /// The template and the variant behind it, as every call takes them.
    pub fn sync(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}{VARIANT_MARK}{variant}", self.template),
            None => self.template.clone(),
        }
    }

    pub(crate) fn key(&self) -> Result<SyncKey> {
        SyncKey::new(&self.connection, &self.sync())
    }
}

/// What a sync is doing, or waiting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// It is not enabled.
    #[default]
    Disabled,
    /// It waits to be started.
    Paused,
    /// It waits until it is due.
    Waiting,
    /// It is due and waits for a place to run.
    Queued,
    /// It runs.
    Running,
    /// The API cannot be reached; it is tried again soon.
    Offline,
    /// Its schedule has no further slot: it runs when it is triggered, or once it has another schedule.
    Ended,
}

/// Part of a model that its sync has not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct IncompleteModel {
    /// Why.
    pub reason: String,
    /// The run that found out.
    pub run: RunId,
    /// Whether that was a full refresh: only another one makes up for it.
    pub full: bool,
}

/// What became of a sync's runs so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SyncStatus {
    /// When the last run began.
    #[serde(rename = "last_started_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub last_started_at: Option<Timestamp>,
    /// When the last successful run ended. Set once there was one: the sync has its first data.
    #[serde(rename = "last_success_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub last_success_at: Option<Timestamp>,
    /// The last run's error, if it failed.
    pub last_error: Option<String>,
    /// What to act on, beside `last_error`. `None` without an error, and where an earlier version noted the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_kind: Option<ErrorKind>,
    /// Failures since the last success. Being offline is none.
    pub failures: u32,
    /// When the next run may begin at the earliest, after a failure or when the API asked for a pause.
    #[serde(rename = "not_before_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub not_before: Option<Timestamp>,
    /// When the next run is due; `None`: never, by its schedule.
    #[serde(rename = "next_due_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub next_due_at: Option<Timestamp>,
    /// Since when the API could not be reached.
    #[serde(rename = "offline_since_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub offline_since: Option<Timestamp>,
    /// Tries since then.
    pub offline_tries: u32,
    /// The run in progress, or the last one that was cut short by a crash.
    pub current_run: Option<RunId>,
    /// The last run that ended.
    pub last_run: Option<RunId>,
    /// The run whose deletes wait for approval.
    pub parked_run: Option<RunId>,
    /// What the last successful run did, by model.
    pub latest: BTreeMap<String, Counts>,
    /// Records that are kept set aside, by model: they came, could not be saved, and have not come well since. At most a
    /// hundred of each model; see [`SyncHandle::set_aside`](crate::SyncHandle::set_aside).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_aside: BTreeMap<String, u64>,
    /// Models of which records are known to be missing, until a run has read them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub incomplete: BTreeMap<String, IncompleteModel>,
}

impl SyncStatus {
    /// Whether somebody has to do something before the next run can succeed, such as signing in again: see
    /// [`ErrorKind::needs_action`].
    pub fn needs_action(&self) -> bool {
        self.last_error_kind.is_some_and(ErrorKind::needs_action)
    }

    /// Whether nothing is set aside and nothing is known to be missing.
    pub fn is_clean(&self) -> bool {
        self.set_aside.is_empty() && self.incomplete.is_empty()
    }
}

/// Everything there is to show about a sync. Read from the store alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SyncState {
    /// The connection.
    pub connection: String,
    /// The template, and the variant behind it.
    pub sync: String,
    /// What it is doing.
    pub phase: Phase,
    /// Whether a run has ever succeeded.
    pub has_synced: bool,
    /// Its runs so far.
    pub status: SyncStatus,
    /// Its settings, while it is enabled.
    pub settings: Option<SyncSettings>,
    /// The run in progress, as far as it was stored.
    pub run: Option<RunReport>,
    /// Live records by model.
    pub records: BTreeMap<String, u64>,
}
