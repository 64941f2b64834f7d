//! Records, cursors and the modification log of Highwater.
#![deny(missing_docs, clippy::missing_errors_doc)]

pub mod backend;
mod backup;
mod batch;
pub mod blocking;
mod capabilities;
mod codec;
mod consumer;
pub mod content;
mod cursor;
mod environment;
mod error;
mod ext;
pub mod files;
mod following;
mod inspect;
pub mod key_value;
#[doc(hidden)]
pub mod locks;
mod log;
mod maintenance;
mod memory;
#[doc(hidden)]
pub mod mutants;
mod options;
mod page;
mod places;
mod printable;
mod record;
pub mod row_codec;
mod store;
mod stream;
mod threaded;
pub mod timestamp;
mod varint;
mod wakeups;

pub use backup::{Backup, BackupProgress, BackupReport};
pub use batch::{
    BadRecords, ChangeSummary, Commit, DeleteGuard, Document, Fence, MAX_ID_BYTES, MAX_PAYLOAD_BYTES, Merging,
    Rejected, RunId, RunStep, SourceVersion, StreamBatch, StreamCommit, UnseenRecords, WriteBatch, WriteOutcome,
};
pub use capabilities::Capabilities;
pub use codec::{PayloadCodec, PayloadContext};
pub use consumer::{AckToken, ConsumerCommand, ConsumerReply, ConsumerStatus, Delivery, PollOptions, Seek};
pub use content::ContentRules;
pub use cursor::Cursor;
pub use environment::{Environment, SystemEnvironment};
pub use error::{CursorFault, Error, ErrorKind, Result};
pub use ext::{Consumer, Records, StoreExt, TypedChange, TypedPage, TypedRecords};
pub use following::Following;
pub use inspect::{OperationKind, OperationView, StreamBatchView};
pub use maintenance::{
    ClockHealth, CodecHealth, Compaction, FilesHealth, History, Maintenance, MaintenanceReport, PruneWhat, StreamHead,
    StreamOptions, Verification, Version,
};
pub use memory::{MemoryBackend, MemorySnapshot, MemoryStore, MemoryWrite};
pub use options::StoreOptions;
pub use page::{Actions, ContentFilter, DEFAULT_LIMIT, DEFAULT_PAGE_BYTES, MAX_LIMIT, Page, PageRequest};
pub use printable::printable;
pub use record::{Action, Change, Json, Metadata, NetAction, Record, RecordId};
pub use store::{Store, StoreFuture};
pub use stream::{DEFAULT_VARIANT, MAX_NAME_BYTES, StreamKey, StreamVersion};
pub use threaded::{Inline, LogTransaction, PendingCommit, Threaded};
pub use timestamp::Timestamp;
pub use wakeups::Wakeups;
