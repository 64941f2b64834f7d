//! What the store keeps of a named reader.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::consumer::PollOptions;
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::log::consumers::aside::{MAX_PARKED, Parked};
use crate::mutants::mutant;

/// What the store keeps of a consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConsumerRecord {
    pub(crate) acknowledged: Cursor,
    /// The last sequence number at or before `acknowledged`; not told by earlier versions.
    #[serde(default)]
    pub(super) sequence: Option<u64>,
    #[serde(default)]
    pub(crate) evicted: bool,
    pub(super) generation: u64,
    /// 0 while no delivery is out.
    pub(super) leased_until_ms: u64,
    /// How long that lease was when it was given.
    #[serde(default)]
    pub(super) lease_ms: u64,
    /// How far it was ever told, acknowledged or not: it may hold that.
    #[serde(default)]
    pub(super) told: Option<Cursor>,
    /// The first position of the last delivery, while it is not acknowledged.
    pub(super) first: Option<Cursor>,
    /// Deliveries in a row that began with that position.
    pub(super) attempts: u32,
    /// The one record of the last delivery, if it had just one.
    #[serde(default)]
    pub(super) alone: Option<String>,
    /// Records that the next delivery may have; 0 for no bound of ours.
    #[serde(default)]
    pub(super) batch: u32,
    /// The record that failed alone, since the last acknowledgement.
    #[serde(default)]
    pub(super) failing: Option<Failing>,
    /// Nacks since the last acknowledgement.
    #[serde(default)]
    pub(super) nacks: u32,
    /// How long a nack of the last delivery holds up the next.
    #[serde(default)]
    pub(super) backoff_ms: u64,
    /// No delivery before this time.
    #[serde(default)]
    pub(super) paused_until_ms: u64,
    pub(super) parked: Vec<Parked>,
    /// Fingerprint of the content filter; fixed by the first poll.
    pub(super) filter: Option<u64>,
}

/// A record that failed in a delivery of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failing {
    pub(super) id: String,
    pub(super) nacks: u32,
    pub(super) expirations: u32,
}

/// How a delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The reader said so.
    Nack,
    /// The lease ran out: the reader died, or was too slow.
    Expiration,
}

impl ConsumerRecord {
    pub(super) fn new(generation: u64) -> Self {
        ConsumerRecord {
            acknowledged: Cursor::START,
            sequence: Some(0),
            evicted: false,
            generation,
            leased_until_ms: 0,
            lease_ms: 0,
            told: None,
            first: None,
            attempts: 0,
            alone: None,
            batch: 0,
            failing: None,
            nacks: 0,
            backoff_ms: 0,
            paused_until_ms: 0,
            parked: Vec::new(),
            filter: None,
        }
    }

    /// What is left of the lease.
    pub(super) fn lease_left(&self, now_ms: u64) -> Option<Duration> {
        left(self.leased_until_ms, self.lease_ms, now_ms)
    }

