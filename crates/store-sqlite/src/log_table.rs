//! `hw_log` within one transaction: rows of the core's log, in blocks.
//!
//! Rows are added to the last block of their stream, in memory, until it is full; the most recently changed
//! block is kept in memory too. Both are written before the table is searched, and before the commit.

use highwater_core::backend::{LogRow, LogScan, VisitRow};
use highwater_core::{Action, Result};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Row};

use crate::block::{Block, BlockBuilder, Payloads};
use crate::errors::Explain;
use crate::values::{SEQUENCE_BITS, bytes, damaged, integer, number, row_key, unsigned, value};

/// The statements. Columns as [`block_of`] reads them.
mod sql {
    // Two forms of each: without the payloads, and with them.
    macro_rules! columns {
        ($behind:literal) => {
            [
                concat!("SELECT key, directory, details FROM hw_log ", $behind),
                concat!("SELECT key, directory, details, payloads FROM hw_log ", $behind),
            ]
        };
    }
    /// The block that contains a row, if it exists: the first whose last row is not earlier. This search leads straight
    /// to the right page; searching for the last key that is not greater would start at the page after it.
    pub(super) const FIND: [&str; 2] = columns!("WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT 1");
    pub(super) const LAST: &str = columns!("WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT 1")[1];
    pub(super) const SCAN: [&str; 2] = columns!("WHERE key >= ?1 AND key < ?2 ORDER BY key");
    pub(super) const SCAN_DELETED: [&str; 2] =
        columns!("INDEXED BY hw_log_deleted WHERE deleted > 0 AND key >= ?1 AND key < ?2 ORDER BY key");
    pub(super) const INSERT: &str = "INSERT INTO hw_log VALUES (?5, ?1, ?2, ?3, ?4)";
    pub(super) const UPDATE: &str =
        "UPDATE hw_log SET deleted = ?1, directory = ?2, details = ?3, payloads = ?4 WHERE key = ?5";
    /// The same if the last row changes.
    pub(super) const MOVE: &str =
        "UPDATE hw_log SET key = ?5, deleted = ?1, directory = ?2, details = ?3, payloads = ?4 WHERE key = ?6";
    pub(super) const DELETE: &str = "DELETE FROM hw_log WHERE key = ?1";
}

/// The number of streams whose last blocks are kept open at a time.
const ENDS: usize = 8;

/// The overhead of a page of the file: its header, the cell's and the row's, and a small reserve.
const PAGE_OVERHEAD: usize = 64;

/// A block in memory.
#[derive(Debug)]
struct Open {
    stream: u32,
    /// The sequence numbers that are known to belong in it.
    from: u64,
    until: u64,
    /// Its key in the table, if it is stored, and whether it has changed since.
    stored: Option<i64>,
    changed: bool,
    rows: BlockBuilder,
}

impl Open {
    fn holds(&self, stream: u32, sequence: u64) -> bool {
        self.stream == stream && (self.from..=self.until).contains(&sequence)
    }
}

/// The table.
pub(crate) struct LogTable<'c> {
    connection: &'c Connection,
    /// Kept from their first use to the end of the transaction: a statement that is returned to the cache is
    /// cleared each time.
    find: [Option<CachedStatement<'c>>; 2],
    insert: Option<CachedStatement<'c>>,
    update: Option<CachedStatement<'c>>,
    moved: Option<CachedStatement<'c>>,
    /// The last blocks of streams, to which rows are added.
    ends: Vec<Open>,
    /// The block in which a row was last replaced or removed.
    edited: Option<Open>,
    spare: BlockBuilder,
    /// The capacity of a block in bytes; 0 until it is first needed.
    room: usize,
}

