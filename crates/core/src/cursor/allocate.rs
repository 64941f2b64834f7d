//! Minting of positions: inside the write transaction, from the stored high water.

use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::mutants::mutant;

/// The greatest time a ULID can hold.
pub(crate) const MAX_TIME_MS: u64 = (1 << 48) - 1;

/// Hands out the positions of one write transaction.
#[derive(Debug)]
pub(crate) struct Allocator {
    high_water: u128,
    now_ms: u64,
}

impl Allocator {
    /// Continues from the high water, at the time that the clock shows. Both must be read with the write lock held: positions
    /// minted from anything older lose records (P3 in `docs/guarantees.md`).
    pub(crate) fn new(high_water: u128, now_ms: u64) -> Self {
        Allocator { high_water, now_ms }
    }

    /// The next position: greater than every earlier one, whatever the clock does.
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
