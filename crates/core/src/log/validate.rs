//! Whether a cursor is one that this store gave out, for this stream and filter, in this history.

use crate::backend::BackendRead;
use crate::cursor::{Cursor, Position, TokenKey};
use crate::error::{CursorFault, Error, ErrorKind, Result};
use crate::log::shared::Shared;
use crate::log::state::{Head, REBASED, StreamState, epoch_end};
use crate::mutants::mutant;

/// Refuses a cursor of another stream, store, filter or history, and one from the future.
pub(crate) fn belongs<R: BackendRead + ?Sized>(
    shared: &Shared,
    read: &mut R,
    key: &TokenKey,
    state: &StreamState,
    cursor: &Cursor,
    filter: u64,
) -> Result<()> {
    if cursor.is_start() {
        return Ok(());
    }
    if !key.vouches_for(cursor, filter) {
        let other_filter = TokenKey::is_filtered(cursor) || (filter != 0 && key.vouches_for(cursor, 0));
        return Err(if other_filter {
            Error::new(
                ErrorKind::FilterMismatch,
                "the cursor was given out under another content filter: read with that filter, or start again from Cursor::START",
            )
        } else {
            Error::new(
                ErrorKind::CursorForeign,
                "the cursor was not given out by this store for this stream: clear your copy and start again from Cursor::START",
            )
        }
        .with("cursor", cursor));
    }
    let position = cursor.position_in_epoch();
    if shared.knows_epoch(state, position) {
        return Ok(());
    }
    let end = epoch_end(read, position.epoch)?;
    if end == Some(REBASED) {
        return Err(expired(key, state.horizon(true), cursor, filter));
    }
    if let Some(end) = end {
        shared.note_epoch(state, position.epoch, end);
        if position.ulid <= end {
            return Ok(());
        }
        if Head::load(read)?.epoch == position.epoch {
            return Err(Error::new(
                ErrorKind::CursorFuture,
                "the cursor is ahead of the store, which was put back to an earlier state: clear your copy and start again from Cursor::START",
            )
            .with("cursor", cursor)
            .with_fault(CursorFault::Future { high_water: key.cursor(state.last, filter) }));
        }
    }
    let last_common = end.map(|ulid| key.cursor(Position { ulid, epoch: position.epoch }, filter));
    Err(Error::new(
        ErrorKind::CursorForked,
        "the cursor comes from a history that this store does not have (a restored backup, or a copy of the file): \
         clear your copy and start again from Cursor::START",
    )
    .with("cursor", cursor)
    .with_fault(CursorFault::Forked { last_common }))
}

/// Refuses a cursor behind which something was pruned.
pub(crate) fn not_expired(
    key: &TokenKey,
    state: &StreamState,
    cursor: &Cursor,
    filter: u64,
    payloads: bool,
) -> Result<()> {
    let horizon = state.horizon(payloads && !mutant!("payload-horizon-ignored"));
    let position = cursor.position();
    let behind =
        if mutant!("horizon-off-by-one") { position.saturating_add(1) < horizon.ulid } else { position < horizon.ulid };
    // A reading that began at START after the last prune holds nothing that was pruned.
    let fresh = cursor.drain() != 0 && cursor.drain() == state.prunes;
    if cursor.is_start() || !behind || fresh {
        return Ok(());
    }
    Err(expired(key, horizon, cursor, filter))
}

/// The refusal of a cursor that only a reading from START can replace.
pub(crate) fn expired(key: &TokenKey, horizon: Position, cursor: &Cursor, filter: u64) -> Error {
    let horizon = key.cursor(horizon, filter);
    Error::new(
        ErrorKind::CursorExpired,
        "what was modified behind this cursor has been pruned in part: clear your copy and start again from Cursor::START",
    )
    .with("cursor", cursor)
    .with("horizon", horizon)
    .with_fault(CursorFault::Expired { horizon })
}
