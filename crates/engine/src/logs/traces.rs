//! The trace of a run: gathered in memory, limited in number, and stored along with what the run stores anyway.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use highwater_core::{Result, RunId, Store, WriteBatch};

use super::{PAGE, backwards};
use crate::documents::{RunPhase, RunPhaseKind, RunRequest, RunTrace};
use crate::engine::Engine;

/// Attempts at a run whose traces are kept: those of earlier ones are removed.
const ATTEMPTS: u32 = 5;

/// The longest stored address and method, in bytes.
const LONGEST_URL: usize = 500;
const LONGEST_METHOD: usize = 20;

/// The trace of a run while it runs.
#[derive(Debug)]
pub(crate) struct Trace {
    attempt: u32,
    /// The most requests that are kept at the beginning, and at the end.
    half: usize,
    first: Vec<RunRequest>,
    last: VecDeque<RunRequest>,
    sent: u64,
    phases: BTreeMap<RunPhaseKind, (u64, Duration)>,
    changed: bool,
}

impl Trace {
    /// The trace of a run's attempt with this number.
    pub(crate) fn of_attempt(attempt: u32, most: u32) -> Self {
        let half = usize::try_from(most.div_ceil(2)).unwrap_or(usize::MAX);
        Trace {
            attempt,
            half,
            first: Vec::new(),
            last: VecDeque::new(),
            sent: 0,
            phases: BTreeMap::new(),
            changed: false,
        }
    }

    /// Adds a request, already redacted.
    pub(crate) fn push(&mut self, mut request: RunRequest) {
        self.sent += 1;
        self.changed = true;
        if let Some(wait) = request.wait {
            self.spend(RunPhaseKind::Wait, 1, wait.time);
        }
        shorten(&mut request.url, LONGEST_URL);
        shorten(&mut request.method, LONGEST_METHOD);
        if self.first.len() < self.half {
            self.first.push(request);
        } else if self.half > 0 {
            if self.last.len() == self.half {
                self.last.pop_front();
            }
            self.last.push_back(request);
        }
    }

    /// Adds to a phase.
    pub(crate) fn spend(&mut self, phase: RunPhaseKind, count: u64, took: Duration) {
        let known = self.phases.entry(phase).or_default();
        known.0 += count;
        known.1 += took;
        // Each commit counts, also that which stores the trace.
        self.changed |= phase != RunPhaseKind::Save;
    }

    /// Has the trace stored again: the commit failed.
    pub(crate) fn put_back(&mut self) {
        self.changed = self.sent > 0;
    }

    /// Leaves no trace of this attempt.
    pub(crate) fn forget(&mut self, run: RunId, batch: &mut WriteBatch) {
        batch.remove_document(trace_key(run, self.attempt));
    }

    /// Returns how long the run was held back so far.
    pub(crate) fn waited(&self) -> Duration {
        self.phases.get(&RunPhaseKind::Wait).map_or(Duration::ZERO, |(_, took)| *took)
    }

    /// Stores the trace as it is, if it has something new.
    pub(crate) fn put(&mut self, run: RunId, batch: &mut WriteBatch) -> Result<()> {
        if !self.changed || self.half == 0 {
            return Ok(());
        }
        let phases =
            self.phases.iter().map(|(phase, (count, took))| RunPhase { phase: *phase, count: *count, took: *took });
        let trace = RunTrace {
            phases: phases.collect(),
            requests: self.first.iter().chain(&self.last).cloned().collect(),
            sent: self.sent,
        };
        batch.put_document(trace_key(run, self.attempt), &trace)?;
        if let Some(early) = self.attempt.checked_sub(ATTEMPTS) {
            batch.remove_document(trace_key(run, early));
        }
        self.changed = false;
        Ok(())
    }
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
}

pub(super) fn traces_prefix(id: RunId) -> String {
    format!("trace/{}/", backwards(id))
}

fn trace_key(id: RunId, attempt: u32) -> String {
    format!("{}{attempt:04}", traces_prefix(id))
}

async fn trace_of(store: &dyn Store, id: RunId) -> Result<RunTrace> {
    let mut trace = RunTrace::default();
    for document in store.documents(&traces_prefix(id), "", PAGE).await? {
        trace.extend(document.value.to()?);
    }
    Ok(trace)
}

impl Engine {
    /// Returns a run's requests, and what its time was spent on: as far as the run has stored it, which it does when it ends and
    /// from time to time before. Empty for a run that is not kept, and for actions, webhooks and requests of the host.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn run_trace(&self, id: RunId) -> Result<RunTrace> {
        trace_of(self.store().as_ref(), id).await
    }
}
