//! Leaves nothing in the file of what was removed.
//!
//! redb takes an entry out of a page and leaves its bytes there, and does not touch pages that are free. So every entry is
//! copied into new pages, and the free ones are filled.

use highwater_core::Result;
use highwater_core::key_value::Map;
use redb::{Database, ReadableTable, TableDefinition, TableHandle};

use crate::errors::Explain;
use crate::view::table;

/// Exists within [`renew`] alone.
const COPY: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("hw_copy");
const FILLING: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("hw_filling");

/// Commits after which pages that were given up can be used again.
const COMMITS_UNTIL_FREE: u64 = 3;

/// Writes every entry into new pages, and zeros into those that are free. Needs room for another copy of the store, twice for
/// the time it takes. A snapshot that is read meanwhile keeps its pages as they are.
pub(crate) fn renew(database: &Database) -> Result<()> {
    copy(database)?;
    for commit in 0..COMMITS_UNTIL_FREE {
        fill(database, commit..commit + 1, 0)?;
    }
    let write = database.begin_write().explain("compact")?;
    let stats = write.stats().explain("compact")?;
    write.abort().explain("compact")?;
    // As many as may be free, and some more: pages change hands while they are filled.
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

/// Puts values of so many zeros.
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
