//! The state of a store, as plain maps.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::Action;

use super::super::content::{Content, Spelled};
use super::super::steps::{STREAMS, Version};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(super) birth: u64,
    /// Earlier lives: birth and death.
    pub(super) lives: Vec<(u64, u64)>,
    pub(crate) action: Action,
    pub(crate) content: Content,
    pub(crate) spelled: Spelled,
    /// Whether `n` did not count when it was written.
    pub(crate) without_n: bool,
    pub(super) version: Option<Version>,
    /// Who wrote it, where it was not the sync itself.
    pub(super) origin: Option<u8>,
    pub(crate) pruned: bool,
    /// Whether it was open when it was pruned, as far as anybody looked.
    pub(crate) pruned_open: bool,
    /// The position of the first version that was open, as far as anybody looked.
    pub(super) open_from: Option<u64>,
    pub(super) modified_ms: u64,
}

impl Entry {
    /// An entry of no content that begins where it is put.
    pub(super) fn empty(action: Action, without_n: bool) -> Self {
        let content = Content::default();
        Entry {
            position: 0,
            birth: 0,
            lives: Vec::new(),
            action,
            spelled: content.spelled(0),
            content,
            without_n,
            version: None,
            origin: None,
            pruned: false,
            pruned_open: false,
            open_from: None,
            modified_ms: 0,
        }
    }

    /// Whether it is open, to a reader of a filter that the stream tracks or does not.
    pub(super) fn is_open(&self, tracked: bool) -> bool {
        if self.pruned { tracked && self.pruned_open } else { self.content.open == Some(true) }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.action != Action::Deleted
    }

    /// Whether it had a life before this one.
    pub(crate) fn ended_before(&self) -> bool {
        !self.lives.is_empty()
    }

    pub(super) fn held_at(&self, cursor: u64) -> bool {
        let within = |birth: u64, death: u64| birth <= cursor && cursor < death;
        within(self.birth, self.position) || self.lives.iter().any(|(birth, death)| within(*birth, *death))
    }

    /// Whether a reader that was told of things up to `cursor` may hold another version of it: one that came past the
    /// end of an earlier life after the record had moved on was never told of that end.
    pub(super) fn perhaps_held_at(&self, cursor: u64) -> bool {
        let changed = self.birth < self.position;
        changed && self.birth <= cursor || self.lives.iter().any(|(birth, _)| *birth <= cursor)
    }

    /// Whether new content is the same, in a stream where `n` counts or not. What was pruned is to be stored again.
    pub(super) fn is_same(&self, content: &Content, spelled: &Spelled, without_n: bool) -> bool {
        !self.pruned && (self.spelled.text == spelled.text || !self.content.differs(content, without_n))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) start: u64,
    pub(super) seen: BTreeSet<u64>,
    /// Records that came without an id.
    pub(super) unidentified: u64,
    /// Whether it met any record.
    pub(super) met: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) acknowledged: u64,
    /// Whether its reading began when its filter was tracked.
    pub(super) exact: bool,
    pub(super) drain: u64,
    pub(super) generation: u64,
    pub(super) leased_until: u64,
    pub(super) lease_ms: u64,
    pub(super) told: u64,
    pub(super) told_drain: u64,
    pub(super) first: Option<u64>,
    pub(super) attempts: u32,
    /// Whether a delivery is out that neither failed nor was acknowledged.
    pub(super) out: bool,
    /// The record of the last delivery, if it was alone there.
    pub(super) alone: Option<usize>,
    /// Records that the next delivery may have; 0 for as many as are asked for.
    pub(super) batch: usize,
    /// The record that failed alone, and how often: by refusals, by leases that ran out.
    pub(super) failing: Option<(usize, u32, u32)>,
    /// Refusals in a row.
    pub(super) nacks: u32,
    pub(super) backoff_ms: u64,
    pub(super) paused_until: u64,
    pub(crate) evicted: bool,
    /// Records set aside.
    pub(crate) parked: Vec<Parked>,
    /// Whether it reads only open records; fixed by its first poll.
    pub(super) open_only: Option<bool>,
}

/// A record that was set aside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub(super) id: usize,
    /// Whether the reader holds an earlier version.
    pub(super) held: bool,
    /// Taken back into delivery.
    pub(super) again: bool,
    pub(super) delivered: bool,
}

impl Consumer {
    /// The records that a status lists as set aside.
    pub(crate) fn parked_ids(&self) -> Vec<usize> {
        self.parked.iter().filter(|parked| !parked.again).map(|parked| parked.id).collect()
    }

    /// Nothing is kept of records that are gone.
    pub(super) fn forget(&mut self, gone: impl Fn(usize) -> bool) {
        self.parked.retain(|parked| !gone(parked.id));
        self.alone.take_if(|id| gone(*id));
        self.failing.take_if(|(id, ..)| gone(*id));
    }

    pub(super) fn fail(&mut self, refused: bool, now_ms: u64) {
        if !std::mem::take(&mut self.out) {
            return;
        }
        self.leased_until = 0;
        self.batch = 1;
        if refused {
            self.nacks += 1;
            self.paused_until = now_ms + self.backoff_ms;
        }
        if let Some(id) = self.alone.take() {
            let known = self.failing.filter(|(failing, ..)| *failing == id);
            let (_, nacks, expirations) = known.unwrap_or((id, 0, 0));
            self.failing = Some((id, nacks + u32::from(refused), expirations + u32::from(!refused)));
        }
    }

