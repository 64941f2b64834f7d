//! Answers that are kept: many readers ask for the same page after one notification, and all get the bytes that were made for one
//! of them.
//!
//! An answer is kept with the version of its stream, and sent again only if the store returns the same version after the request
//! came in. So it is never older than its request, whoever writes, prunes or clears.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

use bytes::Bytes;
use highwater_core::locks::lock;
use highwater_core::{Actions, Cursor, PageRequest, StreamKey, StreamVersion, Timestamp, mutant};

/// The largest answer that is kept, in bytes.
const MOST_BYTES: usize = 256 << 10;
/// What is remembered of an answer beside its bytes and its request's texts, about.
const ENVELOPE: usize = 512;
/// Requests that are remembered as asked once, at least: an answer is kept from the second on, so that a reader of the whole log
/// fills nothing.
const ASKED: usize = 512;

/// Everything that decides an answer, but for the stream's version.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asked {
    stream: StreamKey,
    after: Cursor,
    modified_after: Option<Timestamp>,
    limit: usize,
    actions: Actions,
    ids: Option<Vec<String>>,
}

impl Asked {
    /// `None` for a request with conditions that no query has.
    fn of(request: &PageRequest) -> Option<Self> {
        let PageRequest { stream, after, modified_after, limit, actions, ids, .. } = request.clone();
        let plain = request.matching.is_none() && !request.metadata_only;
        plain.then_some(Asked { stream, after, modified_after, limit, actions, ids })
    }

    fn bytes(&self) -> usize {
        let names = [self.stream.connection(), self.stream.model(), self.stream.variant()];
        let ids = self.ids.iter().flatten();
        names.iter().map(|name| name.len()).sum::<usize>() + ids.map(|id| id.len() + size_of::<String>()).sum::<usize>()
    }
}

/// The answers that are kept, the least recently used of them for the shortest time.
pub(crate) struct AnswerCache {
    /// The most bytes that are kept.
    most: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    hasher: RandomState,
    /// Hashes of requests that were made at least once: the newest set, and the one before it.
    asked: [HashSet<u64>; 2],
    /// What was used since the last turn, and what was not: each has half of the bytes.
    used: Generation,
    unused: Generation,
}

#[derive(Default)]
struct Generation {
    answers: HashMap<Asked, Answer>,
    bytes: usize,
}

struct Answer {
    version: StreamVersion,
    body: Bytes,
}

/// A request whose answer is worth keeping, and the version of its stream before it is read.
pub(super) struct Wanted {
    asked: Asked,
    pub(super) version: StreamVersion,
}

/// What the cache has for a request.
pub(super) enum Found {
    Answer(Bytes),
    /// Nothing: the answer is to be made, and kept where it is wanted.
    Nothing(Option<Box<Wanted>>),
}

impl AnswerCache {
    /// Keeps at most so many bytes; 0 turns it off.
    pub(crate) fn new(most: usize) -> Self {
        let inner = Inner {
            hasher: RandomState::new(),
            asked: Default::default(),
            used: Generation::default(),
            unused: Generation::default(),
        };
        AnswerCache { most, inner: Mutex::new(inner) }
    }

    /// Returns the answer to a request, if it is kept. `version` returns the version of the request's stream now: it is called
    /// only for requests that were asked before.
    pub(super) fn find(&self, request: &PageRequest, version: impl FnOnce() -> Option<StreamVersion>) -> Found {
        if self.most == 0 {
            return Found::Nothing(None);
        }
        let Some(asked) = Asked::of(request) else { return Found::Nothing(None) };
        if !lock(&self.inner).was_asked(&asked) {
            return Found::Nothing(None);
        }
        let Some(version) = version() else { return Found::Nothing(None) };
        match lock(&self.inner).find(&asked, version, self.most / 2) {
            Some(body) => Found::Answer(body),
            None => Found::Nothing(Some(Box::new(Wanted { asked, version }))),
        }
    }

