//! One delivery: its body, its attempts, and when the next one is due.

use std::time::Duration;

use highwater_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::mutants::mutant;
use crate::timer::duration_ms;

/// The first pause after a failed attempt; each later one is three times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// The longest pause that a receiver can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The total of a delivery's pauses before it becomes a dead letter, independent of clocks and of times in which no process
/// was running.
const RETRY_FOR: Duration = Duration::from_secs(72 * 3600);

/// The longest possible pause.
fn longest() -> Duration {
    LONGEST_RETRY_AFTER + LONGEST_PAUSE
}

/// A waiting delivery, or a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutboxRow {
    /// Its id, a ULID; the header `webhook-id` is `msg_` followed by it.
    pub id: String,
    /// The body, the same in each attempt.
    pub body: String,
    /// When it was created.
    #[serde(rename = "created_ms", with = "highwater_core::timestamp::unix_ms")]
    pub created_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due.
    #[serde(rename = "next_ms", with = "highwater_core::timestamp::unix_ms")]
    pub next_try_at: Timestamp,
    /// The length of the pause before it, which bounds the wait whatever the clock shows.
    #[serde(default = "longest", rename = "pause_ms", with = "duration_ms")]
    pub pause: Duration,
    /// The total of its pauses since its creation or its last replay.
    #[serde(default, rename = "waited_ms", with = "duration_ms")]
    pub waited: Duration,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl OutboxRow {
    pub(crate) fn new(id: String, body: String, now: Timestamp) -> Self {
        OutboxRow {
            id,
            body,
            created_at: now,
            attempts: 0,
            next_try_at: now,
            pause: Duration::ZERO,
            waited: Duration::ZERO,
            last_error: None,
        }
    }

    /// Whether an attempt is due: the first one always is.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.attempts == 0 || self.next_try_at <= now
    }

    /// Shortens a wait that was set by a clock that was ahead: from now on it waits for its pause. Returns whether that changed
    /// anything.
    pub(crate) fn draw_in(&mut self, now: Timestamp) -> bool {
        self.attempts > 0 && draw_in(&mut self.next_try_at, self.pause, now)
    }

    /// Records a failed attempt; returns whether it was the last.
    pub(crate) fn failed(&mut self, error: String, retry_after: Option<Duration>, now: Timestamp, chance: u32) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.last_error = Some(error);
        self.pause = pause(self.attempts, chance).max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
        self.next_try_at = now + self.pause;
        self.waited = self.waited.saturating_add(self.pause);
        self.waited > RETRY_FOR
    }

    pub(crate) fn replay(&mut self, now: Timestamp) {
        (self.attempts, self.next_try_at) = (0, now);
        (self.pause, self.waited) = (Duration::ZERO, Duration::ZERO);
    }
}

/// The pause after this many attempts, randomly longer by up to a quarter, so that many do not retry together.
fn pause(attempts: u32, chance: u32) -> Duration {
    let tripled = FIRST_PAUSE.saturating_mul(3_u32.saturating_pow(attempts.saturating_sub(1)));
    let pause = tripled.min(LONGEST_PAUSE);
    pause + pause * (chance % 1000) / 4000
}

/// The pause of a destination after a failed attempt.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rest {
    #[serde(rename = "until_ms", with = "highwater_core::timestamp::unix_ms")]
    pub(crate) until: Timestamp,
    /// Its length.
    #[serde(default = "longest", rename = "for_ms", with = "duration_ms")]
    pub(crate) lasts: Duration,
}

impl Rest {
    pub(crate) fn new(now: Timestamp, until: Timestamp) -> Self {
        Rest { until, lasts: until.duration_since(now) }
    }

    /// Shortens a pause that was set by a clock that was ahead. Returns whether that changed anything.
    pub(crate) fn draw_in(&mut self, now: Timestamp) -> bool {
        draw_in(&mut self.until, self.lasts, now)
    }
}

/// Whether a time is further away than its pause: it was set by a clock that was ahead, and has gone back since.
fn draw_in(at: &mut Timestamp, pause: Duration, now: Timestamp) -> bool {
    let latest = now + pause;
    let far = *at > latest && !mutant!("far-times-kept");
    if far {
        *at = latest;
    }
    far
}

/// The key of a destination's pause, which applies in every process and over restarts.
pub(crate) fn rest_key(destination: &str) -> String {
    format!("outbox/rest/{destination}")
}

pub(crate) fn rows_prefix(destination: &str) -> String {
    format!("outbox/row/{destination}/")
}

pub(crate) fn row_key(destination: &str, id: &str) -> String {
    format!("outbox/row/{destination}/{id}")
}

pub(crate) fn dead_prefix(destination: &str) -> String {
    format!("outbox/dead/{destination}/")
}

pub(crate) fn dead_key(destination: &str, id: &str) -> String {
    format!("outbox/dead/{destination}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn tries_go_on_for_days_with_growing_pauses() {
        let mut row = OutboxRow::new("x".into(), "{}".into(), START);
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..100 {
            if row.failed("no".into(), None, now, 0) {
                break;
            }
            pauses.push(row.next_try_at.duration_since(now));
            now = row.next_try_at;
        }
        assert_eq!(pauses[..4], [5, 15, 45, 135].map(seconds));
        assert!(pauses.is_sorted() && *pauses.last().unwrap() == LONGEST_PAUSE);
        assert!(now >= START + seconds(24 * 3600), "the last try came at {now}");
        assert!(pause(1, 999) > pause(1, 0) && pause(60, 999) <= LONGEST_PAUSE * 5 / 4);
    }

    #[test]
    fn a_receiver_can_ask_for_a_pause_but_not_for_ever() {
        let mut row = OutboxRow::new("x".into(), "{}".into(), START);
        row.failed("busy".into(), Some(seconds(120)), START, 0);
        assert_eq!(row.next_try_at, START + seconds(120));
        assert!(!row.is_due(START + Duration::from_millis(119_999)) && row.is_due(START + seconds(120)));
        row.failed("busy".into(), Some(seconds(u64::MAX)), START, 0);
        assert_eq!(row.next_try_at, START + LONGEST_RETRY_AFTER);
        // What was never tried waits for no clock at all.
        assert!(OutboxRow::new("y".into(), "{}".into(), START + seconds(3600)).is_due(START));
    }

    #[test]
    fn a_clock_that_leaps_and_days_without_a_process_cost_no_tries() {
        let mut row = OutboxRow::new("x".into(), "{}".into(), START);
        let mut now = START;
        for tries in 1.. {
            now = now + seconds(30 * 86_400);
            if row.failed("no".into(), None, now, 0) {
                assert!(tries > 15, "given up after {tries} tries");
                break;
            }
        }
        row.replay(now);
        assert!(!row.failed("no".into(), None, now, 0));
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_are_drawn_in() {
        let (ahead, now) = (START + seconds(20 * 3600), START + seconds(5));
        let mut row = OutboxRow::new("x".into(), "{}".into(), ahead);
        row.failed("busy".into(), Some(seconds(120)), ahead, 0);
        assert!(
            !row.draw_in(ahead) && !row.draw_in(ahead + seconds(60)),
            "nothing is drawn in while the clock is right"
        );
        assert!(row.draw_in(now));
        assert_eq!(row.next_try_at, START + seconds(125));
        assert!(!row.draw_in(now) && !row.draw_in(now + seconds(1)), "once is enough");
        let mut rest = Rest::new(ahead, ahead + seconds(60));
        assert!(!rest.draw_in(ahead) && rest.draw_in(now) && !rest.draw_in(now));
        assert_eq!(rest.until, START + seconds(65));
    }
}
