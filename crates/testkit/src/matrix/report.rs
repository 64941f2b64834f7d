//! The results of a matrix.

use std::fmt;

use serde::Serialize;

/// A property that must hold whatever an API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Invariant {
    /// No record that is live at the API is deleted in the store.
    NothingLiveDeleted,
    /// A run that reports no gap has every record.
    NoFalseSuccess,
    /// After the fault, the next run has every record, and a full refresh has exactly the API's records.
    NothingLost,
    /// Requests and waits are bounded, and no request comes before the time that the API gave.
    Bounded,
    /// No secret goes to another origin.
    NoLeak,
    /// The error of a failed run names the cause, as a fault of the API, without a secret.
    CauseNamed,
    /// A fault that a client can handle ends no run.
    Borne,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::NothingLiveDeleted => "nothing live is deleted",
            Invariant::NoFalseSuccess => "no success with records missing",
            Invariant::NothingLost => "nothing is lost after the fault",
            Invariant::Bounded => "requests and waits are bounded",
            Invariant::NoLeak => "no secret to another origin",
            Invariant::CauseNamed => "the message names the cause",
            Invariant::Borne => "tolerable faults are tolerated",
        })
    }
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// What happened, and in which run.
    pub what: String,
}

/// The outcome of one sync with one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum Outcome {
    /// Every invariant held.
    Held,
    /// The fault cannot happen at this API.
    NotApplicable {
        /// Why.
        reason: String,
    },
    /// Invariants were broken.
    Violated {
        /// Which, and how.
        violations: Vec<Violation>,
    },
}

/// One sync with one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cell {
    /// The sync.
    pub sync: String,
    /// The fault.
    pub fault: &'static str,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The results of a matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MatrixReport {
    /// Every cell, sorted by sync and then by fault, each in the order in which it was given.
    pub cells: Vec<Cell>,
}

impl MatrixReport {
    /// Returns the broken invariants, each with its cell.
    pub fn violations(&self) -> impl Iterator<Item = (&Cell, &Violation)> {
        self.cells.iter().flat_map(|cell| match &cell.outcome {
            Outcome::Violated { violations } => {
                violations.iter().map(|violation| (cell, violation)).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        })
    }

    /// Returns the syncs, in order.
    pub fn syncs(&self) -> Vec<&str> {
        self.distinct(|cell| &cell.sync)
    }

    /// Returns the names of the faults, in order.
    pub fn faults(&self) -> Vec<&str> {
        self.distinct(|cell| cell.fault)
    }

    /// Returns how many cells ran, and how many do not apply.
    pub fn counts(&self) -> (usize, usize) {
        let skipped = self.cells.iter().filter(|cell| matches!(cell.outcome, Outcome::NotApplicable { .. })).count();
        (self.cells.len() - skipped, skipped)
    }

    /// Returns the last line of a report: `trial: N syncs x M faults, V violations`.
    pub fn summary(&self) -> String {
        let violations = self.violations().count();
        format!("trial: {} syncs x {} faults, {violations} violations", self.syncs().len(), self.faults().len())
    }

    fn distinct<'r>(&'r self, of: impl Fn(&'r Cell) -> &'r str) -> Vec<&'r str> {
        let mut found: Vec<&str> = Vec::new();
        for cell in &self.cells {
            if !found.contains(&of(cell)) {
                found.push(of(cell));
            }
        }
        found
    }
}