    /// Keeps the answer to a request whose stream had the same version before and after it was read.
    pub(super) fn keep(&self, wanted: Wanted, body: &[u8]) {
        if body.len() > MOST_BYTES {
            return;
        }
        // Copied, so that no room is kept that the answer did not need.
        let answer = Answer { version: wanted.version, body: Bytes::copy_from_slice(body) };
        lock(&self.inner).put(wanted.asked, answer, self.most / 2);
    }
}

impl Inner {
    /// Returns whether the same was asked before, as far as is remembered, and remembers it.
    fn was_asked(&mut self, asked: &Asked) -> bool {
        let hash = self.hasher.hash_one(asked);
        let [newest, before] = &mut self.asked;
        if before.contains(&hash) || !newest.insert(hash) {
            return true;
        }
        if newest.len() == ASKED {
            *before = std::mem::take(newest);
        }
        false
    }

    fn find(&mut self, asked: &Asked, version: StreamVersion, most: usize) -> Option<Bytes> {
        let current = |answer: &Answer| answer.version == version || mutant!("answer-of-before");
        if let Some(answer) = self.used.answers.get(asked) {
            return Some(answer.body.clone()).filter(|_| current(answer));
        }
        let answer = self.unused.remove(asked).filter(current)?;
        let body = answer.body.clone();
        self.put(asked.clone(), answer, most);
        Some(body)
    }

    fn put(&mut self, asked: Asked, answer: Answer, most: usize) {
        let bytes = weight(&asked, &answer);
        self.unused.remove(&asked);
        self.used.remove(&asked);
        if bytes > most {
            return;
        }
        if self.used.bytes + bytes > most {
            self.unused = std::mem::take(&mut self.used);
        }
        self.used.bytes += bytes;
        self.used.answers.insert(asked, answer);
    }
}

impl Generation {
    fn remove(&mut self, asked: &Asked) -> Option<Answer> {
        let answer = self.answers.remove(asked)?;
        self.bytes = self.bytes.saturating_sub(weight(asked, &answer));
        Some(answer)
    }
}

fn weight(asked: &Asked, answer: &Answer) -> usize {
    answer.body.len() + asked.bytes() + ENVELOPE
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_core::{Store, WriteBatch};
    use highwater_store_sqlite::SqliteStore;

    #[tokio::test]
    async fn the_bytes_are_bounded_and_what_is_used_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("kept.db")).unwrap();
        let stream = StreamKey::new("main", "Note");
        let mut batch = WriteBatch::new();
        batch.on(&stream).upsert(r#"{"id":"a"}"#);
        store.commit(batch).await.unwrap();
        let cache = AnswerCache::new(64 << 10);
        let request = |limit| PageRequest::new(stream.clone()).limit(limit);
        let find = |limit| cache.find(&request(limit), || store.stream_version(&stream));
        for limit in 1..500 {
            assert!(matches!(find(limit), Found::Nothing(None)), "{limit}: asked once, kept by nobody");
            let Found::Nothing(Some(wanted)) = find(limit) else { panic!("{limit}: asked twice") };
            cache.keep(*wanted, &vec![b'x'; limit * 10]);
            assert!(matches!(find(limit), Found::Answer(body) if body.len() == limit * 10), "{limit}");
            assert!(limit == 1 || matches!(find(1), Found::Answer(_)), "{limit}: the one that is used all the time");
            let inner = lock(&cache.inner);
            for half in [&inner.used, &inner.unused] {
                let bytes: usize = half.answers.iter().map(|(asked, answer)| weight(asked, answer)).sum();
                assert_eq!(half.bytes, bytes, "{limit}: counted");
                assert!(bytes <= 32 << 10, "{limit}: {bytes} bytes");
            }
        }
        assert!(matches!(find(2), Found::Nothing(_)), "the least recently used are gone");
        let Found::Nothing(Some(wanted)) = find(2) else { panic!("asked again") };
        cache.keep(*wanted, &vec![b'x'; MOST_BYTES + 1]);
        assert!(matches!(find(2), Found::Nothing(Some(_))), "too large to be kept");
        assert!(matches!(AnswerCache::new(0).find(&request(1), || panic!("not asked")), Found::Nothing(None)));
    }
}
