//! Room on the disk, looked for before a write: sled waits for ever when it finds none.

use std::path::Path;

use highwater_core::Result;

/// What a commit, and sled's own work afterwards, may need.
#[cfg(unix)]
const ROOM_BYTES: u64 = 16 << 20;

/// Refuses where the disk is nearly full. Where the room cannot be told, there is some.
#[cfg(unix)]
pub(crate) fn check_room(path: &Path) -> Result<()> {
    use highwater_core::{Error, ErrorKind};

    let Ok(found) = rustix::fs::statvfs(path) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= ROOM_BYTES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Full,
        "the disk is nearly full, and sled cannot bear a full one: make room and try again",
    )
    .during("commit")
    .with("free_bytes", free)
    .with("needed_bytes", ROOM_BYTES))
}

#[cfg(not(unix))]
pub(crate) fn check_room(_: &Path) -> Result<()> {
    Ok(())
}
