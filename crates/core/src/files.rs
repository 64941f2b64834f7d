//! What stores in files have in common: kinds of I/O errors, names of files, and files that are moved while they are open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};
use crate::mutants::mutant;

impl ErrorKind {
    /// The kind of an I/O error on a store's files. Whatever names no cause that a caller could act on is
    /// [`ErrorKind::Io`].
    ///
    /// ```
    /// use highwater_core::ErrorKind;
    /// let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    /// assert_eq!(ErrorKind::of_io(&full), ErrorKind::Full);
    /// assert_eq!(ErrorKind::of_io(&std::io::Error::other("the disk failed")), ErrorKind::Io);
    /// ```
    pub fn of_io(source: &io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => ErrorKind::Busy,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => ErrorKind::Incompatible,
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => ErrorKind::Invalid,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Io,
        }
    }
}

/// The path beside `path` whose name has `suffix` added.
///
/// ```
/// use highwater_core::files::beside;
/// assert_eq!(beside("/data/app.db".as_ref(), "-wal").to_str(), Some("/data/app.db-wal"));
/// ```
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What a write is refused with where the store is open for reading only.
pub fn read_only() -> Error {
    Error::new(ErrorKind::PermissionDenied, "the store is open for reading only: open it for writing")
}

/// The files that a store has open, each with the file that its path led to.
///
/// A file that is removed, renamed or replaced while it is open can still be written, and what is written is in no
/// file that anybody finds later. So a store checks after each commit, before it acknowledges it:
///
/// ```
/// use highwater_core::ErrorKind;
/// use highwater_core::files::OpenFiles;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("store");
/// std::fs::write(&path, "…").unwrap();
/// let mut files = OpenFiles::default();
/// files.watch(&path)?;
/// files.check()?;
/// std::fs::remove_file(&path).unwrap();
/// assert_eq!(files.check().unwrap_err().kind(), ErrorKind::Poisoned);
/// # Ok::<(), highwater_core::Error>(())
/// ```
///
/// On Unix a file is recognised by its device and inode. Elsewhere only a path with nothing there any more is noticed.
#[derive(Debug, Default)]
pub struct OpenFiles {
    files: Vec<(PathBuf, Identity)>,
    moved: OnceLock<PathBuf>,
}

type Identity = (u64, u64);

impl OpenFiles {
    /// Watches the file at `path` too. Call it right after the file was opened: a relative path is resolved now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Poisoned`] when nothing is there any more, otherwise the kind of the I/O error.
    pub fn watch(&mut self, path: &Path) -> Result<()> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => moved(path),
            _ => Error::new(ErrorKind::of_io(&source), "the store's file cannot be looked up").because(source),
        };
        // A link is followed once: what it leads to is what is open.
        let path = fs::canonicalize(path).map_err(failed)?;
        let found = fs::metadata(&path).map_err(failed)?;
        self.files.push((path, identity(&found)));
        Ok(())
    }

    /// Whether each path still leads to the file that was opened: one look at the directory entry of each.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Poisoned`] when one does not, and from then on.
    pub fn check(&self) -> Result<()> {
        self.seen()?;
        if mutant!("moved-unnoticed") {
            return Ok(());
        }
        for (path, identity_then) in &self.files {
            let there = match fs::metadata(path) {
                Ok(found) => identity(&found) == *identity_then,
                Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
            };
            if !there {
                return Err(moved(self.moved.get_or_init(|| path.clone())));
            }
        }
        Ok(())
    }

    /// What an earlier [`check`](OpenFiles::check) found, at no cost: for calls that only read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Poisoned`] when a check has failed.
    pub fn seen(&self) -> Result<()> {
        self.moved.get().map_or(Ok(()), |path| Err(moved(path)))
    }
}

fn moved(path: &Path) -> Error {
    Error::new(
        ErrorKind::Poisoned,
        "the store's file was removed, renamed or replaced while it was open, and the last commit is not in the current file: close the store, put the right file in place, and open it again",
    )
    .with("file", path.display())
}

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Identity {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_an_io_error_decides_its_kind() {
        for (source, kind) in [
            (io::ErrorKind::StorageFull, ErrorKind::Full),
            (io::ErrorKind::FileTooLarge, ErrorKind::Full),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied),
            (io::ErrorKind::InvalidFilename, ErrorKind::Invalid),
            (io::ErrorKind::NotADirectory, ErrorKind::Incompatible),
            (io::ErrorKind::UnexpectedEof, ErrorKind::Corrupt),
            (io::ErrorKind::TimedOut, ErrorKind::Io),
            (io::ErrorKind::Other, ErrorKind::Io),
        ] {
            assert_eq!(ErrorKind::of_io(&source.into()), kind, "{source:?}");
        }
        // Whatever a failing disk says.
        #[cfg(unix)]
        assert_eq!(ErrorKind::of_io(&io::Error::from_raw_os_error(5)), ErrorKind::Io);
    }

    #[test]
    fn a_file_that_was_moved_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&path, "a").unwrap();
        let mut files = OpenFiles::default();
        files.watch(&path).unwrap();
        fs::write(&path, "more").unwrap();
        files.check().unwrap();
        fs::rename(&path, &away).unwrap();
        files.seen().unwrap();
        let error = files.check().unwrap_err();
        assert_eq!((error.kind(), error.context("file")), (ErrorKind::Poisoned, Some(&*path.display().to_string())));
        fs::rename(&away, &path).unwrap();
        assert!(files.check().is_err() && files.seen().is_err(), "who knows what was written where");
        assert_eq!(OpenFiles::default().watch(&away).unwrap_err().kind(), ErrorKind::Poisoned);
    }
}
