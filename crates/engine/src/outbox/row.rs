//! One delivery: its body, its tries, and when the next one is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mutants::mutant;

/// The first pause after a failed try; each later one is three times as long.
const FIRST_PAUSE_MS: u64 = 5_000;

/// The longest pause.
const LONGEST_PAUSE_MS: u64 = 6 * 3_600_000;

/// The longest that a receiver can ask us to stay away.
const LONGEST_RETRY_AFTER_MS: u64 = 24 * 3_600_000;

/// How long the pauses of a delivery are, taken together, before it becomes a dead letter. What clocks say, and how
/// long nobody was there to try, does not matter.
pub(super) const RETRY_FOR_MS: u64 = 72 * 3_600_000;

/// No pause is longer.
fn longest() -> u64 {
    LONGEST_RETRY_AFTER_MS + LONGEST_PAUSE_MS
}

/// A delivery that waits, or a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutboxRow {
    /// Its id, a ULID; the header `webhook-id` is `msg_` and this.
    pub id: String,
    /// The body, as it is sent each time.
    pub body: String,
    /// When it came to be: Unix milliseconds.
    pub created_ms: u64,
    /// Tries so far.
    pub attempts: u32,
    /// When the next try is due: Unix milliseconds.
    pub next_ms: u64,
    /// How long the pause before it is: whatever a clock says, it waits no longer.
    #[serde(default = "longest")]
    pub pause_ms: u64,
    /// How long all its pauses are, since its creation or its last replay.
    #[serde(default)]
    pub waited_ms: u64,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl OutboxRow {
    pub(super) fn new(id: String, body: String, now_ms: u64) -> Self {
        OutboxRow {
            id,
            body,
            created_ms: now_ms,
            attempts: 0,
            next_ms: now_ms,
            pause_ms: 0,
            waited_ms: 0,
            last_error: None,
        }
    }

    /// Whether a try is due: the first one always is.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.attempts == 0 || self.next_ms <= now_ms
    }

    /// Draws the next try in where a clock that was ahead has put it off: from now on it waits for its pause. Whether
    /// that changed anything.
    pub(super) fn draw_in(&mut self, now_ms: u64) -> bool {
        self.attempts > 0 && draw_in(&mut self.next_ms, self.pause_ms, now_ms)
    }

    /// Notes a failed try; whether it was the last.
    pub(super) fn failed(&mut self, error: String, retry_after: Option<Duration>, now_ms: u64, chance: u32) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.last_error = Some(error);
        let asked = retry_after.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.pause_ms = pause_ms(self.attempts, chance).max(asked.min(LONGEST_RETRY_AFTER_MS));
        self.next_ms = now_ms.saturating_add(self.pause_ms);
        self.waited_ms = self.waited_ms.saturating_add(self.pause_ms);
        self.waited_ms > RETRY_FOR_MS
    }

    pub(super) fn replay(&mut self, now_ms: u64) {
        (self.attempts, self.next_ms, self.pause_ms, self.waited_ms) = (0, now_ms, 0, 0);
    }
}

/// The pause after so many tries, longer by up to a quarter by chance, so that many do not come back together.
fn pause_ms(attempts: u32, chance: u32) -> u64 {
    let tripled = FIRST_PAUSE_MS.saturating_mul(3_u64.saturating_pow(attempts.saturating_sub(1)));
    let pause = tripled.min(LONGEST_PAUSE_MS);
    pause + pause * u64::from(chance % 1000) / 4000
}

/// Until when a destination is left alone after a try that failed: Unix milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Rest {
    pub(super) until_ms: u64,
    /// How long it is.
    #[serde(default = "longest")]
    pub(super) for_ms: u64,
}

impl Rest {
    pub(super) fn new(now_ms: u64, until_ms: u64) -> Self {
        Rest { until_ms, for_ms: until_ms.saturating_sub(now_ms) }
    }

    /// Draws its end in where a clock that was ahead has put it off. Whether that changed anything.
    pub(super) fn draw_in(&mut self, now_ms: u64) -> bool {
        draw_in(&mut self.until_ms, self.for_ms, now_ms)
    }
}

