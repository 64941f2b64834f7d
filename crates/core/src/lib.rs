//! Records, cursors and the modification log of Highwater.
#![deny(missing_docs)]

pub mod backend;
mod batch;
mod consumer;
pub mod content;
mod cursor;
mod environment;
mod error;
mod maintenance;
mod mutants;
mod page;
mod record;
pub mod row_codec;
mod store;
mod stream;
mod wakeups;

pub use batch::{
    BadRecords, Commit, DeleteGuard, Document, Fence, MAX_ID_BYTES, MAX_PAYLOAD_BYTES, Merging, Outcome, Rejected,
    RunId, SourceVersion, StreamBatch, StreamCommit, WriteBatch,
};
pub use consumer::{AckToken, ConsumerCommand, ConsumerReply, ConsumerStatus, Delivery, PollOptions, Seek};
pub use content::ContentRules;
pub use cursor::Cursor;
pub use environment::{Environment, SystemEnvironment};
pub use error::{CursorFault, Error, ErrorKind, Result};
pub use maintenance::{
    History, Maintenance, MaintenanceReport, PruneWhat, StreamHead, StreamOptions, Verification, Version,
};
pub use page::{Actions, ContentFilter, DEFAULT_LIMIT, DEFAULT_PAGE_BYTES, MAX_LIMIT, Page, PageRequest};
pub use record::{Action, Change, Json, Metadata, NetAction, Record};
pub use store::{Capabilities, Store};
pub use stream::{DEFAULT_VARIANT, MAX_NAME_BYTES, StreamKey};
pub use wakeups::Wakeups;
