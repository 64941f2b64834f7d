//! Resolves paths, and refuses unsuitable ones before SQLite sees them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use highwater_core::{Error, ErrorKind, Result};

/// The longest suffix that SQLite appends to the file's name: `-wal`, `-shm` or `-journal`.
const SUFFIX: usize = "-journal".len();
const WAL_SUFFIX: usize = "-wal".len();

/// The longest path, in bytes, that SQLite opens on Unix, with its longest suffix.
#[cfg(unix)]
const MOST_IN_PATH: usize = 512 - SUFFIX;
/// The longest name of a file, in bytes.
const MOST_IN_NAME: usize = 255;

/// The absolute path of the file that `path` names. SQLite would treat a relative path that begins with `file:` as a URI,
/// and any relative path as another file after a change of the working directory.
///
/// # Errors
///
/// For paths that cannot be an SQLite store: an empty path, a directory, a device, a path that is too long.
pub(crate) fn file_at(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the path means a database without a file, private to each connection: name a file, or use MemoryStore",
        ));
    }
    let file = std::path::absolute(path).map_err(|source| unusable(path, source))?;
    match fs::metadata(&file) {
        Ok(found) if found.is_dir() => {
            return Err(Error::new(
                ErrorKind::Incompatible,
                "the path is a directory, but an SQLite store is a file: choose another path",
            ));
        }
        Ok(found) if !found.is_file() => {
            return Err(Error::new(
                ErrorKind::Incompatible,
                "the path is a device, a pipe or a socket, but an SQLite store is a file: choose another path",
            ));
        }
        Ok(_) => check_length(&file, MOST_IN_NAME - WAL_SUFFIX)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !file.parent().is_some_and(Path::is_dir) {
                let message = "the directory of the database does not exist: create it first";
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            check_length(&file, MOST_IN_NAME - SUFFIX)?;
        }
        Err(source) => return Err(unusable(&file, source)),
    }
    Ok(file)
}

fn unusable(path: &Path, source: io::Error) -> Error {
    match (ErrorKind::of_io(&source), source.kind()) {
        (_, io::ErrorKind::InvalidFilename) => {
            too_long("the path, or a name in it, is too long", longest(path), MOST_IN_NAME - SUFFIX)
        }
        (kind, _) => Error::new(kind, "the path cannot be resolved").because(source),
    }
}

/// The bytes of the longest name in a path.
fn longest(path: &Path) -> usize {
    path.iter().map(|name| name.len()).max().unwrap_or_default()
}

#[cfg(unix)]
fn check_length(file: &Path, most_in_name: usize) -> Result<()> {
    let name = file.file_name().map_or(0, |name| name.len());
    if name > most_in_name {
        return Err(too_long(
            "the file's name is too long with the `-journal` that SQLite appends",
            name,
            MOST_IN_NAME - SUFFIX,
        ));
    }
    // The targets of links count too.
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    let whole = folder.map_or(0, |folder| folder.as_os_str().len() + 1 + name).max(file.as_os_str().len());
    if whole > MOST_IN_PATH {
        return Err(too_long("the path is too long for SQLite", whole, MOST_IN_PATH));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_length(_: &Path, _: usize) -> Result<()> {
    Ok(())
}

fn too_long(what: &'static str, bytes: usize, most: usize) -> Error {
    Error::new(ErrorKind::Invalid, format!("{what}: shorten it")).with("bytes", bytes).with("most", most)
}