/// A time further away than its pause was set by a clock that was ahead, and has gone back since.
fn draw_in(at_ms: &mut u64, pause_ms: u64, now_ms: u64) -> bool {
    let latest_ms = now_ms.saturating_add(pause_ms);
    let far = *at_ms > latest_ms && !mutant!("far-times-kept");
    if far {
        *at_ms = latest_ms;
    }
    far
}

/// Where a destination's rest lies, for every process and over restarts.
pub(super) fn rest_key(destination: &str) -> String {
    format!("outbox/rest/{destination}")
}

pub(super) fn rows_prefix(destination: &str) -> String {
    format!("outbox/row/{destination}/")
}

pub(super) fn row_key(destination: &str, id: &str) -> String {
    format!("outbox/row/{destination}/{id}")
}

pub(super) fn dead_prefix(destination: &str) -> String {
    format!("outbox/dead/{destination}/")
}

pub(super) fn dead_key(destination: &str, id: &str) -> String {
    format!("outbox/dead/{destination}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_go_on_for_days_with_growing_pauses() {
        let mut row = OutboxRow::new("x".into(), "{}".into(), 0);
        let mut now_ms = 0;
        let mut pauses = Vec::new();
        for _ in 0..100 {
            if row.failed("no".into(), None, now_ms, 0) {
                break;
            }
            pauses.push(row.next_ms - now_ms);
            now_ms = row.next_ms;
        }
        assert_eq!(pauses[..4], [5_000, 15_000, 45_000, 135_000]);
        assert!(pauses.is_sorted() && *pauses.last().unwrap() == LONGEST_PAUSE_MS);
        assert!(now_ms >= 24 * 3_600_000, "the last try came after {now_ms} ms");
        assert!(pause_ms(1, 999) > pause_ms(1, 0) && pause_ms(60, 999) <= LONGEST_PAUSE_MS * 5 / 4);
    }

    #[test]
    fn a_receiver_can_ask_for_a_pause_but_not_for_ever() {
        let mut row = OutboxRow::new("x".into(), "{}".into(), 0);
        row.failed("busy".into(), Some(Duration::from_secs(120)), 0, 0);
        assert_eq!(row.next_ms, 120_000);
        assert!(!row.is_due(119_999) && row.is_due(120_000));
        row.failed("busy".into(), Some(Duration::from_secs(u64::MAX)), 0, 0);
        assert_eq!(row.next_ms, LONGEST_RETRY_AFTER_MS);
        // What was never tried waits for no clock at all.
        assert!(OutboxRow::new("y".into(), "{}".into(), 3_600_000).is_due(0));
    }

    #[test]
    fn a_clock_that_leaps_and_days_without_a_process_cost_no_tries() {
        let mut row = OutboxRow::new("x".into(), "{}".into(), 0);
        let mut now_ms = 0;
        for tries in 1.. {
            now_ms += 30 * 86_400_000;
            if row.failed("no".into(), None, now_ms, 0) {
                assert!(tries > 15, "given up after {tries} tries");
                break;
            }
        }
        row.replay(now_ms);
        assert!(!row.failed("no".into(), None, now_ms, 0));
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_are_drawn_in() {
        const AHEAD: u64 = 20 * 3_600_000;
        let mut row = OutboxRow::new("x".into(), "{}".into(), AHEAD);
        row.failed("busy".into(), Some(Duration::from_secs(120)), AHEAD, 0);
        assert!(!row.draw_in(AHEAD) && !row.draw_in(AHEAD + 60_000), "nothing is drawn in while the clock is right");
        assert!(row.draw_in(5000));
        assert_eq!(row.next_ms, 125_000);
        assert!(!row.draw_in(5000) && !row.draw_in(6000), "once is enough");
        let mut rest = Rest::new(AHEAD, AHEAD + 60_000);
        assert!(!rest.draw_in(AHEAD) && rest.draw_in(5000) && !rest.draw_in(5000));
        assert_eq!(rest.until_ms, 65_000);
    }
}
