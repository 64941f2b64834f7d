//! The database and its transactions.

use std::fmt;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::backend::{Backend, BackendReader, Decide};
use highwater_core::key_value::Overlay;
use highwater_core::{Capabilities, Error, ErrorKind, Result};
use redb::{ConcurrencyMode, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, TableError};

use crate::erase;
use crate::errors::{Explain, damaged};
use crate::view::{COMMITS, COMMITS_KEY, RedbSnapshot, RedbWrite};

/// An open database.
#[derive(Clone)]
enum Handle {
    Writing(Arc<Database>),
    Reading(Arc<ReadOnlyDatabase>),
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
    database: Option<Handle>,
    path: PathBuf,
    exclusive: bool,
}

impl RedbBackend {
    pub(crate) fn open(path: &Path, cache_bytes: usize, exclusive: bool) -> Result<Self> {
        let mode = if exclusive { ConcurrencyMode::ExclusiveWriter } else { ConcurrencyMode::MultiWriter };
        let open = |at: &Path| {
            // redb panics over some damaged files.
            let opened = catch_unwind(|| {
                Database::builder().set_cache_size(cache_bytes).set_concurrency_mode(mode).create(at).explain("open")
            });
            opened.unwrap_or_else(|_| Err(damaged()))
        };
        let database = make_whole(path, open).and_then(|()| open(path));
        let database = database.map_err(|error| error.with("path", path.display()))?;
        let database = Some(Handle::Writing(Arc::new(database)));
        Ok(RedbBackend { database, path: path.to_owned(), exclusive })
    }

    /// Opens a file that is there for reading, beside whoever writes it in the shared way.
    pub(crate) fn open_read_only(path: &Path, cache_bytes: usize) -> Result<Self> {
        let open = || {
            let mut builder = Database::builder();
            builder.set_cache_size(cache_bytes).set_concurrency_mode(ConcurrencyMode::MultiWriter);
            builder.open_read_only(path).explain("open")
        };
        let opened = match path.exists() {
            true => catch_unwind(open).unwrap_or_else(|_| Err(damaged())),
            false => Err(Error::new(ErrorKind::NotFound, "there is no file at the path: open it for writing once")),
        };
        let database = opened.map_err(|error| error.with("path", path.display()))?;
        let database = Some(Handle::Reading(Arc::new(database)));
        Ok(RedbBackend { database, path: path.to_owned(), exclusive: false })
    }

    fn handle(&self) -> Result<&Handle> {
        self.database.as_ref().ok_or_else(|| Error::new(ErrorKind::Closed, "the store was closed; open it again"))
    }

    fn database(&self) -> Result<&Arc<Database>> {
        match self.handle()? {
            Handle::Writing(database) => Ok(database),
            Handle::Reading(_) => {
                Err(Error::new(ErrorKind::PermissionDenied, "the store is open for reading only: open it for writing"))
            }
        }
    }

    /// Readers hold the database too, most of the time; redb reuses its free pages by itself.
    fn shrink(&mut self) -> Result<()> {
        match &mut self.database {
            Some(Handle::Writing(database)) => match Arc::get_mut(database) {
                Some(database) => database.compact().explain("compact").map(drop),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// Makes a file that is not there under another name first: one whose making was cut short, by a full disk or a
/// crash, would never open again.
fn make_whole(path: &Path, open: impl Fn(&Path) -> Result<Database>) -> Result<()> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    if path.as_os_str().is_empty() || path.exists() {
        return Ok(());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}.new", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
    let new = Path::new(&name);
    // Of a process that had our number and died.
    let _ = fs::remove_file(new);
    let made = open(new).and_then(|database| database.close().explain("open"));
    if made.is_ok() {
        // Another may have been first, and not every file system has links: the path itself is opened next.
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
        self.database()?.begin_write().explain("begin").map(|write| Overlay::new(RedbWrite(write)))
    }

    fn reader(&self) -> Result<Option<RedbReader>> {
        Ok(Some(RedbReader { database: self.handle()?.clone(), exclusive: self.exclusive }))
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        let named = |end: &str| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            name.push(end);
            PathBuf::from(name)
        };
        let (new, copy) = (named(".new"), named(""));
        let mut lock = self.begin()?;
        if !wanted(&mut lock)? {
            return Ok(());
        }
        // Of a copy that was cut short.
        let _ = fs::remove_file(&new);
        let read = RedbSnapshot(self.handle()?.begin_read("copy")?);
        let target = Database::builder().create(&new).explain("copy")?;
        let write = RedbWrite(target.begin_write().explain("copy")?);
        read.copy_into(&write)?;
        write.0.commit().explain("copy")?;
        target.close().explain("copy")?;
        fs::rename(&new, &copy).map_err(redb::Error::Io).explain("copy")
    }

    fn compact(&mut self) -> Result<()> {
        self.shrink()?;
        erase::renew(self.database()?)?;
        self.shrink()
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(std::fs::metadata(&self.path).ok().map(|file| file.len()))
    }

    fn close(mut self) -> Result<()> {
        match self.database.take() {
            Some(Handle::Writing(database)) => {
                Arc::into_inner(database).map_or(Ok(()), |database| database.close().explain("close"))
            }
            Some(Handle::Reading(database)) => {
                Arc::into_inner(database).map_or(Ok(()), |database| database.close().explain("close"))
            }
            None => Ok(()),
        }
    }
}

/// A source of snapshots.
pub struct RedbReader {
    database: Handle,
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
        self.database.begin_read("snapshot").map(|read| Overlay::new(RedbSnapshot(read)))
    }

    fn version(&mut self) -> Result<u64> {
        if self.exclusive {
            return Ok(0);
        }
        let read = self.database.begin_read("version")?;
        match read.open_table(COMMITS) {
            Ok(commits) => Ok(commits.get(COMMITS_KEY).explain("version")?.map_or(0, |count| count.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            Err(error) => Err(error).explain("version"),
        }
    }
}
