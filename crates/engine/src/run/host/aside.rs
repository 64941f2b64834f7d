//! Records that a run cannot save, and models that it does not read completely.

use std::collections::BTreeMap;

use highwater_core::locks::lock;
use highwater_core::{Result, StreamBatch, StreamCommit, Timestamp, WriteBatch};
use highwater_template::LogLevel;
use highwater_template::host::{ApiHost, ChangeSet, NextRun, SetAsideRecord};
use highwater_template::records::text_at;
use serde::Deserialize;

use super::Host;
use crate::aside::{MOST, kept_aside};
use crate::documents::RecordSetAside;

/// The number of records that a report lists, and of log lines about them.
const NAMED: usize = 20;

/// The longest reported reason, in bytes.
const LONGEST_REASON: usize = 500;

/// The longest reported id, in characters.
const LONGEST_ID: usize = 100;

/// The set-aside records, as far as the run knows.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Whether they were read: a run may end before.
    known: bool,
    /// By model and by the key of its document.
    kept: BTreeMap<String, BTreeMap<String, Kept>>,
    /// Records set aside by this attempt.
    told: usize,
}

/// A set-aside record.
#[derive(Debug, Deserialize)]
struct Kept {
    id: Option<String>,
    #[serde(rename = "at_ms", with = "highwater_core::timestamp::unix_ms")]
    at: Timestamp,
    /// Counts the records set aside by this attempt.
    #[serde(skip)]
    number: usize,
}

