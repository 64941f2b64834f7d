//! Backends over plain ordered keys and values: three functions make a [`Backend`](crate::backend::Backend).
//!
//! A write transaction keeps its changes beside the data until it commits; [`Overlay`] shows both
//! as one.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use crate::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table, VisitEntry, VisitRow};
use crate::error::{Error, Result};
use crate::row_codec::{decode_row, encode_row, index_key, row_key, sequence_of_key};

/// The four maps of a store, each from bytes to bytes in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// [`Table::State`].
    State,
    /// [`Table::History`].
    History,
    /// The log's rows.
    Log,
    /// The id index.
    Index,
}

impl Map {
    /// Every map.
    pub const ALL: [Map; 4] = [Map::State, Map::History, Map::Log, Map::Index];

    /// Returns a short name, for files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Map::State => "state",
            Map::History => "history",
            Map::Log => "log",
            Map::Index => "index",
        }
    }

    fn of(table: Table) -> Self {
        match table {
            Table::State => Map::State,
            Table::History => Map::History,
        }
    }
}

/// A consistent view of the maps. Errors have the kinds that [`BackendRead`](BackendRead#errors) names.
pub trait KeyValueRead {
    /// Passes the value of `key` to `visit`, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the storage, and what `visit` returns.
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;

    /// Visits the entries with `from <= key < until`, ascending by bytes, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// Those of the storage, and what `visit` returns.
    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()>;
}

/// A view that can be replaced by a changed one, at once and durably.
pub trait KeyValueWrite: KeyValueRead {
    /// Applies the changes: all of them or none, durable when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`BackendWrite::commit`].
    fn apply(self, changes: Changes) -> Result<()>;
}

/// What a transaction changes: per map, by key, a new value or a removal.
#[derive(Clone, Default)]
pub struct Changes {
    maps: [BTreeMap<Vec<u8>, Option<Vec<u8>>>; 4],
}

impl Changes {
    /// Returns the changes of one map.
    pub fn of(&self, map: Map) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.maps[map as usize].iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// The changes of one map, owned.
    pub fn take(&mut self, map: Map) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        std::mem::take(&mut self.maps[map as usize])
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.maps.iter().map(BTreeMap::len)).finish()
    }
}

/// A view and the changes made to it.
#[derive(Debug)]
pub struct Overlay<V> {
    view: V,
    changes: Changes,
}

impl<V: KeyValueRead> Overlay<V> {
    /// The view, unchanged so far.
    pub fn new(view: V) -> Self {
        Overlay { view, changes: Changes::default() }
    }

    fn changed(&self, map: Map) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.changes.maps[map as usize]
    }

    fn set(&mut self, map: Map, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.changes.maps[map as usize].insert(key, value);
    }

    fn look(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.changed(map).get(key) {
            Some(Some(value)) => visit(value),
            Some(None) => Ok(()),
            None => self.view.get(map, key, visit),
        }
    }

    fn walk(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        if from >= until {
            return Ok(());
        }
        let mut changed =
            self.changed(map).range::<[u8], _>((Bound::Included(from), Bound::Excluded(until))).peekable();
        if changed.peek().is_none() {
            return self.view.range(map, from, until, visit);
        }
        let mut broke = false;
        self.view.range(map, from, until, &mut |key, value| {
            if visit_before(&mut changed, key, visit)?.is_break() {
                broke = true;
                return Ok(ControlFlow::Break(()));
            }
            let flow = match changed.next_if(|(other, _)| other.as_slice() == key) {
                Some((_, Some(value))) => visit(key, value)?,
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value)?,
            };
            broke = flow.is_break();
            Ok(flow)
        })?;
        if !broke {
            let _ = visit_before(&mut changed, until, visit)?;
        }
        Ok(())
    }
}

/// Visits the changed entries before `key`.
fn visit_before<'c>(
    changed: &mut Peekable<impl Iterator<Item = (&'c Vec<u8>, &'c Option<Vec<u8>>)>>,
    key: &[u8],
    visit: &mut VisitEntry<'_>,
) -> Result<ControlFlow<()>> {
    while let Some((key, value)) = changed.next_if(|(other, _)| other.as_slice() < key) {
        if let Some(value) = value
            && visit(key, value)?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

impl<V: KeyValueRead> BackendRead for Overlay<V> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.look(Map::of(table), key, &mut |value| {
            found = Some(value.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    fn range(&mut self, table: Table, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        self.walk(Map::of(table), from, until, visit)
    }

    fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        let (from, until) = (row_key(stream, scan.from), row_key(stream + 1, 0));
        self.walk(Map::Log, &from, &until, &mut |key, value| {
            let row = decode_row(sequence_of_key(key)?, value)?;
            visit(&LogRow { payload: row.payload.filter(|_| scan.payload), ..row })
        })
    }

    fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        let mut found = false;
        self.look(Map::Log, &row_key(stream, sequence), &mut |value| {
            found = true;
            let row = decode_row(sequence, value)?;
            visit(&LogRow { payload: row.payload.filter(|_| payload), ..row }).map(drop)
        })?;
        Ok(found)
    }

    fn index(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
        let mut found = None;
        self.look(Map::Index, &index_key(stream, key), &mut |value| {
            let bytes = value.try_into().map_err(|_| Error::corrupt("an index entry has the wrong length"))?;
            found = Some(u64::from_be_bytes(bytes));
            Ok(())
        })?;
        Ok(found)
    }
}

impl<V: KeyValueWrite> BackendWrite for Overlay<V> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.set(Map::of(table), key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<()> {
        self.set(Map::of(table), key.to_vec(), None);
        Ok(())
    }

    fn put_row(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()> {
        let mut value = Vec::with_capacity(128 + row.payload.map_or(0, <[u8]>::len));
        encode_row(row, &mut value);
        self.set(Map::Log, row_key(stream, row.sequence).to_vec(), Some(value));
        Ok(())
    }

    fn remove_row(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.set(Map::Log, row_key(stream, sequence).to_vec(), None);
        Ok(())
    }

    fn put_index(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        self.set(Map::Index, index_key(stream, key), Some(sequence.to_be_bytes().to_vec()));
        Ok(())
    }

    fn remove_index(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.set(Map::Index, index_key(stream, key), None);
        Ok(())
    }

    fn commit(self) -> Result<()> {
        self.view.apply(self.changes)
    }
}
