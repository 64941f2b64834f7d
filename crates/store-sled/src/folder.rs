//! The directory of a sled store.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater_core::files::OpenFiles;
use highwater_core::{Error, ErrorKind, Result};
use sled::Db;

use crate::errors::{Explain, ExplainIo, damaged};

/// The files of a sled directory that hold the data and sled's settings.
pub(crate) const DATA: &str = "db";
const SETTINGS: &str = "conf";

/// A directory's absolute path: sled creates files there later too, when the working directory may have changed.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        // sled would write into the working directory.
        return Err(Error::new(ErrorKind::Invalid, "the path is empty: name the store's directory"));
    }
    let folder = std::path::absolute(path).explain_io("open")?;
    let folder = folder.canonicalize().unwrap_or(folder);
    check(&folder)?;
    Ok(folder)
}

/// Opens sled there.
pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<(Db, OpenFiles)> {
    // sled panics on some damaged files.
    let open = || {
        catch_unwind(|| sled::Config::new().path(folder).cache_capacity(cache_bytes).open().explain("open"))
            .unwrap_or_else(|_| Err(damaged()))
    };
    // sled's own threads may hold the lock a little longer than a store that was just closed.
    let mut opened = open();
    for _ in 0..20 {
        match &opened {
            Err(error) if error.kind() == ErrorKind::Locked => std::thread::sleep(Duration::from_millis(25)),
            _ => break,
        }
        opened = open();
    }
    let database = opened?;
    let mut files = OpenFiles::default();
    files.watch(&folder.join(DATA))?;
    Ok((database, files))
}

/// Refuses another program's directory: sled would put its files among the others.
fn check(folder: &Path) -> Result<()> {
    let Ok(mut inside) = std::fs::read_dir(folder) else { return Ok(()) };
    if is_sled(folder) || inside.next().is_none() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Incompatible,
        "the directory contains other files and no sled store: choose another path, or an empty directory",
    ))
}

/// Whether the directory contains only sled's files: a complete store, or a part of one.
pub(crate) fn is_sleds_alone(folder: &Path) -> bool {
    let is_sleds = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        matches!(&*name, DATA | SETTINGS | "blobs") || name.starts_with("snap.")
    };
    std::fs::read_dir(folder).is_ok_and(|mut inside| inside.all(|entry| entry.is_ok_and(is_sleds)))
}

/// Whether the directory contains files of sled.
pub(crate) fn is_sled(folder: &Path) -> bool {
    folder.join(DATA).exists() || folder.join(SETTINGS).exists()
}
