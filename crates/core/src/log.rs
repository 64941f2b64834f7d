//! The modification log: every rule of it, over any backend.
//!
//! * [`transaction`]: a write transaction; positions are minted in it, streams opened.
//! * [`apply`], [`runs`], [`history`]: what a batch does.
//! * [`read`], [`validate`], [`filters`]: what a page is, which cursors are valid, what left a filter.
//! * [`consumers`], [`maintain`], [`verify`], [`recode`]: named readers and care.
//! * [`heads`], [`tail`], [`index_key`], [`marks`], [`chunks`], [`shared`]: what is kept in memory.
//! * [`opening`], [`needs`], [`lost`]: identity, format, the step from an earlier format, keys and dictionaries, lost rows.
//! * [`keys`], [`state`], [`entry`]: where and how the small facts are stored.

pub(crate) mod apply;
mod chunks;
pub(crate) mod consumers;
pub(crate) mod entry;
pub(crate) mod filters;
mod heads;
mod hints;
mod history;
mod index_key;
mod keys;
pub(crate) mod lost;
mod maintain;
mod marks;
pub(crate) mod needs;
pub(crate) mod opening;
pub(crate) mod read;
mod reading;
pub(crate) mod recode;
mod runs;
pub(crate) mod shared;
pub(crate) mod state;
mod tail;
pub(crate) mod transaction;
mod validate;
mod verify;
mod waiting;

pub(crate) use keys::document as document_key;

/// Damage that would turn a walk back.
fn out_of_order() -> crate::error::Error {
    crate::error::Error::corrupt("the log's rows are out of order: restore a backup, or sync into a new file")
}
