//! The answers to "anything new?" and "anything changed?" without a thread hop, and what is read again and again in between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::panics::catch_panic;
use super::readers;
use crate::backend::{BackendRead, BackendReader};
use crate::cursor::{Cursor, Position, TokenKey};
use crate::log::read::Attempt;
use crate::log::shared::Shared;
use crate::log::state::StreamState;
use crate::mutants::mutant;
use crate::record::Json;
use crate::stream::{StreamKey, StreamVersion};

/// Documents that are remembered at a time, and the size of the largest of them in bytes.
const MOST_DOCUMENTS: usize = 128;
const MOST_BYTES: usize = 4096;

pub(super) struct Idle<R> {
    /// Tells of commits by other processes; `None` where there are none.
    probe: Option<R>,
    /// When the ends below were true: other processes' commits, and ours.
    at: (u64, u64),
    ends: HashMap<StreamKey, End>,
    /// What streams held then.
    versions: HashMap<StreamKey, StreamVersion>,
    /// Documents that were read since, and keys of none.
    documents: HashMap<String, Option<Json>>,
    /// What the writing handle told of other handles' commits when we last committed.
    others: Option<u64>,
}

/// Where a stream ends, and what tags its cursors: all that a poll at the end needs, in one look-up.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) position: Position,
    /// The cursor of an unfiltered reader that stands there: the same one needs no tag to be made again.
    pub(super) cursor: Cursor,
    pub(super) token_key: TokenKey,
}

impl End {
    fn new(position: Position, token_key: TokenKey) -> Self {
        End { position, cursor: token_key.cursor(position, 0), token_key }
    }
}

/// The moment of a check; a later commit invalidates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment((u64, u64));

impl<R: BackendReader> Idle<R> {
    pub(super) fn new(probe: Option<R>) -> Self {
        Idle {
            probe,
            at: (0, 0),
            ends: HashMap::new(),
            versions: HashMap::new(),
            documents: HashMap::new(),
            others: None,
        }
    }

    /// The present moment; `None` when it is unknown.
    pub(super) fn look(&mut self, generation: u64) -> Option<Moment> {
        let version = match &mut self.probe {
            Some(_) if mutant!("others-unseen") => self.at.0,
            Some(probe) => version(probe)?,
            None => 0,
        };
        if self.at != (version, generation) {
            self.at = (version, generation);
            self.ends.clear();
            self.versions.clear();
            self.documents.clear();
        }
        Some(Moment(self.at))
    }

    /// Whether this or another process committed since the last call; `seen` is this caller's memory.
    pub(super) fn changed(&mut self, seen: &mut u64) -> bool {
        let version = self.probe.as_mut().and_then(version).unwrap_or(*seen);
        std::mem::replace(seen, version) != version
    }

    /// Takes note of a commit of ours that left these streams' ends where they are now. The other
    /// ends stay known if no other process committed since the last one: `others` changes when one does,
    /// and is asked after the version was, so that no commit falls in between. `None`: unknown.
    /// Returns the version as it is now.
    pub(super) fn committed(
        &mut self,
        generation: &AtomicU64,
        shared: &Shared,
        ends: Vec<(StreamKey, Position)>,
        others: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let version = match &mut self.probe {
            Some(probe) => version(probe),
            None => Some(0),
        };
        let others = others();
        let alone = self.probe.is_none() || (others.is_some() && others == self.others) || mutant!("others-unnoticed");
        self.others = others;
        let before = generation.fetch_add(1, Ordering::Release);
        if !alone || self.at.1 != before {
            self.ends.clear();
        }
        for (stream, position) in ends {
            let end = End::new(position, shared.token_key(&stream));
            self.ends.insert(stream, end);
        }
        self.versions.clear();
        self.documents.clear();
        // Without a version, the next look differs from this and forgets the ends.
        self.at = (version.unwrap_or(u64::MAX), before + 1);
        version
    }

    /// The stream's end: looked up on this thread where others may write, for there
    /// a snapshot never waits and one small key answers. Switching to a reading thread costs more.
    pub(super) fn look_up_end(&mut self, shared: &Shared, stream: &StreamKey) -> Option<End> {
        if let Some(end) = self.ends.get(stream) {
            return Some(*end);
        }
        let probe = self.probe.as_mut()?;
        let state = catch_panic(|| StreamState::load(&mut probe.snapshot()?, stream));
        let position = state.ok()??.last;
        let end = End::new(position, shared.token_key(stream));
        self.ends.insert(stream.clone(), end);
        Some(end)
    }

    /// What the stream holds now; `None` where that is unknown. A store that no other handle can open has no probe.
    pub(super) fn stream_version(
        &mut self,
        generation: &AtomicU64,
        shared: &Shared,
        stream: &StreamKey,
    ) -> Option<StreamVersion> {
        self.probe.as_ref()?;
        self.look(generation.load(Ordering::Acquire))?;
        if let Some(version) = self.versions.get(stream) {
            return Some(*version);
        }
        let look = |_: &Shared, read: &mut dyn BackendRead| StreamState::version(read, stream).map(Attempt::Done);
        let probe = self.probe.as_mut()?;
        let version = catch_panic(|| readers::read(shared, probe, &look)).ok()?;
        self.versions.insert(stream.clone(), version);
        Some(version)
    }

    /// A document that was read at this moment already, and the moment. A store that no other handle can open remembers none.
    pub(super) fn document(&mut self, generation: &AtomicU64, key: &str) -> (Option<Option<Json>>, Option<Moment>) {
        if self.probe.is_none() {
            return (None, None);
        }
        let moment = self.look(generation.load(Ordering::Acquire));
        (moment.and_then(|_| self.documents.get(key).cloned()), moment)
    }

    /// Remembers a document of a snapshot taken after `moment`.
    pub(super) fn note_document(&mut self, moment: Moment, key: &str, value: Option<&Json>) {
        let bytes = key.len() + value.map_or(0, |value| value.as_bytes().len());
        if self.at != moment.0 || bytes > MOST_BYTES {
            return;
        }
        if self.documents.len() >= MOST_DOCUMENTS {
            self.documents.clear();
        }
        self.documents.insert(key.to_owned(), value.cloned());
    }

    /// Remembers where a stream ended in a snapshot taken after `moment`.
    pub(super) fn note(&mut self, moment: Moment, shared: &Shared, stream: &StreamKey, position: Position) {
        if self.at == moment.0 {
            self.ends.insert(stream.clone(), End::new(position, shared.token_key(stream)));
        }
    }

    /// Gives the handle back, for good.
    pub(super) fn stop(&mut self) {
        self.probe = None;
        self.ends.clear();
        self.versions.clear();
        self.documents.clear();
        self.at = (u64::MAX, u64::MAX);
    }
}

/// The version; `None` where the file cannot be read. The read that follows returns the error.
fn version(probe: &mut impl BackendReader) -> Option<u64> {
    catch_panic(|| probe.version()).ok()
}
