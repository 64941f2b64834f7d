//! The database and its transactions.

use std::fmt;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use highwater_core::backend::{Backend, BackendReader, Decide};
use highwater_core::files::{OpenFiles, beside, read_only};
use highwater_core::key_value::Overlay;
use highwater_core::locks::{read, write};
use highwater_core::{BackupProgress, Capabilities, Compaction, Error, ErrorKind, Result};
use redb::{
    CompactionError, ConcurrencyMode, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, TableError,
    TransactionError,
};

use crate::check::{check_pages, check_tables};
use crate::erase;
use crate::errors::{Explain, ExplainIo, damaged};
use crate::view::{COMMITS, COMMITS_KEY, RedbSnapshot, RedbWrite};

/// The cache of a database that is only written once, in bytes.
const COPY_CACHE: usize = 32 << 20;

/// An open database.
enum Handle {
    Writing(Database),
    Reading(ReadOnlyDatabase),
}

impl Handle {
    fn begin_read(&self, what: &'static str) -> Result<ReadTransaction> {
        match self {
            Handle::Writing(database) => database.begin_read(),
            Handle::Reading(database) => database.begin_read(),
        }
        .explain(what)
    }
}

/// A redb file as a [`Backend`].
pub struct RedbBackend {
    shared: Arc<Shared>,
    /// The path as the host passed it.
    path: PathBuf,
    exclusive: bool,
}

/// The database as the writer and the readers share it.
struct Shared {
    /// Locked exclusively only for compacting and closing.
    database: RwLock<Option<Handle>>,
    file: PathBuf,
    files: Arc<OpenFiles>,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&Handle) -> Result<T>) -> Result<T> {
        let database: RwLockReadGuard<'_, Option<Handle>> = read(&self.database);
        work(database.as_ref().ok_or_else(closed)?)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store was closed; open it again")
}

impl RedbBackend {
    pub(crate) fn open(path: &Path, cache_bytes: usize, exclusive: bool) -> Result<Self> {
        Self::open_file(path, cache_bytes, exclusive).map_err(|error| error.with("path", path.display()))
    }

    fn open_file(path: &Path, cache_bytes: usize, exclusive: bool) -> Result<Self> {
        let file = file_at(path)?;
        let mode = if exclusive { ConcurrencyMode::ExclusiveWriter } else { ConcurrencyMode::MultiWriter };
        let open = |at: &Path| {
            // redb panics on some damaged files.
            let opened = catch_unwind(|| {
                Database::builder().set_cache_size(cache_bytes).set_concurrency_mode(mode).create(at).explain("open")
            });
            opened.unwrap_or_else(|_| Err(damaged()))
        };
        make_whole(&file, open)?;
        let mut database = open(&file)?;
        check_tables(&mut database)?;
        let database = Handle::Writing(database);
        let mut files = OpenFiles::default();
        files.watch(&file)?;
        Ok(RedbBackend::of(database, file, files, path, exclusive))
    }

    /// Opens an existing file for reading, while other processes may write it.
    pub(crate) fn open_read_only(path: &Path, cache_bytes: usize) -> Result<Self> {
        Self::read_file(path, cache_bytes).map_err(|error| error.with("path", path.display()))
    }

    fn read_file(path: &Path, cache_bytes: usize) -> Result<Self> {
        let file = file_at(path)?;
        let open = || {
            let mut builder = Database::builder();
            builder.set_cache_size(cache_bytes).set_concurrency_mode(ConcurrencyMode::MultiWriter);
            builder.open_read_only(&file).explain("open")
        };
        let database = match file.exists() {
            true => catch_unwind(open).unwrap_or_else(|_| Err(damaged()))?,
            false => {
                let message = "the file does not exist: open it for writing once to create it";
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        };
        Ok(RedbBackend::of(Handle::Reading(database), file, OpenFiles::default(), path, false))
    }

    fn of(database: Handle, file: PathBuf, files: OpenFiles, path: &Path, exclusive: bool) -> Self {
        let shared = Shared { database: RwLock::new(Some(database)), file, files: Arc::new(files) };
        RedbBackend { shared: Arc::new(shared), path: path.to_owned(), exclusive }
    }
}

/// The absolute path of the file: a relative one would mean another file after a change of the working directory.
fn file_at(path: &Path) -> Result<PathBuf> {
    let file = std::path::absolute(path).explain_io("open")?;
    match fs::metadata(&file) {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(Error::new(
            ErrorKind::Incompatible,
            "the path is a device, a pipe or a socket, but a redb store is a file: choose another path",
        )),
        _ => Ok(file),
    }
}

fn shrink(database: &mut Database) -> Result<Compaction> {
    match database.compact() {
        Ok(_) => Ok(Compaction::Complete),
        Err(CompactionError::TransactionInProgress) => Ok(Compaction::Held),
        Err(error) => Err(error).explain("compact"),
    }
}

/// Creates a new file under a temporary name first: a file whose creation was interrupted, by a full disk or a
/// crash, would never open again.
fn make_whole(path: &Path, open: impl Fn(&Path) -> Result<Database>) -> Result<()> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    if path.exists() {
        return Ok(());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}.new", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
    let new = Path::new(&name);
    // Left by a process that had our process id and died.
    let _ = fs::remove_file(new);
    let made = open(new).and_then(|database| database.close().explain("open"));
    if made.is_ok() {
        // Another process may have been first, or the file system has no links: the path itself is opened next.
        let _ = fs::hard_link(new, path);
    }
    let _ = fs::remove_file(new);
    made
}

