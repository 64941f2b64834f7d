//! The four maps in one sled tree, so that one batch changes all of them at once.

use std::fmt;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use highwater_core::backend::{Backend, BackendReader, Decide, VisitEntry};
use highwater_core::files::{OpenFiles, beside};
use highwater_core::key_value::{Changes, KeyValueRead, KeyValueWrite, Map, Overlay};
use highwater_core::{Capabilities, Compaction, Error, ErrorKind, Result};
use sled::{Batch, Db};

use crate::errors::{Explain, ExplainIo, damaged};
use crate::room::check_room;

/// A sled directory as a [`Backend`].
pub struct SledBackend {
    shared: Arc<Shared>,
}

struct Shared {
    database: Db,
    /// As the host wrote it.
    path: PathBuf,
    folder: PathBuf,
    files: OpenFiles,
    /// sled has no snapshots: readers keep the one writer from applying meanwhile.
    applying: RwLock<()>,
}

impl SledBackend {
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self> {
        Self::open_folder(path, cache_bytes).map_err(|error| error.with("path", path.display()))
    }

    fn open_folder(path: &Path, cache_bytes: u64) -> Result<Self> {
        if path.as_os_str().is_empty() {
            // sled would fill the working directory.
            return Err(Error::new(ErrorKind::Invalid, "the path is empty: name the store's directory"));
        }
        // sled makes files there later too, when the working directory may be another.
        let folder = std::path::absolute(path).explain_io("open")?;
        let folder = folder.canonicalize().unwrap_or(folder);
        check_folder(&folder)?;
        // sled panics over some damaged files.
        let open = || {
            catch_unwind(|| sled::Config::new().path(&folder).cache_capacity(cache_bytes).open().explain("open"))
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
        let shared = Shared { database, path: path.to_owned(), folder, files, applying: RwLock::new(()) };
        Ok(SledBackend { shared: Arc::new(shared) })
    }
}

/// The files of a sled directory that hold the data and sled's settings.
const DATA: &str = "db";
const SETTINGS: &str = "conf";

/// Refuses a directory of other programs: sled would put its files among theirs.
fn check_folder(folder: &Path) -> Result<()> {
    let Ok(mut inside) = std::fs::read_dir(folder) else { return Ok(()) };
    if folder.join(DATA).exists() || folder.join(SETTINGS).exists() || inside.next().is_none() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Incompatible,
        "the directory has other files in it and no sled store: choose another path, or an empty directory",
    ))
}

impl fmt::Debug for SledBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledBackend").finish_non_exhaustive()
    }
}

impl Backend for SledBackend {
    type Write<'a> = Overlay<SledWrite<'a>>;
    type Reader = SledReader;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("sled").durable(true).persistent(true)
    }

    fn begin(&mut self) -> Result<Overlay<SledWrite<'_>>> {
        self.shared.files.seen()?;
        Ok(Overlay::new(SledWrite(&self.shared)))
    }

    fn reader(&self) -> Result<Option<SledReader>> {
        Ok(Some(SledReader { shared: Arc::clone(&self.shared) }))
    }

    fn location(&self) -> Option<String> {
        Some(self.shared.path.display().to_string())
    }

    fn copy_beside(&mut self, suffix: &str, wanted: &mut Decide<'_>) -> Result<()> {
        if !wanted(&mut self.begin()?)? {
            return Ok(());
        }
        let copy = beside(&self.shared.folder, suffix);
        let new = beside(&copy, ".new");
        let moved = |outcome: std::io::Result<()>| outcome.map_err(sled::Error::Io).explain("copy");
        let remove = |old: &Path| match fs::remove_dir_all(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        // Of a copy that was cut short.
        moved(remove(&new))?;
        check_room(&self.shared.folder)?;
        let target = sled::Config::new().path(&new).open().explain("copy")?;
        for entry in self.shared.database.iter() {
            let (key, value) = entry.explain("copy")?;
            target.insert(key, value).explain("copy")?;
        }
        target.flush().explain("copy")?;
        drop(target);
        moved(remove(&copy).and_then(|()| fs::rename(&new, &copy)))
    }

    fn compact(&mut self) -> Result<Compaction> {
        Ok(Compaction::Automatic)
    }

    fn size(&self) -> Result<Option<u64>> {
        self.shared.database.size_on_disk().explain("size").map(Some)
    }

    fn close(self) -> Result<()> {
        self.shared.database.flush().explain("close").map(drop)
    }
}

/// A source of snapshots.
pub struct SledReader {
    shared: Arc<Shared>,
}

impl fmt::Debug for SledReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledReader").finish_non_exhaustive()
    }
}

impl BackendReader for SledReader {
    type Snapshot<'a> = Overlay<SledSnapshot<'a>>;

    fn snapshot(&mut self) -> Result<Overlay<SledSnapshot<'_>>> {
        self.shared.files.seen()?;
        let guard = self.shared.applying.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Overlay::new(SledSnapshot { database: &self.shared.database, _guard: guard }))
    }

    fn version(&mut self) -> Result<u64> {
        Ok(0)
    }
}

/// A snapshot: the writer waits while it lives.
pub struct SledSnapshot<'a> {
    database: &'a Db,
    _guard: RwLockReadGuard<'a, ()>,
}

/// The right to write.
pub struct SledWrite<'a>(&'a Shared);

impl fmt::Debug for SledSnapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledSnapshot").finish_non_exhaustive()
    }
}

impl fmt::Debug for SledWrite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledWrite").finish_non_exhaustive()
    }
}

impl KeyValueRead for SledSnapshot<'_> {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        get(self.database, map, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        range(self.database, map, from, until, visit)
    }
}

impl KeyValueRead for SledWrite<'_> {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        get(&self.0.database, map, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        range(&self.0.database, map, from, until, visit)
    }
}

impl KeyValueWrite for SledWrite<'_> {
    fn apply(self, mut changes: Changes) -> Result<()> {
        check_room(&self.0.folder)?;
        let mut batch = Batch::default();
        for map in Map::ALL {
            for (key, value) in changes.take(map) {
                let key = prefixed(map, &key);
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
        }
        let _guard: RwLockWriteGuard<'_, ()> = self.0.applying.write().unwrap_or_else(PoisonError::into_inner);
        self.0.database.apply_batch(batch).explain("commit")?;
        if flushes() {
            // Before anybody may see it: what a reader has seen must not be taken back by a crash.
            self.0.database.flush().explain("commit")?;
        }
        self.0.files.check()
    }
}

/// Always, but in a test build that breaks this rule to see whether the suite notices.
fn flushes() -> bool {
    #[cfg(feature = "mutants")]
    return !highwater_core::mutants::active("sled-no-flush");
    #[cfg(not(feature = "mutants"))]
    true
}

fn get(database: &Db, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    match database.get(prefixed(map, key)).explain("read")? {
        Some(value) => visit(&value),
        None => Ok(()),
    }
}

fn range(database: &Db, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
    for entry in database.range(prefixed(map, from)..prefixed(map, until)) {
        let (key, value) = entry.explain("read")?;
        if visit(key.get(1..).unwrap_or_default(), &value)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn prefixed(map: Map, key: &[u8]) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(key.len() + 1);
    prefixed.push(map.name().as_bytes().first().copied().unwrap_or_default());
    prefixed.extend_from_slice(key);
    prefixed
}
