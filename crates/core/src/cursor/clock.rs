//! Whether the clock can be believed: a position that was minted years ahead stays in the log for good.
//!
//! A clock that jumps while a store is open differs from time that passed while the store was closed. The evidence:
//! the last position, the clock at the opening and at every batch since, another clock that the writer of a batch has
//! seen, and the host's word.

use std::sync::Mutex;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::locks::lock;
use crate::mutants::mutant;
use crate::timestamp::Timestamp;

/// How far the clock may be ahead of what is known of the time.
const MAX_LEAP_MS: u64 = 366 * 24 * 3600 * 1000;

/// A clock that shows an earlier time was never set: its battery is empty, or the device is new. What it
/// shows tells nothing about the time.
const EARLIEST_PLAUSIBLE_MS: u64 = 1_767_225_600_000; // January 2026

/// A clock beyond this year is taken for broken, first write or not.
const LATEST_PLAUSIBLE_MS: u64 = 3_000_000_000_000; // January 2065

/// What is known of the time, beside the clock itself. Unix times in milliseconds; 0 for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SignsOfTime {
    /// The time in the last position.
    pub(crate) last_position_ms: u64,
    /// When the host said that the clock is right.
    pub(crate) accepted_ms: u64,
    /// What another clock showed just now.
    pub(crate) witness_ms: u64,
    /// What the clock should show by what it showed since the store was opened.
    pub(crate) expected_ms: u64,
}

impl SignsOfTime {
    /// Whether positions may be minted by a clock that shows `now_ms`.
    pub(crate) fn allow(&self, now_ms: u64) -> bool {
        let near = |sign_ms: u64| sign_ms >= EARLIEST_PLAUSIBLE_MS && now_ms <= sign_ms.saturating_add(MAX_LEAP_MS);
        if now_ms > LATEST_PLAUSIBLE_MS {
            return false;
        }
        if mutant!("leap-guard-gone") {
            return true;
        }
        // No further than positions are already, or than the host said.
        if near(self.last_position_ms) || near(self.accepted_ms) {
            return true;
        }
        if mutant!("leap-guard-from-last-position") {
            return self.last_position_ms == 0;
        }
        // Two against one. Another clock that is itself behind the positions is wrong.
        let credible = self.witness_ms >= EARLIEST_PLAUSIBLE_MS
            && self.witness_ms.saturating_add(MAX_LEAP_MS) >= self.last_position_ms;
        if credible && !mutant!("clock-witness-ignored") {
            return near(self.witness_ms);
        }
        // Where the clock was not set when the store was opened, it is now.
        self.expected_ms < EARLIEST_PLAUSIBLE_MS || near(self.expected_ms)
    }

    pub(crate) fn check(&self, now_ms: u64) -> Result<()> {
        if self.allow(now_ms) {
            return Ok(());
        }
        let message = if now_ms > LATEST_PLAUSIBLE_MS {
            "the clock shows a time beyond 2065: set it"
        } else if self.witness_ms != 0 {
            "the clock is more than a year ahead of the clock of the API: set it, or accept it if it is right \
             (Maintenance::AcceptClock)"
        } else {
            "the clock leapt more than a year ahead while the store was open: set it, or accept it if it is right \
             (Maintenance::AcceptClock)"
        };
        let error = Error::new(ErrorKind::ClockImplausible, message).with("clock_ms", now_ms);
        let known = [
            ("last_position_ms", self.last_position_ms),
            ("expected_ms", self.expected_ms),
            ("other_clock_ms", self.witness_ms),
        ];
        Err(known.into_iter().filter(|(_, ms)| *ms != 0).fold(error, |error, (name, ms)| error.with(name, ms)))
    }
}

/// The time in a position.
pub(crate) fn position_ms(position: u128) -> u64 {
    u64::try_from(position >> 80).unwrap_or(u64::MAX)
}

/// What the clock showed since a store was opened.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    latest: Mutex<Look>,
}

/// A reading of the clock, and of a monotonic clock if there is one.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    clock_ms: u64,
    elapsed: Option<Duration>,
}

impl ClockWatch {
    /// Begins with what the clock shows now.
    pub(crate) fn new(environment: &dyn Environment) -> Self {
        let watch = ClockWatch::default();
        watch.look(environment);
        watch
    }

