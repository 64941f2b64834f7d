//! Counts what is left of the quotas of a pool's tokens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, FixedOffset, TimeDelta};
use highwater_core::locks::lock;

/// How far two servers may disagree about the time at which a quota is full again.
const SKEW_SECONDS: i64 = 60;

/// The counters of a read, by the pool they belong to.
#[derive(Default)]
pub(super) struct QuotaCounters(Mutex<HashMap<String, Counters>>);

impl QuotaCounters {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Counters>> {
        lock(&self.0)
    }
}

/// The tokens of a pool, and what is left for each.
pub(super) struct Counters {
    pub tokens: Vec<String>,
    pub active: usize,
    /// By token, then by quota.
    pub left: Vec<Vec<Left>>,
}

/// What is left of one quota of one token.
#[derive(Clone)]
pub(super) struct Left {
    pub calls: i64,
    pub limit: i64,
    pub reset_at: DateTime<FixedOffset>,
    /// The server counts at all.
    pub counted: bool,
}

impl Counters {
    pub(super) fn turn(&mut self) {
        self.active = (self.active + 1) % self.tokens.len().max(1);
    }

    pub(super) fn of(&self, quota: usize) -> impl Iterator<Item = &Left> {
        self.left.iter().filter_map(move |left| left.get(quota))
    }
}

impl Left {
    pub(super) fn learn(
        &mut self,
        calls: Option<i64>,
        limit: Option<i64>,
        reset_at: Option<DateTime<FixedOffset>>,
        exhausted: bool,
    ) {
        if let Some(limit) = limit.filter(|limit| *limit > 0 && reset_at.is_none_or(|at| at >= self.reset_at)) {
            self.limit = limit;
        }
        match (reset_at, calls) {
            // The quota is full again: what was counted before is void.
            (Some(at), calls) if at > self.reset_at => {
                self.reset_at = at;
                self.calls = calls.unwrap_or(self.limit);
            }
            // Answers may come late and out of order: within one period there is never more than was left before. An
            // answer about a period that is over says nothing, unless it refuses.
            (at, Some(calls)) => {
                let recent = at.is_none_or(|at| at >= self.reset_at - TimeDelta::seconds(SKEW_SECONDS));
                if recent || (calls <= 0 && exhausted) {
                    self.calls = self.calls.min(calls);
                }
            }
            (_, None) => {}
        }
    }
}
