//! Opening a store: its identity, its format, and the step from an earlier format to the current one.
//!
//! Everything is looked at in a snapshot first. Only a store that is new or of an earlier format, or whose codec changes,
//! takes the write lock: opening waits for nobody otherwise.

use crate::backend::{BackendRead, BackendWrite};
use crate::error::Result;
use crate::log::recode::check_codec;
use crate::log::state::{FORMAT, Identity};
use crate::options::StoreOptions;

/// What a look at a store finds.
pub(crate) enum Found {
    /// Nothing has to be written.
    Ready(Identity),
    /// The store is to be written first: it is new, or something about it changes.
    Unsettled,
    /// The store is of an earlier format.
    Outdated(Identity),
}

/// Looks at the store without writing.
///
/// # Errors
///
/// `Incompatible` for a later format, `WrongKey` for a codec that does not fit.
pub(crate) fn look<R: BackendRead + ?Sized>(read: &mut R, options: &StoreOptions, outdated: bool) -> Result<Found> {
    let Some(identity) = Identity::load(read)? else { return Ok(Found::Unsettled) };
    let codec = options.codec.as_deref();
    if identity.format < FORMAT || outdated {
        return Ok(Found::Outdated(identity));
    }
    Ok(if check_codec(read, codec)?.is_some() { Found::Unsettled } else { Found::Ready(identity) })
}

/// Whether the store is still of that format.
pub(crate) fn is_of_format(read: &mut dyn BackendRead, format: u8) -> Result<bool> {
    Ok(Identity::load(read)?.is_some_and(|identity| identity.format == format))
}

/// Makes the store a current one within one write transaction. Another process may have been first: what is found under
/// the write lock counts. Whether anything was written.
pub(crate) fn settle<W: BackendWrite>(
    write: &mut W,
    options: &StoreOptions,
    outdated: bool,
) -> Result<(Identity, bool)> {
    let (mut identity, mut written) = Identity::load_or_create(write, &*options.environment)?;
    if let Some(check) = check_codec(write, options.codec.as_deref())? {
        check.store(write)?;
        written = true;
    }
    if identity.format < FORMAT || outdated {
        // Rows of the former format are read as they are; each becomes one of the current when it is written next.
        // The number keeps programs out that do not know the current rows.
        write.upgrade()?;
        identity.format = FORMAT;
        identity.store(write)?;
        written = true;
    }
    Ok((identity, written))
}
