//! Time and chance that a test decides.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use highwater_core::{Environment, Timestamp};
use tokio::time::Instant;

/// A clock that goes with tokio's (paused in tests, so that waits pass at once), and chance that is always the same.
#[derive(Debug)]
pub struct TestEnvironment {
    started: Instant,
    start_ms: u64,
    skipped_ms: AtomicU64,
    skew_ms: AtomicI64,
    random: AtomicU64,
}

impl TestEnvironment {
    /// A clock that begins at this Unix time in milliseconds.
    pub fn new(start_ms: u64) -> Self {
        TestEnvironment {
            started: Instant::now(),
            start_ms,
            skipped_ms: AtomicU64::new(0),
            skew_ms: AtomicI64::new(0),
            random: AtomicU64::new(0x9E37_79B9_7F4A_7C15),
        }
    }

    /// Lets time pass for this clock alone.
    pub fn skip(&self, time: Duration) {
        self.skipped_ms.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets this clock wrong by so many milliseconds: ahead of the true time, or behind it where negative.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// The Unix time in milliseconds that a clock without skew shows.
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