impl Host<'_> {
    /// Reads the records set aside by earlier runs.
    pub(in crate::run) async fn open_aside(&self) -> Result<()> {
        let mut kept = BTreeMap::new();
        for model in &self.engine.template(&self.key.template)?.info().models {
            let documents = kept_aside(self.store(), &self.key.stream(&model.name)).await?;
            let mut of_model = BTreeMap::new();
            for document in documents {
                of_model.insert(document.key, document.value.to()?);
            }
            if !of_model.is_empty() {
                kept.insert(model.name.clone(), of_model);
            }
        }
        let mut aside = lock(&self.aside);
        (aside.known, aside.kept) = (true, kept);
        Ok(())
    }

    /// The batch's part for a model, as a write of the run.
    pub(super) fn open_stream<'b>(&self, model: &str, batch: &'b mut WriteBatch) -> &'b mut StreamBatch {
        let stream = batch.on(&self.key.stream(model));
        if stream.view().summaries().is_empty() {
            stream.summarize_in(self.key.counts_key(model));
            self.account(model, stream);
        }
        if self.full && stream.view().run().is_none() {
            // Only a run that reads everything keeps seen marks. A stream that was begun
            // must still have this run open: opened again it would lose its seen marks and delete everything.
            if lock(&self.open).begun.contains(model) {
                stream.in_run(self.run);
            } else {
                stream.begin_run(self.run);
            }
        }
        stream
    }

    /// A record that comes again, or is deleted, is no longer set aside, unless the store sets it aside again.
    pub(super) fn forget_saved(&self, changes: &ChangeSet, batch: &mut WriteBatch) -> Result<()> {
        let mut aside = lock(&self.aside);
        let Some(kept) = aside.kept.get_mut(&changes.model) else { return Ok(()) };
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for (key, record) in &*kept {
            if let Some(id) = &record.id {
                keys.insert(id.clone(), key.clone());
            }
        }
        let mut forget = |id: &str| {
            if let Some(key) = keys.get(id) {
                kept.remove(key);
                batch.remove_document(key.clone());
            }
        };
        for record in &changes.records {
            match &record.id {
                Some(id) => forget(id),
                None => {
                    if let Ok(Some(id)) = text_at(&record.payload, "/id") {
                        forget(&id);
                    }
                }
            }
        }
        changes.deleted.iter().for_each(|deleted| forget(&deleted.id));
        if kept.is_empty() {
            aside.kept.remove(&changes.model);
        }
        Ok(())
    }

    /// Adds a record that its template set aside to the batch.
    pub(super) fn set_aside(&self, stream: &mut StreamBatch, record: SetAsideRecord) {
        let reason = self.reason(&record.reason);
        match record.id {
            Some(id) => stream.set_aside_as(id, record.payload, reason),
            None => stream.set_aside(record.payload, reason),
        };
    }

    /// Reports the records that a commit set aside: in the log, and in the report.
    pub(super) fn tell_set_aside(&self, commit: &StreamCommit) {
        let (model, at) = (commit.stream.model(), self.now());
        for rejected in &commit.rejected {
            let reason = self.reason(&rejected.reason);
            let id = rejected.id.as_deref().map(|id| id.chars().take(LONGEST_ID).collect::<String>());
            let told = {
                let mut aside = lock(&self.aside);
                aside.told += 1;
                let number = aside.told;
                let kept = aside.kept.entry(model.to_owned()).or_default();
                let full_id = rejected.id.as_deref().map(ToOwned::to_owned);
                kept.insert(rejected.document.clone(), Kept { id: full_id, at, number });
                // The store has dropped the oldest too.
                if kept.len() > 4 * MOST {
                    kept.retain(|_, record| record.number + MOST > number);
                }
                number
            };
            self.change_report(|report| {
                if report.set_aside.len() < NAMED {
                    let (model, id, reason) = (model.to_owned(), id.clone(), reason.clone());
                    report.set_aside.push(RecordSetAside { model, id, reason });
                }
            });
            let which = match &id {
                Some(id) => format!("the {model} record with id {id:?}"),
                None => format!("a {model} record without a known id (number {} of its page)", rejected.index + 1),
            };
            if told <= NAMED {
                self.log(LogLevel::Warning, &format!("set aside {which}: {reason}"));
            } else if told == NAMED + 1 {
                self.log(LogLevel::Warning, "more records were set aside; from here on they are only counted");
            }
        }
    }

    /// Records that a model was not read completely.
    pub(super) fn note_incomplete(&self, model: &str, reason: &str, next: NextRun) {
        let reason = self.reason(reason);
        {
            let mut open = lock(&self.open);
            open.again |= next == NextRun::ReadsAgain;
            if open.incomplete.contains_key(model) {
                return;
            }
            open.incomplete.insert(model.to_owned(), reason.clone());
        }
        self.change_report(|report| drop(report.incomplete.insert(model.to_owned(), reason.clone())));
        self.log(LogLevel::Warning, &format!("not all of {model} was read, nothing of it will be deleted: {reason}"));
    }

    /// Records that the run set aside of a model, in all its attempts.
    pub(in crate::run) fn set_aside_of(&self, model: &str) -> u64 {
        lock(&self.report).models.get(model).map_or(0, |counts| counts.set_aside)
    }

    /// After a full refresh of a model: earlier set-aside records either came again, or no longer exist.
    pub(in crate::run) fn forget_older<'m>(&self, models: impl Iterator<Item = &'m str>) -> Vec<String> {
        let started = lock(&self.report).started_at;
        let mut aside = lock(&self.aside);
        let mut forgotten = Vec::new();
        for model in models {
            let Some(kept) = aside.kept.get_mut(model) else { continue };
            kept.retain(|key, record| {
                let stays = record.at >= started;
                if !stays {
                    forgotten.push(key.clone());
                }
                stays
            });
        }
        forgotten
    }

    /// The number of set-aside records by model; `None` if the run ended before it knew.
    pub(in crate::run) fn kept_aside(&self) -> Option<BTreeMap<String, u64>> {
        let aside = lock(&self.aside);
        let counts = aside.kept.iter().filter(|(_, kept)| !kept.is_empty());
        aside.known.then(|| counts.map(|(model, kept)| (model.clone(), kept.len().min(MOST) as u64)).collect())
    }

    /// A reason for a report: in one line, redacted, shortened.
    fn reason(&self, reason: &str) -> String {
        let mut reason = self.redact(reason).replace(['\n', '\r'], " ");
        if reason.len() > LONGEST_REASON {
            let end = (0..=LONGEST_REASON).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
            reason.truncate(end);
            reason.push_str("...");
        }
        reason
    }
}
