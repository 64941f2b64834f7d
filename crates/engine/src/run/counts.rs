//! The counts of a run: the only place where they are added up.
//!
//! Two records of the same numbers meet here. The report counts what each commit returned; the accounts of the run's models are
//! counted by the store, within the commits themselves. A run that goes on in another process takes the accounts over.

use std::collections::BTreeMap;

use highwater_core::{ChangeSummary, StreamCommit};
use highwater_template::host::{ChangeSet, Progress};

use super::report::RunReport;
use crate::sync::ModelCounts;

/// Returns how many records a change set fetched from the source.
pub(crate) fn fetched(changes: &ChangeSet) -> u64 {
    (changes.records.len() + changes.set_aside.len()) as u64
}

/// Counts a page of so many records. A commit without any is no page.
pub(crate) fn count_page(progress: &mut Progress, fetched: u64) {
    progress.pages += u64::from(fetched > 0);
    progress.fetched += fetched;
}

impl RunReport {
    /// Counts a commit: the records that its page fetched, and what became of them.
    pub(crate) fn count<'c>(&mut self, fetched: u64, streams: impl IntoIterator<Item = &'c StreamCommit>) {
        count_page(&mut self.progress, fetched);
        for stream in streams {
            let counts = ModelCounts::from(stream);
            self.models.entry(stream.stream.model().to_owned()).or_default().add(counts);
            self.add(counts);
        }
    }

    /// Replaces the counts by those of the models' accounts.
    pub(crate) fn take_counts(&mut self, accounts: &BTreeMap<String, ChangeSummary>) {
        let progress = self.progress;
        self.progress = Progress::default();
        (self.progress.pages, self.progress.fetched) = (progress.pages, progress.fetched);
        (self.progress.total, self.progress.rate_limited_until) = (progress.total, progress.rate_limited_until);
        for (model, account) in accounts {
            let counts = ModelCounts::from(account);
            self.models.insert(model.clone(), counts);
            self.add(counts);
        }
    }

    fn add(&mut self, counts: ModelCounts) {
        self.progress.added += counts.added;
        self.progress.updated += counts.updated;
        self.progress.unchanged += counts.unchanged;
        self.progress.deleted += counts.deleted;
        self.progress.set_aside += counts.set_aside;
    }
}

impl ModelCounts {
    fn add(&mut self, counts: ModelCounts) {
        self.added += counts.added;
        self.updated += counts.updated;
        self.unchanged += counts.unchanged;
        self.deleted += counts.deleted;
        self.set_aside += counts.set_aside;
    }
}

impl From<&StreamCommit> for ModelCounts {
    fn from(commit: &StreamCommit) -> Self {
        let StreamCommit { added, updated, unchanged, deleted, .. } = *commit;
        ModelCounts { added, updated, unchanged, deleted, set_aside: commit.rejected.len() as u64 }
    }
}

impl From<&ChangeSummary> for ModelCounts {
    fn from(account: &ChangeSummary) -> Self {
        let ChangeSummary { added, updated, unchanged, deleted, rejected: set_aside, .. } = *account;
        ModelCounts { added, updated, unchanged, deleted, set_aside }
    }
}
