//! Named readers: what they are given, and who may acknowledge it.

use highwater_core::{ErrorKind, NetAction};

use super::super::steps::{Look, Poll, To};
use super::world::{Consumer, Parked};
use super::{Expected, Item, Lease, MAX_ATTEMPTS, MAX_BACKOFF_MS, MAX_EXPIRATIONS, Model, Paged, Token, plain};

impl Model {
    pub(super) fn poll(&mut self, poll: &Poll) -> Expected {
        let Poll { stream: place, name, limit, open_only, lease_ms, backoff_ms } = *poll;
        let mut consumer = self.consumer(place, name);
        if consumer.is_leased(self.now_ms) {
            return Expected::Delivery(Err(&[ErrorKind::LeaseLost]));
        }
        if consumer.is_paused(self.now_ms) {
            return Expected::Delivery(Err(&[ErrorKind::BackingOff]));
        }
        if consumer.evicted {
            return Expected::Delivery(Err(&[ErrorKind::CursorExpired]));
        }
        if consumer.open_only.is_some_and(|fixed| fixed != open_only) {
            return Expected::Delivery(Err(&[ErrorKind::FilterMismatch]));
        }
        consumer.open_only = Some(open_only);
        // It stands at START, and may hold something of before a clear.
        let stream = &self.world.streams[place];
        let behind = (1..stream.horizon.max(stream.payload_horizon)).contains(&consumer.told);
        let fresh = consumer.told_drain != 0 && consumer.told_drain == stream.prunes;
        if consumer.acknowledged == 0 && behind && !fresh {
            return Expected::Delivery(Err(&[ErrorKind::CursorExpired]));
        }
        consumer.fail(false, self.now_ms);
        let tracked = self.world.streams[place].tracks_open;
        self.world.streams[place].tracks_open |= open_only && consumer.acknowledged == 0;
        let mut page = loop {
            let few = if consumer.batch == 0 { limit } else { consumer.batch.min(limit) };
            let page = match self.returning(place, &mut consumer, few, open_only) {
                Some(page) => page,
                None => {
                    let (position, exact, drain) = (consumer.acknowledged, consumer.exact, consumer.drain);
                    let token = Token { stream: place, position, filtered: open_only, exact, drain };
                    match self.page(token, &Look { told: consumer.told, ..plain(few, open_only) }) {
                        Ok(page) => page,
                        Err(refusal) => {
                            self.world.streams[place].tracks_open = tracked;
                            return Expected::Delivery(Err(refusal));
                        }
                    }
                }
            };
            let Some(item) = page.items.first() else {
                (consumer.acknowledged, consumer.drain, consumer.exact) = (page.next, page.drain, page.exact);
                consumer.release();
                break page;
            };
            let (id, first, net) = (item.id, item.entry.position, item.net);
            let often = |(failing, nacks, expirations): (usize, u32, u32)| {
                failing == id && (nacks >= MAX_ATTEMPTS || expirations >= MAX_EXPIRATIONS)
            };
            if !consumer.failing.is_some_and(often) {
                consumer.attempts = if consumer.first == Some(first) { consumer.attempts + 1 } else { 1 };
                consumer.first = Some(first);
                break page;
            }
            consumer.failing = None;
            consumer.batch = consumer.batch.max(1);
            match consumer.parked.iter_mut().find(|parked| parked.id == id) {
                Some(parked) => parked.again = false,
                None => {
                    let held = !matches!(net, NetAction::Added | NetAction::Void);
                    consumer.parked.push(Parked { id, held, again: false, delivered: false });
                }
            }
            consumer.end_delivery();
            if first > consumer.acknowledged {
                consumer.drain = self.world.streams[place].drain_at(consumer.acknowledged, consumer.drain, first);
                (consumer.acknowledged, consumer.exact) = (first, page.exact);
            }
        };
        let attempt = consumer.attempts.max(1);
        if !page.items.is_empty() {
            for parked in &mut consumer.parked {
                let item = page.items.iter_mut().find(|item| item.id == parked.id);
                parked.delivered = item.is_some();
                if let Some(item) = item
                    && item.net == NetAction::Updated
                    && !parked.held
                {
                    item.net = NetAction::Added;
                }
            }
            consumer.note_told(page.next, page.drain);
            consumer.alone = if let [item] = &*page.items { Some(item.id) } else { None };
            consumer.generation += 1;
            (consumer.leased_until, consumer.lease_ms, consumer.out) = (self.now_ms + lease_ms, lease_ms, true);
            (consumer.backoff_ms, consumer.paused_until) = ((backoff_ms << consumer.nacks).min(MAX_BACKOFF_MS), 0);
        }
        self.leases.push(Lease {
            stream: place,
            name,
            generation: consumer.generation,
            up_to: page.next,
            drain: page.drain,
            open_only,
            exact: page.exact,
        });
        self.world.streams[place].known = true;
        self.world.streams[place].consumers.insert(name, consumer);
        Expected::Delivery(Ok((page, attempt)))
    }

