//! Notices that somebody else's bytes were put into the database file while it is open, such as a backup that was copied
//! over it. The file is the same then, and only its contents are not.
//!
//! In WAL mode nobody but a checkpoint writes to the database file, and each leaves its trace in the WAL index. So where
//! the file's size or header changed and no checkpoint went by, it was not SQLite. A copy that has the size and the header of
//! what was there is not noticed.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use highwater_core::mutant;

use crate::commit_sign::{Progress, Watcher};
use crate::database_file;
use highwater_core::locks::lock;

/// What was last seen of the file's contents.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    last: Mutex<Option<Seen>>,
}

/// The file as it was between two checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    progress: Progress,
    written: Option<SystemTime>,
    size: u64,
    header: Option<[u8; 100]>,
}

impl Contents {
    /// Whether the contents are SQLite's own, as far as can be told since the last look: one look at the directory entry,
    /// and after a checkpoint at the file's header.
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
