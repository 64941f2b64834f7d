//! Syncs: their options, settings and status.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{DeleteGuard, ErrorKind, Result, RunId, Timestamp};
use highwater_template::host::Counts;
use serde::{Deserialize, Serialize};

use super::key::{SyncKey, VARIANT_MARK};
use super::run::RunReport;
use super::schedule::Schedule;
use crate::timer::duration_ms;

/// When a full refresh may delete the records that it did not see.
///
/// ```
/// use highwater_engine::SyncOptions;
/// use highwater_engine::syncs::DeletePolicy;
/// // Park runs that would delete more than 100 records and more than a twentieth; delete at the second absence.
/// let policy = DeletePolicy::default().guard(100, 0.05).strikes(2);
/// let options = SyncOptions::default().deletes(policy);
/// assert_eq!(options.deletes.strikes, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeletePolicy {
    /// Up to this many deletes are always allowed.
    pub count: u64,
    /// Up to this share of the live records may always be deleted: 0.2 is a fifth.
    pub fraction: f64,
    /// Whether a run that saw nothing at all may delete all records of a stream.
    pub confirm_empty: bool,
    /// The number of complete runs in a row in which a record must be missing before it is deleted.
    pub strikes: u32,
    /// Whether to request each missing record from the API first, if the template can.
    pub verify: bool,
}

impl Default for DeletePolicy {
    /// Returns the defaults: 20 records or a fifth of the model, never all of it, at the first absence, after verification if the
    /// template supports it.
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
    /// Sets the guard: this many deletes are allowed, or this share of the live records, whichever is more.
    #[must_use]
    pub fn guard(mut self, count: u64, fraction: f64) -> Self {
        self.count = count;
        self.fraction = fraction;
        self
    }

    /// Allows a run that saw nothing to delete all records of a stream.
    #[must_use]
    pub fn confirm_empty(mut self, yes: bool) -> Self {
        self.confirm_empty = yes;
        self
    }

    /// Sets the number of absences in a row after which a record is deleted. Defaults to 1.
    #[must_use]
    pub fn strikes(mut self, strikes: u32) -> Self {
        self.strikes = strikes.max(1);
        self
    }

    /// Sets whether missing records are requested one by one first.
    #[must_use]
    pub fn verify(mut self, yes: bool) -> Self {
        self.verify = yes;
        self
    }

    pub(crate) fn as_guard(&self) -> DeleteGuard {
        DeleteGuard::new().count(self.count).fraction(self.fraction).confirm_empty(self.confirm_empty)
    }
}

/// The options of a sync.
///
/// ```
/// use std::time::Duration;
/// use highwater_engine::{Schedule, SyncOptions};
/// // Nightly, up to ten minutes late so that many syncs do not start together, for at most an hour.
/// let options = SyncOptions::default()
///     .schedule(Schedule::cron("30 3 * * *")?)
///     .jitter(Duration::from_secs(600))
///     .timeout(Duration::from_secs(3600));
/// assert!(options.auto_start);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SyncOptions {
    /// When it runs. Defaults to the template's own interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The longest random delay after the scheduled time, so that many syncs do not come together.
    #[serde(rename = "jitter_ms", with = "duration_ms")]
    pub jitter: Duration,
    /// Whether it starts by itself, or waits for [`SyncHandle::resume`](crate::SyncHandle::resume).
    pub auto_start: bool,
    /// When a full refresh may delete.
    pub deletes: DeletePolicy,
    /// The longest that a run may take. Defaults to 24 hours.
    #[serde(rename = "timeout_ms", with = "duration_ms")]
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

/// The longest time over which first runs of an integration's connections are spread.
pub(crate) const MOST_SPREAD: Duration = Duration::from_secs(3600);

/// The default of the longest that a run may take.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

impl SyncOptions {
    /// Sets the schedule.
    #[must_use]
    pub fn schedule(mut self, schedule: impl Into<Schedule>) -> Self {
        self.schedule = Some(schedule.into());
        self
    }

    /// Sets the longest random delay after the scheduled time.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets whether it starts by itself, or waits for [`SyncHandle::resume`](crate::SyncHandle::resume).
    #[must_use]
    pub fn auto_start(mut self, yes: bool) -> Self {
        self.auto_start = yes;
        self
    }

    /// Sets when a full refresh may delete.
    #[must_use]
    pub fn deletes(mut self, policy: DeletePolicy) -> Self {
        self.deletes = policy;
        self
    }

    /// Sets the longest that a run may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Who decided how a sync runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncOrigin {
    /// The sync was enabled or changed for its connection alone.
    #[default]
    Connection,
    /// The connection's integration enabled it for all its connections.
    Integration,
}

/// A connection of an integration disabled the sync itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Off {
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) at: Timestamp,
}

/// The stored settings of an enabled sync.
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
    /// The longest random delay after the scheduled time.
    #[serde(default, rename = "jitter_ms", with = "duration_ms")]
    pub jitter: Duration,
    /// Whether it is paused. Survives restarts.
    #[serde(default)]
    pub paused: bool,
    /// When a full refresh may delete.
    #[serde(default)]
    pub deletes: DeletePolicy,
    /// The longest a run may take.
    #[serde(default = "default_timeout", rename = "timeout_ms", with = "duration_ms")]
    pub timeout: Duration,
    /// Who decided it.
    #[serde(default)]
    pub origin: SyncOrigin,
    /// When the first run under these settings is due, if they come from the integration.
    #[serde(
        default,
        rename = "first_due_ms",
        with = "highwater_core::timestamp::unix_ms::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub first_due_at: Option<Timestamp>,
}

