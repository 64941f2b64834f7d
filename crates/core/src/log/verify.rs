//! A recount of a stream, compared with what its counters say.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::backend::{BackendRead, LogRow, LogScan};
use crate::content;
use crate::error::Result;
use crate::log::entry::Entry;
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
            if row.birth > row.cursor || (row.birth == row.cursor) != (row.action == Action::Added) {
                problem(&mut found, row, "has a birth that does not fit its action");
            }
            epochs.insert((row.epoch, row.cursor));
            if epochs.len() > 64 {
                epochs.retain(|(epoch, _)| *epoch == row.epoch);
            }
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
            self.verify_payload(&mut found, row, &entry, &options.rules, fingerprint);
            ids.push((entry.sequence, entry.id));
            Ok(ControlFlow::Continue(()))
        })?;
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

    fn verify_payload(
        &self,
        found: &mut Verification,
        row: &LogRow<'_>,
        entry: &Entry,
        rules: &content::ContentRules,
        fingerprint: u32,
    ) {
        let Some(stored) = row.payload else {
            if entry.pruned_at.is_none() {
                problem(found, row, "has no payload although it was not pruned");
            }
            return;
        };
        let payload = match self.shared.decode_payload(self.key, row.id, stored) {
            Ok(payload) => payload,
            Err(error) => return problem(found, row, &error.to_string()),
        };
        if self.shared.exact.hash(row.id, payload.as_bytes()) != entry.hashes.exact {
            return problem(found, row, "has a payload that is not the one that was saved");
        }
        let comparable = self.state.algorithms.get(usize::from(entry.hashes.algorithm)) == Some(&fingerprint);
        match content::canonical(rules, payload.as_bytes()) {
            Ok(canonical) if comparable && canonical.hash != entry.hashes.canonical => {
                problem(found, row, "has a content hash that does not fit its payload");
            }
            Ok(_) => {}
            Err(error) => problem(found, row, &error.to_string()),
        }
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
