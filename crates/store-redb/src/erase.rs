//! Erases removed data from the file.
//!
//! When redb removes an entry it leaves the bytes in the page, and it does not touch free pages. So every entry is
//! copied into new pages, and the free ones are overwritten.

use highwater_core::Result;
use highwater_core::key_value::Map;
use redb::{Database, ReadableTable, TableDefinition, TableHandle};

use crate::errors::Explain;
use crate::view::table;

/// Exists only during [`renew`].
const COPY: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("hw_copy");
const FILLING: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("hw_filling");

/// Commits after which freed pages can be reused.
const COMMITS_UNTIL_FREE: u64 = 3;

/// Writes every entry into new pages, and zeros into the free ones. While it works it needs room for two more copies of the
/// store. A snapshot that is open in the meantime keeps its pages unchanged.
pub(crate) fn renew(database: &Database) -> Result<()> {
    copy(database)?;
    for commit in 0..COMMITS_UNTIL_FREE {
        fill(database, commit..commit + 1, 0)?;
    }
    let write = database.begin_write().explain("compact")?;
    let stats = write.stats().explain("compact")?;
    write.abort().explain("compact")?;
    // As many pages as may be free, and some more: which pages are free changes while they are filled.
    let free = stats.fragmented_bytes() / stats.page_size() as u64;
    fill(database, 0..free + free / 4 + 256, stats.page_size().saturating_sub(256))?;
    let write = database.begin_write().explain("compact")?;
    write.delete_table(FILLING).explain("compact")?;
    write.commit().explain("compact")
}

fn copy(database: &Database) -> Result<()> {
    let write = database.begin_write().explain("compact")?;
    for map in [Map::State, Map::History, Map::Log, Map::Index] {
        let original = table(map);
        if !write.list_tables().explain("compact")?.any(|known| known.name() == original.name()) {
            continue;
        }
        {
            let from = write.open_table(original).explain("compact")?;
            let mut to = write.open_table(COPY).explain("compact")?;
            for entry in from.iter().explain("compact")? {
                let (key, value) = entry.explain("compact")?;
                to.insert(key.value(), value.value()).explain("compact")?;
            }
        }
        write.delete_table(original).explain("compact")?;
        write.rename_table(COPY, original).explain("compact")?;
    }
    write.commit().explain("compact")
}

/// Inserts values that consist of zeros.
fn fill(database: &Database, keys: std::ops::Range<u64>, length: usize) -> Result<()> {
    let (write, zeros) = (database.begin_write().explain("compact")?, vec![0; length]);
    {
        let mut filling = write.open_table(FILLING).explain("compact")?;
        for key in keys {
            filling.insert(key, &*zeros).explain("compact")?;
        }
    }
    write.commit().explain("compact")
}
