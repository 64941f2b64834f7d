//! The effects of pruning, clearing and rebasing the clock.

use std::collections::BTreeMap;

use highwater_core::Action;

use super::super::steps::STREAMS;
use super::{Expected, Model, Refusal};

impl Model {
    pub(super) fn prune(&mut self, place: usize, payloads: bool, selector: usize) -> Expected {
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
                if stream.tracks_open && entry.is_live() && entry.is_open(true) {
                    entry.pruned_open = true;
                    entry.open_from.get_or_insert(entry.position);
                }
                entry.pruned = true;
                stream.payload_horizon = stream.payload_horizon.max(entry.position);
                removed += 1;
            }
        } else {
            let (horizon, consumers) = (&mut stream.horizon, &mut stream.consumers);
            stream.entries.retain(|id, entry| {
                let goes = !entry.is_live() && entry.position <= limit;
                if goes {
                    *horizon = entry.position.max(*horizon);
                    consumers.values_mut().for_each(|consumer| consumer.forget(|known| known == *id));
                    removed += 1;
                }
                !goes
            });
        }
        if removed > 0 {
            stream.prunes += 1;
            // It stopped at them, so it took nothing that they have yet to read.
            let prunes = stream.prunes;
            let held_back = stream.consumers.values_mut().filter(|consumer| !consumer.evicted);
            for consumer in held_back.filter(|consumer| consumer.drain != 0 && consumer.drain + 1 == prunes) {
                if consumer.told_drain == consumer.drain {
                    consumer.told_drain = prunes;
                }
                consumer.drain = prunes;
            }
        }
        removed += stream.prune_versions(if payloads { limit } else { 0 });
        Expected::Removed(Ok(removed))
    }

    pub(super) fn clear(&mut self, place: usize, by_another: bool, allow_leap: bool) -> Result<u64, Refusal> {
        let position = self.mint(by_another, allow_leap)?;
        let stream = &mut self.world.streams[place];
        stream.entries.clear();
        stream.consumers.values_mut().for_each(|consumer| consumer.forget(|_| true));
        stream.versions.clear();
        stream.run = None;
        stream.known = true;
        stream.prunes += 1;
        (stream.last, stream.horizon, stream.payload_horizon) = (position, position, position);
        stream.history_horizon = position;
        self.world.quarantine.retain(|(other, _), _| *other != place);
        Ok(0)
    }

    pub(super) fn rebase(&mut self) -> Expected {
        if let Err(refusal) = self.accept_clock() {
            return Expected::Removed(Err(refusal));
        }
        let old = std::mem::take(&mut self.world.minted);
        self.world.rebased.extend(old);
        self.world.high_water_ms = 0;
        // A stored name begins with its length: "v" comes before "base".
        for place in (0..STREAMS).rev() {
            if !self.world.streams[place].known {
                continue;
            }
            let horizon = self.mint(false, true).unwrap_or_default();
            let mut order: Vec<(u64, usize)> =
                self.world.streams[place].entries.iter().map(|(id, entry)| (entry.position, *id)).collect();
            order.sort_unstable();
            let mut last = horizon;
            let mut moved = BTreeMap::new();
            for (old, id) in order {
                let birth = self.mint(false, true).unwrap_or_default();
                let added = self.world.streams[place].entries[&id].action == Action::Added;
                last = if added { birth } else { self.mint(false, true).unwrap_or_default() };
                moved.insert(old, last);
                let modified_ms = self.world.high_water_ms;
                if let Some(entry) = self.world.streams[place].entries.get_mut(&id) {
                    (entry.position, entry.birth, entry.modified_ms) = (last, birth, modified_ms);
                    entry.lives.clear();
                    entry.open_from = (entry.pruned && entry.pruned_open && entry.is_live()).then_some(last);
                }
            }
            let stream = &mut self.world.streams[place];
            stream.prunes += 1;
            (stream.last, stream.horizon, stream.payload_horizon) = (last, horizon, horizon);
            stream.history_horizon = last;
            stream.versions.clear();
            for consumer in stream.consumers.values_mut() {
                consumer.evicted = true;
                (consumer.acknowledged, consumer.drain, consumer.told) = (0, 0, 0);
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
}
