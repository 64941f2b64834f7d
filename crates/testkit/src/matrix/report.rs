//! What a matrix found.

use std::fmt;

use serde::Serialize;

/// What must hold whatever an API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Invariant {
    /// No record that lives at the API is deleted in the store.
    NothingLiveDeleted,
    /// A run that says it is whole has every record.
    NoFalseSuccess,
    /// Once the fault is over, the next run has every record, and a full refresh exactly the API's.
    NothingLost,
    /// Requests and waits have a bound, and no request comes before the time that the API named.
    Bounded,
    /// No secret goes to another origin.
    NoLeak,
    /// A failed run names the cause, as a fault of the API, without a secret.
    CauseNamed,
    /// What a client can bear ends no run.
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
            Invariant::Borne => "what can be borne is borne",
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

/// How one sync met one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
#[non_exhaustive]
pub enum Outcome {
    /// Every invariant held.
    Held,
    /// The fault has no place in this API, for this reason.
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

/// One cell of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cell {
    /// The sync.
    pub sync: String,
    /// The fault.
    pub fault: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How some syncs met some faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MatrixReport {
    /// Every cell, by sync and fault in the order they were given.
    pub cells: Vec<Cell>,
}

impl MatrixReport {
    /// The broken invariants, each with its cell.
    pub fn violations(&self) -> impl Iterator<Item = (&Cell, &Violation)> {
        self.cells.iter().flat_map(|cell| match &cell.outcome {
            Outcome::Violated { violations } => {
                violations.iter().map(|violation| (cell, violation)).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        })
    }

    /// The syncs, in order.
    pub fn syncs(&self) -> Vec<&str> {
        self.distinct(|cell| &cell.sync)
    }

    /// The faults, in order.
    pub fn faults(&self) -> Vec<&str> {
        self.distinct(|cell| cell.fault)
    }

    /// How many cells ran, and how many do not apply.
    pub fn counts(&self) -> (usize, usize) {
        let skipped = self.cells.iter().filter(|cell| matches!(cell.outcome, Outcome::NotApplicable { .. })).count();
        (self.cells.len() - skipped, skipped)
    }

    /// The last line of a report: `trial: N syncs x M faults, V violations`.
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
