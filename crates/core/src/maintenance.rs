//! Maintenance of a store: options, retention, verification.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backup::{Backup, BackupReport};
use crate::batch::RunId;
use crate::content::ContentRules;
use crate::cursor::Cursor;
use crate::record::Record;
use crate::stream::StreamKey;
use crate::timestamp::Timestamp;

/// Which superseded versions of its records a stream keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum History {
    /// None.
    #[default]
    Off,
    /// The newest of each record, this many, until its tombstone is pruned.
    Versions(u32),
    /// All that were superseded within this many milliseconds, until the tombstone of their record is pruned. Older ones are
    /// removed by the record's next change, or by `Prune`.
    Milliseconds(u64),
}

impl History {
    /// Keeps the versions that were superseded within `duration`.
    pub fn duration(duration: Duration) -> Self {
        History::Milliseconds(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Settings of one stream, stored with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StreamOptions {
    /// What counts as a change.
    pub rules: ContentRules,
    /// Whether superseded versions are kept.
    pub history: History,
}

impl StreamOptions {
    /// Sets what counts as a change.
    #[must_use]
    pub fn rules(mut self, rules: ContentRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets which superseded versions are kept.
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }
}

/// What a prune removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PruneWhat {
    /// Deleted records as a whole, with their superseded versions and what was set aside of them.
    Tombstones,
    /// Payloads, those of superseded versions included: the records stay, without content. A payload that the source brings again
    /// is stored, as an update.
    Payloads,
    /// Superseded versions only.
    History,
}

/// A maintenance task, for [`Store::maintain`](crate::Store::maintain).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Maintenance {
    /// Sets a stream's options, from the next commit on.
    Configure(StreamKey, StreamOptions),
    /// Removes what was modified up to a position; of superseded versions, what was superseded up to it.
    ///
    /// Stops before the least acknowledged position of the consumers that are not evicted, except for superseded versions, which no
    /// consumer reads. Superseded versions beyond what the stream's options keep are removed too. The freed space may still hold what
    /// was removed until `Compact` has given it back.
    Prune {
        /// The stream.
        stream: StreamKey,
        /// What to remove.
        what: PruneWhat,
        /// The last position to remove, inclusive.
        up_to: Cursor,
    },
    /// Empties a stream. Every cursor that it gave out before expires.
    Clear(StreamKey),
    /// Recounts a stream, and compares the result with its counters and index.
    Verify(StreamKey),
    /// Checks every page of the store's files, beneath the log, for what [`Verify`](Maintenance::Verify) cannot see: a damaged
    /// page that hides a whole stream, with all that is counted of it. Commits wait until it ends; reading continues.
    CheckFiles,
    /// Compares the clock with the positions that were given out.
    CheckClock,
    /// Accepts the clock's time, if it jumped more than a year ahead and is right. Cursors stay valid. Fails with
    /// [`ErrorKind::ClockImplausible`](crate::ErrorKind::ClockImplausible) beyond 2065.
    AcceptClock,
    /// Gives every entry a new position by the current clock, after a wrong clock gave positions far ahead. Every old cursor
    /// expires. Without it the order still holds: new positions continue from the greatest.
    RebaseClock,
    /// Rewrites every payload with the current codec: to rotate a key, or to switch compression or encryption on or off. Contents
    /// and positions stay. The old key is not needed any more once `Compact` has given the freed space back. A task that was cut
    /// short is started again, with a codec that has what [`CheckCodec`](Maintenance::CheckCodec) names.
    Recode,
    /// Reports which keys and dictionaries the payloads need, and whether a [`Recode`](Maintenance::Recode) was interrupted.
    CheckCodec,
    /// Gives free space back to the file system, as far as the store can: [`MaintenanceReport::Compacted`].
    Compact,
    /// Copies the whole store, as it is at one moment, into a new file: [`MaintenanceReport::BackedUp`]. Commits and readings
    /// continue meanwhile, except in a SQLite store that one process has exclusively. SQLite's `-wal` file cannot shrink before
    /// the copy is complete.
    ///
    /// Dropping the future cancels the backup, as [`BackupProgress::cancel`](crate::BackupProgress::cancel) does. Fails with
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if something is at the path, with
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), and with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for stores that are not one file: in memory, and sled.
    BackUp(Backup),
}

