//! Room on the disk, looked for before a write: sled waits for ever when it finds none.

use std::path::Path;

use highwater_core::Result;

/// What a commit, and sled's own work afterwards, may need.
pub(crate) const COMMIT_BYTES: u64 = 16 << 20;

/// Refuses where the disk has fewer than `needed` bytes free. Where that cannot be told, there is room.
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
        "the disk is nearly full, and sled cannot bear a full one: make room and try again",
    )
    .with("free_bytes", free)
    .with("needed_bytes", needed))
}

#[cfg(not(unix))]
pub(crate) fn check_room(_: &Path, _: u64) -> Result<()> {
    Ok(())
}
