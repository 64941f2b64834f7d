//! Backups: a whole copy of a store, as it is at one moment, while it is used.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::files::beside;
use crate::locks::lock;
use crate::mutants::mutant;

/// A backup to make, for [`Maintenance::BackUp`](crate::Maintenance::BackUp).
///
/// The copy is a store of its own that opens as it is, with every record, cursor, document and consumer that the store had at one
/// moment. What a vault keeps is in it as encrypted as in the store; records are readable, unless the store encrypts them.
///
/// ```no_run
/// # async fn example(store: &dyn highwater_core::Store) -> highwater_core::Result<()> {
/// use highwater_core::{Backup, Maintenance};
/// let backup = Backup::to("/backups/app-monday.db");
/// let progress = backup.progress().clone(); // for another task: progress.copied(), progress.cancel()
/// store.maintain(Maintenance::BackUp(backup)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Backup {
    path: PathBuf,
    progress: BackupProgress,
}

impl Backup {
    /// Makes a backup at `path`, where nothing may be yet. Its folder must exist and have room for the whole store.
    pub fn to(path: impl Into<PathBuf>) -> Self {
        Backup { path: path.into(), progress: BackupProgress::default() }
    }

    /// Returns where the copy will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the handle by which other tasks watch and cancel it.
    pub fn progress(&self) -> &BackupProgress {
        &self.progress
    }
}

/// How far a backup is. Clones are handles to the same backup.
#[derive(Clone, Default)]
pub struct BackupProgress(Arc<State>);

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    total: AtomicU64,
    /// The file that is being written.
    file: Mutex<Option<PathBuf>>,
    interrupt: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl BackupProgress {
    /// Returns the bytes that have been written so far.
    pub fn copied(&self) -> u64 {
        lock(&self.0.file).as_ref().and_then(|file| fs::metadata(file).ok()).map_or(0, |found| found.len())
    }

    /// Returns the bytes of the store; 0 before the copy begins. The copy may turn out smaller, because it has no free space.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Cancels the backup: it fails with [`ErrorKind::Cancelled`] soon, and leaves no file. One that is complete stays.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        if let Some(interrupt) = &*lock(&self.0.interrupt) {
            interrupt();
        }
    }

    /// Returns whether it was cancelled. A backend that copies piece by piece asks before each.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Sets what cancelling does beside that, for a backend whose library copies everything in one call.
    pub fn on_cancel(&self, interrupt: impl Fn() + Send + 'static) {
        *lock(&self.0.interrupt) = Some(Box::new(interrupt));
    }

    pub(crate) fn begin(&self, file: &Path, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
        *lock(&self.0.file) = Some(file.to_owned());
    }

    pub(crate) fn end(&self, file: &Path) {
        *lock(&self.0.interrupt) = None;
        *lock(&self.0.file) = Some(file.to_owned());
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the backup was cancelled"));
        }
        Ok(())
    }
}

impl fmt::Debug for BackupProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupProgress")
            .field("total", &self.total())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// What a backup made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The bytes of the copy.
    pub bytes: u64,
}

/// Names that are tried for a copy while it is written.
const ATTEMPTS: usize = 16;

/// The copy while it is written: under a name of its own, and removed unless it is finished.
pub(crate) struct Copying {
    new: PathBuf,
    path: PathBuf,
}

impl Copying {
    /// Creates the empty file, which nobody else may read.
    pub(crate) fn begin(path: &Path, environment: &dyn Environment) -> Result<Self> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(taken(path));
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut random = [0; 8];
            environment.fill_random(&mut random);
            let new = beside(path, &format!(".new-{:016x}", u64::from_be_bytes(random)));
            match options.open(&new) {
                Ok(_) => return Ok(Copying { new, path: path.to_owned() }),
                // A copy of a process that was killed, where randomness repeats.
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {}
                Err(source) => return Err(failed(source, path)),
            }
        }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.new
    }

    /// Makes the copy durable and gives it its name, unless something else has that by now.
    pub(crate) fn finish(self) -> Result<BackupReport> {
        let file = fs::File::options().write(true).open(&self.new).map_err(|source| failed(source, &self.path))?;
        file.sync_all().map_err(|source| failed(source, &self.path))?;
        let bytes = file.metadata().map_err(|source| failed(source, &self.path))?.len();
        match fs::hard_link(&self.new, &self.path) {
            Ok(()) => {}
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => return Err(taken(&self.path)),
            // A file system without links.
            Err(_) if fs::symlink_metadata(&self.path).is_ok() => return Err(taken(&self.path)),
            Err(_) => fs::rename(&self.new, &self.path).map_err(|source| failed(source, &self.path))?,
        }
        #[cfg(unix)]
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(source, &self.path))?;
        }
        Ok(BackupReport { bytes })
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if !mutant!("backup-left-behind") {
            // Its second name, or what a copy that failed has written.
            let _ = fs::remove_file(&self.new);
        }
    }
}

fn taken(path: &Path) -> Error {
    Error::new(ErrorKind::Invalid, "refused to overwrite what is there: choose another name for the backup")
        .with("backup", path.display())
}

fn failed(source: io::Error, path: &Path) -> Error {
    let message = "the backup cannot be written: check its folder, the permissions there, and the space that is left";
    Error::new(ErrorKind::of_io(&source), message).with("backup", path.display()).because(source)
}
