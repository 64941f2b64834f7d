//! What a batch does: which operation is a change, what a run deletes.

use std::collections::BTreeSet;

use highwater_core::{Action, ErrorKind, WriteOutcome};

use super::super::steps::{Batch, Guard, Kind, Merge, RunUse, Version, Write};
use super::world::Run;
use super::{Entry, Model, Refusal};

/// What holds for every write of a batch.
struct Terms {
    place: usize,
    /// Keep what was modified behind this position, by anybody or by others.
    keep: Option<(u64, Merge)>,
    in_run: bool,
    /// Whether the batch itself emptied the stream.
    cleared: bool,
    origin: Option<u8>,
    quarantine: bool,
    by_another: bool,
    allow_leap: bool,
}

impl Model {
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<(Vec<WriteOutcome>, u64), Refusal> {
        let place = batch.stream;
        if let Some(number) = batch.fence.and_then(|selector| self.fence(selector))
            && number != self.world.fence
        {
            return Err(&[ErrorKind::Fenced]);
        }
        if batch.expects_another && self.world.checkpoint.is_some() {
            return Err(&[ErrorKind::Conflict]);
        }
        self.world.checkpoint = Some(self.next);
        if batch.clear {
            self.clear(place, batch.other_handle, batch.allow_leap)?;
        }
        let keep = match batch.merging {
            Some((selector, merge)) => {
                let (_, token) = self.token(selector);
                self.belongs(token, place, false)?;
                Some((token.position, merge))
            }
            None => None,
        };
        let in_run = self.open_run(batch)?;
        let terms = Terms {
            place,
            keep,
            in_run,
            cleared: batch.clear,
            origin: batch.origin,
            quarantine: batch.quarantine,
            by_another: batch.other_handle,
            allow_leap: batch.allow_leap,
        };
        let mut outcomes = Vec::new();
        for write in &batch.writes {
            outcomes.push(self.write(&terms, write)?);
        }
        if let Some(run) = self.world.streams[place].run.as_mut().filter(|_| in_run) {
            run.met |= outcomes.iter().any(|outcome| *outcome != WriteOutcome::Missing);
        }
        let deleted = match batch.run {
            RunUse::Complete(guard) => self.complete(&terms, guard)?,
            RunUse::Abort => {
                self.world.streams[place].run = None;
                0
            }
            _ => 0,
        };
        if batch.summary {
            let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
            let [added, updated, unchanged] =
                [WriteOutcome::Added, WriteOutcome::Updated, WriteOutcome::Unchanged].map(count);
            let now = [added, updated, unchanged, count(WriteOutcome::Deleted) + deleted];
            let sums = self.world.summaries[place].get_or_insert([0; 4]);
            sums.iter_mut().zip(now).for_each(|(sum, now)| *sum += now);
        }
        Ok((outcomes, deleted))
    }

    /// A fencing number that was given out.
    pub(crate) fn fence(&self, selector: usize) -> Option<u64> {
        let count = self.fences.len();
        (count > 0).then(|| self.fences[selector % count])
    }

    /// Whether the batch belongs to the stream's open run.
    fn open_run(&mut self, batch: &Batch) -> Result<bool, Refusal> {
        if let RunUse::Begin = batch.run {
            self.run += 1;
            let stream = &mut self.world.streams[batch.stream];
            let (number, start) = (self.run, stream.last);
            stream.run = Some(Run { number, start, seen: BTreeSet::new(), unidentified: 0, met: false });
            stream.known = true;
        }
        let number = match batch.run {
            RunUse::None => return Ok(false),
            RunUse::Stranger => 0,
            _ => self.run,
        };
        match &self.world.streams[batch.stream].run {
            Some(run) if run.number == number => Ok(true),
            _ => Err(&[ErrorKind::Fenced]),
        }
    }

