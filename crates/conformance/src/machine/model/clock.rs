//! When the clock is plausible.

use highwater_core::ErrorKind;

use super::{Model, Refusal};
use crate::environment::MOMENT_MS;
use crate::subject::Subject;

const LEAP_MS: u64 = 366 * 24 * 3600 * 1000;
const EARLIEST_MS: u64 = 1_767_225_600_000;
pub(super) const LATEST_MS: u64 = 3_000_000_000_000;

/// The latest time that each open handle has seen; 0 where its clock was never set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handles {
    first_ms: u64,
    /// `None` while it is not open.
    second_ms: Option<u64>,
    share: bool,
    reopen: bool,
}

impl Handles {
    pub(crate) fn of<S: Subject>() -> Self {
        Handles { first_ms: MOMENT_MS, second_ms: None, share: S::SHARES, reopen: S::REOPENS }
    }

    /// The first is opened, and is the only one.
    pub(super) fn open(&mut self, now_ms: u64) {
        (self.first_ms, self.second_ms) = (seen(0, now_ms), None);
    }

    pub(super) fn reopen(&mut self, now_ms: u64) {
        if self.reopen {
            self.open(now_ms);
        }
    }

    /// A batch comes to one of them.
    pub(super) fn look(&mut self, second: bool, now_ms: u64) {
        if second && self.share {
            self.second_ms = Some(seen(self.second_ms.unwrap_or(0), now_ms));
        } else {
            self.first_ms = seen(self.first_ms, now_ms);
        }
    }

    fn seen_ms(&self, second: bool) -> u64 {
        self.second_ms.filter(|_| second && self.share).unwrap_or(self.first_ms)
    }
}

/// What a handle goes by that has seen a time and looks again.
fn seen(before_ms: u64, now_ms: u64) -> u64 {
    let leapt = before_ms != 0 && now_ms > before_ms + LEAP_MS;
    if leapt || !(EARLIEST_MS..=LATEST_MS).contains(&now_ms) { before_ms } else { before_ms.max(now_ms) }
}

impl Model {
    pub(super) fn clock_is_believed(&self, by_another: bool) -> bool {
        let near = |sign_ms: u64| sign_ms >= EARLIEST_MS && self.now_ms <= sign_ms + LEAP_MS;
        let seen_ms = self.handles.seen_ms(by_another);
        let known = near(self.world.high_water_ms) || near(self.world.accepted_ms);
        self.now_ms <= LATEST_MS && (known || seen_ms == 0 || near(seen_ms))
    }

    pub(super) fn accept_clock(&mut self) -> Result<u64, Refusal> {
        if self.now_ms > LATEST_MS {
            return Err(&[ErrorKind::ClockImplausible]);
        }
        self.world.accepted_ms = self.now_ms;
        Ok(0)
    }
}
