//! The one door to time and randomness.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the engine takes time and randomness from, so that a test can give it both.
///
/// ```
/// use highwater_core::{Environment, SystemEnvironment};
/// assert!(SystemEnvironment.now_ms() > 1_700_000_000_000);
/// ```
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    /// Unix time in milliseconds.
    fn now_ms(&self) -> u64;
    /// Unix time in microseconds, where the clock is that fine.
    fn now_us(&self) -> u64 {
        self.now_ms().saturating_mul(1_000)
    }
    /// Milliseconds by a clock that nobody sets and that never goes back, from any beginning; `None` without one. It may stand
    /// still while the machine sleeps. It tells time that passed from a leap of the clock.
    fn elapsed_ms(&self) -> Option<u64> {
        None
    }
    /// Fills `bytes` with unpredictable bits.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// The system's clock and random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    #[allow(clippy::disallowed_methods)] // the door itself
    fn now_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    #[allow(clippy::disallowed_methods)] // the door itself
    fn now_us(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    #[allow(clippy::disallowed_methods)] // the door itself
    fn elapsed_ms(&self) -> Option<u64> {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        u64::try_from(BEGINNING.get_or_init(Instant::now).elapsed().as_millis()).ok()
    }

    #[allow(clippy::disallowed_methods)] // the door itself
    fn fill_random(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // A system without a random source: time still makes epochs differ.
            let now = self.now_ms().to_le_bytes();
            for (byte, noise) in bytes.iter_mut().zip(now.iter().cycle()) {
                *byte ^= noise;
            }
        }
    }
}
