//! What can happen to a store, as plain data.

use proptest::prelude::*;

use super::content::Content;

/// Streams of the machine.
pub(crate) const STREAMS: usize = 2;
/// Ids of the machine.
pub(crate) const IDS: [&str; 6] = ["a", "b", "c", "d", "é", "an id longer than every plain key of an index is"];
/// Consumers of each stream.
pub(crate) const CONSUMERS: [&str; 2] = ["one", "two"];

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
    Poll {
        stream: usize,
        name: usize,
        limit: usize,
    },
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
    },
    Evict {
        stream: usize,
        name: usize,
    },
    Prune {
        stream: usize,
        payloads: bool,
        token: usize,
    },
    Clear {
        stream: usize,
    },
    History {
        stream: usize,
        keep: bool,
    },
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

/// Where a consumer is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Start,
    End,
    Token(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) stream: usize,
    pub(crate) other_handle: bool,
    pub(crate) writes: Vec<Write>,
    pub(crate) run: RunUse,
    /// Keep what was modified after this cursor.
    pub(crate) merging: Option<usize>,
    pub(crate) allow_leap: bool,
    /// Whether a record that cannot be stored comes last.
    pub(crate) poison: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) id: usize,
    pub(crate) kind: Kind,
    pub(crate) version: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Upsert(Content, u8),
    Patch(Content),
    Delete,
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
    /// Bits of actions; 0 for all.
    pub(crate) actions: u8,
    /// Whether only open records are wanted.
    pub(crate) open_only: bool,
    pub(crate) ids: Option<Vec<usize>>,
    /// Only what was modified from this many milliseconds before now on.
    pub(crate) last_ms: Option<u64>,
    pub(crate) metadata_only: bool,
}

fn content() -> impl Strategy<Value = Content> {
    let small = || prop_oneof![2 => Just(None), 3 => (0..3_u8).prop_map(Some)];
    (small(), prop_oneof![Just(None), any::<bool>().prop_map(Some)], small(), small())
        .prop_map(|(n, open, a, b)| Content { n, open, deep: [a, b] })
}

fn write() -> impl Strategy<Value = Write> {
    let kind = prop_oneof![
        6 => (content(), 0..8_u8).prop_map(|(content, spelling)| Kind::Upsert(content, spelling)),
        1 => content().prop_map(Kind::Patch),
        3 => Just(Kind::Delete),
    ];
    let version = prop_oneof![5 => Just(None), 1 => (0..4_i64).prop_map(Some)];
    (0..IDS.len(), kind, version).prop_map(|(id, kind, version)| Write { id, kind, version })
}

fn batch() -> impl Strategy<Value = Batch> {
    let run = prop_oneof![
        8 => Just(RunUse::None),
        2 => Just(RunUse::Begin),
        3 => Just(RunUse::Page),
        2 => prop_oneof![Just(Guard::Default), Just(Guard::Tight), Just(Guard::Approved)].prop_map(RunUse::Complete),
        1 => Just(RunUse::Abort),
        1 => Just(RunUse::Stranger),
    ];
    let merging = prop_oneof![6 => Just(None), 1 => any::<usize>().prop_map(Some)];
    (
        0..STREAMS,
        any::<bool>(),
        prop::collection::vec(write(), 0..6),
        run,
        merging,
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(stream, other_handle, writes, run, merging, allow_leap, poison)| Batch {
            stream,
            other_handle,
            writes,
            run,
            merging,
            allow_leap,
            poison,
        })
}

fn look() -> impl Strategy<Value = Look> {
    let ids = prop_oneof![4 => Just(None), 1 => prop::collection::vec(0..IDS.len(), 0..4).prop_map(Some)];
    let last_ms = prop_oneof![4 => Just(None), 1 => prop_oneof![Just(0_u64), 1..3000_u64].prop_map(Some)];
    (
        any::<usize>(),
        prop::bool::weighted(0.05),
        prop_oneof![3 => 1..5_usize, 1 => Just(1000)],
        prop_oneof![3 => Just(0), 1 => 1..8_u8],
        prop::bool::weighted(0.25),
        ids,
        last_ms,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(token, elsewhere, limit, actions, open_only, ids, last_ms, metadata_only)| Look {
            token,
            elsewhere,
            limit,
            actions,
            open_only,
            ids,
            last_ms,
            metadata_only,
        })
}

fn clock() -> impl Strategy<Value = i64> {
    let year = 365 * 24 * 3600 * 1000;
    prop_oneof![
        4 => 1..2000_i64,
        1 => Just(61_000),
        2 => -5000..0_i64,
        1 => prop_oneof![Just(-10 * year), Just(-year), Just(2 * year), Just(9 * year), Just(70 * year)],
    ]
}

/// One step, any.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let (stream, name) = (|| 0..STREAMS, || 0..CONSUMERS.len());
    prop_oneof![
        16 => batch().prop_map(Step::Commit),
        8 => look().prop_map(Step::Look),
        6 => (0..3_usize, 1..4_usize).prop_map(|(reader, limit)| Step::Read { reader, limit }),
        3 => any::<usize>().prop_map(|token| Step::Converge { token }),
        4 => (stream(), name(), 1..4_usize).prop_map(|(stream, name, limit)| Step::Poll { stream, name, limit }),
        3 => any::<usize>().prop_map(|token| Step::Ack { token }),
        1 => any::<usize>().prop_map(|token| Step::Nack { token }),
        1 => (stream(), name(), prop_oneof![Just(To::Start), Just(To::End), any::<usize>().prop_map(To::Token)])
            .prop_map(|(stream, name, to)| Step::Seek { stream, name, to }),
        1 => (stream(), name()).prop_map(|(stream, name)| Step::Evict { stream, name }),
        3 => (stream(), prop::bool::weighted(0.3), any::<usize>())
            .prop_map(|(stream, payloads, token)| Step::Prune { stream, payloads, token }),
        1 => stream().prop_map(|stream| Step::Clear { stream }),
        1 => (stream(), any::<bool>()).prop_map(|(stream, keep)| Step::History { stream, keep }),
        1 => Just(Step::Rebase),
        2 => any::<usize>().prop_map(|token| Step::Past { token }),
        5 => clock().prop_map(Step::Clock),
        3 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::Backup),
        1 => any::<usize>().prop_map(|backup| Step::Restore { backup }),
        1 => any::<bool>().prop_map(|go_on_with_the_copy| Step::Clone { go_on_with_the_copy }),
    ]
}
