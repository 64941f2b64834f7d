//! A store as the specification tells it, over maps: no ULIDs, no indexes, no memory of its own.
//!
//! Positions are numbers from a counter that never goes back, so that positions of lost histories
//! are never used again.

mod care;
mod reading;

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{Action, ErrorKind, NetAction, Outcome};

use super::content::Content;
use super::steps::{Batch, CONSUMERS, Guard, IDS, Kind, Look, RunUse, STREAMS, Step, Write};
use crate::environment::MOMENT_MS;

const LEAP_MS: u64 = 366 * 24 * 3600 * 1000;
const LATEST_MS: u64 = 3_000_000_000_000;
const LEASE_MS: u64 = 60_000;
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// The error kinds that the specification allows for a refusal.
pub(crate) type Refusal = &'static [ErrorKind];

pub(crate) const LOST: Refusal = &[ErrorKind::CursorForked, ErrorKind::CursorFuture, ErrorKind::CursorExpired];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    birth: u64,
    /// Earlier lives: birth and death.
    lives: Vec<(u64, u64)>,
    pub(crate) action: Action,
    pub(crate) content: Content,
    version: Option<i64>,
    pub(crate) pruned: bool,
    modified_ms: u64,
}

impl Entry {
    pub(crate) fn is_live(&self) -> bool {
        self.action != Action::Deleted
    }

    fn held_at(&self, cursor: u64) -> bool {
        let within = |birth: u64, death: u64| birth <= cursor && cursor < death;
        within(self.birth, self.position) || self.lives.iter().any(|(birth, death)| within(*birth, *death))
    }

    /// Whether a reader at `cursor` may hold it: one that came past the end of an earlier life after the record
    /// had moved on was never told of that end.
    fn perhaps_held_at(&self, cursor: u64) -> bool {
        self.held_at(cursor) || self.lives.iter().any(|(birth, _)| *birth <= cursor)
    }
}

#[derive(Clone, Debug)]
struct Run {
    number: u64,
    start: u64,
    seen: BTreeSet<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) acknowledged: u64,
    drain: u64,
    generation: u64,
    leased_until: u64,
    first: Option<u64>,
    attempts: u32,
    evicted: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    known: bool,
    pub(crate) entries: BTreeMap<usize, Entry>,
    pub(crate) last: u64,
    pub(crate) horizon: u64,
    payload_horizon: u64,
    prunes: u64,
    history_horizon: u64,
    keeps_history: bool,
    /// Superseded entries, and what took their place.
    versions: Vec<(usize, Entry, u64)>,
    run: Option<Run>,
    pub(crate) consumers: BTreeMap<usize, Consumer>,
}

/// What a backup would hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) streams: [Stream; STREAMS],
    pub(crate) checkpoint: Option<u64>,
    high_water_ms: u64,
    minted: BTreeSet<u64>,
    rebased: BTreeSet<u64>,
}

/// A cursor that was given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) stream: usize,
    pub(crate) position: u64,
    pub(crate) filtered: bool,
    /// The prunes of before the reading from START that it is in the middle of, below the horizon.
    pub(crate) drain: u64,
}

/// A delivery that can be acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) stream: usize,
    pub(crate) name: usize,
    generation: u64,
    up_to: u64,
    drain: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: usize,
    pub(crate) net: NetAction,
    pub(crate) entry: Entry,
}

#[derive(Clone, Debug)]
pub(crate) struct Paged {
    pub(crate) items: Vec<Item>,
    pub(crate) next: u64,
    pub(crate) drain: u64,
    pub(crate) has_more: bool,
}