    /// What is left of the backoff.
    pub(super) fn pause_left(&self, now_ms: u64) -> Option<Duration> {
        left(self.paused_until_ms, self.backoff_ms, now_ms)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|source| Error::new(ErrorKind::Internal, "a consumer cannot be written").because(source))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|source| Error::corrupt("a stored consumer does not read").because(source))
    }

    /// A consumer always reads with the same filter.
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
        if self.told.is_none_or(|told| told.position_in_epoch() < up_to.position_in_epoch()) {
            self.told = Some(up_to);
        }
    }

    /// Notes where the reader stands, and the last sequence number there.
    pub(super) fn stand_at(&mut self, cursor: Cursor, sequence: u64) {
        (self.acknowledged, self.sequence) = (cursor, Some(sequence));
    }

    /// Notes a delivery that begins at `first`, and has one record alone where `alone` names it.
    pub(super) fn deliver(&mut self, (first, alone): (Cursor, Option<String>), options: &PollOptions, now_ms: u64) {
        self.attempts = if self.first == Some(first) { self.attempts.saturating_add(1) } else { 1 };
        (self.first, self.alone) = (Some(first), alone);
        self.generation += 1;
        self.lease_ms = millis(options.lease);
        // A lease of zero length ends at once, but it was granted.
        self.leased_until_ms = now_ms.saturating_add(self.lease_ms).max(1);
        self.paused_until_ms = 0;
        let (first, longest) = (millis(options.backoff), millis(options.max_backoff));
        let doubled = first.saturating_mul(1_u64.checked_shl(self.nacks).unwrap_or(u64::MAX));
        self.backoff_ms = doubled.min(longest);
    }

    /// Counts the failure of a pending delivery. With several records it is unknown which one failed, so the next
    /// delivery has one alone.
    pub(super) fn fail(&mut self, failure: Failure, now_ms: u64) {
        if self.leased_until_ms == 0 {
            return;
        }
        self.leased_until_ms = 0;
        if failure == Failure::Nack {
            self.nacks = self.nacks.saturating_add(1);
            if !mutant!("nack-without-backoff") {
                self.paused_until_ms = now_ms.saturating_add(self.backoff_ms);
            }
        }
        self.batch = 1;
        let Some(id) = self.alone.take() else { return };
        let known = self.failing.take().filter(|failing| failing.id == id);
        let mut failing = known.unwrap_or(Failing { id, nacks: 0, expirations: 0 });
        if failure == Failure::Nack || mutant!("expiration-is-a-nack") {
            failing.nacks = failing.nacks.saturating_add(1);
        } else {
            failing.expirations = failing.expirations.saturating_add(1);
        }
        self.failing = Some(failing);
    }

    /// Whether a record failed as often as it may.
    pub(super) fn is_poison(&self, id: &str, options: &PollOptions) -> bool {
        let Some(failing) = self.failing.as_ref().filter(|failing| failing.id == id) else { return false };
        if mutant!("poison-delivered") {
            return false;
        }
        let full = self.parked.len() >= MAX_PARKED && !mutant!("parked-unbounded");
        if full && self.parked.iter().all(|parked| parked.id != id) {
            return false;
        }
        failing.nacks >= options.max_attempts.max(1) || failing.expirations >= options.max_expirations.max(1)
    }

    /// The delivery that is out was acknowledged: the next one may be twice as large.
    pub(super) fn succeed(&mut self) {
        if self.first.is_none() {
            return;
        }
        self.failing = None;
        self.parked.retain(|parked| !parked.delivered);
        self.batch = self.batch.saturating_mul(2);
        self.end_delivery();
    }

    /// Forgets everything about deliveries that are out, or failed.
    pub(super) fn release(&mut self) {
        self.end_delivery();
        self.batch = 0;
        self.failing = None;
    }

    pub(super) fn end_delivery(&mut self) {
        (self.leased_until_ms, self.paused_until_ms) = (0, 0);
        (self.first, self.alone) = (None, None);
        (self.attempts, self.nacks) = (0, 0);
    }
}

/// What is left until a time that was set this far ahead. A clock that was set back a little must not shorten it; more
/// than twice as much comes from a clock that was wrong: then it has ended.
fn left(until_ms: u64, length_ms: u64, now_ms: u64) -> Option<Duration> {
    let longest_ms = if mutant!("wrong-clock-lease") { u64::MAX } else { length_ms.saturating_mul(2) };
    let left_ms = until_ms.checked_sub(now_ms).filter(|left| (1..=longest_ms).contains(left))?;
    Some(Duration::from_millis(left_ms))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the version before this one wrote.
    #[test]
    fn an_older_row_reads() {
        let old = r#"{"acknowledged":"01JD9Z3T6R0000000000000001.00000AB00000001","evicted":false,"generation":7,"leased_until_ms":5,"lease_ms":60000,"told":"01JD9Z3T6R0000000000000002.00000AB00000002","first":"01JD9Z3T6R0000000000000002.00000AB00000003","attempts":3,"parked":["a","b"],"filter":12}"#;
        let record = ConsumerRecord::decode(old.as_bytes()).unwrap();
        assert_eq!((record.generation, record.attempts, record.sequence, record.batch), (7, 3, None, 0));
        let parked: Vec<_> = record.parked.iter().map(|parked| (&*parked.id, parked.held, parked.again)).collect();
        assert_eq!(parked, [("a", true, false), ("b", true, false)]);
        assert_eq!(record.filter, Some(12));
        assert_eq!(ConsumerRecord::decode(&record.encode().unwrap()).unwrap(), record);
        let oldest = r#"{"acknowledged":"00000000000000000000000000","generation":1,"leased_until_ms":0,"first":null,"attempts":0,"parked":[],"filter":null}"#;
        assert_eq!(ConsumerRecord::decode(oldest.as_bytes()).unwrap().generation, 1);
    }
}