    /// Records the clock's time, unless it jumped since the last check.
    pub(crate) fn look(&self, environment: &dyn Environment) {
        let now_ms = environment.now().unix_ms();
        let mut latest = lock(&self.latest);
        let expected_ms = latest.expected_ms(environment);
        let leapt = expected_ms != 0 && now_ms > expected_ms.saturating_add(MAX_LEAP_MS);
        let plausible = (EARLIEST_PLAUSIBLE_MS..=LATEST_PLAUSIBLE_MS).contains(&now_ms);
        // Also where it was set back: that it was right before is as likely.
        if plausible && !leapt && now_ms >= expected_ms {
            *latest = Look { clock_ms: now_ms, elapsed: environment.elapsed() };
        }
    }

    /// What the clock should show at least, but for changes of less than a year; 0 where it was never set.
    pub(crate) fn expected_ms(&self, environment: &dyn Environment) -> u64 {
        lock(&self.latest).expected_ms(environment)
    }
}

impl Look {
    fn expected_ms(&self, environment: &dyn Environment) -> u64 {
        let passed = match (self.elapsed, environment.elapsed()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => Duration::ZERO,
        };
        let clock = Timestamp::from_unix_ms(self.clock_ms);
        if self.clock_ms == 0 { 0 } else { (clock + passed).unix_ms() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    const NOW: u64 = 1_800_000_000_000;

    fn known(last: u64, witness: u64, expected: u64) -> SignsOfTime {
        SignsOfTime { last_position_ms: last, accepted_ms: 0, witness_ms: witness, expected_ms: expected }
    }

    #[test]
    fn p03_what_the_clock_is_believed_by() {
        assert!(known(0, 0, 0).allow(NOW), "nothing is known");
        assert!(known(NOW - 2 * YEAR, 0, NOW).allow(NOW), "away for two years");
        assert!(known(86_000, 0, 86_000).allow(NOW), "the clock was dead, and is set now");
        assert!(!known(NOW, 0, NOW).allow(NOW + 2 * YEAR), "it leapt");
        assert!(known(NOW, NOW + 2 * YEAR, NOW).allow(NOW + 2 * YEAR), "asleep, as another clock shows");
        assert!(!known(NOW - YEAR, NOW, NOW + 2 * YEAR).allow(NOW + 2 * YEAR), "wrong since before the opening");
        assert!(!known(0, NOW, NOW + 2 * YEAR).allow(NOW + 2 * YEAR), "wrong at the first write");
        assert!(known(NOW, 1000, NOW + 2 * YEAR).allow(NOW + 2 * YEAR), "another clock that is dead tells nothing");
        assert!(known(NOW, NOW - 2 * YEAR, NOW + 2 * YEAR).allow(NOW + 2 * YEAR), "nor one behind the positions");
        assert!(known(NOW + 9 * YEAR, NOW, NOW).allow(NOW + 9 * YEAR), "positions are there already");
        assert!(!known(0, 0, 0).allow(LATEST_PLAUSIBLE_MS + 1));
        let accepted = SignsOfTime { accepted_ms: NOW + 2 * YEAR, ..known(NOW, NOW, NOW) };
        assert!(accepted.allow(NOW + 2 * YEAR), "the host's word is the last");
    }

    #[derive(Debug)]
    struct Clocks(Mutex<(u64, Option<u64>)>);

    impl Environment for Clocks {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(self.0.lock().unwrap().0)
        }
        fn elapsed(&self) -> Option<Duration> {
            self.0.lock().unwrap().1.map(Duration::from_millis)
        }
        fn fill_random(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn p03_a_clock_that_nobody_sets_tells_time_that_passed_from_a_leap() {
        let clocks = Clocks(Mutex::new((NOW, Some(5))));
        let watch = ClockWatch::new(&clocks);
        let expected = |watch: &ClockWatch| watch.expected_ms(&clocks);
        *clocks.0.lock().unwrap() = (NOW + 3 * YEAR, Some(5 + 3 * YEAR));
        assert_eq!(expected(&watch), NOW + 3 * YEAR, "nobody looked, but time passed");
        *clocks.0.lock().unwrap() = (NOW + 9 * YEAR, Some(6 + 3 * YEAR));
        watch.look(&clocks);
        assert_eq!(expected(&watch), NOW + 3 * YEAR + 1, "a leap is not noted");
        *clocks.0.lock().unwrap() = (NOW + 4 * YEAR, None);
        assert_eq!(expected(&watch), NOW);
        *clocks.0.lock().unwrap() = (1000, None);
        assert_eq!(expected(&ClockWatch::new(&clocks)), 0, "a clock that is not set");
    }
}
