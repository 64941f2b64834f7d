//! The four maps in one sled tree, so that one batch changes all of them at once.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use highwater_core::backend::{Backend, BackendReader, Decide, VisitEntry};
use highwater_core::files::{OpenFiles, beside};
use highwater_core::key_value::{Changes, KeyValueRead, KeyValueWrite, Map, Overlay};
use highwater_core::locks::{read, write};
use highwater_core::{Capabilities, Compaction, Error, ErrorKind, Result, mutant};
use sled::{Batch, Db};

use crate::compact::{self, Compacting};
use crate::errors::{Explain, ExplainIo};
use crate::folder;
use crate::room::{COMMIT_BYTES, check_room};

/// A sled directory as a [`Backend`].
pub struct SledBackend {
    shared: Arc<Shared>,
}

struct Shared {
    /// The path as the host passed it.
    path: PathBuf,
    folder: PathBuf,
    cache_bytes: u64,
    /// sled has no snapshots: readers block the writer from applying changes.
    opened: RwLock<Opened>,
}

/// The database, unless a compaction closed it and could not open it again.
struct Opened(Option<(Db, OpenFiles)>);

impl Opened {
    fn database(&self) -> Result<&Db> {
        match &self.0 {
            Some((database, files)) => files.seen().map(|()| database),
            None => Err(Error::new(
                ErrorKind::Poisoned,
                "the store was compacted and could not be reopened: close it and open it again",
            )),
        }
    }

    fn check(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |(_, files)| files.check())
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Opened> {
        read(&self.opened)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Opened> {
        write(&self.opened)
    }
}

impl SledBackend {
    pub(crate) fn open(path: &Path, cache_bytes: u64, read_only: bool) -> Result<Self> {
        Self::open_folder(path, cache_bytes, read_only).map_err(|error| error.with("path", path.display()))
    }

    fn open_folder(path: &Path, cache_bytes: u64, read_only: bool) -> Result<Self> {
        let folder = folder::resolve(path)?;
        let opened = folder::open(&folder, cache_bytes)?;
        if !read_only {
            compact::remove_leftover(&folder)?;
        }
        let opened = RwLock::new(Opened(Some(opened)));
        Ok(SledBackend { shared: Arc::new(Shared { path: path.to_owned(), folder, cache_bytes, opened }) })
    }
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
        Capabilities::new("sled").durable(true).persistent(true).erases(compact::EXCHANGES)
    }

    fn begin(&mut self) -> Result<Overlay<SledWrite<'_>>> {
        let database = self.shared.read().database()?.clone();
        Ok(Overlay::new(SledWrite { shared: &self.shared, database }))
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
        let opened = self.shared.read();
        let database = opened.database()?;
        check_room(&self.shared.folder, database.size_on_disk().explain("copy")?)?;
        compact::write_anew(database, &new, "copy")?;
        compact::remove(&copy).and_then(|()| fs::rename(&new, &copy)).explain_io("copy")
    }

    fn compact(&mut self) -> Result<Compaction> {
        if !compact::EXCHANGES {
            return Ok(Compaction::Automatic);
        }
        if mutant!("sled-log-kept") {
            return Ok(Compaction::Complete);
        }
        // No write can be in progress: this is the writer's own thread.
        let opened = self.shared.read();
        opened.check()?;
        let compacting = Compacting::prepare(opened.database()?, &self.shared.folder)?;
        drop(opened);
        let mut opened = self.shared.write();
        opened.check()?;
        opened.0 = None;
        let exchanged = compacting.exchange();
        opened.0 = Some(folder::open(&self.shared.folder, self.shared.cache_bytes)?);
        exchanged.map(|()| Compaction::Complete)
    }

    fn size(&self) -> Result<Option<u64>> {
        self.shared.read().database()?.size_on_disk().explain("size").map(Some)
    }

    fn close(self) -> Result<()> {
        match &self.shared.read().0 {
            Some((database, _)) => database.flush().explain("close").map(drop),
            None => Ok(()),
        }
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
        let opened = self.shared.read();
        opened.database()?;
        Ok(Overlay::new(SledSnapshot(opened)))
    }

    fn version(&mut self) -> Result<u64> {
        Ok(0)
    }
}

/// A snapshot: the writer waits while it lives.
pub struct SledSnapshot<'a>(RwLockReadGuard<'a, Opened>);

/// The right to write.
pub struct SledWrite<'a> {
    shared: &'a Shared,
    database: Db,
}

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
        get(self.0.database()?, map, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        range(self.0.database()?, map, from, until, visit)
    }
}

impl KeyValueRead for SledWrite<'_> {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        get(&self.database, map, key, visit)
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        range(&self.database, map, from, until, visit)
    }
}

impl KeyValueWrite for SledWrite<'_> {
    fn apply(self, mut changes: Changes) -> Result<()> {
        check_room(&self.shared.folder, COMMIT_BYTES)?;
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
        let opened = self.shared.write();
        self.database.apply_batch(batch).explain("commit")?;
        if !mutant!("sled-no-flush") {
            // Before a reader may see it: a crash must not undo what a reader has seen.
            self.database.flush().explain("commit")?;
        }
        opened.check()
    }
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
