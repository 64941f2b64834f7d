//! The four maps in redb's tables.

use std::fmt;
use std::sync::Arc;

use highwater_core::backend::VisitEntry;
use highwater_core::files::OpenFiles;
use highwater_core::key_value::{Changes, KeyValueRead, KeyValueWrite, Map};
use highwater_core::{Error, ErrorKind, Result};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use crate::errors::Explain;

/// Counts commits, so that other processes notice them.
pub(crate) const COMMITS: TableDefinition<'static, &'static [u8], u64> = TableDefinition::new("hw_commits");
pub(crate) const COMMITS_KEY: &[u8] = b"commits";

pub(crate) fn table(map: Map) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(match map {
        Map::State => "hw_state",
        Map::History => "hw_history",
        Map::Log => "hw_log",
        Map::Index => "hw_index",
    })
}

/// A snapshot.
pub struct RedbSnapshot(pub(crate) ReadTransaction);

/// A write transaction.
pub struct RedbWrite {
    pub(crate) write: WriteTransaction,
    /// Checked before a commit is acknowledged.
    pub(crate) files: Arc<OpenFiles>,
}

impl fmt::Debug for RedbSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedbSnapshot").finish()
    }
}

impl fmt::Debug for RedbWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedbWrite").finish()
    }
}

impl RedbSnapshot {
    /// Writes every entry into another database.
    pub(crate) fn copy_into(&self, target: &WriteTransaction, cancelled: impl Fn() -> bool) -> Result<()> {
        for map in Map::ALL {
            let from = match self.0.open_table(table(map)) {
                Err(TableError::TableDoesNotExist(_)) => continue,
                from => from.explain("copy")?,
            };
            let mut to = target.open_table(table(map)).explain("copy")?;
            for entry in from.iter().explain("copy")? {
                if cancelled() {
                    return Err(Error::new(ErrorKind::Cancelled, "the copy was cancelled"));
                }
                let (key, value) = entry.explain("copy")?;
                to.insert(key.value(), value.value()).explain("copy")?;
            }
        }
        Ok(())
    }
}

impl KeyValueRead for RedbSnapshot {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.0.open_table(table(map)) {
            Ok(table) => get(&table, key, visit),
            Err(TableError::TableDoesNotExist(_)) => Ok(()),
            Err(error) => Err(error).explain("read"),
        }
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        match self.0.open_table(table(map)) {
            Ok(table) => range(&table, from, until, visit),
            Err(TableError::TableDoesNotExist(_)) => Ok(()),
            Err(error) => Err(error).explain("read"),
        }
    }
}

impl KeyValueRead for RedbWrite {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        get(&self.write.open_table(table(map)).explain("read")?, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        range(&self.write.open_table(table(map)).explain("read")?, from, until, visit)
    }
}

impl KeyValueWrite for RedbWrite {
    fn apply(self, changes: Changes) -> Result<()> {
        for map in Map::ALL {
            let mut table = self.write.open_table(table(map)).explain("write")?;
            for (key, value) in changes.of(map) {
                match value {
                    Some(value) => drop(table.insert(key, value).explain("write")?),
                    None => drop(table.remove(key).explain("write")?),
                }
            }
        }
        {
            let mut commits = self.write.open_table(COMMITS).explain("write")?;
            let count = commits.get(COMMITS_KEY).explain("write")?.map_or(0, |count| count.value());
            commits.insert(COMMITS_KEY, count.wrapping_add(1)).explain("write")?;
        }
        self.write.commit().explain("commit")?;
        self.files.check()
    }
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    match table.get(key).explain("read")? {
        Some(value) => visit(value.value()),
        None => Ok(()),
    }
}

fn range(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    until: &[u8],
    visit: &mut VisitEntry<'_>,
) -> Result<()> {
    for entry in table.range::<&[u8]>(from..until).explain("read")? {
        let (key, value) = entry.explain("read")?;
        if visit(key.value(), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}
