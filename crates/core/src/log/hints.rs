//! Remembers where in the log positions were found, which saves the next reader a search.

use std::collections::{BTreeMap, HashMap};

use crate::log::state::StreamState;

/// How many are remembered per store. Beyond that every second one is dropped: the others still narrow a search.
const MAX_HINTS: usize = 4096;

/// For some positions, the first sequence number behind them.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    streams: HashMap<u32, StreamHints>,
    count: usize,
}

/// Rows ascend in both, so this never changes until the positions are rewritten, which moves the revision.
#[derive(Debug, Default)]
struct StreamHints {
    revision: u64,
    places: BTreeMap<u128, u64>,
}

impl Hints {
    /// Bounds of the first sequence number behind `position`; equal where it is known.
    pub(crate) fn bounds(&self, state: &StreamState, position: u128) -> (u64, u64) {
        let (mut low, mut high) = (1, state.next_sequence);
        if let Some(hints) = self.streams.get(&state.number).filter(|hints| hints.revision == state.revision) {
            if let Some((known, sequence)) = hints.places.range(..=position).next_back() {
                if *known == position {
                    return (*sequence, *sequence);
                }
                low = *sequence;
            }
            if let Some((_, sequence)) = hints.places.range(position..).next() {
                high = high.min(*sequence);
            }
        }
        (low, high)
    }

    pub(crate) fn add(&mut self, state: &StreamState, position: u128, sequence: u64) {
        let hints = self.streams.entry(state.number).or_default();
        if hints.revision > state.revision {
            return;
        }
        if hints.revision < state.revision {
            self.count -= hints.places.len();
            *hints = StreamHints { revision: state.revision, ..StreamHints::default() };
        }
        if hints.places.insert(position, sequence).is_none() {
            self.count += 1;
        }
        if self.count > MAX_HINTS {
            self.thin();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Hints::default();
    }

    fn thin(&mut self) {
        for hints in self.streams.values_mut() {
            let mut keep = true;
            hints.places.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        self.streams.retain(|_, hints| !hints.places.is_empty());
        self.count = self.streams.values().map(|hints| hints.places.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(revision: u64, next_sequence: u64) -> StreamState {
        StreamState { revision, next_sequence, ..StreamState::new(1) }
    }

    #[test]
    fn bounds_narrow_as_places_become_known() {
        let (mut hints, now) = (Hints::default(), state(0, 1000));
        assert_eq!(hints.bounds(&now, 50), (1, 1000));
        hints.add(&now, 40, 41);
        hints.add(&now, 60, 61);
        assert_eq!(hints.bounds(&now, 40), (41, 41));
        assert_eq!(hints.bounds(&now, 50), (41, 61));
        assert_eq!(hints.bounds(&now, 70), (61, 1000));
        // An older snapshot ends earlier.
        assert_eq!(hints.bounds(&state(0, 45), 50), (41, 45));
    }

    #[test]
    fn a_rewrite_voids_what_was_known() {
        let mut hints = Hints::default();
        hints.add(&state(3, 1000), 40, 41);
        assert_eq!(hints.bounds(&state(4, 1000), 40), (1, 1000));
        hints.add(&state(4, 1000), 50, 20);
        hints.add(&state(3, 1000), 40, 41);
        assert_eq!(hints.bounds(&state(4, 1000), 50), (20, 20));
        assert_eq!(hints.bounds(&state(3, 1000), 40), (1, 1000));
        assert_eq!(hints.count, 1);
    }

    #[test]
    fn there_are_never_too_many_and_those_left_are_right() {
        let (mut hints, now) = (Hints::default(), state(0, 1 << 30));
        for place in 1..=20_000_u64 {
            hints.add(&now, u128::from(place * 10), place);
            assert!(hints.count <= MAX_HINTS);
        }
        for place in (1..20_000_u64).step_by(37) {
            let (low, high) = hints.bounds(&now, u128::from(place * 10));
            assert!(low <= place && place <= high, "{place}: {low} {high}");
            assert!(high - low < 2048, "{place}: {low} {high}");
        }
    }
}
