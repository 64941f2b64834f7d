//! Where streams are in a list that only grows.

use std::collections::HashMap;

use crate::stream::StreamKey;

/// A list of at most this many streams is searched faster than an index.
const FEW: usize = 8;

/// Finds streams in a list: by comparing in a short one, by an index in a long one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(HashMap<StreamKey, usize>);

impl Places {
    /// Returns the place of `key` in `list`, which begins with what it was at the call before.
    pub(crate) fn find<T>(&mut self, key: &StreamKey, list: &[T], key_of: impl Fn(&T) -> &StreamKey) -> Option<usize> {
        if list.len() <= FEW {
            return list.iter().position(|item| key_of(item) == key);
        }
        for (place, item) in list.iter().enumerate().skip(self.0.len()) {
            self.0.insert(key_of(item).clone(), place);
        }
        self.0.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_found_in_short_and_long_lists() {
        let key = |number: usize| StreamKey::new(format!("c{number}"), "Item");
        let (mut places, mut list) = (Places::default(), Vec::new());
        for length in 0..4 * FEW {
            assert_eq!(places.find(&key(length), &list, |key| key), None);
            list.push(key(length));
            for (place, known) in list.iter().enumerate() {
                assert_eq!(places.find(known, &list, |key| key), Some(place));
            }
        }
    }
}