    fn write(&mut self, terms: &Terms, write: &Write) -> Result<WriteOutcome, Refusal> {
        let stream = &mut self.world.streams[terms.place];
        let without_n = stream.without_n;
        let old = stream.entries.get(&write.id).cloned();
        let live = old.as_ref().filter(|old| old.is_live());
        let new = match write.kind {
            Kind::Upsert(content, spelling) => Some((content, content.spelled(spelling))),
            Kind::Patch(patch) => match live {
                Some(old) if old.pruned => {
                    return self.set_aside(terms, write, &patch.spelled(0).text, &[ErrorKind::NotFound]);
                }
                Some(old) => Some((old.content.merged(&patch), old.spelled.patched(&old.content, &patch))),
                None => Some((patch, patch.spelled(0))),
            },
            Kind::Bad(bad) => {
                return self.set_aside(terms, write, bad.payload(), &[ErrorKind::Invalid, ErrorKind::NotFound]);
            }
            Kind::Delete => None,
            Kind::Seen => {
                let Some(position) = live.map(|old| old.position) else { return Ok(WriteOutcome::Missing) };
                if terms.in_run {
                    stream.see(position);
                }
                return Ok(WriteOutcome::Unchanged);
            }
        };
        let version = write.version.map(stored);
        // A run that still sees a record has the last word over a delete of the same version.
        let saves = new.is_some() && terms.in_run;
        let stale = old.as_ref().is_some_and(|old| {
            let tie = saves && !old.is_live() && version.map(of_delete) == old.version;
            is_older(version, old.version) && !tie
        });
        let kept = old.as_ref().is_some_and(|old| match terms.keep {
            None => false,
            Some((cursor, Merge::KeepAll)) => old.position > cursor,
            Some((cursor, Merge::KeepOthers)) => old.position > cursor && old.origin != terms.origin,
        });
        let same = match (live, &new) {
            (Some(old), Some((content, spelled))) => old.is_same(content, spelled, without_n),
            _ => false,
        };
        if let (Some(old), true, true) = (live, terms.in_run, stale || kept || same) {
            stream.see(old.position);
        }
        if stale {
            return Ok(WriteOutcome::Stale);
        }
        if same {
            if let (Some(entry), Some(version)) = (stream.entries.get_mut(&write.id), version) {
                entry.version = Some(version);
            }
            return Ok(WriteOutcome::Unchanged);
        }
        if kept {
            return Ok(WriteOutcome::Kept);
        }
        let Some((content, spelled)) = new else {
            let version = version.map(of_delete);
            let Some(old) = live.cloned() else {
                match (stream.entries.get_mut(&write.id), version) {
                    // A tombstone keeps the newest version that it was deleted at.
                    (Some(entry), Some(version)) => entry.version = Some(version),
                    // It overtook the news of what it deletes.
                    (None, Some(_)) => {
                        let birth = self.mint(terms.by_another, terms.allow_leap)?;
                        let gone = Entry { birth, version, ..Entry::empty(Action::Deleted, without_n) };
                        self.put(terms, write.id, gone)?;
                    }
                    (_, None) => {}
                }
                return Ok(WriteOutcome::Missing);
            };
            let version = version.or(old.version);
            self.put(terms, write.id, Entry { action: Action::Deleted, version, ..old })?;
            return Ok(WriteOutcome::Deleted);
        };
        if let (None, Some((cursor, _))) = (&old, terms.keep)
            && (1..stream.horizon).contains(&cursor)
            && !terms.cleared
        {
            return Err(&[ErrorKind::Conflict]);
        }
        let version = version.or(old.as_ref().and_then(|old| old.version));
        let mut entry = Entry { content, spelled, version, ..Entry::empty(Action::Added, without_n) };
        let outcome = match old {
            Some(old) if old.is_live() => {
                (entry.action, entry.birth, entry.lives) = (Action::Updated, old.birth, old.lives);
                WriteOutcome::Updated
            }
            Some(mut old) => {
                old.lives.push((old.birth, old.position));
                entry.lives = old.lives;
                WriteOutcome::Added
            }
            None => WriteOutcome::Added,
        };
        self.put(terms, write.id, entry)?;
        Ok(outcome)
    }