impl<'c> LogTable<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        LogTable {
            connection,
            find: [None, None],
            insert: None,
            update: None,
            moved: None,
            ends: Vec::new(),
            edited: None,
            spare: BlockBuilder::default(),
            room: 0,
        }
    }

    /// The rows of a stream from `scan.from`.
    pub(crate) fn scan(&mut self, stream: u32, scan: LogScan, visit: &mut VisitRow<'_>) -> Result<()> {
        self.flush()?;
        let sql = if scan.only == Some(Action::Deleted) { sql::SCAN_DELETED } else { sql::SCAN };
        let sql = sql[usize::from(scan.payload)];
        let mut statement = self.connection.prepare_cached(sql).explain_on(self.connection, "prepare")?;
        let range = [row_key(stream, scan.from)?, row_key(stream + 1, 0)?];
        let mut rows = statement.query(range).explain_on(self.connection, "read")?;
        while let Some(row) = rows.next().explain_on(self.connection, "read")? {
            let block = block_of(row, scan.payload)?;
            for row in block.rows(block.place_of(scan.from)) {
                if visit(&row?)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Visits the row with a sequence number; returns whether it exists.
    pub(crate) fn row(&mut self, stream: u32, sequence: u64, payload: bool, visit: &mut VisitRow<'_>) -> Result<bool> {
        let open = self.ends.iter().chain(&self.edited).find(|open| open.holds(stream, sequence));
        if let Some(open) = open {
            return if open.rows.is_empty() { Ok(false) } else { visit_row(&open.rows.block()?, sequence, visit) };
        }
        let connection = self.connection;
        let statement = self.finder(payload)?;
        let mut rows =
            statement.query([row_key(stream, sequence)?, row_key(stream + 1, 0)?]).explain_on(connection, "read")?;
        match rows.next().explain_on(connection, "read")? {
            Some(row) => visit_row(&block_of(row, payload)?, sequence, visit),
            None => Ok(false),
        }
    }

    /// Writes a row, replacing the one with its sequence number.
    pub(crate) fn put(&mut self, stream: u32, row: &LogRow<'_>) -> Result<()> {
        let room = self.room()?;
        let place = match self.ends.iter().position(|end| end.stream == stream) {
            Some(place) => place,
            None => self.open_end(stream)?,
        };
        let Some(end) = self.ends.get_mut(place) else { return Ok(()) };
        if row.sequence < end.from || end.rows.last().is_some_and(|last| last >= row.sequence) {
            return self.edit(stream, row.sequence, Some(row));
        }
        if !end.rows.takes(row, room) {
            let next = new_block(stream, row.sequence, std::mem::take(&mut self.spare));
            let full = std::mem::replace(end, next);
            self.store(full)?;
        }
        if let Some(end) = self.ends.get_mut(place) {
            end.changed = true;
            end.rows.push(row)?;
        }
        Ok(())
    }

    /// Removes a row, if it exists.
    pub(crate) fn remove(&mut self, stream: u32, sequence: u64) -> Result<()> {
        self.edit(stream, sequence, None)
    }

    /// Writes the blocks that are only in memory.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while let Some(end) = self.ends.pop() {
            self.store(end)?;
        }
        self.edited.take().map_or(Ok(()), |edited| self.store(edited))
    }

    /// Opens the last block of a stream, or a new one, for more rows; returns its index.
    fn open_end(&mut self, stream: u32) -> Result<usize> {
        // The changed block may be the last one.
        if let Some(edited) = self.edited.take_if(|edited| edited.stream == stream) {
            self.store(edited)?;
        }
        if self.ends.len() >= ENDS {
            let oldest = self.ends.remove(0);
            self.store(oldest)?;
        }
        let end = match self.load_last(stream)? {
            Some(last) => Open { until: u64::MAX, ..last },
            None => new_block(stream, 0, std::mem::take(&mut self.spare)),
        };
        self.ends.push(end);
        Ok(self.ends.len() - 1)
    }

    /// Replaces a row with `instead`; does nothing if neither exists.
    fn edit(&mut self, stream: u32, sequence: u64, instead: Option<&LogRow<'_>>) -> Result<()> {
        let open = |open: &Open| open.holds(stream, sequence);
        if !self.ends.iter().any(open) && !self.edited.as_ref().is_some_and(open) {
            if let Some(edited) = self.edited.take() {
                self.store(edited)?;
            }
            let found = self.load(stream, sequence)?;
            match self.ends.iter_mut().find(|end| end.stream == stream) {
                // After every other block, and before the rows of the last.
                Some(end) if found.as_ref().is_none_or(|found| found.stored == end.stored) => end.from = sequence,
                _ => self.edited = found,
            }
        }
        let Some(open) = self.ends.iter_mut().chain(&mut self.edited).find(|open| open.holds(stream, sequence)) else {
            return Ok(());
        };
        if open.rows.is_empty() {
            return instead.map_or(Ok(()), |row| {
                open.changed = true;
                open.rows.push(row)
            });
        }
        let block = open.rows.block()?;
        if instead.is_none() && block.sequence(block.place_of(sequence)) != Some(sequence) {
            return Ok(());
        }
        self.spare.copy(&block, Some(sequence), instead)?;
        std::mem::swap(&mut self.spare, &mut open.rows);
        self.spare.clear();
        open.changed = true;
        Ok(())
    }

    /// The stored block that contains a row, if it exists.
    fn load(&mut self, stream: u32, sequence: u64) -> Result<Option<Open>> {
        let spare = std::mem::take(&mut self.spare);
        let connection = self.connection;
        let statement = self.finder(true)?;
        let mut rows =
            statement.query([row_key(stream, sequence)?, row_key(stream + 1, 0)?]).explain_on(connection, "read")?;
        let Some(row) = rows.next().explain_on(connection, "read")? else { return Ok(None) };
        let found = open_block(stream, row, spare)?;
        Ok(Some(Open { from: found.from.min(sequence), ..found }))
    }

    /// The last stored block of a stream.
    fn load_last(&mut self, stream: u32) -> Result<Option<Open>> {
        let spare = std::mem::take(&mut self.spare);
        let mut statement = self.connection.prepare_cached(sql::LAST).explain_on(self.connection, "prepare")?;
        let mut rows =
            statement.query([row_key(stream, 0)?, row_key(stream + 1, 0)?]).explain_on(self.connection, "read")?;
        rows.next().explain_on(self.connection, "read")?.map(|row| open_block(stream, row, spare)).transpose()
    }

    fn store(&mut self, mut open: Open) -> Result<()> {
        match (open.rows.last(), open.stored) {
            _ if !open.changed => {}
            (None, None) => {}
            (None, Some(stored)) => {
                let mut statement =
                    self.connection.prepare_cached(sql::DELETE).explain_on(self.connection, "prepare")?;
                statement.execute([stored]).explain_on(self.connection, "write")?;
            }
            (Some(last), stored) => {
                let key = row_key(open.stream, last)?;
                let (statement, sql) = match stored {
                    None => (&mut self.insert, sql::INSERT),
                    Some(stored) if stored == key => (&mut self.update, sql::UPDATE),
                    Some(_) => (&mut self.moved, sql::MOVE),
                };
                let statement = at_hand(self.connection, statement, sql)?;
                let moved_from = stored.filter(|stored| *stored != key).map(number);
                let values = open.rows.columns().into_iter().chain([number(key)]).chain(moved_from);
                for (place, value) in values.enumerate() {
                    statement.raw_bind_parameter(place + 1, value).explain_on(self.connection, "write")?;
                }
                if statement.raw_execute().explain_on(self.connection, "write")? != 1 {
                    return Err(damaged("a block that disappeared while it was changed"));
                }
            }
        }
        open.rows.clear();
        self.spare = open.rows;
        Ok(())
    }

    fn finder(&mut self, payload: bool) -> Result<&mut CachedStatement<'c>> {
        let [plain, whole] = &mut self.find;
        let (place, sql) = if payload { (whole, sql::FIND[1]) } else { (plain, sql::FIND[0]) };
        at_hand(self.connection, place, sql)
    }

    fn room(&mut self) -> Result<usize> {
        if self.room == 0 {
            let mut statement =
                self.connection.prepare_cached("PRAGMA page_size").explain_on(self.connection, "prepare")?;
            let page: u32 = statement.query_row([], |row| row.get(0)).explain_on(self.connection, "read")?;
            self.room = (page as usize).saturating_sub(PAGE_OVERHEAD).max(1);
        }
        Ok(self.room)
    }
}

