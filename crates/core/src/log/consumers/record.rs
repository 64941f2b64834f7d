//! What the store keeps of a named reader.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::mutants::mutant;

/// What the store keeps of a consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerRecord {
    pub(crate) acknowledged: Cursor,
    #[serde(default)]
    pub(crate) evicted: bool,
    pub(super) generation: u64,
    pub(super) leased_until_ms: u64,
    /// How long that lease was when it was given.
    #[serde(default)]
    pub(super) lease_ms: u64,
    /// How far it was ever told, acknowledged or not: it may hold that.
    #[serde(default)]
    pub(super) told: Option<Cursor>,
    /// The first position of the last delivery, while it is not acknowledged.
    pub(super) first: Option<Cursor>,
    pub(super) attempts: u32,
    pub(super) parked: Vec<String>,
    /// Fingerprint of the content filter; fixed by the first poll.
    pub(super) filter: Option<u64>,
}

impl ConsumerRecord {
    pub(super) fn new(generation: u64) -> Self {
        ConsumerRecord {
            acknowledged: Cursor::START,
            evicted: false,
            generation,
            leased_until_ms: 0,
            lease_ms: 0,
            told: None,
            first: None,
            attempts: 0,
            parked: Vec::new(),
            filter: None,
        }
    }

    /// What is left of the lease. A clock that was set back a little must not break it; more than twice what it
    /// was given for comes from a clock that was wrong: then it is over.
    pub(super) fn lease_left(&self, now_ms: u64) -> Option<Duration> {
        let longest_ms = if mutant!("wrong-clock-lease") { u64::MAX } else { self.lease_ms.saturating_mul(2) };
        let left_ms = self.leased_until_ms.checked_sub(now_ms).filter(|left| (1..=longest_ms).contains(left))?;
        Some(Duration::from_millis(left_ms))
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|source| Error::new(ErrorKind::Internal, "a consumer cannot be written").because(source))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|source| Error::corrupt("a stored consumer does not read").because(source))
    }

    /// A consumer reads with one filter for ever.
    pub(super) fn fix_filter(&mut self, filter: u64) -> Result<()> {
        if *self.filter.get_or_insert(filter) == filter || mutant!("filter-not-fixed") {
            return Ok(());
        }
        Err(Error::new(ErrorKind::FilterMismatch, "the consumer reads with another filter; use another name"))
    }

    pub(super) fn evict(&mut self) {
        self.evicted = true;
        self.generation += 1;
        self.release();
    }

    pub(super) fn note_told(&mut self, up_to: Cursor) {
        if self.told.is_none_or(|told| told.position() < up_to.position()) {
            self.told = Some(up_to);
        }
    }

    pub(super) fn release(&mut self) {
        self.leased_until_ms = 0;
        self.first = None;
        self.attempts = 0;
    }
}
