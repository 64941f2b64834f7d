//! The first byte of a stored payload, which says how it is stored. A plain payload begins with `{`.

use highwater_core::{Error, ErrorKind};

/// The first byte of an encrypted payload.
pub(crate) const ENCRYPTED: u8 = 0xe1;
/// The first byte of a compressed payload.
pub(crate) const COMPRESSED: u8 = 0xc1;

/// The error for a payload with any other first byte.
pub(crate) fn unknown() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the stored payload is neither JSON nor in a form of this codec: open the store with the codec it was written with, or restore a backup",
    )
}
