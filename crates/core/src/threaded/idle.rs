//! The answer to "anything new?" without a thread hop, when there is nothing.

use std::collections::HashMap;

use crate::backend::BackendReader;
use crate::cursor::Position;
use crate::log::state::StreamState;
use crate::stream::StreamKey;

pub(super) struct Idle<R> {
    /// Tells of commits by other processes; `None` where there are none.
    probe: Option<R>,
    /// When the ends below were true: other processes' commits, and ours.
    at: (u64, u64),
    ends: HashMap<StreamKey, Position>,
}

/// The moment of a look; a later commit makes it void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment((u64, u64));

impl<R: BackendReader> Idle<R> {
    pub(super) fn new(probe: Option<R>) -> Self {
        Idle { probe, at: (0, 0), ends: HashMap::new() }
    }

    /// The present moment; `None` when it cannot be told.
    pub(super) fn look(&mut self, generation: u64) -> Option<Moment> {
        let version = match &mut self.probe {
            Some(probe) => probe.version().ok()?,
            None => 0,
        };
        if self.at != (version, generation) {
            self.at = (version, generation);
            self.ends.clear();
        }
        Some(Moment(self.at))
    }

    /// The position of the stream's end: looked up on this thread where others may write, for there
    /// a snapshot waits for nobody and one small key answers. A hop to a reader costs more.
    pub(super) fn look_up_end(&mut self, stream: &StreamKey) -> Option<Position> {
        if let Some(end) = self.ends.get(stream) {
            return Some(*end);
        }
        let mut snapshot = self.probe.as_mut()?.snapshot().ok()?;
        let end = StreamState::load(&mut snapshot, stream).ok()??.last;
        self.ends.insert(stream.clone(), end);
        Some(end)
    }

    /// Remembers where a stream ended in a snapshot taken after `moment`.
    pub(super) fn note(&mut self, moment: Moment, stream: &StreamKey, end: Position) {
        if self.at == moment.0 {
            self.ends.insert(stream.clone(), end);
        }
    }

    /// Gives the handle back, for good.
    pub(super) fn stop(&mut self) {
        self.probe = None;
        self.ends.clear();
        self.at = (u64::MAX, u64::MAX);
    }
}
