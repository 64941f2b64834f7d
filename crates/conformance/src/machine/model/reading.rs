//! What readers get: pages, deliveries, the past.

use highwater_core::{ErrorKind, NetAction};

use super::super::steps::{Look, To};
use super::{Entry, Expected, Item, LEASE_MS, Lease, MAX_ATTEMPTS, Model, Paged, Refusal, Token, plain};

impl Model {
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
            let gone = !entry.is_live() || !matches;
            let net = match (gone, held) {
                (true, _) if entry.perhaps_held_at(after) && entry.is_live() => NetAction::Left,
                (true, _) if entry.perhaps_held_at(after) => NetAction::Deleted,
                (true, _) if entry.is_live() => continue,
                (true, _) => NetAction::Void,
                (false, true) => NetAction::Updated,
                (false, false) => NetAction::Added,
            };
            page.items.push(Item { id: *id, net, entry: entry.clone() });
        }
        page.drain = if page.next == after { token.drain } else { stream.drain_at(after, token.drain, page.next) };
        Ok(page)
    }

    pub(super) fn look(&mut self, look: &Look) -> Expected {
        let (_, token) = self.token(look.token);
        let page = self.page(token, look);
        if let Ok(page) = &page {
            let stream = if look.elsewhere { 1 - token.stream } else { token.stream };
            self.tokens.push(Token { stream, position: page.next, filtered: look.open_only, drain: page.drain });
        }
        Expected::Page(page)
    }

    pub(super) fn poll(&mut self, place: usize, name: usize, limit: usize) -> Expected {
        let mut consumer = self.world.streams[place].consumers.get(&name).cloned().unwrap_or_default();
        // More than twice the lease is left only where a clock was wrong.
        if (1..=2 * LEASE_MS).contains(&consumer.leased_until.saturating_sub(self.now_ms)) {
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

    pub(super) fn seek(&mut self, place: usize, name: usize, to: To) -> Expected {
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

    pub(super) fn past(&self, selector: usize) -> Expected {
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
