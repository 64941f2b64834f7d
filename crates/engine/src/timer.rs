//! All waiting goes through this module: nothing else in this crate sleeps.
//!
//! A simulation needs both clocks in step: build the runtime with `start_paused(true)` (tokio's `test-util`) and give
//! the engine an `Environment` whose `now_ms` is a fixed beginning plus the time that `tokio::time::Instant` shows since
//! then. Every wait then ends in virtual time, at once and in order; a jump of the wall clock is made by moving the
//! beginning. Keep the store on the same thread (an inline one), or the paused clock runs ahead while a store's thread
//! works.

use std::future::Future;
use std::time::Duration;

use highwater_core::Environment;
use tokio::time::Instant;

/// The longest single wait, within the range of timers.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Waits this long.
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration.min(LONGEST)).await;
}

/// Waits for `future`, at most this long.
pub(crate) async fn timeout<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(duration.min(LONGEST), future).await.ok()
}

/// Compares the wall clock with the time that really passed, to detect sleep, wake-ups and clock changes.
#[derive(Debug)]
pub(crate) struct JumpWatch {
    wall_ms: u64,
    passed: Instant,
}

/// How the wall clock deviated from the time that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    /// The machine slept, or the clock was set ahead.
    Ahead(Duration),
    /// The clock was set back.
    Back(Duration),
}

impl JumpWatch {
    /// Differences up to this are drift.
    const TOLERANCE_MS: u64 = 3000;

    pub(crate) fn new(environment: &dyn Environment) -> Self {
        JumpWatch { wall_ms: environment.now().unix_ms(), passed: Instant::now() }
    }

    /// Whether the clock has jumped since the last check.
    pub(crate) fn look(&mut self, environment: &dyn Environment) -> Option<Jump> {
        let (wall_ms, passed) = (environment.now().unix_ms(), Instant::now());
        let expected = self.wall_ms.saturating_add(millis(passed.duration_since(self.passed)));
        (self.wall_ms, self.passed) = (wall_ms, passed);
        if wall_ms > expected + Self::TOLERANCE_MS {
            Some(Jump::Ahead(Duration::from_millis(wall_ms - expected)))
        } else if expected > wall_ms + Self::TOLERANCE_MS {
            Some(Jump::Back(Duration::from_millis(expected - wall_ms)))
        } else {
            None
        }
    }
}

/// A length of time as a number of milliseconds, for `#[serde(with = "duration_ms")]`.
pub(crate) mod duration_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        super::millis(*time).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
