//! The size of the WAL, which grows for as long as a read elsewhere needs its contents.

use std::fs;
use std::path::Path;
use std::time::Duration;

use highwater_core::Result;
use highwater_core::files::beside;
use rusqlite::Connection;

use crate::errors::Explain;

/// Pages after which a commit copies the WAL into the database: 16 MiB of our own files.
pub(crate) const CHECKPOINT_PAGES: u32 = 2048;

/// The bytes that the WAL keeps when it restarts: a little more than it grows to without long reads.
pub(crate) const KEPT_BYTES: u32 = 20 << 20;

/// The size in bytes from which the WAL is emptied when the store is idle.
const LARGE_BYTES: u64 = 4 << 20;

/// Whether the WAL of the file is worth emptying.
pub(crate) fn is_large(file: &Path) -> bool {
    fs::metadata(beside(file, "-wal")).is_ok_and(|wal| wal.len() >= LARGE_BYTES)
}

/// Copies the WAL into the database and truncates it, waiting as long as the connection waits for locks. Returns whether
/// that succeeded: an earlier read, in any process, prevents it.
pub(crate) fn empty(connection: &Connection) -> Result<bool> {
    let blocked: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .explain_on(connection, "checkpoint")?;
    Ok(blocked == 0)
}

/// The same without waiting for locks.
pub(crate) fn empty_at_once(connection: &Connection, busy_timeout: Duration) -> Result<bool> {
    connection.busy_timeout(Duration::ZERO).explain("checkpoint")?;
    let emptied = empty(connection);
    connection.busy_timeout(busy_timeout).explain("checkpoint")?;
    emptied
}
