//! One sync of an engine: its handle, and how a change of it is made.

mod change;
mod handle;
mod trigger;

pub(crate) use change::{Draft, note_change};
pub use handle::SyncHandle;