    /// What comes of the records that were taken back, and have not moved on since.
    fn returning(&self, place: usize, consumer: &mut Consumer, limit: usize, open_only: bool) -> Option<Paged> {
        let entries = &self.world.streams[place].entries;
        consumer.parked.retain(|parked| !parked.again || entries.contains_key(&parked.id));
        let mut behind: Vec<_> = consumer
            .parked
            .iter()
            .filter(|parked| parked.again)
            .map(|parked| (parked.id, parked.held, &entries[&parked.id]))
            .filter(|(_, _, entry)| entry.position <= consumer.acknowledged)
            .collect();
        behind.sort_by_key(|(_, _, entry)| entry.position);
        let tracks = open_only && self.world.streams[place].tracks_open;
        let tracked = tracks && (consumer.exact || consumer.acknowledged == 0);
        let mut items = Vec::new();
        let mut meaningless = Vec::new();
        for (id, held, entry) in behind {
            let matches = !open_only || entry.is_open(tracked);
            let was_open = !tracked || entry.open_from.is_some_and(|from| from <= consumer.told);
            let net = if !entry.is_live() {
                NetAction::Deleted
            } else if !matches && entry.perhaps_held_at(consumer.told) && was_open {
                NetAction::Left
            } else if !matches {
                meaningless.push(id);
                continue;
            } else if held {
                NetAction::Updated
            } else {
                NetAction::Added
            };
            items.push(Item { id, net, entry: entry.clone() });
        }
        if items.len() <= limit {
            consumer.parked.retain(|parked| !meaningless.contains(&parked.id));
        }
        items.truncate(limit);
        let (next, drain, exact) = (consumer.acknowledged, consumer.drain, consumer.exact);
        (!items.is_empty()).then_some(Paged { items, next, drain, exact, has_more: true })
    }

    /// The consumer of a name, or a new one. It does not begin where one that was removed had come to.
    fn consumer(&self, place: usize, name: usize) -> Consumer {
        let stream = &self.world.streams[place];
        stream
            .consumers
            .get(&name)
            .cloned()
            .unwrap_or_else(|| Consumer { generation: stream.removed, ..Consumer::default() })
    }

    /// The place of a delivery: the greatest selector is the latest.
    pub(crate) fn lease(&self, selector: usize) -> usize {
        if selector == usize::MAX { self.leases.len() - 1 } else { selector % self.leases.len() }
    }

