//! Reads the database file through SQLite's own handle, without opening it a second time.
//!
//! POSIX locks belong to the process, not to a handle: any code in the process that opens the file and closes it again
//! releases every lock that SQLite holds on it (<https://sqlite.org/howtocorrupt.html>, section 2.2). Another process may then
//! remove a WAL that is in use, or write in the middle of a transaction. So the bytes are read through the connection that
//! already has the file open.
#![expect(unsafe_code, reason = "SQLite hands out its file as a pointer")]

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::path::PathBuf;
use std::ptr::null_mut;

use rusqlite::{Connection, ffi};

/// The first bytes of the file; `None` if the file is shorter, or the database has no file.
pub(crate) fn first_bytes<const N: usize>(connection: &Connection) -> Option<[u8; N]> {
    let file = pointer(connection)?;
    let mut bytes = [0; N];
    let size = c_int::try_from(N).ok()?;
    // SAFETY: the file belongs to the open connection, and its methods are null or live as long as it does; the method
    // writes at most `size` bytes.
    let code = unsafe { (file.as_ref()?.pMethods.as_ref()?.xRead?)(file, bytes.as_mut_ptr().cast(), size, 0) };
    (code == ffi::SQLITE_OK).then_some(bytes)
}

/// The absolute path of the file, with links resolved; `None` if the database has no file.
pub(crate) fn path(connection: &Connection) -> Option<PathBuf> {
    // SAFETY: the handle is open, and what is returned lives until "main" is closed; it is copied here.
    let name = unsafe {
        let name = ffi::sqlite3_db_filename(connection.handle(), c"main".as_ptr());
        name.as_ref().map(|name| CStr::from_ptr(name))
    };
    name.filter(|name| !name.is_empty()).and_then(to_path)
}

#[cfg(unix)]
fn to_path(name: &CStr) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

#[cfg(not(unix))]
fn to_path(name: &CStr) -> Option<PathBuf> {
    name.to_str().ok().map(PathBuf::from)
}

/// The operating system's error code for the connection's last I/O error; `None` if there is none.
pub(crate) fn system_error(connection: &Connection) -> Option<io::Error> {
    // SAFETY: the handle is open.
    let code = unsafe { ffi::sqlite3_system_errno(connection.handle()) };
    (code != 0).then(|| io::Error::from_raw_os_error(code))
}

/// Whether SQLite has the main database open read-only, because the file is not writable.
pub(crate) fn is_read_only(connection: &Connection) -> bool {
    // SAFETY: the handle is open, and "main" always exists.
    unsafe { ffi::sqlite3_db_readonly(connection.handle(), c"main".as_ptr()) == 1 }
}

/// SQLite's handle of the main database, valid while the connection is open.
pub(crate) fn pointer(connection: &Connection) -> Option<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = null_mut();
    // SAFETY: the handle is open, "main" always exists, and this operation writes one pointer.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast::<c_void>(),
        )
    };
    (code == ffi::SQLITE_OK && !file.is_null()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        assert_eq!(first_bytes::<16>(&connection), None, "an empty file");
        connection.execute_batch("CREATE TABLE t (n)").unwrap();
        assert_eq!(first_bytes(&connection).unwrap(), *b"SQLite format 3\0");
        assert_eq!(first_bytes::<100_000>(&connection), None, "more than there is");
        assert_eq!(first_bytes::<16>(&Connection::open_in_memory().unwrap()), None);
    }

    #[test]
    fn the_path_is_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("a.db");
        assert_eq!(path(&Connection::open(&file).unwrap()), Some(file));
        assert_eq!(path(&Connection::open_in_memory().unwrap()), None);
    }
}
