//! Detects that the database file was overwritten while it was open, for example with a backup. The file is then the same,
//! only its contents are not.
//!
//! In WAL mode only checkpoints write to the database file, and each leaves a trace in the WAL index. So if the file's size or
//! header changed without a checkpoint, it was not SQLite. An overwrite with the same size and header is not detected.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use highwater_core::mutant;

use crate::commit_sign::{Progress, Watcher};
use crate::database_file;
use highwater_core::locks::lock;

/// The last known state of the file's contents.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    last: Mutex<Option<Seen>>,
}

/// The state of the file between two checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    progress: Progress,
    written: Option<SystemTime>,
    size: u64,
    header: Option<[u8; 100]>,
}

impl Contents {
    /// Whether only SQLite has changed the contents since the last check, as far as can be known: checks the directory entry,
    /// and after a checkpoint the file's header.
    pub(crate) fn are_ours(&self, watcher: &Watcher, file: &Path) -> bool {
        if mutant!("overwritten-unnoticed") {
            return true;
        }
        let Some(progress) = watcher.progress() else { return true };
        let mut last = lock(&self.last);
        let Ok(found) = fs::metadata(file) else { return true };
        let (written, size) = (found.modified().ok(), found.len());
        let same = |seen: &Seen| (seen.progress, seen.written, seen.size) == (progress, written, size);
        if last.as_ref().is_some_and(same) {
            return true;
        }
        let header = database_file::first_bytes(watcher.connection());
        if progress.is_open() || watcher.progress() != Some(progress) {
            *last = None;
            return true;
        }
        let now = Seen { progress, written, size, header };
        let before = last.replace(now);
        before.is_none_or(|then| then.progress != progress || (then.size, then.header) == (size, header))
    }
}