fn default_timeout() -> Duration {
    DEFAULT_TIMEOUT
}

impl SyncSettings {
    /// Returns the name of the sync: the template, with the variant behind `::` if there is one.
    pub fn sync(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}{VARIANT_MARK}{variant}", self.template),
            None => self.template.clone(),
        }
    }

    pub(crate) fn key(&self) -> Result<SyncKey> {
        SyncKey::new(&self.connection, &self.sync())
    }

    /// Returns when the next run is due; `None`: never. `first_due_at` applies until a run begins at that time or later: the
    /// commit that wrote it, one for many syncs, cannot touch statuses that runs are writing.
    pub(crate) fn due(&self, status: &SyncStatus, now: Timestamp) -> Result<Option<Timestamp>> {
        let Some(first) = self.first_due_at else { return self.schedule.due(status, now) };
        let began_since = status.last_started_at.is_some_and(|started| started >= first);
        let wait = self.schedule.longest_wait(now)?.unwrap_or_default();
        // A time beyond that comes from a clock that has been set back since.
        if began_since || first > now + wait + self.jitter + MOST_SPREAD {
            return self.schedule.due(status, now);
        }
        Ok(Some(status.not_before.map_or(first, |pause| pause.max(first))))
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
    /// It is paused.
    Paused,
    /// It is enabled, but its connection lacks a setting: it runs as soon as the setting is given.
    NeedsSetting,
    /// It is not due yet.
    Waiting,
    /// It is due and waits for a slot.
    Queued,
    /// A run is in progress.
    Running,
    /// The API is unreachable; it is retried soon.
    Offline,
    /// It rests until somebody signs in to its connection again: see
    /// [`ConnectionHealth`](crate::connections::ConnectionHealth).
    NeedsSignIn,
    /// Its schedule has no further slot: it runs when triggered, or after it gets another schedule.
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
    /// Whether that was a full refresh: only another full refresh closes the gap.
    pub full: bool,
}

/// The status of a sync: the outcome of its runs so far.
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
    /// The kind of `last_error`. `None` without an error, and if an earlier version stored the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_kind: Option<ErrorKind>,
    /// Failures since the last success. Being offline does not count.
    pub failures: u32,
    /// When the next run may begin at the earliest, after a failure or when the API asked for a pause.
    #[serde(rename = "not_before_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub not_before: Option<Timestamp>,
    /// When the next run is due; `None`: never, by its schedule.
    #[serde(rename = "next_due_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub next_due_at: Option<Timestamp>,
    /// Since when the API has been unreachable.
    #[serde(rename = "offline_since_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub offline_since: Option<Timestamp>,
    /// Attempts since then.
    pub offline_tries: u32,
    /// The run in progress, or the last one that a crash interrupted.
    pub current_run: Option<RunId>,
    /// The last run that ended.
    pub last_run: Option<RunId>,
    /// The run whose deletes wait for approval.
    pub parked_run: Option<RunId>,
    /// The counts of the last successful run, by model.
    pub latest: BTreeMap<String, Counts>,
    /// The number of set-aside records, by model: records that could not be saved, and have not been saved since. At most a
    /// hundred of each model; see [`SyncHandle::set_aside`](crate::SyncHandle::set_aside).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_aside: BTreeMap<String, u64>,
    /// Models with records that are known to be missing, until a run has read them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub incomplete: BTreeMap<String, IncompleteModel>,
}

impl SyncStatus {
    /// Returns whether somebody has to do something before the next run can succeed, such as signing in again: see
    /// [`ErrorKind::needs_action`].
    pub fn needs_action(&self) -> bool {
        self.last_error_kind.is_some_and(ErrorKind::needs_action)
    }

    /// Whether the last run failed for want of credentials that the API takes.
    pub(crate) fn lacks_sign_in(&self) -> bool {
        matches!(self.last_error_kind, Some(ErrorKind::Unauthorized | ErrorKind::Corrupt))
    }

    /// Returns whether nothing is set aside and nothing is known to be missing.
    pub fn is_clean(&self) -> bool {
        self.set_aside.is_empty() && self.incomplete.is_empty()
    }
}

/// The complete state of a sync, for a user interface. Read from the store only.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SyncState {
    /// The connection.
    pub connection: String,
    /// The template, with the variant behind `::` if there is one.
    pub sync: String,
    /// What it is doing.
    pub phase: Phase,
    /// Whether a run has ever succeeded.
    pub has_synced: bool,
    /// Its status.
    pub status: SyncStatus,
    /// Its settings, while it is enabled.
    pub settings: Option<SyncSettings>,
    /// Whether the sync is enabled or disabled as the connection's integration says: the connection belongs to one, and made no
    /// decision of its own.
    pub follows_integration: bool,
    /// The settings that its template needs and its connection lacks, while it is enabled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_settings: Vec<String>,
    /// The run in progress, as last stored.
    pub run: Option<RunReport>,
    /// Live records by model.
    pub records: BTreeMap<String, u64>,
}
