//! Small reads on the thread of whoever asks: they are over in less time than a hop to a reading
//! thread and back takes.

use std::sync::Mutex;

use super::caught::caught;
use super::readers;
use crate::backend::{BackendRead, BackendReader};
use crate::error::Result;
use crate::log::read::Attempt;
use crate::log::shared::{Shared, lock};
use crate::page::{Actions, PageRequest};

/// Records that one small read looks at, at most.
pub(super) const MOST_RECORDS: usize = 128;

/// Bytes of payload that one small read brings, at most.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// A handle for small reads, only where a snapshot waits for nobody. One caller at a time has it; the
/// others go to the reading threads.
pub(super) struct Nearby<R>(Mutex<Option<R>>);

impl<R: BackendReader> Nearby<R> {
    pub(super) fn new(handle: Option<R>) -> Self {
        Nearby(Mutex::new(handle))
    }

    /// Reads at once; `None` where that is not the way.
    pub(super) fn read<T>(
        &self,
        shared: &Shared,
        work: impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>>,
    ) -> Option<Result<T>> {
        let mut handle = self.0.try_lock().ok()?;
        let handle = handle.as_mut()?;
        Some(caught(|| readers::read(shared, handle, &work)))
    }

    /// Gives the handle back, for good.
    pub(super) fn stop(&self) {
        *lock(&self.0) = None;
    }
}

/// The request as a small read, where it is one: no filter, which could pass over any number of rows.
pub(super) fn small(request: &PageRequest) -> Option<PageRequest> {
    let plain = request.actions == Actions::ALL && request.matching.is_none() && request.ids.is_none();
    (plain && request.limit <= MOST_RECORDS)
        .then(|| PageRequest { max_bytes: request.max_bytes.min(MOST_BYTES), ..request.clone() })
}
