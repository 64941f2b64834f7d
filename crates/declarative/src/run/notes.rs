//! Warnings of a read, and whether it saw every record.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use highwater_core::locks::lock;

/// Warnings that are kept; more of them say nothing new.
const MAX_WARNINGS: usize = 100;

/// What was odd, and whether everything was read.
#[derive(Default)]
pub(super) struct Notes(Mutex<Noted>);

#[derive(Clone, Default)]
pub(super) struct Noted {
    pub warnings: BTreeSet<String>,
    /// Why what was read may not be everything: the first reason.
    pub unsound: Option<String>,
    /// Why records that exist were not read: the first reason.
    pub lost: Option<String>,
    pub pages: u64,
}

impl Notes {
    /// Notes, once, that something is odd.
    pub(super) fn warn(&self, message: String) {
        warn(&mut self.lock(), message);
    }

    /// Notes that what was read may not be everything.
    pub(super) fn unsound(&self, message: String) {
        unsound(&mut self.lock(), message);
    }

    /// Notes that records exist that were not read: what comes after them must not be taken for all that is left.
    pub(super) fn lost(&self, message: String) {
        let mut noted = self.lock();
        noted.lost.get_or_insert_with(|| message.clone());
        unsound(&mut noted, message);
    }

    pub(super) fn count_page(&self) {
        self.lock().pages += 1;
    }

    /// What was noted until now.
    pub(super) fn noted(&self) -> Noted {
        self.lock().clone()
    }

    /// Why records that exist were not read.
    pub(super) fn loss(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Why what was read may not be everything.
    pub(super) fn unsoundness(&self) -> Option<String> {
        self.lock().unsound.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        lock(&self.0)
    }
}

fn warn(noted: &mut Noted, message: String) {
    if noted.warnings.len() < MAX_WARNINGS {
        noted.warnings.insert(message);
    }
}

fn unsound(noted: &mut Noted, message: String) {
    noted.unsound.get_or_insert_with(|| message.clone());
    warn(noted, message);
}
