//! The clock of a run, which the interpreter reads between requests.

use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::{Environment, SystemEnvironment, Timestamp};

/// Shows the time at which the run last looked.
#[derive(Debug, Default)]
pub(super) struct RunClock(AtomicU64);

impl RunClock {
    pub(super) fn at(now: Timestamp) -> Self {
        RunClock(AtomicU64::new(now.unix_ms()))
    }

    pub(super) fn set(&self, now: Timestamp) {
        self.0.store(now.unix_ms(), Ordering::Relaxed);
    }
}

impl Environment for RunClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::Relaxed))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        SystemEnvironment.fill_random(bytes);
    }
}
