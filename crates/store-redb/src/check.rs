//! Damage that redb reads over: a page that has lost some of its entries.

use std::panic::{AssertUnwindSafe, catch_unwind};

use highwater_core::key_value::Map;
use highwater_core::{Error, ErrorKind, Result};
use redb::{Database, DatabaseError, ReadTransaction, StorageError, TableHandle};

use crate::errors::{Explain, damaged};
use crate::view::table;

/// Refuses a file that has lost tables of ours. The first commit makes all of them, so a file has all of them or none, and
/// one with none may have had them, and would be made a new store over what is left of the old one.
pub(crate) fn check_tables(database: &mut Database) -> Result<()> {
    use redb::ReadableDatabase as _;
    let missing = missing_tables(&database.begin_read().explain("open")?)?;
    if missing.is_empty() {
        return Ok(());
    }
    if missing.len() < Map::ALL.len() {
        return Err(damaged().during("open").with("missing", missing.join(", ")));
    }
    match check_pages(database)?.first() {
        None => Ok(()),
        Some(problem) => Err(damaged().during("open").with("problem", problem)),
    }
}

fn missing_tables(read: &ReadTransaction) -> Result<Vec<String>> {
    let found: Vec<String> = read.list_tables().explain("open")?.map(|table| table.name().to_owned()).collect();
    let ours = Map::ALL.into_iter().map(|map| table(map).name().to_owned());
    Ok(ours.filter(|name| !found.contains(name)).collect())
}

/// Has redb check every page, and returns what it found, a problem to a line.
pub(crate) fn check_pages(database: &mut Database) -> Result<Vec<String>> {
    // redb panics over some damaged files.
    let Ok(checked) = catch_unwind(AssertUnwindSafe(|| database.check_integrity())) else {
        return Ok(vec!["a page makes no sense".to_owned()]);
    };
    match checked {
        Ok(true) => Ok(Vec::new()),
        Ok(false) => Ok(vec![
            "pages were damaged, and redb returned to an earlier commit or rebuilt its list of free pages".to_owned(),
        ]),
        Err(DatabaseError::Storage(StorageError::Corrupted(what))) => Ok(vec![what]),
        Err(DatabaseError::TransactionInProgress) => {
            Err(Error::new(ErrorKind::Busy, "the file is being read: check it again when that has ended"))
        }
        Err(error) => Err(error).explain("check"),
    }
}
