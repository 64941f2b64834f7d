//! Small reads on the calling thread: a hop to a reading thread and back, into another processor's cache, would be a
//! large part of their cost.

use std::sync::Mutex;

use super::readers;
use crate::backend::{BackendRead, BackendReader};
use crate::error::Result;
use crate::locks::lock;
use crate::log::read::Attempt;
use crate::log::shared::Shared;
use crate::log::state::StreamState;
use crate::page::{Actions, PageRequest};

/// Ids that are looked up on the caller's thread in one call, at most.
pub(super) const MOST_IDS: usize = 128;

/// Records that a page read on the caller's thread has, at most, and bytes of payload. It takes less than a millisecond to
/// read from the system's cache; memory that another thread has filled takes a fifth longer to read and to free.
const MOST_RECORDS: usize = 1000;
const MOST_BYTES: usize = 1024 * 1024;

/// Pages of no more records are tried whatever records usually take.
const FEW_RECORDS: usize = 128;

/// A handle for small reads, only if a snapshot never waits. One caller at a time has it; the
/// others go to the reading threads.
pub(super) struct CallerReader<R>(Mutex<Option<R>>);

impl<R: BackendReader> CallerReader<R> {
    pub(super) fn new(handle: Option<R>) -> Self {
        CallerReader(Mutex::new(handle))
    }

    /// Reads at once; `None` where another caller has the handle, or there is none.
    pub(super) fn read<T>(
        &self,
        shared: &Shared,
        work: impl Fn(&Shared, &mut dyn BackendRead) -> Result<Attempt<T>>,
    ) -> Option<Result<T>> {
        let mut handle = self.0.try_lock().ok()?;
        let handle = handle.as_mut()?;
        Some(readers::read(shared, handle, &work))
    }

    /// Drops the handle for good.
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

/// Whether the page will fit, as far as the stream's records tell.
pub(super) fn fits(request: &PageRequest, state: &StreamState) -> bool {
    let usual = state.bytes / state.live.max(1);
    let most = u64::try_from(MOST_BYTES / request.limit.max(1)).unwrap_or(u64::MAX);
    request.limit <= FEW_RECORDS || request.metadata_only || usual <= most
}
