//! Erased data is gone everywhere: P24.

use highwater_core::{
    BadRecords, ContentFilter, Cursor, ErrorKind, History, Maintenance, MaintenanceReport, NetAction, PruneWhat,
    StreamOptions, WriteOutcome,
};

use crate::rig::{Rig, nets, note, notes, wait};
use crate::subject::Subject;

fn keep_history<S: Subject>(rig: &Rig<S>, history: History) {
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default().history(history)));
}

/// The number of kept versions of the default stream.
fn kept<S: Subject>(rig: &Rig<S>) -> u64 {
    match rig.maintain(Maintenance::Verify(notes())) {
        MaintenanceReport::Verified(found) => {
            assert!(found.is_clean(), "{:?}", found.problems);
            found.versions
        }
        other => panic!("a verification was answered with {other:?}"),
    }
}

/// Pruning a tombstone removes the kept versions of its record; those of existing records stay.
pub fn p24_a_pruned_tombstone_takes_its_versions<S: Subject>() {
    for history in
        [History::Versions(1), History::Versions(1000), History::Milliseconds(1), History::Milliseconds(1 << 40)]
    {
        let mut rig = Rig::<S>::new();
        keep_history(&rig, history);
        rig.save("stays", 1);
        rig.save("stays", 2);
        for round in 0..20_u64 {
            let id = |n: u64| format!("{round}-{n}");
            for change in 0..3 {
                rig.write(|batch| {
                    (0..10).for_each(|n| {
                        batch.upsert(note(&id(n), change));
                    });
                    batch
                });
                rig.environment.step_ms(1);
            }
            rig.write(|batch| {
                (0..10).for_each(|n| {
                    batch.delete(id(n));
                });
                batch
            });
            if round % 2 == 1 {
                assert_eq!(rig.prune(PruneWhat::Tombstones, rig.end()), 20);
            }
            if S::REOPENS && round == 9 {
                rig.reopen();
            }
        }
        assert!(wait(rig.store().versions(&notes(), "0-0")).unwrap().is_empty(), "nothing is left of it: {history:?}");
        let stays = wait(rig.store().versions(&notes(), "stays")).unwrap();
        let aged = history == History::Milliseconds(1);
        assert_eq!((kept(&rig), stays.len()), if aged { (0, 1) } else { (1, 2) }, "{history:?}");
    }
}

/// A prune enforces the limits of history in number and age, by a plausible clock; history can be pruned alone, which expires
/// no reader.
pub fn p24_history_is_kept_as_configured_and_can_be_pruned_alone<S: Subject>() {
    let rig = Rig::<S>::new();
    let prune = |what, up_to| match rig.maintain(Maintenance::Prune { stream: notes(), what, up_to }) {
        MaintenanceReport::Pruned { removed, versions, held_by, .. } => (removed, versions, held_by),
        other => panic!("{other:?}"),
    };
    keep_history(&rig, History::Versions(5));
    let mut moments = Vec::new();
    for n in 0..7 {
        rig.write(|batch| batch.upsert(note("a", n)).upsert(note("b", n)));
        moments.push(rig.end());
    }
    rig.poll("slow", 1).unwrap();
    assert_eq!(kept(&rig), 10);
    keep_history(&rig, History::Versions(2));
    assert_eq!(kept(&rig), 10, "versions are removed by a change or a prune");
    assert_eq!(prune(PruneWhat::History, Cursor::START), (0, 6, None));
    let versions = wait(rig.store().versions(&notes(), "a")).unwrap();
    let texts: Vec<_> = versions.iter().map(|version| version.record.payload.clone().unwrap().to_string()).collect();
    assert_eq!(texts, [note("a", 6), note("a", 5), note("a", 4)], "the newest");
    let past = |cursor| wait(rig.store().as_of(&notes(), cursor, "", 10));
    assert_eq!(past(moments[3]).unwrap_err().kind(), ErrorKind::CursorExpired);
    assert_eq!(past(moments[5]).unwrap().len(), 2);

    keep_history(&rig, History::Milliseconds(60_000));
    rig.environment.step_ms(50_000);
    rig.save("a", 7);
    rig.environment.step_ms(30_000);
    assert_eq!(prune(PruneWhat::Tombstones, Cursor::START), (0, 4, None), "superseded 80 seconds ago, the last one 30");
    rig.environment.step_ms(50 * 365 * 24 * 3600 * 1000);
    assert_eq!(prune(PruneWhat::Tombstones, Cursor::START), (0, 0, None), "an implausible clock makes nothing old");
    rig.environment.step_ms(-50 * 365 * 24 * 3600 * 1000);
    assert_eq!(kept(&rig), 1);

    let head = rig.head();
    assert_eq!(prune(PruneWhat::History, rig.end()), (0, 1, None), "no reader holds it back");
    assert_eq!((kept(&rig), rig.head()), (0, head), "the log is as it was");
    assert_eq!(rig.page(|request| request.since(moments[0])).changes.len(), 2);
    assert!(rig.get("a").unwrap().payload.is_some());
    assert_eq!(past(moments[6]).unwrap_err().kind(), ErrorKind::CursorExpired);
    assert_eq!(past(rig.end()).unwrap().len(), 2);
}