impl fmt::Debug for RedbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbBackend")
            .field("path", &self.path)
            .field("exclusive", &self.exclusive)
            .finish_non_exhaustive()
    }
}

impl Backend for RedbBackend {
    type Write<'a> = Overlay<RedbWrite>;
    type Reader = RedbReader;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("redb").multi_process(!self.exclusive).durable(true).persistent(true).erases(true)
    }

    fn begin(&mut self) -> Result<Overlay<RedbWrite>> {
        // Durable before `commit` returns: redb's default, Immediate.
        let files = &self.shared.files;
        files.seen()?;
        let write = self.shared.with(|database| match database {
            Handle::Writing(database) => database.begin_write().explain("begin"),
            Handle::Reading(_) => Err(read_only()),
        })?;
        Ok(Overlay::new(RedbWrite { write, files: Arc::clone(files) }))
    }

    fn try_begin(&mut self) -> Result<Option<Overlay<RedbWrite>>> {
        let files = &self.shared.files;
        files.seen()?;
        let write = self.shared.with(|database| match database {
            Handle::Writing(database) => match database.try_begin_write() {
                Err(TransactionError::WouldBlock) => Ok(None),
                begun => begun.map(Some).explain("begin"),
            },
            Handle::Reading(_) => Err(read_only()),
        })?;
        Ok(write.map(|write| Overlay::new(RedbWrite { write, files: Arc::clone(files) })))
    }

    fn reader(&self) -> Result<Option<RedbReader>> {
        Ok(Some(RedbReader { shared: Arc::clone(&self.shared), exclusive: self.exclusive }))
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        let copy = beside(&self.shared.file, suffix);
        let new = beside(&copy, ".new");
        let shared = Arc::clone(&self.shared);
        let mut lock = self.begin()?;
        if !wanted(&mut lock)? {
            return Ok(());
        }
        // Left by an interrupted copy.
        let _ = fs::remove_file(&new);
        let read = RedbSnapshot(shared.with(|database| database.begin_read("copy"))?);
        write_copy(&read, &new, || false)?;
        fs::rename(&new, &copy).explain_io("copy")
    }

    fn compact(&mut self) -> Result<Compaction> {
        self.shared.files.check()?;
        // New reads wait; those in progress continue.
        let mut database = write(&self.shared.database);
        let Handle::Writing(database) = database.as_mut().ok_or_else(closed)? else { return Err(read_only()) };
        let before = shrink(database)?;
        erase::renew(database)?;
        match before {
            Compaction::Held => Ok(before),
            _ => shrink(database),
        }
    }

    fn check_files(&mut self) -> Result<Option<Vec<String>>> {
        self.shared.files.seen()?;
        // New readings wait; one that has begun is let be.
        let mut database = write(&self.shared.database);
        let Handle::Writing(database) = database.as_mut().ok_or_else(closed)? else { return Ok(None) };
        check_pages(database).map(Some)
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(fs::metadata(&self.shared.file).ok().map(|file| file.len()))
    }

    fn close(self) -> Result<()> {
        let database = write(&self.shared.database).take();
        match database {
            Some(Handle::Writing(database)) => database.close().explain("close"),
            Some(Handle::Reading(database)) => database.close().explain("close"),
            None => Ok(()),
        }
    }
}

/// A source of snapshots.
pub struct RedbReader {
    shared: Arc<Shared>,
    exclusive: bool,
}

impl fmt::Debug for RedbReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbReader").finish_non_exhaustive()
    }
}

impl BackendReader for RedbReader {
    type Snapshot<'a> = Overlay<RedbSnapshot>;

    fn snapshot(&mut self) -> Result<Overlay<RedbSnapshot>> {
        self.shared.files.seen()?;
        let read = self.shared.with(|database| database.begin_read("snapshot"))?;
        Ok(Overlay::new(RedbSnapshot(read)))
    }

    fn copy_to(&mut self, copy: &Path, progress: &BackupProgress) -> Result<()> {
        self.shared.files.seen()?;
        let read = RedbSnapshot(self.shared.with(|database| database.begin_read("copy"))?);
        write_copy(&read, copy, || progress.is_cancelled())
    }

    fn version(&mut self) -> Result<u64> {
        if self.exclusive {
            return Ok(0);
        }
        self.shared.files.seen()?;
        let read = self.shared.with(|database| database.begin_read("version"))?;
        match read.open_table(COMMITS) {
            Ok(commits) => Ok(commits.get(COMMITS_KEY).explain("version")?.map_or(0, |count| count.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            Err(error) => Err(error).explain("version"),
        }
    }
}

/// Writes a snapshot into a file that is empty, or not there.
fn write_copy(read: &RedbSnapshot, copy: &Path, cancelled: impl Fn() -> bool) -> Result<()> {
    let target = Database::builder().set_cache_size(COPY_CACHE).create(copy).explain("copy")?;
    let write = target.begin_write().explain("copy")?;
    read.copy_into(&write, cancelled)?;
    write.commit().explain("copy")?;
    target.close().explain("copy")
}
