//! A recount of a stream, compared with what its counters say.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::backend::{BackendRead, LogRow, LogScan, Table};
use crate::content;
use crate::cursor::millis_of;
use crate::error::{ErrorKind, Result};
use crate::log::entry::Entry;
use crate::log::history::{read_version, version_key};
use crate::log::keys;
use crate::log::read::{Attempt, StreamView};
use crate::log::state::epoch_end;
use crate::log::transaction::{checksum, load_options};
use crate::maintenance::Verification;
use crate::record::Action;

/// Problems listed before the rest is only counted.
const MAX_PROBLEMS: usize = 100;

impl StreamView<'_> {
    pub(crate) fn verify<R: BackendRead + ?Sized>(&self, read: &mut R) -> Result<Verification> {
        let mut found = Verification::default();
        let options = load_options(read, self.state.number)?;
        let fingerprint = options.rules.fingerprint();
        let (mut live, mut deleted, mut bytes, mut sum) = (0_u64, 0_u64, 0_u64, 0_u128);
        let (mut last_sequence, mut last_cursor) = (0, 0);
        let mut epochs = HashSet::new();
        let mut ids = Vec::new();
        read.scan(self.state.number, LogScan { from: 1, only: None, payload: true }, &mut |row| {
            found.entries += 1;
            if row.sequence <= last_sequence || row.cursor <= last_cursor {
                problem(&mut found, row, "stands out of order");
            }
            (last_sequence, last_cursor) = (row.sequence, row.cursor);
            if row.cursor > self.state.last.ulid || row.sequence >= self.state.next_sequence {
                problem(&mut found, row, "stands behind the stream's end");
            }
            epochs.insert((row.epoch, row.cursor));
            if epochs.len() > 64 {
                epochs.retain(|(epoch, _)| *epoch == row.epoch);
            }
            verify_metadata(&mut found, row, "record");
            let entry = match Entry::from_row(row) {
                Ok(entry) => entry,
                Err(error) => {
                    problem(&mut found, row, &error.to_string());
                    return Ok(ControlFlow::Continue(()));
                }
            };
            if entry.is_live() {
                live += 1;
                bytes += entry.hashes.length;
                sum = sum.wrapping_add(checksum(&entry));
            } else {
                deleted += 1;
            }
            self.verify_payload(&mut found, row, &entry, "record", Some((&options.rules, fingerprint)));
            ids.push((entry.sequence, entry.id));
            Ok(ControlFlow::Continue(()))
        })?;
        // Readers that ask for deleted records alone may be served from an index of their own.
        let mut listed = 0_u64;
        let only = Some(Action::Deleted);
        read.scan(self.state.number, LogScan { from: 1, only, payload: false }, &mut |row| {
            listed += u64::from(row.action == Action::Deleted);
            Ok(ControlFlow::Continue(()))
        })?;
        if listed != deleted {
            note(&mut found, format!("deleted records: counted {deleted}, found when asked for alone {listed}"));
        }
        self.verify_history(read, &mut found)?;
        for (epoch, cursor) in epochs {
            if epoch_end(read, epoch)?.is_none_or(|end| end < cursor) {
                note(&mut found, format!("write epoch {epoch:08x} is not on record as far as its entries reach"));
            }
        }
        for (sequence, id) in ids {
            match self.find(read, &id)? {
                Attempt::Done(Some(indexed)) if indexed == sequence => {}
                Attempt::Done(_) => note(&mut found, format!("record {id:?} is not found by its id")),
                Attempt::Outdated => {} // written to while we looked
            }
        }
        for (name, counted, kept) in [
            ("live records", live, self.state.live),
            ("deleted records", deleted, self.state.deleted),
            ("payload bytes", bytes, self.state.bytes),
        ] {
            if counted != kept {
                note(&mut found, format!("{name}: counted {counted}, on record {kept}"));
            }
        }
        if sum != self.state.checksum {
            note(&mut found, format!("checksum: counted {sum:032x}, on record {:032x}", self.state.checksum));
        }
        Ok(found)
    }

    /// The versions that records had before.
    fn verify_history<R: BackendRead + ?Sized>(&self, read: &mut R, found: &mut Verification) -> Result<()> {
        let prefix = self.state.number.to_be_bytes();
        read.range(Table::History, &prefix, &keys::behind(&prefix), &mut |key, value| {
            found.versions += 1;
            let (row, by) = match read_version(value) {
                Ok(read) => read,
                Err(error) => {
                    note(found, format!("a kept version does not read: {error}"));
                    return Ok(ControlFlow::Continue(()));
                }
            };
            if by <= row.cursor || by > self.state.last.ulid || version_key(self.state.number, &row) != key {
                note(found, format!("a kept version of record {:?} stands out of order", row.id));
            }
            verify_metadata(found, &row, "a kept version of record");
            match Entry::from_row(&row) {
                Ok(entry) => self.verify_payload(found, &row, &entry, "a kept version of record", None),
                Err(error) => note(found, format!("a kept version of record {:?} {error}", row.id)),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn verify_payload(
        &self,
        found: &mut Verification,
        row: &LogRow<'_>,
        entry: &Entry,
        of: &str,
        rules: Option<(&content::ContentRules, u32)>,
    ) {
        let Some(stored) = row.payload else {
            if entry.pruned_at.is_none() {
                note(found, format!("{of} {:?} has no payload although it was not pruned", row.id));
            }
            return;
        };
        let payload = match self.shared.decode_payload(self.key, row.id, stored) {
            Ok(payload) => payload,
            Err(error) => {
                let need = error.context("needs").map(ToOwned::to_owned);
                match need.filter(|_| matches!(error.kind(), ErrorKind::WrongKey | ErrorKind::Incompatible)) {
                    Some(need) => *found.missing.entry(need).or_default() += 1,
                    None => note(found, format!("{of} {:?} {error}", row.id)),
                }
                return;
            }
        };
        let mut problem = |what: &str| note(found, format!("{of} {:?} {what}", row.id));
        if self.shared.exact.hash(row.id, payload.as_bytes()) != entry.hashes.exact {
            return problem("has a payload that is not the one that was saved");
        }
        let Some((rules, fingerprint)) = rules else { return };
        let comparable = self.state.algorithms.get(usize::from(entry.hashes.algorithm)) == Some(&fingerprint);
        match content::canonical(rules, payload.as_bytes()) {
            Ok(canonical) if comparable && canonical.hash != entry.hashes.canonical => {
                problem("has a content hash that does not fit its payload");
            }
            Ok(_) => {}
            Err(error) => problem(&error.to_string()),
        }
    }
}

/// Checks that parts without a checksum are at least plausible.
fn verify_metadata(found: &mut Verification, row: &LogRow<'_>, of: &str) {
    if row.birth > row.cursor || (row.birth == row.cursor) != (row.action == Action::Added) {
        note(found, format!("{of} {:?} has a birth that does not fit its action", row.id));
    }
    if !(0..=millis_of(row.cursor)).contains(&row.first_seen_at) {
        note(found, format!("{of} {:?} was first seen after it was last modified", row.id));
    }
}

fn problem(found: &mut Verification, row: &LogRow<'_>, what: &str) {
    note(found, format!("record {:?} {what}", row.id));
}

fn note(found: &mut Verification, problem: String) {
    match found.problems.len() {
        listed if listed < MAX_PROBLEMS => found.problems.push(problem),
        MAX_PROBLEMS => found.problems.push("and more; only the first hundred are listed".to_owned()),
        _ => {}
    }
}