    /// What cannot be stored fails the batch, or goes into quarantine: it counts as seen.
    fn set_aside(
        &mut self,
        terms: &Terms,
        write: &Write,
        payload: &str,
        refusal: Refusal,
    ) -> Result<WriteOutcome, Refusal> {
        if !terms.quarantine && !matches!(write.kind, Kind::Bad(bad) if bad.is_told()) {
            return Err(refusal);
        }
        let stream = &mut self.world.streams[terms.place];
        let id = match write.kind {
            Kind::Bad(bad) if !bad.is_named() => Err(bad.payload()),
            _ => Ok(write.id),
        };
        if terms.in_run {
            let position = id.ok().and_then(|id| stream.entries.get(&id)).filter(|old| old.is_live());
            if let Some(position) = position.map(|old| old.position) {
                stream.see(position);
            }
            if let (Err(_), Some(run)) = (id, &mut stream.run) {
                run.unidentified += 1;
            }
        }
        stream.known = true;
        self.world.quarantine.insert((terms.place, id), payload.to_owned());
        Ok(WriteOutcome::Rejected)
    }

    /// Puts an entry at the end of its stream.
    fn put(&mut self, terms: &Terms, id: usize, mut entry: Entry) -> Result<(), Refusal> {
        entry.position = self.mint(terms.by_another, terms.allow_leap)?;
        entry.modified_ms = self.world.high_water_ms;
        entry.origin = terms.origin;
        if entry.birth == 0 {
            entry.birth = entry.position;
        }
        let stream = &mut self.world.streams[terms.place];
        stream.last = entry.position;
        stream.known = true;
        let position = entry.position;
        if let Some(old) = stream.entries.get(&id) {
            let was_open = stream.tracks_open && old.is_live() && !old.pruned && old.is_open(true);
            entry.open_from = old.open_from.or(was_open.then_some(old.position));
        }
        if let Some(old) = stream.entries.insert(id, entry) {
            stream.supersede(id, old, position);
        }
        Ok(())
    }

    fn complete(&mut self, terms: &Terms, guard: Guard) -> Result<u64, Refusal> {
        let stream = &mut self.world.streams[terms.place];
        let Some(run) = stream.run.take() else { return Err(&[ErrorKind::Fenced]) };
        let live = stream.entries.values().filter(|entry| entry.is_live()).count();
        let mut missing: Vec<(u64, usize)> = stream
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_live() && entry.position <= run.start && !run.seen.contains(&entry.position))
            .map(|(id, entry)| (entry.position, *id))
            .collect();
        missing.sort_unstable();
        let gone = missing.len();
        let (count, fraction) = match guard {
            Guard::Default => (20, 0.2),
            Guard::Tight => (1, 0.3),
            Guard::Approved => (usize::MAX, 1.0),
        };
        let nothing_seen = gone > 0 && (gone == live || !run.met);
        let held = nothing_seen || (gone > count && gone as f64 > fraction * live as f64);
        // Of what came without an id nobody knows which of the missing it was.
        let uncertain = gone > 0 && run.unidentified > 0;
        if (held || uncertain) && !matches!(guard, Guard::Approved) {
            return Err(&[ErrorKind::AwaitingApproval]);
        }
        for (_, id) in &missing {
            if let Some(old) = self.world.streams[terms.place].entries.get(id).cloned() {
                self.put(terms, *id, Entry { action: Action::Deleted, ..old })?;
            }
        }
        Ok(gone as u64)
    }
}

/// A version as it is kept: room is left behind each text.
fn stored(version: Version) -> Version {
    match version {
        Version::Text(place) => Version::Text(2 * place),
        number => number,
    }
}

/// The version of a tombstone: right behind that of the delete.
fn of_delete(version: Version) -> Version {
    match version {
        Version::Number(number) => Version::Number(number + 1),
        Version::Text(place) => Version::Text(place + 1),
    }
}

/// Versions of one kind have an order; others have none.
fn is_older(new: Option<Version>, old: Option<Version>) -> bool {
    match (new, old) {
        (Some(Version::Number(new)), Some(Version::Number(old))) => new < old,
        (Some(Version::Text(new)), Some(Version::Text(old))) => new < old,
        _ => false,
    }
}
