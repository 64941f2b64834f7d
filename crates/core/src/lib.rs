//! Records, cursors and the modification log of Highwater.
#![deny(missing_docs)]

pub mod backend;
mod cursor;
mod environment;
mod error;
mod mutants;
mod record;
pub mod row_codec;
mod store;
mod stream;

pub use cursor::Cursor;
pub use environment::{Environment, SystemEnvironment};
pub use error::{CursorFault, Error, ErrorKind, Result};
pub use record::{Action, Change, Json, Metadata, NetAction, Record};
pub use store::Capabilities;
pub use stream::{DEFAULT_VARIANT, MAX_NAME_BYTES, StreamKey};
