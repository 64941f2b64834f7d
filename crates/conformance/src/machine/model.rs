//! A store as specified, over maps: no ULIDs, no indexes, no caches.
//!
//! Positions are numbers from a counter that never goes back, so that positions of lost histories
//! are never used again.

mod care;
mod clock;
mod consuming;
mod reading;
mod world;
mod writing;

use std::collections::BTreeMap;

use highwater_core::{ErrorKind, NetAction, WriteOutcome};

use super::steps::{CONSUMERS, IDS, Look, Step};
use crate::environment::MOMENT_MS;
pub(crate) use clock::Handles;
pub(crate) use world::{Aside, Entry, World};

pub(crate) const MAX_ATTEMPTS: u32 = 2;
pub(crate) const MAX_EXPIRATIONS: u32 = 3;
pub(crate) const MAX_BACKOFF_MS: u64 = 1000;

/// The error kinds that the specification allows for a refusal.
pub(crate) type Refusal = &'static [ErrorKind];

pub(crate) const LOST: Refusal = &[ErrorKind::CursorForked, ErrorKind::CursorFuture, ErrorKind::CursorExpired];

/// A cursor that was given out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) stream: usize,
    pub(crate) position: u64,
    pub(crate) filtered: bool,
    /// Whether the reading began at START when its filter was tracked.
    pub(crate) exact: bool,
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
    open_only: bool,
    exact: bool,
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
    /// Whether the reading goes on as one that knows what left its filter.
    pub(crate) exact: bool,
    pub(crate) has_more: bool,
}

/// What a step must come to.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Nothing,
    Commit(Result<(Vec<WriteOutcome>, u64), Refusal>),
    Page(Result<Paged, Refusal>),
    Delivery(Result<(Paged, u32), Refusal>),
    Removed(Result<u64, Refusal>),
    Parked(Result<Vec<usize>, Refusal>),
    Past(Result<BTreeMap<usize, Entry>, Refusal>),
    Fence(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) now_ms: u64,
    pub(crate) world: World,
    pub(crate) backups: Vec<World>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) leases: Vec<Lease>,
    /// Fencing numbers that were given out.
    pub(crate) fences: Vec<u64>,
    /// Where the readers stand, as places in `tokens`.
    pub(crate) readers: [usize; 3],
    pub(crate) expected: Expected,
    /// Where the reader of the last step stood before it, as a place in `tokens`.
    pub(crate) read_from: Option<usize>,
    next: u64,
    pub(crate) run: u64,
    /// Whether the store may remember anything beside what it has on disk.
    pub(crate) remembers: bool,
    handles: Handles,
}

impl Model {
    pub(crate) fn new(remembers: bool, handles: Handles) -> Self {
        let start = |stream, filtered| Token { stream, position: 0, filtered, exact: false, drain: 0 };
        Model {
            now_ms: MOMENT_MS,
            world: World::default(),
            backups: Vec::new(),
            tokens: vec![start(0, false), start(1, false), start(0, true)],
            leases: Vec::new(),
            fences: Vec::new(),
            readers: [0, 1, 2],
            expected: Expected::Nothing,
            read_from: None,
            next: 1,
            run: 0,
            remembers,
            handles,
        }
    }

    pub(crate) fn token(&self, selector: usize) -> (usize, Token) {
        let place = selector % self.tokens.len();
        (place, self.tokens[place])
    }

    /// The live records of a stream.
    pub(crate) fn live(&self, stream: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let entries = &self.world.streams[stream].entries;
        entries.iter().filter(|(_, entry)| entry.is_live()).map(|(id, entry)| (*id, entry))
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.expected = match step {
            Step::Commit(batch) => {
                self.handles.look(batch.other_handle, self.now_ms);
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
                self.track(token.stream, token);
                let page = self.page(token, &plain(*limit, token.filtered));
                if let Ok(page) = &page {
                    self.readers[*reader] = self.tokens.len();
                    self.tokens.push(Token { position: page.next, drain: page.drain, exact: page.exact, ..token });
                } else {
                    // It begins anew.
                    self.readers[*reader] = *reader;
                }
                Expected::Page(page)
            }
            Step::Converge { token } => {
                let (_, token) = self.token(*token);
                self.track(token.stream, token);
                Expected::Page(self.page(token, &plain(1000, token.filtered)))
            }
            Step::Poll(poll) => self.poll(poll),
            Step::Ack { token } => self.acknowledge(*token, true),
            Step::Nack { token } => self.acknowledge(*token, false),
            Step::Seek { stream, name, to, open_only } => self.seek(*stream, *name, *to, *open_only),
            Step::Evict { stream, name } => self.evict(*stream, *name),
            Step::Remove { stream, name } => self.remove(*stream, *name),
            Step::Unpark { stream, name } => self.unpark(*stream, *name),
            Step::Lease => {
                self.world.fence += 1;
                self.fences.push(self.world.fence);
                Expected::Fence(self.world.fence)
            }
            Step::Prune { stream, payloads, token } => self.prune(*stream, *payloads, *token),
            Step::Clear { stream } => Expected::Removed(self.clear(*stream, false, false)),
            Step::Configure { stream, keep, without_n } => {
                let target = &mut self.world.streams[*stream];
                (target.keeps_versions, target.without_n) = (*keep, *without_n);
                target.known = true;
                if *keep == 0 {
                    target.forget_versions(u64::MAX);
                }
                Expected::Removed(Ok(0))
            }
            Step::AcceptClock => Expected::Removed(self.accept_clock()),
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
                    self.handles.open(self.now_ms);
                }
                Expected::Nothing
            }
            Step::Reopen => {
                self.handles.reopen(self.now_ms);
                Expected::Nothing
            }
            Step::Crash | Step::Clone { go_on_with_the_copy: true } => {
                self.handles.open(self.now_ms);
                Expected::Nothing
            }
            Step::Clone { .. } => Expected::Nothing,
        };
    }

    /// The next position, by the first handle or another.
    fn mint(&mut self, by_another: bool, allow_leap: bool) -> Result<u64, Refusal> {
        if !allow_leap && !self.clock_is_believed(by_another) {
            return Err(&[ErrorKind::ClockImplausible]);
        }
        let world = &mut self.world;
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
}

/// A look with nothing special about it.
pub(crate) fn plain(limit: usize, open_only: bool) -> Look {
    Look {
        token: 0,
        elsewhere: false,
        limit,
        max_bytes: None,
        actions: 0,
        open_only,
        ids: None,
        last_ms: None,
        metadata_only: false,
        told: 0,
    }
}

/// The names are told by number in the model.
pub(crate) fn id_of(name: &str) -> usize {
    IDS.iter().position(|id| *id == name).expect("an id of the machine")
}

pub(crate) fn consumer_name(name: usize) -> &'static str {
    CONSUMERS[name]
}
