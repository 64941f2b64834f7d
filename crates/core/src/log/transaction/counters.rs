//! What is counted of a stream, kept as rows come and go.

use super::OpenStream;
use crate::backend::BackendWrite;
use crate::error::Result;
use crate::log::entry::Entry;
use crate::log::state::StreamState;

/// Takes a new row into the counters.
pub(super) fn count(state: &mut StreamState, entry: &Entry) {
    if entry.is_live() {
        state.live += 1;
        state.bytes += entry.hashes.length;
        state.checksum = state.checksum.wrapping_add(checksum(entry));
    } else {
        state.deleted += 1;
    }
}

/// Takes a row that gave way out of the counters, and out of an open run's bookkeeping.
pub(super) fn uncount<W: BackendWrite>(stream: &mut OpenStream, old: &Entry, write: &mut W) -> Result<()> {
    let state = &mut stream.state;
    if !old.is_live() {
        state.deleted = state.deleted.saturating_sub(1);
        return Ok(());
    }
    state.live = state.live.saturating_sub(1);
    state.bytes = state.bytes.saturating_sub(old.hashes.length);
    state.checksum = state.checksum.wrapping_sub(checksum(old));
    if let Some(run) = &mut state.run
        && old.sequence <= run.start
    {
        run.old_live = run.old_live.saturating_sub(1);
        stream.memory.marks.catch_up(write, state.number, run)?;
        stream.memory.marks.clear(old.sequence);
    }
    Ok(())
}

/// What a live record adds to its stream's checksum.
pub(crate) fn checksum(entry: &Entry) -> u128 {
    crate::content::record_checksum(&entry.id, &entry.hashes.canonical)
}
