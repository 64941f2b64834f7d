//! Standard output, and whether writing to it failed.

use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use highwater::{Error, ErrorKind, Result};

/// Nothing more can be written.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// The cause, if it is an error.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

pub(super) fn write(bytes: &[u8]) {
    if is_closed() {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        CLOSED.store(true, Ordering::Relaxed);
        // The reader closed the pipe, which is not an error.
        if error.kind() != IoErrorKind::BrokenPipe
            && let Ok(mut fault) = FAULT.lock()
        {
            *fault = Some(error);
        }
    }
}

pub(super) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

pub(super) fn check() -> Result<()> {
    let fault = FAULT.lock().ok().and_then(|mut fault| fault.take());
    let Some(fault) = fault else { return Ok(()) };
    let kind = match fault.kind() {
        IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Io,
    };
    Err(Error::new(kind, "the result could not be written to standard output: part of it is missing").because(fault))
}
