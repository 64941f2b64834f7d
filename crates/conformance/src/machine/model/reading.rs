//! What readers get: pages, and the past.

use highwater_core::{ErrorKind, NetAction};

use super::super::steps::Look;
use super::{Entry, Expected, Item, Model, Paged, Refusal, Token};

impl Model {
    /// The page that a token and a look come to.
    pub(crate) fn page(&self, token: Token, look: &Look) -> Result<Paged, Refusal> {
        let place = if look.elsewhere { 1 - token.stream } else { token.stream };
        self.belongs(token, place, look.open_only)?;
        let stream = &self.world.streams[place];
        let after = token.position;
        let payloads = !look.metadata_only || look.open_only;
        let payload_horizon = if payloads { stream.payload_horizon } else { 0 };
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
        let tracked = look.open_only && stream.tracks_open && (token.exact || after == 0);
        let mut page =
            Paged { items: Vec::new(), next: stream.last.max(after), drain: 0, exact: tracked, has_more: false };
        let (mut bytes, mut looked_at) = (0, after);
        for (id, entry) in rows {
            let weight = weight(entry, look);
            let too_heavy = look.max_bytes.is_some_and(|most| !page.items.is_empty() && bytes + weight > most);
            if page.items.len() == look.limit || too_heavy {
                page.has_more = true;
                page.next = looked_at;
                break;
            }
            looked_at = entry.position;
            let told = after.max(look.told);
            let was_open = !tracked || entry.open_from.is_some_and(|from| from <= told);
            let held = entry.held_at(after) && was_open;
            let perhaps = entry.perhaps_held_at(told) && was_open;
            let matches = !look.open_only || entry.is_open(tracked);
            let gone = !entry.is_live() || !matches;
            let net = match (gone, held) {
                (true, _) if perhaps && entry.is_live() => NetAction::Left,
                (true, _) if perhaps => NetAction::Deleted,
                (true, _) if entry.is_live() => continue,
                (true, _) => NetAction::Void,
                (false, true) => NetAction::Updated,
                (false, false) => NetAction::Added,
            };
            bytes += weight;
            page.items.push(Item { id: *id, net, entry: entry.clone() });
        }
        page.exact = if page.next == after { token.exact } else { tracked };
        page.drain = if page.next == after { token.drain } else { stream.drain_at(after, token.drain, page.next) };
        Ok(page)
    }

    /// A reading that begins at START with a filter has the stream look at what matches it.
    pub(super) fn track(&mut self, place: usize, token: Token) {
        let stream = &mut self.world.streams[place];
        stream.tracks_open |= token.filtered && token.position == 0 && stream.known;
    }

    pub(super) fn look(&mut self, look: &Look) -> Expected {
        let (_, token) = self.token(look.token);
        let stream = if look.elsewhere { 1 - token.stream } else { token.stream };
        self.track(stream, Token { filtered: look.open_only, ..token });
        let page = self.page(token, look);
        if let Ok(page) = &page {
            let (position, filtered) = (page.next, look.open_only);
            self.tokens.push(Token { stream, position, filtered, exact: page.exact, drain: page.drain });
        }
        Expected::Page(page)
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

/// Bytes that a record adds to a page: its payload, where it is read.
fn weight(entry: &Entry, look: &Look) -> usize {
    let read = !entry.pruned && (!look.metadata_only || look.open_only);
    if read { entry.spelled.text.len() } else { 0 }
}
