//! Minting of positions: inside the write transaction, from the stored high water.

use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::mutants::mutant;

/// The greatest time a ULID can hold.
pub(crate) const MAX_TIME_MS: u64 = (1 << 48) - 1;

/// How far a clock may leap ahead of the stored high water before that needs a word from the host.
const MAX_LEAP_MS: u64 = 366 * 24 * 3600 * 1000;

/// A clock beyond this year is taken for broken, first write or not.
const LATEST_PLAUSIBLE_MS: u64 = 3_000_000_000_000; // January 2065

/// Whether a clock that shows `now_ms` needs a word from the host before it may mint.
pub(crate) fn is_implausible(now_ms: u64, high_water: u128) -> bool {
    let last_ms = u64::try_from(high_water >> 80).unwrap_or(MAX_TIME_MS);
    let leap = high_water != 0 && now_ms.saturating_sub(last_ms) > MAX_LEAP_MS;
    leap || now_ms > LATEST_PLAUSIBLE_MS
}

/// Hands out the positions of one write transaction.
#[derive(Debug)]
pub(crate) struct Allocator {
    high_water: u128,
    now_ms: u64,
}

impl Allocator {
    /// Reads the clock: call it with the write lock held and the high water just read (H1-H6).
    pub(crate) fn new(high_water: u128, environment: &dyn Environment, allow_leap: bool) -> Result<Self> {
        let now_ms = environment.now_ms();
        let last_ms = u64::try_from(high_water >> 80).unwrap_or(MAX_TIME_MS);
        if is_implausible(now_ms, high_water) && !allow_leap {
            return Err(Error::new(
                ErrorKind::ClockImplausible,
                "the clock is more than a year ahead of the last write, or beyond 2065: set the clock, \
                 or call allow_clock_jump() once if it is right",
            )
            .with("clock_ms", now_ms)
            .with("last_write_ms", last_ms));
        }
        Ok(Allocator { high_water, now_ms })
    }

    /// The next position: greater than every one before, whatever the clock does.
    pub(crate) fn mint(&mut self, environment: &dyn Environment) -> Result<u128> {
        let floor = self.high_water.checked_add(1).filter(|floor| *floor < u128::MAX - (1 << 80)).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the store has used up every cursor; move its records to a new store")
        })?;
        let now_ms = u128::from(self.now_ms.min(MAX_TIME_MS));
        let last_ms = self.high_water >> 80;
        let tie = if mutant!("allocate-equal-only") { now_ms == last_ms } else { now_ms <= last_ms };
        let next = if tie {
            floor
        } else {
            let mut random = [0; 16];
            // Ten random bytes below the time; the first stays zero as headroom for carries.
            environment.fill_random(&mut random[7..]);
            (now_ms << 80) | u128::from_be_bytes(random)
        };
        self.high_water = if mutant!("allocate-equal-only") { next } else { next.max(floor) };
        Ok(self.high_water)
    }

    /// The greatest position minted so far.
    pub(crate) fn high_water(&self) -> u128 {
        self.high_water
    }
}
