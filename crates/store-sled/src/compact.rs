//! Compaction: sled never frees its whole log, so the store is rewritten into a second directory, and the two directories
//! are exchanged.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use highwater_core::files::beside;
use highwater_core::{Error, ErrorKind, Result};
use sled::Db;

use crate::errors::{Explain, ExplainIo};
use crate::folder::{DATA, is_sleds_alone};
use crate::room::check_room;

/// Appended to the name of the store's directory: the new directory before the exchange, the old one after it.
const COMPACTING: &str = "-compacting";

/// How long to wait for sled's own threads to release a dropped database: attempts, and the pause between them.
const TRIES: u32 = 400;
const WAIT: Duration = Duration::from_millis(25);

/// Whether this system can exchange two directories atomically. Otherwise a crash could leave no directory at the path.
pub(crate) const EXCHANGES: bool = cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple"));

/// Writes every entry into a new directory at `to`, and makes it durable.
///
/// A store consists of entries only, in one tree. Anything that was at `to` before is removed.
pub(crate) fn write_anew(database: &Db, to: &Path, what: &'static str) -> Result<()> {
    remove(to).explain_io(what)?;
    let target = sled::Config::new().path(to).open().explain(what)?;
    for entry in database.iter() {
        let (key, value) = entry.explain(what)?;
        target.insert(key, value).explain(what)?;
    }
    target.flush().explain(what)?;
    drop(target);
    synchronise(to).explain_io(what)
}

/// A compaction that has written its copy and waits for the database to be closed. Dropping it removes the copy, or the old
/// directory once the two were exchanged; if that fails, the next opening removes it.
pub(crate) struct Compacting {
    folder: PathBuf,
    new: PathBuf,
}

impl Compacting {
    /// Copies the store to the directory beside it. Reads may continue; writes must not happen.
    pub(crate) fn prepare(database: &Db, folder: &Path) -> Result<Self> {
        check_room(folder, database.size_on_disk().explain("compact")?)?;
        let new = beside(folder, COMPACTING);
        refuse_foreign(&new)?;
        let compacting = Compacting { folder: folder.to_owned(), new };
        write_anew(database, &compacting.new, "compact")?;
        Ok(compacting)
    }

    /// Exchanges the directories, once sled has released both, and removes the old one. Every handle on either database must
    /// have been dropped. No other process gets in between: the files stay locked until the directories have changed places.
    pub(crate) fn exchange(self) -> Result<()> {
        let _locked = (lock(&self.folder)?, lock(&self.new)?);
        exchange(&self.folder, &self.new)?;
        if let Some(parent) = self.folder.parent() {
            File::open(parent).and_then(|parent| parent.sync_all()).explain_io("compact")?;
        }
        remove(&self.new).explain_io("compact")
    }
}

impl Drop for Compacting {
    fn drop(&mut self) {
        let _ = remove(&self.new);
    }
}

/// Removes the remains of an interrupted compaction. The store must be open, so that no other process is compacting it.
pub(crate) fn remove_leftover(folder: &Path) -> Result<()> {
    let leftover = beside(folder, COMPACTING);
    if is_sleds_alone(&leftover) { remove(&leftover).explain_io("open") } else { Ok(()) }
}

fn refuse_foreign(path: &Path) -> Result<()> {
    if !path.exists() || is_sleds_alone(path) {
        return Ok(());
    }
    let message = "the directory that the compaction writes to exists and is not a sled store: move it away";
    Err(Error::new(ErrorKind::Incompatible, message).with("path", path.display()))
}

/// Locks a database's file as sled does: granted once no thread of sled uses the directory any more.
fn lock(folder: &Path) -> Result<File> {
    let file = File::options().read(true).write(true).open(folder.join(DATA)).explain_io("compact")?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if tries < TRIES => tries += 1,
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Busy, "the store's files are still in use: compact again later")
                    .during("compact"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error).explain_io("compact"),
        }
        sleep(WAIT);
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| match error {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {
            let message = "the file system cannot exchange two directories atomically, so the store cannot be compacted: move it to another file system";
            Error::new(ErrorKind::Unsupported, message).because(io::Error::from(error)).during("compact")
        }
        other => Error::new(ErrorKind::of_io(&other.into()), "the compacted store could not be moved into place")
            .because(io::Error::from(other))
            .during("compact"),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_: &Path, _: &Path) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "this system cannot exchange two directories atomically").during("compact"))
}

pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a directory with everything in it durable: sled itself syncs only the contents of its log.
fn synchronise(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            synchronise(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
