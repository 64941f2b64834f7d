//! Time and randomness under a test's control.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use highwater_core::{Environment, Timestamp};
use tokio::time::Instant;

/// A clock that follows tokio's, and random bytes that are the same in every test run.
///
/// Under `#[tokio::test(start_paused = true)]`, tokio's clock jumps over every wait.
///
/// ```
/// use std::time::Duration;
/// use highwater_core::{Environment, Timestamp};
/// use highwater_testkit::TestEnvironment;
/// let noon: Timestamp = "2026-11-30T12:00:00Z".parse()?;
/// let environment = TestEnvironment::new(noon.unix_ms());
/// environment.skip(Duration::from_secs(3600));
/// assert!(environment.now() >= noon + Duration::from_secs(3600));
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Debug)]
pub struct TestEnvironment {
    started: Instant,
    start_ms: u64,
    skipped_ms: AtomicU64,
    skew_ms: AtomicI64,
    random: AtomicU64,
}

impl TestEnvironment {
    /// Creates a clock that starts at this time, in milliseconds since the Unix epoch.
    pub fn new(start_ms: u64) -> Self {
        TestEnvironment {
            started: Instant::now(),
            start_ms,
            skipped_ms: AtomicU64::new(0),
            skew_ms: AtomicI64::new(0),
            random: AtomicU64::new(0x9E37_79B9_7F4A_7C15),
        }
    }

    /// Moves this clock forward, without tokio's.
    pub fn skip(&self, time: Duration) {
        self.skipped_ms.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets the clock's error in milliseconds: ahead of the true time, or behind it if negative. Defaults to 0.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// Returns the true time in milliseconds since the Unix epoch, which the clock would show without a skew.
    pub fn true_ms(&self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.start_ms + passed + self.skipped_ms.load(Ordering::Relaxed)
    }
}

impl Environment for TestEnvironment {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.true_ms().saturating_add_signed(self.skew_ms.load(Ordering::Relaxed)))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
