//! Named readers: what they are given, and who may acknowledge it.

use highwater_core::ErrorKind;

use super::super::steps::{Look, Poll, To};
use super::{Expected, Lease, MAX_ATTEMPTS, Model, Token, plain};

impl Model {
    pub(super) fn poll(&mut self, poll: &Poll) -> Expected {
        let Poll { stream: place, name, limit, open_only, lease_ms } = *poll;
        let mut consumer = self.consumer(place, name);
        if consumer.is_leased(self.now_ms) {
            return Expected::Delivery(Err(&[ErrorKind::LeaseLost]));
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
        let page = loop {
            let (position, drain) = (consumer.acknowledged, consumer.drain);
            let token = Token { stream: place, position, filtered: open_only, drain };
            let look = Look { told: consumer.told, ..plain(limit, open_only) };
            let page = match self.page(token, &look) {
                Ok(page) => page,
                Err(refusal) => return Expected::Delivery(Err(refusal)),
            };
            let Some((id, first)) = page.items.first().map(|item| (item.id, item.entry.position)) else {
                (consumer.acknowledged, consumer.drain) = (page.next, page.drain);
                consumer.release();
                consumer.attempts = 1;
                break page;
            };
            consumer.attempts = if consumer.first == Some(first) { consumer.attempts + 1 } else { 1 };
            consumer.first = Some(first);
            if consumer.attempts > MAX_ATTEMPTS {
                consumer.parked.push(id);
                consumer.drain = self.world.streams[place].drain_at(position, drain, first);
                consumer.acknowledged = first;
                consumer.first = None;
                continue;
            }
            consumer.note_told(page.next, page.drain);
            consumer.generation += 1;
            (consumer.leased_until, consumer.lease_ms) = (self.now_ms + lease_ms, lease_ms);
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
            open_only,
        });
        self.world.streams[place].known = true;
        self.world.streams[place].consumers.insert(name, consumer);
        Expected::Delivery(Ok((page, attempt)))
    }

    /// The consumer of a name, or a new one. It does not begin where one that was removed had come to.
    fn consumer(&self, place: usize, name: usize) -> super::world::Consumer {
        let stream = &self.world.streams[place];
        stream.consumers.get(&name).cloned().unwrap_or_else(|| super::world::Consumer {
            generation: stream.removed.get(&name).copied().unwrap_or(0),
            ..super::world::Consumer::default()
        })
    }

    pub(super) fn acknowledge(&mut self, selector: usize, good: bool) -> Expected {
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
        let filtered = consumer.open_only.unwrap_or(false);
        let up_to =
            Token { stream: lease.stream, position: lease.up_to, filtered: lease.open_only, drain: lease.drain };
        if good && let Err(refusal) = self.belongs(up_to, lease.stream, filtered) {
            return Expected::Removed(Err(refusal));
        }
        let prunes = self.world.streams[lease.stream].prunes;
        if let Some(consumer) = self.world.streams[lease.stream].consumers.get_mut(&lease.name) {
            consumer.leased_until = 0;
            if good {
                if lease.up_to > consumer.acknowledged {
                    let goes_on = lease.drain != 0 && consumer.drain == prunes;
                    let drain = if goes_on { prunes } else { lease.drain };
                    (consumer.acknowledged, consumer.drain) = (lease.up_to, drain);
                }
                consumer.release();
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
        let (position, drain) = match to {
            To::Start => (0, 0),
            To::End => (self.world.streams[place].last, 0),
            To::Token(selector) => {
                let (_, token) = self.token(selector);
                let filtered = consumer.open_only.unwrap_or(false);
                let look = Look { elsewhere: token.stream != place, ..plain(1, filtered) };
                if let Err(refusal) = self.page(token, &look) {
                    return Expected::Removed(Err(refusal));
                }
                (token.position, token.drain)
            }
            To::LastMs(last_ms) => (self.world.streams[place].before(self.now_ms.saturating_sub(last_ms)), 0),
        };
        consumer.note_told(consumer.acknowledged, consumer.drain);
        let unasked = position == 0 && matches!(to, To::LastMs(_));
        if position == 0 && matches!(to, To::Start | To::Token(_)) {
            consumer.told = 0;
        }
        (consumer.acknowledged, consumer.drain) = (position, drain);
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
        stream.removed.insert(name, consumer.generation);
        Expected::Removed(Ok(0))
    }

    pub(super) fn unpark(&mut self, place: usize, name: usize) -> Expected {
        Expected::Parked(match self.world.streams[place].consumers.get_mut(&name) {
            None => Err(&[ErrorKind::NotFound]),
            Some(consumer) => Ok(std::mem::take(&mut consumer.parked)),
        })
    }
}