/// How far a compaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Compaction {
    /// All free space was given back.
    Complete,
    /// Some free space is left, because a reading that began earlier may still need it, in this process or another:
    /// compact again when it has ended.
    Held,
    /// Nothing was done: this store reuses and releases free space by itself.
    Automatic,
}

/// What a task did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MaintenanceReport {
    /// The task is done, and has nothing to report.
    Done,
    /// How many entries or payloads were pruned, and the horizon afterwards.
    Pruned {
        /// Entries removed, or payloads.
        removed: u64,
        /// Superseded versions removed.
        versions: u64,
        /// The least cursor that is still valid.
        horizon: Cursor,
        /// The consumer that held the prune back, if one did.
        held_by: Option<String>,
    },
    /// How many payloads were rewritten, including those of kept versions.
    Recoded {
        /// Payloads.
        payloads: u64,
    },
    /// How far a compaction came.
    Compacted(Compaction),
    /// What a backup made.
    BackedUp(BackupReport),
    /// The outcome of a verification.
    Verified(Verification),
    /// The outcome of a check of the files.
    Files(FilesHealth),
    /// The clock and the positions.
    Clock(ClockHealth),
    /// What the payloads need.
    Codec(CodecHealth),
}

/// What a check of a store's files found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilesHealth {
    /// Each damage, in one line. Empty where all is well.
    pub problems: Vec<String>,
    /// Whether every page was checked. sled cannot do that, nor can redb for a file that was opened for reading only: there
    /// only streams whose rows are left and whose names are lost are looked for.
    pub pages_checked: bool,
}

/// What a store's payloads need to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CodecHealth {
    /// The name of each key and dictionary that payloads may need.
    pub needs: Vec<String>,
    /// Whether payloads are being moved from one codec to another, or were when a process ended: until
    /// [`Maintenance::Recode`] is done, the codec must have all of `needs`.
    pub unfinished: bool,
}

/// How the clock stands to the positions that were given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClockHealth {
    /// What the clock shows.
    pub now: Timestamp,
    /// The time in the greatest position; `None` in an empty store.
    pub last_position_at: Option<Timestamp>,
    /// How far that is ahead of the clock. The order still holds, but until the clock has caught up every new position carries
    /// that time, and `modified_after` means little. [`Maintenance::RebaseClock`] ends a long lead.
    pub lead: Duration,
    /// Whether the clock jumped while this store was open, or shows a time beyond 2065: commits that mint positions are refused until
    /// the clock is right again, or is accepted with [`Maintenance::AcceptClock`].
    pub implausible: bool,
    /// What the clock showed when it was accepted last.
    pub accepted_at: Option<Timestamp>,
}

/// What a recount found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Entries checked.
    pub entries: u64,
    /// Kept versions checked.
    pub versions: u64,
    /// Each difference or damage, in one line. Empty where all is well.
    pub problems: Vec<String>,
    /// How many payloads could not be checked, by the key or dictionary that they need and the codec does not have.
    pub missing: BTreeMap<String, u64>,
}

impl Verification {
    /// Returns whether everything was checked, and nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.missing.is_empty()
    }
}

/// A stream's counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamHead {
    /// The stream.
    pub stream: StreamKey,
    /// The greatest position given out in it.
    pub high_water: Cursor,
    /// The least cursor that is still valid (START: all are).
    pub horizon: Cursor,
    /// Grows when the stream is cleared.
    pub incarnation: u32,
    /// Live records.
    pub live: u64,
    /// Deleted records that are still listed.
    pub deleted: u64,
    /// Payload bytes of the live records, as given.
    pub bytes: u64,
    /// The sum of the checksums of the live records, as 32 hexadecimal digits.
    pub checksum: String,
    /// The run that is open, if one is.
    pub open_run: Option<RunId>,
    /// The number that this stream has inside the store's files.
    pub number: u32,
}

impl StreamHead {
    /// Returns whether nothing has ever been written to the stream; see [`Page::never_written`](crate::Page::never_written).
    pub fn never_written(&self) -> bool {
        self.high_water.is_start()
    }
}

/// One version of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Version {
    /// The record as it was.
    pub record: Record,
    /// Until when it was like that; `None` for the current version.
    pub superseded_at: Option<Timestamp>,
}
