//! The size of the WAL, which grows for as long as a reading elsewhere needs what is in it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use highwater_core::Result;
use highwater_core::files::beside;
use rusqlite::Connection;

use crate::errors::Explain;

/// Pages after which a commit copies the WAL into the database: 16 MiB of our own files.
pub(crate) const CHECKPOINT_PAGES: u32 = 2048;

/// Bytes that the WAL keeps when it begins anew: a little more than it grows to while nobody reads for long.
pub(crate) const KEPT_BYTES: u32 = 20 << 20;

/// Bytes from which on the WAL is emptied when the store has nothing to do.
const LARGE_BYTES: u64 = 4 << 20;

/// Whether the WAL of the file is worth being emptied.
pub(crate) fn is_large(file: &Path) -> bool {
    fs::metadata(beside(file, "-wal")).is_ok_and(|wal| wal.len() >= LARGE_BYTES)
}

/// Copies the WAL into the database and cuts it to nothing, waiting as long as the connection waits for locks. Returns
/// whether all of that could be done: a reading that began earlier, in whatever process, keeps the WAL as it is.
pub(crate) fn empty(connection: &Connection) -> Result<bool> {
    let blocked: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .explain_on(connection, "checkpoint")?;
    Ok(blocked == 0)
}

/// The same without waiting for anybody.
pub(crate) fn empty_at_once(connection: &Connection, busy_timeout: Duration) -> Result<bool> {
    connection.busy_timeout(Duration::ZERO).explain("checkpoint")?;
    let emptied = empty(connection);
    connection.busy_timeout(busy_timeout).explain("checkpoint")?;
    emptied
}