fn new_block(stream: u32, from: u64, rows: BlockBuilder) -> Open {
    Open { stream, from, until: u64::MAX, stored: None, changed: false, rows }
}

/// The block in a row of the table, opened for changes.
fn open_block(stream: u32, row: &Row<'_>, mut rows: BlockBuilder) -> Result<Open> {
    let (key, block) = (integer(row, 0)?, block_of(row, true)?);
    rows.copy(&block, None, None)?;
    let until = unsigned(key)? & ((1 << SEQUENCE_BITS) - 1);
    let from = block.sequence(0).unwrap_or(until);
    Ok(Open { stream, from, until, stored: Some(key), changed: false, rows })
}

/// The columns `key, directory, details` and, if requested, `payloads`.
fn block_of<'r>(row: &'r Row<'_>, payload: bool) -> Result<Block<'r>> {
    let payloads = match payload.then(|| value(row, 3)).transpose()? {
        None => Payloads::Unread,
        Some(ValueRef::Text(text)) => Payloads::Text(text),
        Some(ValueRef::Blob(bytes)) => Payloads::Bytes(bytes),
        Some(_) => return Err(damaged("a column that does not hold bytes")),
    };
    Block::new(bytes(row, 1)?, bytes(row, 2)?, payloads)
}

fn visit_row(block: &Block<'_>, sequence: u64, visit: &mut VisitRow<'_>) -> Result<bool> {
    let place = block.place_of(sequence);
    if block.sequence(place) != Some(sequence) {
        return Ok(false);
    }
    let _ = visit(&block.row(place)?)?;
    Ok(true)
}

/// A statement that is kept for reuse.
pub(crate) fn at_hand<'s, 'c>(
    connection: &'c Connection,
    place: &'s mut Option<CachedStatement<'c>>,
    sql: &str,
) -> Result<&'s mut CachedStatement<'c>> {
    match place {
        Some(statement) => Ok(statement),
        None => Ok(place.insert(connection.prepare_cached(sql).explain_on(connection, "prepare")?)),
    }
}

#[cfg(test)]
mod tests;
