//! A clock that stands still, jumps and goes back, and randomness from a seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::locks::lock;
use highwater_core::{Environment, Timestamp};

/// A moment of 2026, in Unix milliseconds.
pub(crate) const MOMENT_MS: u64 = 1_780_000_000_000;

/// The output of the random source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Randomness {
    /// Numbers from a seed.
    Seeded(u64),
    /// All bits set: the worst case.
    Ones,
    /// No bit set.
    Zeros,
}

/// Time and randomness under a test's control. Time stands still until the test moves it.
#[derive(Debug)]
pub struct TestEnvironment {
    now_ms: AtomicU64,
    randomness: Mutex<Randomness>,
}

impl TestEnvironment {
    /// Creates an environment at a moment of 2026, with randomness from `seed`.
    pub fn new(seed: u64) -> Self {
        TestEnvironment { now_ms: AtomicU64::new(MOMENT_MS), randomness: Mutex::new(Randomness::Seeded(seed)) }
    }

    /// Sets the time.
    pub fn set_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// Moves the time by milliseconds, back when negative.
    pub fn step_ms(&self, milliseconds: i64) {
        let now = self.now_ms.load(Ordering::SeqCst);
        self.set_ms(now.saturating_add_signed(milliseconds));
    }

    /// Sets the output of the random source from now on.
    pub fn set_randomness(&self, randomness: Randomness) {
        *lock(&self.randomness) = randomness;
    }
}

impl Environment for TestEnvironment {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now_ms.load(Ordering::SeqCst))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let mut randomness = lock(&self.randomness);
        for byte in bytes {
            *byte = match &mut *randomness {
                Randomness::Ones => u8::MAX,
                Randomness::Zeros => 0,
                Randomness::Seeded(state) => {
                    // SplitMix64.
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut mixed = *state;
                    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    ((mixed ^ (mixed >> 31)) >> 56) as u8
                }
            };
        }
    }
}
