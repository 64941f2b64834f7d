//! What a store shows that has lost rows it cannot be without: a storage library may read a damaged page as one with fewer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, LogScan, Table};
use crate::error::{Error, Result};
use crate::log::keys;
use crate::log::state::{Head, Identity, StreamState};
use crate::mutants::mutant;
use crate::stream::StreamKey;

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

/// Writes down a new stream's name beside its key.
pub(crate) fn keep_name<W: BackendWrite>(write: &mut W, number: u32, stream: &StreamKey) -> Result<()> {
    write.put(Table::State, &keys::stream_name(number), &name_hash(&stream.to_bytes()))
}

fn name_hash(name: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(name).as_bytes()[..8]);
    short
}

/// Rows of the log whose stream is not known any more, a problem to a stream.
pub(crate) fn orphans<R: BackendRead + ?Sized>(read: &mut R) -> Result<Vec<String>> {
    let given = Head::load(read)?.streams;
    let (prefix, mut known) = ([keys::STREAMS], BTreeMap::new());
    read.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
        known.insert(StreamState::decode(value)?.number, name_hash(&key[prefix.len()..]));
        Ok(ControlFlow::Continue(()))
    })?;
    let mut problems = Vec::new();
    for (number, name) in &known {
        // Absent for streams of earlier versions.
        if read.get(Table::State, &keys::stream_name(*number))?.is_some_and(|kept| kept != name) {
            problems.push(format!("the stream {number} has another name than it began with"));
        }
    }
    let mut missing = (FIRST_STREAM..=given).filter(|number| !known.contains_key(number));
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
    use crate::backend::Backend;
    use crate::memory::MemoryBackend;

    #[test]
    fn a_name_that_damage_changed_is_told() {
        let mut backend = MemoryBackend::default();
        let mut write = backend.begin().unwrap();
        Head { streams: 1, ..Head::default() }.store(&mut write).unwrap();
        keep_name(&mut write, 1, &StreamKey::new("demo", "Note")).unwrap();
        StreamState::new(1).store(&mut write, &StreamKey::new("demo", "Note")).unwrap();
        assert_eq!(orphans(&mut write).unwrap(), Vec::<String>::new());
        write.remove(Table::State, &keys::stream(&StreamKey::new("demo", "Note"))).unwrap();
        StreamState::new(1).store(&mut write, &StreamKey::new("demo", "Notm")).unwrap();
        assert_eq!(orphans(&mut write).unwrap(), ["the stream 1 has another name than it began with"]);
        write.commit().unwrap();
    }

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