/// A prune covers any number of versions, of one record or of many.
pub fn p24_a_prune_covers_all_of_the_history<S: Subject>() {
    const MANY: u64 = 1300;
    let rig = Rig::<S>::new();
    keep_history(&rig, History::Versions(10_000));
    rig.write(|batch| {
        for n in 0..MANY {
            batch.upsert(note("many", n)).upsert(note(&n.to_string(), 0)).upsert(note(&n.to_string(), 1));
        }
        batch
    });
    assert_eq!(kept(&rig), 2 * MANY - 1);
    rig.write(|batch| {
        (0..MANY).filter(|n| n % 2 == 1).for_each(|n| {
            batch.delete(n.to_string());
        });
        batch
    });
    assert_eq!(rig.prune(PruneWhat::Tombstones, rig.end()), MANY / 2);
    assert_eq!(kept(&rig), MANY - 1 + MANY / 2, "the versions of existing records");
    keep_history(&rig, History::Versions(3));
    rig.prune(PruneWhat::History, Cursor::START);
    assert_eq!(kept(&rig), 3 + MANY / 2);
    let newest: Vec<String> = wait(rig.store().versions(&notes(), "many"))
        .unwrap()
        .iter()
        .map(|version| version.record.payload.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(newest, [MANY - 1, MANY - 2, MANY - 3, MANY - 4].map(|n| note("many", n)));
}

/// A clock that was far ahead for a while makes no earlier version old, and no version permanent; a view of the erased past is
/// refused, not returned incomplete.
pub fn p24_history_outlives_a_clock_that_was_ahead<S: Subject>() {
    let rig = Rig::<S>::new();
    keep_history(&rig, History::Milliseconds(24 * 3600 * 1000));
    for n in 0..3 {
        rig.save("a", n);
        rig.environment.step_ms(1000);
    }
    let before = rig.end();
    let year = 365 * 24 * 3600 * 1000;
    rig.environment.step_ms(3 * year);
    let mut ahead = highwater_core::WriteBatch::new();
    ahead.on(&notes()).upsert(note("b", 1));
    rig.commit(ahead.allow_clock_jump().clone()).unwrap();
    rig.environment.step_ms(-3 * year);
    rig.save("a", 3);
    rig.save("a", 4);
    assert_eq!(kept(&rig), 4, "all of the last day, by a clock that is right again");
    rig.prune(PruneWhat::Tombstones, Cursor::START);
    assert_eq!(kept(&rig), 4);
    // Changed and deleted in one batch: both versions were there.
    rig.write(|batch| batch.upsert(note("a", 5)).delete("a"));
    assert_eq!(kept(&rig), 6);
    assert_eq!(wait(rig.store().as_of(&notes(), before, "", 10)).unwrap().len(), 1);
    rig.prune(PruneWhat::Tombstones, rig.end());
    assert_eq!(kept(&rig), 0, "by its position, whatever time that has");
    let past = wait(rig.store().as_of(&notes(), before, "", 10));
    assert_eq!(past.unwrap_err().kind(), ErrorKind::CursorExpired);
}

/// A pruned payload that comes again is stored as a change: readers past it would lack it otherwise.
pub fn p24_a_pruned_payload_that_comes_again_is_stored<S: Subject>() {
    for remembers in [true, false] {
        let mut rig = Rig::<S>::at(
            S::new(),
            std::sync::Arc::new(crate::TestEnvironment::new(3)),
            if remembers { 64 << 20 } else { 0 },
        );
        let other = if S::SHARES { Some(rig.handle()) } else { None };
        rig.save_all(0..4, 1);
        if let Some(other) = &other {
            let mut batch = highwater_core::WriteBatch::new();
            batch.on(&notes()).upsert(note("0", 1));
            wait(other.commit(batch)).unwrap();
        }
        let ones = ContentFilter::new().equals("/n", 1);
        let checksum = rig.head().checksum;
        assert_eq!(rig.prune(PruneWhat::Payloads, rig.end()), 4);
        let (plain, filtered) = (rig.end(), rig.page(|request| request.matching(ones.clone())).next_cursor);
        assert_eq!(rig.save("0", 1), WriteOutcome::Updated);
        assert_eq!(rig.save("0", 1), WriteOutcome::Unchanged, "once");
        if let Some(other) = &other {
            let mut batch = highwater_core::WriteBatch::new();
            batch.on(&notes()).upsert(note("1", 1)).upsert(note("0", 1));
            let outcomes = wait(other.commit(batch)).unwrap().streams.remove(0).outcomes;
            assert_eq!(
                outcomes,
                [WriteOutcome::Updated, WriteOutcome::Unchanged],
                "what another handle pruned and stored"
            );
        } else {
            assert_eq!(rig.save("1", 1), WriteOutcome::Updated);
        }
        if S::REOPENS {
            drop(other);
            rig.reopen();
        }
        assert_eq!(
            rig.write(|batch| batch.upsert(r#"{ "n": 1.0, "id": "2" }"#)).outcomes,
            [WriteOutcome::Updated],
            "in any spelling"
        );
        assert_eq!(
            rig.write(|batch| batch.seen("3")).outcomes,
            [WriteOutcome::Unchanged],
            "marking it as seen stores nothing"
        );
        let page = rig.page(|request| request.since(plain));
        assert_eq!(nets(&page.changes), ["0", "1", "2"].map(|id| (id, NetAction::Updated)));
        assert!(page.changes.iter().all(|change| change.record.payload.is_some()));
        assert!(page.changes.iter().all(|change| change.record.metadata.pruned_at.is_none()));
        let page = rig.page(|request| request.since(filtered).matching(ones));
        assert_eq!(page.changes.len(), 3, "readers with a content filter get them now");
        assert_eq!((rig.head().checksum, rig.get("3").unwrap().payload), (checksum, None));
        assert_eq!(rig.page(|request| request.since(Cursor::START)).changes.len(), 4);
        rig.verify(&notes());
    }
}

/// After compaction, erased data is in no byte of any file, for stores that declare so: payloads of every size, superseded
/// versions, set-aside records.
pub fn p24_erased_content_is_in_no_file<S: Subject>() {
    let mut rig = Rig::<S>::new();
    if !rig.store().capabilities().erases {
        return;
    }
    keep_history(&rig, History::Versions(5));
    // Records of all lengths that change, move and are removed: they leave pages in every state.
    let mut random = 7_u64;
    let mut below = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % limit
    };
    for round in 0..12 {
        rig.write(|batch| {
            for _ in 0..60 {
                let (id, length) = (below(200), if below(30) == 0 { below(6000) } else { below(40) });
                let name = if id % 2 == 0 { "gone" } else { "stays" };
                let mark = if id % 2 == 0 { "ERASED" } else { "kept" };
                let text = format!("{mark}-{round}-").repeat(1 + length as usize);
                batch.upsert(format!(r#"{{"id":"{name}{id}","text":"{text}"}}"#));
            }
            batch
        });
    }
    rig.save("blank", 1);
    rig.write(|batch| batch.upsert(r#"{"id":"blank","text":"ERASED-payload"}"#));
    rig.write(|batch| {
        batch.bad_records(BadRecords::Quarantine).upsert_as("gone2", r#"{"text":"ERASED- and cut short"#)
    });
    rig.environment.step_ms(1);
    let gone: Vec<String> = (0..100).map(|n| format!("gone{}", 2 * n)).filter(|id| rig.get(id).is_some()).collect();
    let deleted = rig.write(|batch| {
        gone.iter().for_each(|id| {
            batch.delete(id.as_str());
        });
        batch
    });
    assert_eq!(deleted.deleted, gone.len() as u64);
    let left = |rig: &Rig<S>| {
        let bytes = rig.subject.bytes();
        bytes.map_or(0, |bytes| bytes.windows(6).filter(|window| *window == b"ERASED").count())
    };
    assert!(rig.subject.bytes().is_none() || left(&rig) > 0, "what is looked for can be found");
    let live = rig.head().live;
    rig.prune(PruneWhat::Payloads, rig.get("blank").unwrap().metadata.cursor);
    assert_eq!(rig.prune(PruneWhat::Tombstones, rig.end()), gone.len() as u64);
    rig.maintain(Maintenance::Compact);
    assert_eq!(left(&rig), 0, "while it is open");
    assert_eq!((rig.head().live, rig.get("stays1").is_some()), (live, true));
    if S::REOPENS {
        rig.reopen();
        assert_eq!(left(&rig), 0, "when it was closed and opened");
    }
    rig.save("stays1", 7);
    rig.verify(&notes());
}
