//! Whether several connections may use the file with the linked version of SQLite.

use highwater_core::{Error, ErrorKind, Result, mutant};
use rusqlite::Connection;

use crate::database_file;
use crate::schema::Settings;

/// The first SQLite without the WAL-reset bug: before, a checkpoint and a write at the same moment on two
/// connections could damage a WAL database for good.
const SAFE_WITH_SEVERAL_CONNECTIONS: i32 = 3_051_003;

/// Whether everything must go through one connection that locks out all others.
pub(crate) fn needs_exclusive(settings: &Settings, version: i32, wal: bool) -> Result<bool> {
    if settings.exclusive {
        return Ok(true);
    }
    if !wal || version >= SAFE_WITH_SEVERAL_CONNECTIONS {
        return Ok(false);
    }
    if !settings.shared {
        return Ok(true);
    }
    let shown = format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000);
    Err(Error::new(
        ErrorKind::Unsupported,
        "this version of SQLite may damage a WAL file that several connections use: use 3.51.3 or later, or open the store without `shared`",
    )
    .with("sqlite", shown))
}

/// Whether the file is, or will become, a WAL database. Read from its header (a 2 at byte 18), because a statement would
/// already open the WAL in shared mode. `connection` must not have been used yet.
pub(crate) fn header_says_wal(connection: &Connection) -> Result<bool> {
    if mutant!("raw-open") {
        drop(database_file::path(connection).and_then(|file| std::fs::File::open(file).ok()));
    }
    match database_file::first_bytes::<20>(connection) {
        // SQLite itself would open it read-only, as if a permission were missing.
        Some(header) if header.starts_with(b"SQLite format 3\0") && header[18] > 2 => Err(Error::new(
            ErrorKind::Incompatible,
            "the file's header has a write version that this SQLite does not know: it is damaged, or from a later SQLite",
        )
        .with("write_version", header[18])),
        Some(header) => Ok(header[18] == 2),
        None => Ok(true), // new or empty: we will choose WAL mode
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn decide(exclusive: bool, shared: bool, version: i32, wal: bool) -> Result<bool> {
        let settings = Settings { busy_timeout: Duration::ZERO, cache_kib: 0, exclusive, shared };
        needs_exclusive(&settings, version, wal)
    }

    #[test]
    fn an_older_sqlite_has_a_wal_file_for_itself_or_refuses() {
        for (version, wal, alone) in [
            (3_051_003, true, false),
            (3_054_001, true, false),
            (3_051_002, true, true),
            (3_046_000, true, true),
            (3_046_000, false, false),
        ] {
            assert_eq!(decide(false, false, version, wal).unwrap(), alone, "{version}");
            assert!(decide(true, false, version, wal).unwrap());
            match decide(false, true, version, wal) {
                Ok(exclusive) => assert!(!alone && !exclusive),
                Err(error) => {
                    assert!(alone);
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                    assert!(error.context("sqlite").unwrap().starts_with("3."), "{error}");
                }
            }
        }
    }

    #[test]
    fn the_header_tells_of_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.db");
        let says_wal = || header_says_wal(&Connection::open(&path).unwrap()).unwrap();
        assert!(says_wal());
        let host = Connection::open(&path).unwrap();
        host.execute_batch("CREATE TABLE mine (x)").unwrap();
        assert!(!says_wal());
        host.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        assert!(says_wal());
        drop(host);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[18] = 6;
        std::fs::write(&path, bytes).unwrap();
        let error = crate::SqliteStore::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert_eq!(error.context("path"), Some(&*path.display().to_string()));
    }
}