    pub(super) fn succeed(&mut self) {
        if self.first.is_none() {
            return;
        }
        self.parked.retain(|parked| !parked.delivered);
        self.failing = None;
        self.batch = self.batch.saturating_mul(2);
        self.end_delivery();
    }

    pub(super) fn release(&mut self) {
        self.end_delivery();
        self.batch = 0;
        self.failing = None;
    }

    pub(super) fn end_delivery(&mut self) {
        (self.leased_until, self.paused_until, self.out) = (0, 0, false);
        (self.first, self.alone) = (None, None);
        (self.attempts, self.nacks) = (0, 0);
    }

    pub(super) fn note_told(&mut self, up_to: u64, drain: u64) {
        if self.told < up_to {
            (self.told, self.told_drain) = (up_to, drain);
        }
    }

    /// More than twice the lease is left only where a clock was wrong.
    pub(crate) fn is_leased(&self, now_ms: u64) -> bool {
        (1..=2 * self.lease_ms).contains(&self.leased_until.saturating_sub(now_ms))
    }

    pub(crate) fn is_paused(&self, now_ms: u64) -> bool {
        (1..=2 * self.backoff_ms).contains(&self.paused_until.saturating_sub(now_ms))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(super) known: bool,
    pub(crate) entries: BTreeMap<usize, Entry>,
    pub(crate) last: u64,
    pub(crate) horizon: u64,
    pub(super) payload_horizon: u64,
    pub(super) prunes: u64,
    pub(super) history_horizon: u64,
    /// Superseded versions kept of each record.
    pub(super) keeps_versions: usize,
    /// Whether it looks at which records were open, for readers of those.
    pub(crate) tracks_open: bool,
    /// Whether a change of `n` is none.
    pub(super) without_n: bool,
    /// Superseded entries, and what took their place.
    pub(super) versions: Vec<(usize, Entry, u64)>,
    pub(super) run: Option<Run>,
    pub(crate) consumers: BTreeMap<usize, Consumer>,
    /// Above the generations of consumers that were removed: their leases stay lost.
    pub(super) removed: u64,
}

impl Stream {
    /// Whether a reader that comes from `after` is in the middle of a reading from START, below the horizon.
    pub(super) fn drain_at(&self, after: u64, drain: u64, position: u64) -> u64 {
        let below = position < self.horizon.max(self.payload_horizon);
        if below && (after == 0 || drain != 0) { self.prunes } else { 0 }
    }

    /// The position of the last entry from before a time; START where that is below the horizon.
    pub(super) fn before(&self, since_ms: u64) -> u64 {
        let older = self.entries.values().filter(|entry| entry.modified_ms < since_ms);
        let last = older.map(|entry| entry.position).max().unwrap_or(0);
        if last < self.horizon.max(self.payload_horizon) { 0 } else { last }
    }

    pub(super) fn see(&mut self, position: u64) {
        if let Some(run) = &mut self.run
            && position <= run.start
        {
            run.seen.insert(position);
        }
    }

    /// Keeps an entry that gave way to the one at `by`, and no more of its record than are to be kept.
    pub(super) fn supersede(&mut self, id: usize, old: Entry, by: u64) {
        if self.keeps_versions == 0 {
            self.history_horizon = by;
            return;
        }
        self.versions.push((id, old, by));
        let of_record = self.versions.iter().filter(|(other, ..)| *other == id).count();
        let mut surplus = of_record.saturating_sub(self.keeps_versions);
        let horizon = &mut self.history_horizon;
        self.versions.retain(|(other, _, by)| {
            let goes = *other == id && surplus > 0;
            if goes {
                surplus -= 1;
                *horizon = (*by).max(*horizon);
            }
            !goes
        });
    }

    /// Removes versions superseded up to a position, those beyond what is to be kept, and those of records that are gone.
    pub(super) fn prune_versions(&mut self, up_to: u64) -> u64 {
        let before = self.versions.len();
        let mut newer: BTreeMap<usize, usize> = BTreeMap::new();
        self.versions.iter().for_each(|(id, ..)| *newer.entry(*id).or_default() += 1);
        let Stream { versions, entries, history_horizon, keeps_versions, .. } = self;
        versions.retain(|(id, _, by)| {
            let left = newer.entry(*id).or_default();
            let goes = *by <= up_to || *left > *keeps_versions || !entries.contains_key(id);
            *left -= 1;
            if goes {
                *history_horizon = (*by).max(*history_horizon);
            }
            !goes
        });
        (before - self.versions.len()) as u64
    }

    pub(super) fn forget_versions(&mut self, up_to: u64) -> u64 {
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

/// A record that was set aside: its stream, its id or what was given for it.
pub(crate) type Aside = (usize, Result<usize, &'static str>);

/// What a backup would hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) streams: [Stream; STREAMS],
    pub(crate) checkpoint: Option<u64>,
    /// The payload of each record in quarantine.
    pub(crate) quarantine: BTreeMap<Aside, String>,
    /// Of each stream: records added, updated, unchanged and deleted.
    pub(crate) summaries: [Option<[u64; 4]>; STREAMS],
    /// The newest fencing number.
    pub(super) fence: u64,
    pub(super) high_water_ms: u64,
    /// When the clock was accepted.
    pub(super) accepted_ms: u64,
    pub(super) minted: BTreeSet<u64>,
    pub(super) rebased: BTreeSet<u64>,
}
