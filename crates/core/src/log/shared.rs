//! What the writer and the readers of one process share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::codec::{PayloadCodec, PayloadContext};
use crate::content::ExactHasher;
use crate::cursor::{ClockWatch, Position, TokenKey};
use crate::environment::Environment;
use crate::error::Result;
use crate::locks::lock;
use crate::log::chunks::Chunks;
use crate::log::hints::Hints;
use crate::log::keys;
use crate::log::state::{FORMAT, Identity, StreamState};
use crate::log::tail::Tail;
use crate::mutants::mutant;
use crate::stream::StreamKey;

/// Budget of memory per index entry that waits to be written, and the bounds of what may wait.
const BYTES_PER_WAITING_ENTRY: usize = 640;
const WAITING_ENTRIES: std::ops::RangeInclusive<usize> = 16..=100_000;

pub(crate) struct Shared {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) codec: Option<Arc<dyn PayloadCodec>>,
    /// Where the store keeps the name of each key and dictionary that the codec writes with.
    pub(crate) needs: Vec<Vec<u8>>,
    pub(crate) memory_budget: usize,
    pub(crate) exact: ExactHasher,
    /// Memory of pages.
    pub(crate) chunks: Arc<Chunks>,
    pub(crate) clock: Arc<ClockWatch>,
    secret: [u8; 32],
    tails: Mutex<HashMap<u32, Tail>>,
    token_keys: Mutex<HashMap<StreamKey, TokenKey>>,
    hints: Mutex<Hints>,
    epochs: Mutex<HashMap<(u32, u32), (u64, u128)>>,
}

impl Shared {
    pub(crate) fn new(
        identity: Identity,
        environment: Arc<dyn Environment>,
        codec: Option<Arc<dyn PayloadCodec>>,
        memory_budget: usize,
    ) -> Self {
        let needs = codec.iter().flat_map(|codec| codec.needs()).map(|need| keys::codec_need(&need)).collect();
        let clock = Arc::new(ClockWatch::new(&*environment));
        Shared {
            environment,
            codec,
            needs,
            memory_budget,
            exact: ExactHasher::new(&identity.secret),
            chunks: Arc::default(),
            clock,
            secret: identity.secret,
            tails: Mutex::default(),
            token_keys: Mutex::default(),
            hints: Mutex::default(),
            epochs: Mutex::default(),
        }
    }

    /// The same store for a transaction that may yet come to nothing: it remembers by itself.
    pub(crate) fn apart(&self, memory_budget: usize) -> Self {
        let identity = Identity { secret: self.secret, format: FORMAT };
        let apart = Shared::new(identity, Arc::clone(&self.environment), self.codec.clone(), memory_budget);
        Shared { clock: Arc::clone(&self.clock), ..apart }
    }

    /// Whether this is the store with that identity.
    pub(crate) fn is(&self, identity: &Identity) -> bool {
        self.secret == identity.secret
    }

    /// Index entries that may wait before they are set aside for writing.
    pub(crate) fn waiting_limit(&self) -> usize {
        (self.memory_budget / BYTES_PER_WAITING_ENTRY).clamp(*WAITING_ENTRIES.start(), *WAITING_ENTRIES.end())
    }

    /// Runs `work` on the tail of the stream with this number.
    pub(crate) fn tail<T>(&self, stream: u32, work: impl FnOnce(&mut Tail) -> T) -> T {
        work(lock(&self.tails).entry(stream).or_default())
    }

    pub(crate) fn token_key(&self, stream: &StreamKey) -> TokenKey {
        let mut keys = lock(&self.token_keys);
        if let Some(key) = keys.get(stream) {
            return *key;
        }
        let key = TokenKey::new(&self.secret, stream);
        keys.insert(stream.clone(), key);
        key
    }

    /// See [`Hints::bounds`].
    pub(crate) fn bounds(&self, state: &StreamState, position: u128) -> (u64, u64) {
        lock(&self.hints).bounds(state, position)
    }

    /// Remembers that the rows behind `position` begin at `sequence`.
    pub(crate) fn add_hint(&self, state: &StreamState, position: u128, sequence: u64) {
        lock(&self.hints).add(state, position, sequence);
    }

    /// Forgets everything that a rewrite of the log's positions makes wrong.
    pub(crate) fn forget_positions(&self) {
        lock(&self.hints).clear();
        lock(&self.epochs).clear();
    }

    /// Whether `position` is known to lie in its epoch's range, as of the stream's present revision:
    /// another process may have rewritten all positions since.
    pub(crate) fn knows_epoch(&self, state: &StreamState, position: Position) -> bool {
        lock(&self.epochs).get(&(state.number, position.epoch)).is_some_and(|(revision, end)| {
            (*revision == state.revision || mutant!("rebase-remembered")) && position.ulid <= *end
        })
    }

    pub(crate) fn note_epoch(&self, state: &StreamState, epoch: u32, end: u128) {
        let mut epochs = lock(&self.epochs);
        let known = epochs.entry((state.number, epoch)).or_default();
        if known.0 == state.revision {
            known.1 = end.max(known.1);
        } else if known.0 < state.revision {
            *known = (state.revision, end);
        }
    }

    /// The stored form of a payload.
    pub(crate) fn encode_payload(&self, stream: &StreamKey, id: &str, payload: &Bytes) -> Result<Bytes> {
        match &self.codec {
            None => Ok(payload.clone()),
            Some(codec) => {
                let mut stored = Vec::with_capacity(payload.len() + 64);
                codec.encode(&PayloadContext { stream, id }, payload, &mut stored)?;
                Ok(Bytes::from(stored))
            }
        }
    }

    /// The payload of a stored form. Plain JSON is taken as it is, also behind a codec.
    pub(crate) fn decode_payload<'s>(&self, stream: &StreamKey, id: &str, stored: &'s [u8]) -> Result<Payload<'s>> {
        match &self.codec {
            Some(codec) if stored.first() != Some(&b'{') || !codec.accepts_plain() => {
                let mut payload = Vec::with_capacity(stored.len() * 2);
                codec
                    .decode(&PayloadContext { stream, id }, stored, &mut payload)
                    .map_err(|error| error.with("stream", stream).with("id", id))?;
                Ok(Payload::Decoded(Bytes::from(payload)))
            }
            None if stored.first() != Some(&b'{') => Err(crate::Error::new(
                crate::ErrorKind::Corrupt,
                "the payload is not JSON: open the store with the codec (key) it was written with",
            )
            .with("stream", stream)
            .with("id", id)),
            _ => Ok(Payload::Plain(stored)),
        }
    }
}

/// A payload as JSON text.
#[derive(Debug)]
pub(crate) enum Payload<'s> {
    /// As it is stored.
    Plain(&'s [u8]),
    /// Out of a codec's hands.
    Decoded(Bytes),
}

impl Payload<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Payload::Plain(bytes) => bytes,
            Payload::Decoded(bytes) => bytes,
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Payload::Plain(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Decoded(bytes) => bytes,
        }
    }
}