    pub(super) fn acknowledge(&mut self, selector: usize, good: bool) -> Expected {
        if self.leases.is_empty() {
            return Expected::Nothing;
        }
        let lease = self.leases[self.lease(selector)];
        let Some(consumer) = self.world.streams[lease.stream].consumers.get(&lease.name) else {
            return Expected::Removed(Err(&[ErrorKind::NotFound]));
        };
        if consumer.generation != lease.generation {
            return Expected::Removed(Err(&[ErrorKind::LeaseLost]));
        }
        let filtered = consumer.open_only.unwrap_or(false);
        let (stream, position, filtered_by, exact, drain) =
            (lease.stream, lease.up_to, lease.open_only, lease.exact, lease.drain);
        let up_to = Token { stream, position, filtered: filtered_by, exact, drain };
        if good && let Err(refusal) = self.belongs(up_to, lease.stream, filtered) {
            return Expected::Removed(Err(refusal));
        }
        let prunes = self.world.streams[lease.stream].prunes;
        if let Some(consumer) = self.world.streams[lease.stream].consumers.get_mut(&lease.name) {
            if !good {
                consumer.fail(true, self.now_ms);
            } else {
                if lease.up_to > consumer.acknowledged {
                    let goes_on = lease.drain != 0 && consumer.drain == prunes;
                    let drain = if goes_on { prunes } else { lease.drain };
                    (consumer.acknowledged, consumer.drain, consumer.exact) = (lease.up_to, drain, lease.exact);
                }
                consumer.succeed();
            }
        }
        Expected::Removed(Ok(0))
    }

    pub(super) fn seek(&mut self, place: usize, name: usize, to: To, open_only: bool) -> Expected {
        let mut consumer = self.consumer(place, name);
        if open_only {
            if consumer.open_only == Some(false) {
                return Expected::Removed(Err(&[ErrorKind::FilterMismatch]));
            }
            consumer.open_only = Some(true);
        }
        let (position, drain, exact) = match to {
            To::Start => (0, 0, false),
            To::End => (self.world.streams[place].last, 0, false),
            To::Token(selector) => {
                let (_, token) = self.token(selector);
                let filtered = consumer.open_only.unwrap_or(false);
                let look = Look { elsewhere: token.stream != place, ..plain(1, filtered) };
                if let Err(refusal) = self.page(token, &look) {
                    return Expected::Removed(Err(refusal));
                }
                (token.position, token.drain, token.exact)
            }
            To::LastMs(last_ms) => (self.world.streams[place].before(self.now_ms.saturating_sub(last_ms)), 0, false),
        };
        consumer.note_told(consumer.acknowledged, consumer.drain);
        let unasked = position == 0 && matches!(to, To::LastMs(_));
        if position == 0 && matches!(to, To::Start | To::Token(_)) {
            consumer.told = 0;
            consumer.parked.clear();
        }
        (consumer.acknowledged, consumer.drain, consumer.exact) = (position, drain, exact);
        consumer.generation += 1;
        consumer.evicted &= unasked;
        consumer.release();
        let stream = &mut self.world.streams[place];
        stream.known = true;
        stream.consumers.insert(name, consumer);
        Expected::Removed(Ok(0))
    }

    pub(super) fn evict(&mut self, place: usize, name: usize) -> Expected {
        let Some(consumer) = self.world.streams[place].consumers.get_mut(&name) else {
            return Expected::Removed(Err(&[ErrorKind::NotFound]));
        };
        consumer.evicted = true;
        consumer.generation += 1;
        consumer.release();
        Expected::Removed(Ok(0))
    }

    pub(super) fn remove(&mut self, place: usize, name: usize) -> Expected {
        let stream = &mut self.world.streams[place];
        let Some(consumer) = stream.consumers.remove(&name) else {
            return Expected::Removed(Err(&[ErrorKind::NotFound]));
        };
        stream.removed = stream.removed.max(consumer.generation + 1);
        Expected::Removed(Ok(0))
    }

    pub(super) fn unpark(&mut self, place: usize, name: usize) -> Expected {
        Expected::Parked(match self.world.streams[place].consumers.get_mut(&name) {
            None => Err(&[ErrorKind::NotFound]),
            Some(consumer) => {
                let ids = consumer.parked_ids();
                consumer.parked.iter_mut().for_each(|parked| parked.again = true);
                Ok(ids)
            }
        })
    }
}
