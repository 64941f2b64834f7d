//! `hw_index`: the position of each id in its stream's log.
//!
//! Entries come in thousands and in order. A statement with many rows pays SQLite's fixed cost per statement only once, and
//! inserts the next entry next to the last one.

use std::sync::LazyLock;

use highwater_core::Result;
use rusqlite::{CachedStatement, Connection, Statement};

use crate::errors::Explain;
use crate::log_table::at_hand;
use crate::values::{blob, integer, number, out_of_range, unsigned};

const FIND: &str = "SELECT sequence FROM hw_index WHERE stream = ?1 AND id = ?2";
const PUT: &str = "INSERT OR REPLACE INTO hw_index VALUES (?, ?, ?)";
const REMOVE: &str = "DELETE FROM hw_index WHERE stream = ?1 AND id = ?2";

/// The number of entries per statement.
const MANY: usize = 64;

static PUT_MANY: LazyLock<String> = LazyLock::new(|| format!("{PUT}{}", ", (?, ?, ?)".repeat(MANY - 1)));

/// The table within one transaction.
pub(crate) struct IndexTable<'c> {
    connection: &'c Connection,
    find: Option<CachedStatement<'c>>,
    put: Option<CachedStatement<'c>>,
    put_many: Option<CachedStatement<'c>>,
    waiting: Entries,
}

/// Entries that are not in the table yet, with their keys concatenated.
#[derive(Default)]
struct Entries {
    keys: Vec<u8>,
    /// The stream, the end of the key, and the sequence number.
    entries: Vec<(u32, usize, i64)>,
}

impl<'c> IndexTable<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        IndexTable { connection, find: None, put: None, put_many: None, waiting: Entries::default() }
    }

    pub(crate) fn find(&mut self, stream: u32, key: &[u8]) -> Result<Option<u64>> {
        self.flush()?;
        let statement = at_hand(self.connection, &mut self.find, FIND)?;
        let mut rows = statement.query((stream, key)).explain_on(self.connection, "read")?;
        match rows.next().explain_on(self.connection, "read")? {
            Some(row) => Ok(Some(unsigned(integer(row, 0)?)?)),
            None => Ok(None),
        }
    }

    pub(crate) fn put(&mut self, stream: u32, key: &[u8], sequence: u64) -> Result<()> {
        let sequence = i64::try_from(sequence).map_err(|_| out_of_range())?;
        self.waiting.keys.extend_from_slice(key);
        self.waiting.entries.push((stream, self.waiting.keys.len(), sequence));
        if self.waiting.entries.len() < MANY {
            return Ok(());
        }
        let statement = at_hand(self.connection, &mut self.put_many, &PUT_MANY)?;
        for (place, entry) in self.waiting.iter().enumerate() {
            bind(statement, place, entry)?;
        }
        self.waiting.clear();
        statement.raw_execute().map(drop).explain_on(self.connection, "write")
    }

    pub(crate) fn remove(&mut self, stream: u32, key: &[u8]) -> Result<()> {
        self.flush()?;
        let mut statement = self.connection.prepare_cached(REMOVE).explain_on(self.connection, "prepare")?;
        statement.execute((stream, key)).map(drop).explain_on(self.connection, "write")
    }

    /// Writes the pending entries: before any read, and before the end.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.waiting.entries.is_empty() {
            return Ok(());
        }
        let statement = at_hand(self.connection, &mut self.put, PUT)?;
        for entry in self.waiting.iter() {
            bind(statement, 0, entry)?;
            statement.raw_execute().explain_on(self.connection, "write")?;
        }
        self.waiting.clear();
        Ok(())
    }
}

impl Entries {
    fn iter(&self) -> impl Iterator<Item = (u32, &[u8], i64)> {
        self.entries.iter().scan(0, |begin, &(stream, end, sequence)| {
            let key = self.keys.get(std::mem::replace(begin, end)..end)?;
            Some((stream, key, sequence))
        })
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.entries.clear();
    }
}

/// Binds the values of the row at the index `place` of a statement.
fn bind(statement: &mut Statement<'_>, place: usize, (stream, key, sequence): (u32, &[u8], i64)) -> Result<()> {
    for (column, value) in [number(i64::from(stream)), blob(key), number(sequence)].iter().enumerate() {
        statement.raw_bind_parameter(place * 3 + column + 1, value).explain("write")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// A number of entries from a start, at a distance.
        Put {
            from: u16,
            count: u16,
            step: u16,
            sequence: u64,
        },
        Remove(u16),
        Find(u16),
        /// Continues with another transaction.
        End,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u16..300, 0_u16..200, 1_u16..4, 1_u64..1 << 40).prop_map(|(from, count, step, sequence)| Step::Put {
                from,
                count,
                step,
                sequence
            }),
            (0_u16..300).prop_map(Step::Remove),
            (0_u16..300).prop_map(Step::Find),
            Just(Step::End),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn the_table_is_a_map(steps in proptest::collection::vec(step(), 1..24)) {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(crate::schema::TABLES).unwrap();
            let (mut table, mut map) = (IndexTable::new(&connection), BTreeMap::new());
            // Ids of several lengths, the longest one that a backend is given among them.
            let key = |number: u16| (u32::from(number % 2), format!("{number:0width$}", width = 1 + usize::from(number) % 64).into_bytes());
            for step in steps {
                match step {
                    Step::Put { from, count, step, sequence } => {
                        for number in (0..count).map(|place| from + place * step) {
                            let (stream, id) = key(number);
                            table.put(stream, &id, sequence + u64::from(number)).unwrap();
                            map.insert((stream, id), sequence + u64::from(number));
                        }
                    }
                    Step::Remove(number) => {
                        let (stream, id) = key(number);
                        table.remove(stream, &id).unwrap();
                        map.remove(&(stream, id));
                    }
                    Step::Find(number) => {
                        let (stream, id) = key(number);
                        prop_assert_eq!(table.find(stream, &id).unwrap(), map.get(&(stream, id)).copied());
                    }
                    Step::End => {
                        table.flush().unwrap();
                        table = IndexTable::new(&connection);
                    }
                }
            }
            table.flush().unwrap();
            let mut all = connection.prepare("SELECT stream, id, sequence FROM hw_index ORDER BY stream, id").unwrap();
            let entry = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned()));
            let all: Vec<_> = all.query_map([], entry).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(all, map.into_iter().collect::<Vec<((u32, Vec<u8>), u64)>>());
        }
    }
}