/// What a step must come to.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Nothing,
    Commit(Result<(Vec<Outcome>, u64), Refusal>),
    Page(Result<Paged, Refusal>),
    Delivery(Result<(Paged, u32), Refusal>),
    Removed(Result<u64, Refusal>),
    Past(Result<BTreeMap<usize, Entry>, Refusal>),
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) now_ms: u64,
    pub(crate) world: World,
    pub(crate) backups: Vec<World>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) leases: Vec<Lease>,
    /// Where the readers stand, as places in `tokens`.
    pub(crate) readers: [usize; 3],
    pub(crate) expected: Expected,
    /// Where the reader of the last step stood before it, as a place in `tokens`.
    pub(crate) read_from: Option<usize>,
    next: u64,
    pub(crate) run: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let start = |stream, filtered| Token { stream, position: 0, filtered, drain: 0 };
        Model {
            now_ms: MOMENT_MS,
            world: World::default(),
            backups: Vec::new(),
            tokens: vec![start(0, false), start(1, false), start(0, true)],
            leases: Vec::new(),
            readers: [0, 1, 2],
            expected: Expected::Nothing,
            read_from: None,
            next: 1,
            run: 0,
        }
    }

    pub(crate) fn token(&self, selector: usize) -> (usize, Token) {
        let place = selector % self.tokens.len();
        (place, self.tokens[place])
    }

    pub(crate) fn live(&self, stream: usize, open_only: bool) -> BTreeMap<usize, Content> {
        let entries = &self.world.streams[stream].entries;
        entries
            .iter()
            .filter(|(_, entry)| entry.is_live() && (!open_only || entry.content.open == Some(true)))
            .map(|(id, entry)| (*id, entry.content))
            .collect()
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.expected = match step {
            Step::Commit(batch) => {
                let before = self.world.clone();
                let outcome = self.commit(batch);
                if outcome.is_err() {
                    self.world = before;
                }
                Expected::Commit(outcome)
            }
            Step::Look(look) => self.look(look),
            Step::Read { reader, limit } => {
                self.read_from = Some(self.readers[*reader]);
                let token = self.tokens[self.readers[*reader]];
                let page = self.page(token, &plain(*limit, token.filtered));
                if let Ok(page) = &page {
                    self.readers[*reader] = self.tokens.len();
                    self.tokens.push(Token { position: page.next, drain: page.drain, ..token });
                } else {
                    // It begins anew.
                    self.readers[*reader] = *reader;
                }
                Expected::Page(page)
            }
            Step::Converge { token } => {
                let (_, token) = self.token(*token);
                Expected::Page(self.page(token, &plain(1000, token.filtered)))
            }
            Step::Poll { stream, name, limit } => self.poll(*stream, *name, *limit),
            Step::Ack { token } => self.acknowledge(*token, true),
            Step::Nack { token } => self.acknowledge(*token, false),
            Step::Seek { stream, name, to } => self.seek(*stream, *name, *to),
            Step::Evict { stream, name } => match self.world.streams[*stream].consumers.get_mut(name) {
                None => Expected::Removed(Err(&[ErrorKind::NotFound])),
                Some(consumer) => {
                    consumer.evicted = true;
                    consumer.generation += 1;
                    consumer.release();
                    Expected::Removed(Ok(0))
                }
            },
            Step::Prune { stream, payloads, token } => self.prune(*stream, *payloads, *token),
            Step::Clear { stream } => self.clear(*stream),
            Step::History { stream, keep } => {
                let target = &mut self.world.streams[*stream];
                target.keeps_history = *keep;
                target.known = true;
                if !keep {
                    target.forget_versions(u64::MAX);
                }
                Expected::Removed(Ok(0))
            }
            Step::Rebase => self.rebase(),
            Step::Past { token } => self.past(*token),
            Step::Clock(milliseconds) => {
                self.now_ms = self.now_ms.saturating_add_signed(*milliseconds);
                Expected::Nothing
            }
            Step::Backup => {
                self.backups.push(self.world.clone());
                Expected::Nothing
            }
            Step::Restore { backup } => {
                if !self.backups.is_empty() {
                    let place = backup % self.backups.len();
                    self.world = self.backups[place].clone();
                }
                Expected::Nothing
            }
            Step::Reopen | Step::Crash | Step::Clone { .. } => Expected::Nothing,
        };
    }

    fn mint(&mut self, allow_leap: bool) -> Result<u64, Refusal> {
        let world = &mut self.world;
        let leap = world.high_water_ms != 0 && self.now_ms.saturating_sub(world.high_water_ms) > LEAP_MS;
        if (leap || self.now_ms > LATEST_MS) && !allow_leap {
            return Err(&[ErrorKind::ClockImplausible]);
        }
        world.high_water_ms = world.high_water_ms.max(self.now_ms);
        let position = self.next;
        self.next += 1;
        world.minted.insert(position);
        Ok(position)
    }

    fn belongs(&self, token: Token, stream: usize, filtered: bool) -> Result<(), Refusal> {
        if token.position == 0 {
            Ok(())
        } else if token.filtered != filtered {
            Err(&[ErrorKind::FilterMismatch, ErrorKind::CursorForeign])
        } else if token.stream != stream {
            // Of a filtered cursor the tag cannot tell which of the two is another.
            if filtered {
                Err(&[ErrorKind::CursorForeign, ErrorKind::FilterMismatch])
            } else {
                Err(&[ErrorKind::CursorForeign])
            }
        } else if self.world.minted.contains(&token.position) {
            Ok(())
        } else if self.world.rebased.contains(&token.position) {
            Err(&[ErrorKind::CursorExpired])
        } else {
            Err(LOST)
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(Vec<Outcome>, u64), Refusal> {
        let place = batch.stream;
        self.world.checkpoint = Some(self.next);
        let keep_after = match batch.merging {
            Some(selector) => {
                let (_, token) = self.token(selector);
                self.belongs(token, place, false)?;
                Some(token.position)
            }
            None => None,
        };
        let in_run = self.open_run(batch)?;
        let mut outcomes = Vec::new();
        for write in &batch.writes {
            outcomes.push(self.write(place, write, keep_after, in_run, batch.allow_leap)?);
        }
        if batch.poison {
            return Err(&[ErrorKind::Invalid]);
        }
        let deleted = match batch.run {
            RunUse::Complete(guard) => self.complete(place, guard, batch.allow_leap)?,
            RunUse::Abort => {
                self.world.streams[place].run = None;
                0
            }
            _ => 0,
        };
        Ok((outcomes, deleted))
    }

    /// Whether the batch belongs to the stream's open run.
    fn open_run(&mut self, batch: &Batch) -> Result<bool, Refusal> {
        if let RunUse::Begin = batch.run {
            self.run += 1;
            let stream = &mut self.world.streams[batch.stream];
            stream.run = Some(Run { number: self.run, start: stream.last, seen: BTreeSet::new() });
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

    fn write(
        &mut self,
        place: usize,
        write: &Write,
        keep_after: Option<u64>,
        in_run: bool,
        allow_leap: bool,
    ) -> Result<Outcome, Refusal> {
        let old = self.world.streams[place].entries.get(&write.id).cloned();
        let live = old.as_ref().filter(|old| old.is_live());
        let new = match write.kind {
            Kind::Upsert(content, _) => Some(content),
            Kind::Patch(patch) => match live {
                Some(old) if old.pruned => return Err(&[ErrorKind::NotFound]),
                Some(old) => Some(old.content.merged(&patch)),
                None => Some(patch),
            },
            Kind::Delete => None,
        };
        let stale = old.as_ref().is_some_and(|old| write.version.is_some() && write.version < old.version);
        let kept = old.as_ref().is_some_and(|old| keep_after.is_some_and(|cursor| old.position > cursor));
        let same = live.is_some_and(|old| Some(old.content) == new);
        if let (Some(old), true, true) = (live, in_run, stale || kept || same) {
            self.world.streams[place].see(old.position);
        }
        if stale {
            return Ok(Outcome::Stale);
        }
        if same {
            let entry = self.world.streams[place].entries.get_mut(&write.id);
            if let (Some(entry), Some(version)) = (entry, write.version) {
                entry.version = Some(version);
            }
            return Ok(Outcome::Unchanged);
        }
        if kept {
            return Ok(Outcome::Kept);
        }
        let Some(content) = new else {
            let Some(old) = live.cloned() else { return Ok(Outcome::Missing) };
            self.put(
                place,
                write.id,
                Entry { action: Action::Deleted, version: write.version.or(old.version), ..old },
                allow_leap,
            )?;
            return Ok(Outcome::Deleted);
        };
        let version = write.version.or(old.as_ref().and_then(|old| old.version));
        let (outcome, entry) = match old {
            Some(old) if old.is_live() => {
                (Outcome::Updated, Entry { action: Action::Updated, content, version, pruned: false, ..old })
            }
            Some(old) => {
                let mut lives = old.lives.clone();
                lives.push((old.birth, old.position));
                // Birth 0: it begins here.
                (
                    Outcome::Added,
                    Entry { action: Action::Added, content, version, pruned: false, birth: 0, lives, ..old },
                )
            }
            None => {
                let fresh = Entry {
                    position: 0,
                    birth: 0,
                    lives: Vec::new(),
                    action: Action::Added,
                    content,
                    version,
                    pruned: false,
                    modified_ms: 0,
                };
                (Outcome::Added, fresh)
            }
        };
        self.put(place, write.id, entry, allow_leap)?;
        Ok(outcome)
    }

    /// Puts an entry at the end of its stream.
    fn put(&mut self, place: usize, id: usize, mut entry: Entry, allow_leap: bool) -> Result<(), Refusal> {
        entry.position = self.mint(allow_leap)?;
        entry.modified_ms = self.world.high_water_ms;
        if entry.birth == 0 {
            entry.birth = entry.position;
        }
        let stream = &mut self.world.streams[place];
        stream.last = entry.position;
        stream.known = true;
        let position = entry.position;
        if let Some(old) = stream.entries.insert(id, entry) {
            if stream.keeps_history {
                stream.versions.push((id, old, position));
            } else {
                stream.history_horizon = position;
            }
        }
        Ok(())
    }

    fn complete(&mut self, place: usize, guard: Guard, allow_leap: bool) -> Result<u64, Refusal> {
        let stream = &mut self.world.streams[place];
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
        let nothing_seen = gone > 0 && gone == live;
        let held = nothing_seen || (gone > count && gone as f64 > fraction * live as f64);
        if held && !matches!(guard, Guard::Approved) {
            return Err(&[ErrorKind::AwaitingApproval]);
        }
        for (_, id) in &missing {
            if let Some(old) = self.world.streams[place].entries.get(id).cloned() {
                self.put(place, *id, Entry { action: Action::Deleted, ..old }, allow_leap)?;
            }
        }
        Ok(gone as u64)
    }
}

impl Stream {
    /// Whether a reader that comes from `after` is in the middle of a reading from START, below the horizon.
    fn drain_at(&self, after: u64, drain: u64, position: u64) -> u64 {
        let below = position < self.horizon.max(self.payload_horizon);
        if below && (after == 0 || drain != 0) { self.prunes } else { 0 }
    }

    fn see(&mut self, position: u64) {
        if let Some(run) = &mut self.run
            && position <= run.start
        {
            run.seen.insert(position);
        }
    }

    fn forget_versions(&mut self, up_to: u64) -> u64 {
        let before = self.versions.len();
        let horizon = &mut self.history_horizon;
        self.versions.retain(|(_, _, by)| {
            if *by <= up_to {
                *horizon = (*by).max(*horizon);
            }
            *by > up_to
        });
        (before - self.versions.len()) as u64
    }
}

impl Consumer {
    fn release(&mut self) {
        self.leased_until = 0;
        self.first = None;
        self.attempts = 0;
    }
}

/// A look with nothing special about it.
pub(crate) fn plain(limit: usize, open_only: bool) -> Look {
    Look { token: 0, elsewhere: false, limit, actions: 0, open_only, ids: None, last_ms: None, metadata_only: false }
}

/// The names are told by number in the model.
pub(crate) fn id_of(name: &str) -> usize {
    IDS.iter().position(|id| *id == name).expect("an id of the machine")
}

pub(crate) fn consumer_name(name: usize) -> &'static str {
    CONSUMERS[name]
}
