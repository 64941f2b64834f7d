//! The only access to time and randomness.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::timestamp::Timestamp;

/// The source of time and randomness, which a test replaces with one of its own.
///
/// Stores take it from [`StoreOptions::environment`](crate::StoreOptions::environment), and the engine from its builder. All
/// methods are called often, and must return at once.
///
/// ```
/// use highwater_core::{Environment, SystemEnvironment, Timestamp};
///
/// /// A clock that stands still.
/// #[derive(Debug)]
/// struct Frozen(Timestamp);
///
/// impl Environment for Frozen {
///     fn now(&self) -> Timestamp {
///         self.0
///     }
///
///     fn fill_random(&self, bytes: &mut [u8]) {
///         SystemEnvironment.fill_random(bytes);
///     }
/// }
///
/// let noon = "2026-11-30T12:00:00Z".parse()?;
/// assert_eq!(Frozen(noon).unix_us(), 1_796_040_000_000_000);
/// assert!(SystemEnvironment.now() > "2026-01-01T00:00:00Z".parse()?);
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns the current time in microseconds since the Unix epoch, for formats that show them.
    ///
    /// Defaults to [`now`](Environment::now), with zeros below the milliseconds.
    fn unix_us(&self) -> u64 {
        self.now().unix_ms().saturating_mul(1_000)
    }

    /// Returns the time that has passed since some fixed moment, by a clock that is never set and never goes back.
    ///
    /// It tells time that passed from a wall clock that was set, and may stand still while the machine sleeps. `None`, the
    /// default, if there is no such clock.
    fn elapsed(&self) -> Option<Duration> {
        None
    }

    /// Fills `bytes` with unpredictable bits.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// The system's clocks and random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    #[allow(clippy::disallowed_methods)] // the door itself
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    #[allow(clippy::disallowed_methods)] // the door itself
    fn unix_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    #[allow(clippy::disallowed_methods)] // the door itself
    fn elapsed(&self) -> Option<Duration> {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        Some(BEGINNING.get_or_init(Instant::now).elapsed())
    }

    #[allow(clippy::disallowed_methods)] // the door itself
    fn fill_random(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // A system without a random source: time still makes epochs differ.
            let now = self.now().unix_ms().to_le_bytes();
            for (byte, noise) in bytes.iter_mut().zip(now.iter().cycle()) {
                *byte ^= noise;
            }
        }
    }
}
