//! The counts of a run: the only place where they are added up.
//!
//! Two counts of the same numbers meet here. The report adds up what each commit returned; the summaries of the run's models
//! are counted by the store, within the commits themselves. A run that continues in another process takes over the summaries.

use std::collections::BTreeMap;

use highwater_core::{ChangeSummary, StreamCommit};
use highwater_template::host::{ChangeSet, Counts, Progress};

use super::run::RunReport;

/// Returns how many records a change set fetched from the source.
pub(crate) fn fetched(changes: &ChangeSet) -> u64 {
    (changes.records.len() + changes.set_aside.len()) as u64
}

/// Counts a page of this many records. A commit without records is not a page.
pub(crate) fn count_page(progress: &mut Progress, fetched: u64) {
    progress.pages += u64::from(fetched > 0);
    progress.fetched += fetched;
}

impl RunReport {
    /// Counts a commit: the records that its page fetched, and their outcomes.
    pub(crate) fn count<'c>(&mut self, fetched: u64, streams: impl IntoIterator<Item = &'c StreamCommit>) {
        count_page(&mut self.progress, fetched);
        for stream in streams {
            self.add(stream.stream.model(), stream.into());
        }
    }

    /// Replaces the counts by those of the models' summaries.
    pub(crate) fn take_counts(&mut self, summaries: &BTreeMap<String, ChangeSummary>) {
        self.progress.counts = Counts::default();
        for (model, summary) in summaries {
            self.models.remove(model);
            self.add(model, counts_of(summary));
        }
    }

    /// Sets how many records of each model the end of a full refresh deletes, in addition to the counts `before`.
    pub(crate) fn set_final_deletes<'m>(
        &mut self,
        before: &CountsBeforeDeletes,
        deletes: impl IntoIterator<Item = (&'m str, u64)>,
    ) {
        self.progress.counts = before.counts;
        self.models.clone_from(&before.models);
        for (model, deleted) in deletes {
            let mut counts = Counts::default();
            counts.deleted = deleted;
            self.add(model, counts);
        }
    }

    /// Corrects the final deletes to those that the commit made. Returns whether they differ.
    pub(crate) fn correct_final_deletes(&mut self, before: &CountsBeforeDeletes, streams: &[StreamCommit]) -> bool {
        let expected = self.progress.counts.deleted.saturating_sub(before.counts.deleted);
        let differ = expected != streams.iter().map(|stream| stream.deleted).sum::<u64>();
        if differ {
            self.set_final_deletes(before, streams.iter().map(|stream| (stream.stream.model(), stream.deleted)));
        }
        differ
    }

    fn add(&mut self, model: &str, counts: Counts) {
        *self.models.entry(model.to_owned()).or_default() += counts;
        self.progress.counts += counts;
    }
}

/// The counts of a full refresh before its final deletes: those of the records that it did not see.
pub(crate) struct CountsBeforeDeletes {
    counts: Counts,
    models: BTreeMap<String, Counts>,
}

impl CountsBeforeDeletes {
    pub(crate) fn of(report: &RunReport) -> Self {
        CountsBeforeDeletes { counts: report.progress.counts, models: report.models.clone() }
    }
}

fn counts_of(summary: &ChangeSummary) -> Counts {
    let mut counts = Counts::default();
    (counts.added, counts.updated, counts.unchanged) = (summary.added, summary.updated, summary.unchanged);
    (counts.deleted, counts.set_aside) = (summary.deleted, summary.rejected);
    counts
}
