//! What can happen to a store, as plain data.

use super::content::Content;

/// Streams of the machine.
pub(crate) const STREAMS: usize = 2;
/// Ids of the machine.
pub(crate) const IDS: [&str; 6] = ["a", "b", "c", "d", "é", "an id longer than every plain key of an index is"];
/// Consumers of each stream.
pub(crate) const CONSUMERS: [&str; 2] = ["one", "two"];
/// Writers that are not the sync itself.
pub(crate) const ORIGINS: [&str; 2] = ["webhook", "action"];
/// Versions that are texts, in their order.
pub(crate) const VERSIONS: [&str; 3] = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-02"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Commit(Batch),
    /// A page from a cursor that was given out at some time.
    Look(Look),
    /// A reader goes on by one page.
    Read {
        reader: usize,
        limit: usize,
    },
    /// From a cursor of any time, with the copy of that time, to the end.
    Converge {
        token: usize,
    },
    Poll(Poll),
    Ack {
        token: usize,
    },
    Nack {
        token: usize,
    },
    Seek {
        stream: usize,
        name: usize,
        to: To,
        open_only: bool,
    },
    Evict {
        stream: usize,
        name: usize,
    },
    Remove {
        stream: usize,
        name: usize,
    },
    Unpark {
        stream: usize,
        name: usize,
    },
    /// The next fencing number.
    Lease,
    Prune {
        stream: usize,
        payloads: bool,
        token: usize,
    },
    Clear {
        stream: usize,
    },
    Configure {
        stream: usize,
        /// How many superseded versions of each record are kept.
        keep: usize,
        /// Whether a change of `n` is none.
        without_n: bool,
    },
    AcceptClock,
    Rebase,
    Past {
        token: usize,
    },
    Clock(i64),
    Reopen,
    Crash,
    Backup,
    Restore {
        backup: usize,
    },
    Clone {
        go_on_with_the_copy: bool,
    },
}

/// A named reader asks for more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    pub(crate) stream: usize,
    pub(crate) name: usize,
    pub(crate) limit: usize,
    pub(crate) open_only: bool,
    pub(crate) lease_ms: u64,
    /// How long the first refusal holds up the next delivery.
    pub(crate) backoff_ms: u64,
}

/// Where a consumer is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Start,
    End,
    Token(usize),
    /// What was modified from this many milliseconds before now on.
    LastMs(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) stream: usize,
    pub(crate) other_handle: bool,
    pub(crate) writes: Vec<Write>,
    pub(crate) run: RunUse,
    /// Keep what was modified after this cursor.
    pub(crate) merging: Option<(usize, Merge)>,
    /// Who writes, where it is not the sync itself.
    pub(crate) origin: Option<u8>,
    /// A fencing number that was given out at some time.
    pub(crate) fence: Option<usize>,
    /// Whether the checkpoint is expected to be another than it is.
    pub(crate) expects_another: bool,
    /// Whether records that cannot be stored are set aside.
    pub(crate) quarantine: bool,
    /// Whether the stream is emptied first.
    pub(crate) clear: bool,
    /// Whether the stream's summary is kept.
    pub(crate) summary: bool,
    pub(crate) allow_leap: bool,
}

/// Whose later writes are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Merge {
    KeepAll,
    KeepOthers,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    pub(crate) version: Option<Version>,
}

/// What the source calls the version of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Version {
    Number(i64),
    /// A place in [`VERSIONS`].
    Text(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Upsert(Content, u8),
    Patch(Content),
    Delete,
    /// The run knows that it exists.
    Seen,
    Bad(Bad),
}

/// What no store can keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bad {
    /// Named by the caller, and cut short.
    Cut,
    /// A patch that is no object.
    NoObject,
    /// An object without an id.
    NoId,
    /// Another.
    NoIdEither,
    /// Set aside by its writer, who knows its id.
    Told,
    /// Set aside by its writer, who does not.
    ToldNameless,
}

impl Bad {
    pub(crate) fn payload(self) -> &'static str {
        match self {
            Bad::Cut => r#"{"n":1,"open":"#,
            Bad::NoObject => "[1]",
            Bad::NoId => r#"{"n":1}"#,
            Bad::NoIdEither => r#"{"n":2,"open":true}"#,
            Bad::Told => "what came",
            Bad::ToldNameless => "what came without a name",
        }
    }

    pub(crate) fn is_named(self) -> bool {
        matches!(self, Bad::Cut | Bad::NoObject | Bad::Told)
    }

    /// Whether its writer says so, whatever the batch does with those that it does not know of.
    pub(crate) fn is_told(self) -> bool {
        matches!(self, Bad::Told | Bad::ToldNameless)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum RunUse {
    None,
    Begin,
    Page,
    Complete(Guard),
    Abort,
    /// A page of a run that is not the open one.
    Stranger,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Guard {
    Default,
    Tight,
    Approved,
}

#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) token: usize,
    /// Read another stream than the cursor's.
    pub(crate) elsewhere: bool,
    pub(crate) limit: usize,
    /// Payload bytes after which the page ends.
    pub(crate) max_bytes: Option<usize>,
    /// Bits of actions; 0 for all.
    pub(crate) actions: u8,
    /// Whether only open records are wanted.
    pub(crate) open_only: bool,
    pub(crate) ids: Option<Vec<usize>>,
    /// Only what was modified from this many milliseconds before now on.
    pub(crate) last_ms: Option<u64>,
    pub(crate) metadata_only: bool,
    /// How far a named reader was told before.
    pub(crate) told: u64,
}
