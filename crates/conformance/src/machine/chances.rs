//! How likely each step is.

use proptest::prelude::*;

use super::content::Content;
use super::steps::{
    Bad, Batch, CONSUMERS, Guard, IDS, Kind, Look, Merge, ORIGINS, Poll, RunUse, STREAMS, Step, To, VERSIONS, Version,
    Write,
};

fn content() -> impl Strategy<Value = Content> {
    let small = || prop_oneof![2 => Just(None), 3 => (0..3_u8).prop_map(Some)];
    (small(), prop_oneof![Just(None), any::<bool>().prop_map(Some)], small(), small())
        .prop_map(|(n, open, a, b)| Content { n, open, deep: [a, b] })
}

fn version() -> impl Strategy<Value = Option<Version>> {
    prop_oneof![
        10 => Just(None),
        2 => (0..4_i64).prop_map(|number| Some(Version::Number(number))),
        1 => (0..VERSIONS.len()).prop_map(|place| Some(Version::Text(place))),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let bad = prop_oneof![
        Just(Bad::Cut),
        Just(Bad::NoObject),
        Just(Bad::NoId),
        Just(Bad::NoIdEither),
        Just(Bad::Told),
        Just(Bad::ToldNameless),
    ];
    let kind = prop_oneof![
        24 => (content(), 0..8_u8).prop_map(|(content, spelling)| Kind::Upsert(content, spelling)),
        4 => content().prop_map(Kind::Patch),
        12 => Just(Kind::Delete),
        1 => Just(Kind::Seen),
        1 => bad.prop_map(Kind::Bad),
    ];
    (0..IDS.len(), kind, version()).prop_map(|(id, kind, version)| Write { id, kind, version })
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
    let merge = prop_oneof![Just(Merge::KeepAll), Just(Merge::KeepOthers)];
    let merging = prop_oneof![5 => Just(None), 1 => (any::<usize>(), merge).prop_map(Some)];
    let origin = prop_oneof![4 => Just(None), 1 => (0..ORIGINS.len() as u8).prop_map(Some)];
    let fence = prop_oneof![8 => Just(None), 1 => any::<usize>().prop_map(Some)];
    (
        (0..STREAMS, any::<bool>(), prop::collection::vec(write(), 0..6), run),
        (merging, origin, fence, prop::bool::weighted(0.03)),
        (prop::bool::weighted(0.6), prop::bool::weighted(0.3), prop::bool::weighted(0.03), prop::bool::weighted(0.2)),
    )
        .prop_map(|((stream, other_handle, writes, run), (merging, origin, fence, expects_another), rest)| Batch {
            stream,
            other_handle,
            writes,
            run,
            merging,
            origin,
            fence,
            expects_another,
            quarantine: rest.0,
            allow_leap: rest.1,
            clear: rest.2,
            summary: rest.3,
        })
}

fn look() -> impl Strategy<Value = Look> {
    let ids = prop_oneof![4 => Just(None), 1 => prop::collection::vec(0..IDS.len(), 0..4).prop_map(Some)];
    let last_ms = prop_oneof![4 => Just(None), 1 => prop_oneof![Just(0_u64), 1..3000_u64].prop_map(Some)];
    (
        any::<usize>(),
        prop::bool::weighted(0.05),
        prop_oneof![3 => 1..5_usize, 1 => Just(1000)],
        prop_oneof![3 => Just(None), 1 => (0..120_usize).prop_map(Some)],
        prop_oneof![3 => Just(0), 1 => 1..8_u8],
        prop::bool::weighted(0.25),
        ids,
        last_ms,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(token, elsewhere, limit, max_bytes, actions, open_only, ids, last_ms, metadata_only)| Look {
            token,
            elsewhere,
            limit,
            max_bytes,
            actions,
            open_only,
            ids,
            last_ms,
            metadata_only,
            told: 0,
        })
}

fn poll() -> impl Strategy<Value = Poll> {
    let lease_ms = prop_oneof![3 => Just(60_000), 1 => Just(500)];
    let backoff_ms = prop_oneof![3 => Just(0), 1 => Just(400)];
    (0..STREAMS, 0..CONSUMERS.len(), 1..4_usize, any::<bool>(), lease_ms, backoff_ms).prop_map(
        |(stream, name, limit, wants_open, lease_ms, backoff_ms)| {
            // One name reads all, the other nearly always the open ones.
            let open_only = name == 1 && (wants_open || limit > 1);
            Poll { stream, name, limit, open_only, lease_ms, backoff_ms }
        },
    )
}

/// A delivery: mostly the latest, which may still be out.
fn recent() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(usize::MAX), 1 => 0..usize::MAX]
}

fn seek() -> impl Strategy<Value = Step> {
    let to = prop_oneof![
        Just(To::Start),
        Just(To::End),
        any::<usize>().prop_map(To::Token),
        prop_oneof![Just(0_u64), 1..4000_u64].prop_map(To::LastMs),
    ];
    (0..STREAMS, 0..CONSUMERS.len(), to, any::<bool>()).prop_map(|(stream, name, to, as_before)| Step::Seek {
        stream,
        name,
        to,
        open_only: name == 1 && !as_before,
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
        32 => batch().prop_map(Step::Commit),
        16 => look().prop_map(Step::Look),
        12 => (0..3_usize, 1..4_usize).prop_map(|(reader, limit)| Step::Read { reader, limit }),
        6 => any::<usize>().prop_map(|token| Step::Converge { token }),
        9 => poll().prop_map(Step::Poll),
        6 => recent().prop_map(|token| Step::Ack { token }),
        6 => recent().prop_map(|token| Step::Nack { token }),
        2 => seek(),
        2 => (stream(), name()).prop_map(|(stream, name)| Step::Evict { stream, name }),
        1 => (stream(), name()).prop_map(|(stream, name)| Step::Remove { stream, name }),
        2 => (stream(), name()).prop_map(|(stream, name)| Step::Unpark { stream, name }),
        2 => Just(Step::Lease),
        6 => (stream(), prop::bool::weighted(0.3), any::<usize>())
            .prop_map(|(stream, payloads, token)| Step::Prune { stream, payloads, token }),
        2 => stream().prop_map(|stream| Step::Clear { stream }),
        3 => (stream(), prop_oneof![Just(0_usize), 1..3_usize, Just(1000)], any::<bool>())
            .prop_map(|(stream, keep, without_n)| Step::Configure { stream, keep, without_n }),
        2 => Just(Step::AcceptClock),
        2 => Just(Step::Rebase),
        4 => any::<usize>().prop_map(|token| Step::Past { token }),
        10 => clock().prop_map(Step::Clock),
        6 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        2 => Just(Step::Backup),
        2 => any::<usize>().prop_map(|backup| Step::Restore { backup }),
        2 => any::<bool>().prop_map(|go_on_with_the_copy| Step::Clone { go_on_with_the_copy }),
    ]
}
