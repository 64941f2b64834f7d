//! What a store shows that has lost rows it cannot be without: a storage library may read a damaged page as one with fewer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::backend::{BackendRead, LogScan, Table};
use crate::error::{Error, Result};
use crate::log::keys;
use crate::log::state::{Head, Identity, StreamState};
use crate::mutants::mutant;

/// The first stream of every store has this number.
const FIRST_STREAM: u32 = 1;

/// Stream numbers without a stream that are looked at; no store has more, but one whose count is damaged.
const MOST_MISSING: usize = 4096;

/// Refuses a store that has records and no identity, which would be made a new one over them, or streams and no head,
/// which would give out positions and stream numbers a second time.
pub(crate) fn check_opening<R: BackendRead + ?Sized>(read: &mut R, identity: Option<&Identity>) -> Result<()> {
    if mutant!("lost-rows-unnoticed") || identity.is_some() && read.get(Table::State, keys::HEAD)?.is_some() {
        return Ok(());
    }
    let streams = [keys::STREAMS];
    let without_identity = match identity {
        None => has_entry(read, Table::State, &[], &[u8::MAX])? || has_entry(read, Table::History, &[], &[u8::MAX])?,
        Some(_) => false,
    };
    if without_identity
        || has_entry(read, Table::State, &streams, &keys::behind(&streams))?
        || has_row(read, FIRST_STREAM)?
    {
        let lost = if identity.is_none() { "identity" } else { "head" };
        return Err(Error::corrupt(
            "the store has lost rows that it cannot be without: restore a backup, or sync into a new store",
        )
        .with("lost", lost));
    }
    Ok(())
}

/// Rows of the log whose stream is not known any more, a problem to a stream.
pub(crate) fn orphans<R: BackendRead + ?Sized>(read: &mut R) -> Result<Vec<String>> {
    let given = Head::load(read)?.streams;
    let (prefix, mut known) = ([keys::STREAMS], BTreeSet::new());
    read.range(Table::State, &prefix, &keys::behind(&prefix), &mut |_, value| {
        known.insert(StreamState::decode(value)?.number);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut problems = Vec::new();
    let mut missing = (FIRST_STREAM..=given).filter(|number| !known.contains(number));
    for number in missing.by_ref().take(MOST_MISSING) {
        if has_row(read, number)? {
            problems.push(format!("the log has rows of stream {number}, and the stream is missing"));
        }
    }
    if missing.next().is_some() {
        problems.push(format!("the store counts {given} streams, and has {}", known.len()));
    }
    Ok(problems)
}

fn has_entry<R: BackendRead + ?Sized>(read: &mut R, table: Table, from: &[u8], until: &[u8]) -> Result<bool> {
    let mut found = false;
    read.range(table, from, until, &mut |_, _| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

fn has_row<R: BackendRead + ?Sized>(read: &mut R, stream: u32) -> Result<bool> {
    let mut found = false;
    read.scan(stream, LogScan { from: 0, only: None, payload: false }, &mut |_| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, BackendWrite};
    use crate::memory::MemoryBackend;

    #[test]
    fn a_damaged_count_of_streams_is_told_at_once() {
        let mut backend = MemoryBackend::default();
        let mut write = backend.begin().unwrap();
        Head { streams: u32::MAX, ..Head::default() }.store(&mut write).unwrap();
        assert_eq!(orphans(&mut write).unwrap(), ["the store counts 4294967295 streams, and has 0"]);
        Head { streams: 4000, ..Head::default() }.store(&mut write).unwrap();
        assert_eq!(orphans(&mut write).unwrap(), Vec::<String>::new());
        write.commit().unwrap();
    }
}
