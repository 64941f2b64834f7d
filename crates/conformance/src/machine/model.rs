//! A store as the specification tells it, over maps: no ULIDs, no indexes, no memory of its own.
//!
//! Positions are numbers from a counter that never goes back, so that positions of lost histories
//! are never used again.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{Action, ErrorKind, NetAction, Outcome};

use super::content::Content;
use super::steps::{Batch, CONSUMERS, Guard, IDS, Kind, Look, RunUse, STREAMS, Step, To, Write};
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

    /// The page that a token and a look come to.
    pub(crate) fn page(&self, token: Token, look: &Look) -> Result<Paged, Refusal> {
        let place = if look.elsewhere { 1 - token.stream } else { token.stream };
        self.belongs(token, place, look.open_only)?;
        let stream = &self.world.streams[place];
        let after = token.position;
        let payload_horizon = if look.metadata_only { 0 } else { stream.payload_horizon };
        let fresh = token.drain != 0 && token.drain == stream.prunes;
        if after != 0 && after < stream.horizon.max(payload_horizon) && !fresh {
            return Err(&[ErrorKind::CursorExpired]);
        }
        let since_ms = look.last_ms.map_or(0, |last_ms| self.now_ms.saturating_sub(last_ms));
        let mut rows: Vec<(&usize, &Entry)> = stream
            .entries
            .iter()
            .filter(|(id, entry)| {
                entry.position > after
                    && entry.modified_ms >= since_ms
                    && (look.actions == 0 || look.actions & (1 << entry.action.code()) != 0)
                    && look.ids.as_ref().is_none_or(|ids| ids.contains(id))
            })
            .collect();
        rows.sort_by_key(|(_, entry)| entry.position);
        let mut page = Paged { items: Vec::new(), next: stream.last.max(after), drain: 0, has_more: false };
        for (id, entry) in rows {
            if page.items.len() == look.limit {
                page.has_more = true;
                page.next = page.items.last().map_or(after, |item| item.entry.position);
                break;
            }
            let held = entry.held_at(after);
            let matches = !look.open_only || (entry.content.open == Some(true) && !entry.pruned);
            let net = match (entry.is_live(), held) {
                (true, true) if !matches => NetAction::Left,
                (true, false) if !matches => continue,
                (true, true) => NetAction::Updated,
                (true, false) => NetAction::Added,
                (false, true) => NetAction::Deleted,
                (false, false) => NetAction::Void,
            };
            page.items.push(Item { id: *id, net, entry: entry.clone() });
        }
        page.drain = if page.next == after { token.drain } else { stream.drain_at(after, token.drain, page.next) };
        Ok(page)
    }

    fn look(&mut self, look: &Look) -> Expected {
        let (_, token) = self.token(look.token);
        let page = self.page(token, look);
        if let Ok(page) = &page {
            let stream = if look.elsewhere { 1 - token.stream } else { token.stream };
            self.tokens.push(Token { stream, position: page.next, filtered: look.open_only, drain: page.drain });
        }
        Expected::Page(page)
    }

    fn poll(&mut self, place: usize, name: usize, limit: usize) -> Expected {
        let mut consumer = self.world.streams[place].consumers.get(&name).cloned().unwrap_or_default();
        if consumer.leased_until > self.now_ms {
            return Expected::Delivery(Err(&[ErrorKind::LeaseLost]));
        }
        if consumer.evicted {
            return Expected::Delivery(Err(&[ErrorKind::CursorExpired]));
        }
        let page = loop {
            let (position, drain) = (consumer.acknowledged, consumer.drain);
            let token = Token { stream: place, position, filtered: false, drain };
            let page = match self.page(token, &plain(limit, false)) {
                Ok(page) => page,
                Err(refusal) => return Expected::Delivery(Err(refusal)),
            };
            let Some(first) = page.items.first().map(|item| item.entry.position) else {
                (consumer.acknowledged, consumer.drain) = (page.next, page.drain);
                consumer.release();
                consumer.attempts = 1;
                break page;
            };
            consumer.attempts = if consumer.first == Some(first) { consumer.attempts + 1 } else { 1 };
            consumer.first = Some(first);
            if consumer.attempts > MAX_ATTEMPTS {
                consumer.drain = self.world.streams[place].drain_at(position, drain, first);
                consumer.acknowledged = first;
                consumer.first = None;
                continue;
            }
            consumer.generation += 1;
            consumer.leased_until = self.now_ms + LEASE_MS;
            break page;
        };
        let attempt = consumer.attempts;
        if page.items.is_empty() {
            consumer.attempts = 0;
        }
        self.leases.push(Lease {
            stream: place,
            name,
            generation: consumer.generation,
            up_to: page.next,
            drain: page.drain,
        });
        self.world.streams[place].known = true;
        self.world.streams[place].consumers.insert(name, consumer);
        Expected::Delivery(Ok((page, attempt)))
    }

    fn acknowledge(&mut self, selector: usize, good: bool) -> Expected {
        if self.leases.is_empty() {
            return Expected::Nothing;
        }
        let lease = self.leases[selector % self.leases.len()];
        let Some(consumer) = self.world.streams[lease.stream].consumers.get(&lease.name) else {
            return Expected::Removed(Err(&[ErrorKind::NotFound]));
        };
        if consumer.generation != lease.generation {
            return Expected::Removed(Err(&[ErrorKind::LeaseLost]));
        }
        let up_to = Token { stream: lease.stream, position: lease.up_to, filtered: false, drain: lease.drain };
        if good && let Err(refusal) = self.belongs(up_to, lease.stream, false) {
            return Expected::Removed(Err(refusal));
        }
        if let Some(consumer) = self.world.streams[lease.stream].consumers.get_mut(&lease.name) {
            consumer.leased_until = 0;
            if good {
                if lease.up_to > consumer.acknowledged {
                    (consumer.acknowledged, consumer.drain) = (lease.up_to, lease.drain);
                }
                consumer.release();
            }
        }
        Expected::Removed(Ok(0))
    }

    fn seek(&mut self, place: usize, name: usize, to: To) -> Expected {
        let (position, drain) = match to {
            To::Start => (0, 0),
            To::End => (self.world.streams[place].last, 0),
            To::Token(selector) => {
                let (_, token) = self.token(selector);
                let look = Look { elsewhere: token.stream != place, ..plain(1, false) };
                if let Err(refusal) = self.page(token, &look) {
                    return Expected::Removed(Err(refusal));
                }
                (token.position, token.drain)
            }
        };
        let stream = &mut self.world.streams[place];
        stream.known = true;
        let consumer = stream.consumers.entry(name).or_default();
        (consumer.acknowledged, consumer.drain) = (position, drain);
        consumer.generation += 1;
        consumer.evicted = false;
        consumer.release();
        Expected::Removed(Ok(0))
    }

    fn prune(&mut self, place: usize, payloads: bool, selector: usize) -> Expected {
        let (_, token) = self.token(selector);
        if let Err(refusal) = self.belongs(token, place, false) {
            return Expected::Removed(Err(refusal));
        }
        let stream = &mut self.world.streams[place];
        let held = stream.consumers.values().filter(|consumer| !consumer.evicted).map(|consumer| consumer.acknowledged);
        let limit = held.min().unwrap_or(u64::MAX).min(token.position);
        let mut removed = 0;
        if payloads {
            for entry in stream.entries.values_mut().filter(|entry| entry.position <= limit && !entry.pruned) {
                entry.pruned = true;
                stream.payload_horizon = stream.payload_horizon.max(entry.position);
                removed += 1;
            }
        } else {
            let horizon = &mut stream.horizon;
            stream.entries.retain(|_, entry| {
                let goes = !entry.is_live() && entry.position <= limit;
                if goes {
                    *horizon = entry.position.max(*horizon);
                    removed += 1;
                }
                !goes
            });
        }
        stream.prunes += u64::from(removed > 0);
        if payloads {
            removed += stream.forget_versions(limit);
        }
        Expected::Removed(Ok(removed))
    }

    fn clear(&mut self, place: usize) -> Expected {
        let position = match self.mint(false) {
            Ok(position) => position,
            Err(refusal) => return Expected::Removed(Err(refusal)),
        };
        let stream = &mut self.world.streams[place];
        stream.entries.clear();
        stream.versions.clear();
        stream.run = None;
        stream.known = true;
        stream.prunes += 1;
        (stream.last, stream.horizon, stream.payload_horizon) = (position, position, position);
        stream.history_horizon = position;
        Expected::Removed(Ok(0))
    }

    fn rebase(&mut self) -> Expected {
        if self.now_ms > LATEST_MS && self.world.streams.iter().any(|stream| stream.known) {
            return Expected::Removed(Err(&[ErrorKind::ClockImplausible]));
        }
        let old = std::mem::take(&mut self.world.minted);
        self.world.rebased.extend(old);
        self.world.high_water_ms = 0;
        // A stored name begins with its length: "v" comes before "base".
        for place in (0..STREAMS).rev() {
            if !self.world.streams[place].known {
                continue;
            }
            let horizon = self.mint(true).unwrap_or_default();
            let mut order: Vec<(u64, usize)> =
                self.world.streams[place].entries.iter().map(|(id, entry)| (entry.position, *id)).collect();
            order.sort_unstable();
            let mut last = horizon;
            let mut moved = BTreeMap::new();
            for (old, id) in order {
                let birth = self.mint(true).unwrap_or_default();
                let added = self.world.streams[place].entries[&id].action == Action::Added;
                last = if added { birth } else { self.mint(true).unwrap_or_default() };
                moved.insert(old, last);
                let modified_ms = self.world.high_water_ms;
                if let Some(entry) = self.world.streams[place].entries.get_mut(&id) {
                    (entry.position, entry.birth, entry.modified_ms) = (last, birth, modified_ms);
                    entry.lives.clear();
                }
            }
            let stream = &mut self.world.streams[place];
            stream.prunes += 1;
            (stream.last, stream.horizon, stream.payload_horizon) = (last, horizon, horizon);
            stream.history_horizon = last;
            stream.versions.clear();
            for consumer in stream.consumers.values_mut() {
                consumer.evicted = true;
                consumer.generation += 1;
                consumer.release();
            }
            if let Some(run) = &mut stream.run {
                run.start = moved.range(..=run.start).next_back().map_or(horizon, |(_, new)| *new);
                run.seen = run.seen.iter().filter_map(|old| moved.get(old).copied()).collect();
            }
        }
        Expected::Removed(Ok(0))
    }

    fn past(&self, selector: usize) -> Expected {
        let (_, token) = self.token(selector);
        if let Err(refusal) = self.belongs(token, token.stream, false) {
            return Expected::Past(Err(refusal));
        }
        let (stream, at) = (&self.world.streams[token.stream], token.position);
        if at != 0 && at < stream.history_horizon {
            return Expected::Past(Err(&[ErrorKind::CursorExpired]));
        }
        let present = stream.entries.iter().filter(|(_, entry)| entry.position <= at);
        let before = stream
            .versions
            .iter()
            .filter(|(_, entry, by)| entry.position <= at && at < *by)
            .map(|(id, entry, _)| (id, entry));
        let found = present.chain(before).filter(|(_, entry)| entry.is_live());
        Expected::Past(Ok(found.map(|(id, entry)| (*id, entry.clone())).collect()))
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
