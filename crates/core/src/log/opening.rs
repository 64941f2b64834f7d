//! Opening a store: its identity, its format, and the step from an earlier format to the current one.
//!
//! Everything is looked at in a snapshot first. Only a store that is new or of an earlier format, or whose codec changes,
//! takes the write lock; otherwise opening never waits for another process.

use crate::backend::{BackendRead, BackendWrite};
use crate::error::{Error, ErrorKind, Result};
use crate::log::state::{FORMAT, Identity};
use crate::log::{lost, needs};
use crate::options::StoreOptions;

/// The state of a store, as found when it is opened.
pub(crate) enum Found {
    /// Nothing has to be written.
    Ready(Identity),
    /// The store is to be written first: it is new, or its codec changes.
    Unsettled,
    /// The store is of an earlier format, and is to be brought to the current one.
    Outdated(Identity),
}

/// Looks at the store without writing.
///
/// # Errors
///
/// `Corrupt` for a store that has lost rows it cannot be without, `Incompatible` for a later format, `WrongKey` for a codec that does not fit, `NotFound` if there is no store and none
/// may be made.
pub(crate) fn look<R: BackendRead + ?Sized>(read: &mut R, options: &StoreOptions, outdated: bool) -> Result<Found> {
    let identity = Identity::load(read)?;
    lost::check_opening(read, identity.as_ref())?;
    let unwritten = needs::admit(read, identity.as_ref(), options)?;
    match identity {
        None if options.read_only => {
            Err(Error::new(ErrorKind::NotFound, "the store does not exist: open it for writing once to create it"))
        }
        None => Ok(Found::Unsettled),
        Some(identity) if options.read_only => Ok(Found::Ready(identity)),
        Some(identity) if identity.format < FORMAT || outdated => Ok(Found::Outdated(identity)),
        Some(_) if unwritten.is_some() => Ok(Found::Unsettled),
        Some(identity) => Ok(Found::Ready(identity)),
    }
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
    let found = Identity::load(write)?;
    let unwritten = needs::admit(write, found.as_ref(), options)?;
    let mut written = found.is_none() || unwritten.is_some();
    if let Some(new) = unwritten {
        new.store(write)?;
    }
    let mut identity = match found {
        Some(identity) => identity,
        None => Identity::create(write, &*options.environment)?,
    };
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
