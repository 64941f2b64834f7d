//! The stored trace of a run: its requests, and what its time was spent on.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{ErrorKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::timer::duration_ms;

/// A request that a run sent. It has no query, no headers and no bodies, and no secret of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunRequest {
    /// When it was sent.
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The address without its query, shortened to 500 bytes.
    pub url: String,
    /// The status of the answer. `None` where there was no answer.
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    /// Which attempt at the same thing this was, from 1.
    pub attempt: u32,
    /// How long the answer took.
    #[serde(rename = "took_ms", with = "duration_ms")]
    pub took: Duration,
    /// The bytes of the answer's body.
    pub bytes: u64,
    /// Why and how long it was held back before it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<RequestWait>,
}

/// Why and how long a request was held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestWait {
    /// The reason: the rate limit, where there were several.
    pub reason: WaitReason,
    /// All of the time.
    #[serde(rename = "time_ms", with = "duration_ms")]
    pub time: Duration,
}

/// Why a request is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitReason {
    /// The API's rate limit: its own words, or the provider's known rate.
    RateLimit,
    /// The pause after a failure, before the next attempt.
    Retry,
}

impl WaitReason {
    /// Returns the reason's name: `rate_limit` or `retry`.
    pub const fn as_str(self) -> &'static str {
        match self {
            WaitReason::RateLimit => "rate_limit",
            WaitReason::Retry => "retry",
        }
    }
}

/// What a run spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunPhaseKind {
    /// Requests to the API, without what they were held back.
    Fetch,
    /// Requests that were held back, by the rate limit or after a failure.
    Wait,
    /// Commits to the store.
    Save,
    /// Deletes that were found at the end: which records are missing, and whether they may go.
    Deletes,
}

impl RunPhaseKind {
    /// Returns the phase's name: `fetch`, `wait`, `save` or `deletes`.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunPhaseKind::Fetch => "fetch",
            RunPhaseKind::Wait => "wait",
            RunPhaseKind::Save => "save",
            RunPhaseKind::Deletes => "deletes",
        }
    }
}

/// How often a run did something, and how long that took. The phases of a run alternate; its commits at the very end are in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunPhase {
    /// What it did.
    pub phase: RunPhaseKind,
    /// How often: requests, waits, commits, deletes found.
    pub count: u64,
    /// How long all of them took.
    #[serde(rename = "took_ms", with = "duration_ms")]
    pub took: Duration,
}

/// The trace of a run, from [`Engine::run_trace`](crate::Engine::run_trace).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunTrace {
    /// What its time was spent on.
    #[serde(default)]
    pub phases: Vec<RunPhase>,
    /// Its requests, in order: all of them, or the first and the last as many as
    /// [`LogPolicy::requests_per_run`](crate::logs::LogPolicy::requests_per_run) says.
    #[serde(default)]
    pub requests: Vec<RunRequest>,
    /// How many requests it sent, retries included.
    #[serde(default)]
    pub sent: u64,
}

impl RunTrace {
    /// Adds the trace of a later attempt at the same run.
    pub(crate) fn extend(&mut self, later: RunTrace) {
        self.requests.extend(later.requests);
        self.sent += later.sent;
        let mut phases: BTreeMap<RunPhaseKind, RunPhase> =
            std::mem::take(&mut self.phases).into_iter().map(|phase| (phase.phase, phase)).collect();
        for phase in later.phases {
            let known = phases.entry(phase.phase).or_insert(RunPhase { count: 0, took: Duration::ZERO, ..phase });
            known.count += phase.count;
            known.took += phase.took;
        }
        self.phases = phases.into_values().collect();
    }
}
