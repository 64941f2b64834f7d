//! Checks the free space of the disk before a write: sled blocks forever on a full disk.

use std::path::Path;

use highwater_core::Result;

/// The space that a commit, and sled's own work after it, may need.
pub(crate) const COMMIT_BYTES: u64 = 16 << 20;

/// Refuses if the disk has fewer than `needed` bytes free. Passes if the free space is unknown.
#[cfg(unix)]
pub(crate) fn check_room(path: &Path, needed: u64) -> Result<()> {
    use highwater_core::{Error, ErrorKind};

    let Ok(found) = rustix::fs::statvfs(path) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = needed.max(COMMIT_BYTES);
    if free >= needed {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Full,
        "the disk is nearly full, and sled cannot handle a full disk: free some space and try again",
    )
    .with("free_bytes", free)
    .with("needed_bytes", needed))
}

#[cfg(not(unix))]
pub(crate) fn check_room(_: &Path, _: u64) -> Result<()> {
    Ok(())
}
