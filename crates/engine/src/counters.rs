//! What an engine has done since it was built, in numbers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use highwater_core::StreamCommit;
use highwater_core::locks::lock;

use crate::documents::{RequestWait, RunState, WaitReason};

/// What an engine has done since it was built, for monitoring. Engines of other processes, and those before it, have counts of
/// their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineCounters {
    /// Runs that ended or were parked, by their template and state.
    pub runs: BTreeMap<(String, RunState), u64>,
    /// Requests to providers, by the status of the answer; 0 stands for those that nobody answered.
    pub requests: BTreeMap<u16, u64>,
    /// How often requests were held back, and how long altogether, by the reason.
    pub waits: BTreeMap<WaitReason, (u64, Duration)>,
    /// Records that runs added.
    pub added: u64,
    /// Records that runs updated.
    pub updated: u64,
    /// Records that runs deleted.
    pub deleted: u64,
}

/// The counts of an engine while it works.
#[derive(Debug, Default)]
pub(crate) struct Counting(Mutex<EngineCounters>);

impl Counting {
    pub(crate) fn so_far(&self) -> EngineCounters {
        lock(&self.0).clone()
    }

    pub(crate) fn run_ended(&self, template: &str, state: RunState) {
        *lock(&self.0).runs.entry((template.to_owned(), state)).or_default() += 1;
    }

    /// Counts a request. `None` where nobody answered.
    pub(crate) fn request(&self, status: Option<u16>, wait: Option<RequestWait>) {
        let mut counters = lock(&self.0);
        let status = status.filter(|status| (100..1000).contains(status)).unwrap_or(0);
        *counters.requests.entry(status).or_default() += 1;
        if let Some(wait) = wait {
            let known = counters.waits.entry(wait.reason).or_default();
            known.0 += 1;
            known.1 += wait.time;
        }
    }

    /// Counts what a commit of a run changed.
    pub(crate) fn changed(&self, streams: &[StreamCommit]) {
        let mut counters = lock(&self.0);
        for stream in streams {
            counters.added += stream.added;
            counters.updated += stream.updated;
            counters.deleted += stream.deleted;
        }
    }
}
