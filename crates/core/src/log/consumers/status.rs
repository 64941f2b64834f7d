//! Where a named reader stands, as any snapshot tells.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::backend::{BackendRead, LogScan, Table};
use crate::consumer::ConsumerStatus;
use crate::cursor::millis_of;
use crate::error::{Error, ErrorKind, Result};
use crate::log::consumers::record::ConsumerRecord;
use crate::log::keys;
use crate::log::read::StreamView;
use crate::mutants::mutant;

/// Rows behind a reader that are counted one by one; it takes a fraction of a millisecond.
const MAX_COUNTED: u64 = 256;

/// A consumer's status.
pub(crate) fn status<R: BackendRead + ?Sized>(
    view: &StreamView<'_>,
    read: &mut R,
    name: &str,
) -> Result<ConsumerStatus> {
    super::check_name(name)?;
    let stored = read.get(Table::State, &keys::consumer(view.state.number, name))?;
    let record = stored.map(|bytes| ConsumerRecord::decode(&bytes)).transpose()?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no such consumer: poll with its name once to make it")
            .with("stream", view.key)
            .with("consumer", name)
    })?;
    let now_ms = view.shared.environment.now().unix_ms();
    let behind = look_behind(view, read, record.acknowledged.position())?;
    let lag = if behind.counted <= MAX_COUNTED { behind.counted } else { modifications(view, &record, behind.first) };
    let lag_time = behind.oldest.map(|position| {
        let then = u64::try_from(millis_of(position)).unwrap_or(0);
        Duration::from_millis(now_ms.saturating_sub(then))
    });
    Ok(ConsumerStatus {
        name: name.to_owned(),
        acknowledged: record.acknowledged,
        lag,
        lag_time,
        leased: record.lease_left(now_ms).is_some(),
        backoff: record.pause_left(now_ms),
        parked: record.parked_ids(),
        evicted: record.evicted,
    })
}

/// Modifications behind the reader: each took a sequence number. More than there are records it cannot be given.
fn modifications(view: &StreamView<'_>, record: &ConsumerRecord, first: u64) -> u64 {
    let acknowledged = record.sequence.unwrap_or_else(|| first.saturating_sub(1));
    let acknowledged = if mutant!("lag-from-the-start") { 0 } else { acknowledged };
    view.state.last_sequence().saturating_sub(acknowledged).min(view.state.entries())
}

/// The entries after a position.
#[derive(Default)]
struct Behind {
    /// Rows, as far as they were counted.
    counted: u64,
    /// Sequence number and position of the first.
    first: u64,
    oldest: Option<u128>,
}

fn look_behind<R: BackendRead + ?Sized>(view: &StreamView<'_>, read: &mut R, position: u128) -> Result<Behind> {
    let mut behind = Behind::default();
    if position >= view.state.last.ulid {
        return Ok(behind);
    }
    let from = view.first_behind(read, position)?;
    read.scan(view.state.number, LogScan { from, only: None, payload: false }, &mut |row| {
        if row.cursor > position {
            if behind.oldest.is_none() {
                (behind.first, behind.oldest) = (row.sequence, Some(row.cursor));
            }
            behind.counted += 1;
        }
        Ok(if behind.counted > MAX_COUNTED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(behind)
}
