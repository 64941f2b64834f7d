//! The database and its transactions.

use std::fmt;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::backend::{Backend, BackendReader};
use highwater_core::key_value::Overlay;
use highwater_core::{Capabilities, Error, ErrorKind, Result};
use redb::{ConcurrencyMode, Database, ReadableDatabase, TableError};

use crate::erase;
use crate::errors::{Explain, damaged};
use crate::view::{COMMITS, COMMITS_KEY, RedbSnapshot, RedbWrite};

/// A redb file as a [`Backend`].
pub struct RedbBackend {
    database: Option<Arc<Database>>,
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
        Ok(RedbBackend { database: Some(Arc::new(database)), path: path.to_owned(), exclusive })
    }

    fn database(&self) -> Result<&Arc<Database>> {
        self.database.as_ref().ok_or_else(|| Error::new(ErrorKind::Closed, "the store was closed; open it again"))
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
        Ok(Some(RedbReader { database: Arc::clone(self.database()?), exclusive: self.exclusive }))
    }

    fn location(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn compact(&mut self) -> Result<()> {
        if let Some(database) = self.database.as_mut().and_then(Arc::get_mut) {
            database.compact().explain("compact")?;
        }
        erase::renew(self.database()?)?;
        match self.database.as_mut().and_then(Arc::get_mut) {
            Some(database) => database.compact().explain("compact").map(drop),
            // Readers hold the database too; redb reuses its free pages by itself.
            None => Ok(()),
        }
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(std::fs::metadata(&self.path).ok().map(|file| file.len()))
    }

    fn close(mut self) -> Result<()> {
        match self.database.take().and_then(Arc::into_inner) {
            Some(database) => database.close().explain("close"),
            None => Ok(()),
        }
    }
}

/// A source of snapshots.
pub struct RedbReader {
    database: Arc<Database>,
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
        self.database.begin_read().explain("snapshot").map(|read| Overlay::new(RedbSnapshot(read)))
    }

    fn version(&mut self) -> Result<u64> {
        if self.exclusive {
            return Ok(0);
        }
        let read = self.database.begin_read().explain("version")?;
        match read.open_table(COMMITS) {
            Ok(commits) => Ok(commits.get(COMMITS_KEY).explain("version")?.map_or(0, |count| count.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            Err(error) => Err(error).explain("version"),
        }
    }
}
