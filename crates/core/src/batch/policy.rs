//! How a batch is applied: the run it belongs to, which write wins, and what is refused.

use std::sync::Arc;

use super::UnseenRecords;
use crate::cursor::Cursor;
use crate::mutants::mutant;

/// What happens to a record that cannot be stored (no id, not a JSON object, too large).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRecords {
    /// The whole batch is refused with an error that names the record. Nothing is written.
    #[default]
    Fail,
    /// The rest is committed; the record is listed in [`StreamCommit::rejected`](super::StreamCommit::rejected) and kept as a
    /// quarantine document (without its content where the store has a codec): the newest hundred of a stream, the first
    /// 16 KiB of each.
    Quarantine,
}

/// Which write wins if another writer wrote a record in the meantime.
///
/// With a position other than START, a batch that brings an unknown record is refused with
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if tombstones after that position were pruned, or the stream was
/// cleared since: it might bring back a deleted record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merging {
    /// The later write.
    #[default]
    Override,
    /// The stored record, if it was modified after this position, including by an earlier write of the same batch.
    IgnoreIfModifiedAfter(Cursor),
    /// The stored record, if another [origin](super::StreamBatch::origin) modified it after this position. For a page that was
    /// requested at that position: it must not undo what a webhook wrote while the page was in flight.
    KeepOthersAfter(Cursor),
}

impl Merging {
    pub(crate) fn cursor(&self) -> Option<&Cursor> {
        match self {
            Merging::Override => None,
            Merging::IgnoreIfModifiedAfter(cursor) | Merging::KeepOthersAfter(cursor) => Some(cursor),
        }
    }
}

/// A record's version, by which its source orders them.
///
/// An older version never replaces a newer one. Of equal versions the later arrival wins, but a save never undoes a delete of
/// an equal version, unless a run that reads everything still sees the record. Numbers and texts do not compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceVersion {
    /// Compared as a number.
    Number(i64),
    /// Compared byte by byte, such as timestamps in one fixed format.
    Text(Arc<str>),
}

/// How many records a completed run may delete without approval.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeleteGuard {
    /// Up to this many deletes always pass. Defaults to 20.
    pub count: u64,
    /// Up to this share of the stream's live records always passes. Defaults to 0.2, a fifth.
    pub fraction: f64,
    /// Whether a run that saw nothing at all may empty the stream. Defaults to no.
    pub confirm_empty: bool,
}

impl Default for DeleteGuard {
    /// 20 records or a fifth, and no emptying.
    fn default() -> Self {
        DeleteGuard { count: 20, fraction: 0.2, confirm_empty: false }
    }
}

impl DeleteGuard {
    /// Returns the default guard: 20 records or a fifth of the stream, and no emptying.
    ///
    /// ```
    /// use highwater_core::DeleteGuard;
    /// let strict = DeleteGuard::new().count(5).fraction(0.01);
    /// assert!(!strict.confirm_empty);
    /// ```
    pub fn new() -> Self {
        DeleteGuard::default()
    }

    /// Lets this many deletes pass, however few records the stream has.
    #[must_use]
    pub fn count(mut self, records: u64) -> Self {
        self.count = records;
        self
    }

    /// Lets deletes of up to this share of the stream's live records pass: 0.2 is a fifth.
    #[must_use]
    pub fn fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self
    }

    /// Lets a run that saw nothing at all empty the stream.
    #[must_use]
    pub fn confirm_empty(mut self, yes: bool) -> Self {
        self.confirm_empty = yes;
        self
    }

    /// Returns whether a run that did not see these records has to be approved.
    pub fn holds_back(&self, unseen: &UnseenRecords) -> bool {
        let UnseenRecords { missing, live, .. } = *unseen;
        let met = unseen.saw_any || mutant!("empty-run-unnoticed");
        let nothing_seen = missing > 0 && (missing == live || !met);
        let within = missing <= self.count || missing as f64 <= self.fraction * live as f64;
        (nothing_seen && !self.confirm_empty) || !within
    }

    /// No guard: the host has approved.
    pub const APPROVED: DeleteGuard = DeleteGuard { count: u64::MAX, fraction: 1.0, confirm_empty: true };
}

/// What a batch does to the run over its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunStep {
    /// Opens the run, or continues it if it is already the open one.
    Begin,
    /// Deletes what the run did not see.
    Complete(DeleteGuard),
    /// Forgets the run; deletes nothing.
    Abort,
    /// Lists what the run has not seen, at most this many ids.
    ListUnseen(usize),
}
