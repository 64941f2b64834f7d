//! A clock that stands still and random bytes that are the same each time, for tests that compare languages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater::Timestamp;
use highwater::store::{Environment, SystemEnvironment};
use serde::Deserialize;

/// The option `testing`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestingOptions {
    /// The time, in milliseconds since 1970.
    now_ms: u64,
    /// Where the random bytes begin.
    seed: u64,
}

impl TestingOptions {
    pub(crate) fn environment(&self) -> Arc<dyn Environment> {
        Arc::new(Fixed { now: Timestamp::from_unix_ms(self.now_ms), state: AtomicU64::new(self.seed) })
    }
}

#[derive(Debug)]
struct Fixed {
    now: Timestamp,
    state: AtomicU64,
}

impl Environment for Fixed {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn elapsed(&self) -> Option<Duration> {
        SystemEnvironment.elapsed()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            let mut z =
                self.state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
