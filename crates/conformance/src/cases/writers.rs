//! Several writers of one record, and the host's own writes: P28, P38, P39.

use highwater_core::{
    Cursor, DeleteGuard, ErrorKind, Merging, NetAction, PruneWhat, RunId, SourceVersion, Timestamp, WriteBatch,
    WriteOutcome,
};

use crate::rig::{Rig, ids, note, notes, wait};
use crate::subject::Subject;

const RUN: RunId = RunId::new(Timestamp::from_unix_ms(1), 1);

/// An older source version never replaces a newer one; of equal versions the later arrival wins.
pub fn p28_older_source_versions_are_refused<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let save = |rig: &Rig<S>, n: u64, version: i64| {
        rig.write(|batch| batch.upsert(note("a", n)).at_version(SourceVersion::Number(version))).outcomes[0]
    };
    assert_eq!(save(&rig, 1, 5), WriteOutcome::Added);
    assert_eq!(save(&rig, 2, 4), WriteOutcome::Stale);
    assert_eq!(save(&rig, 2, 5), WriteOutcome::Updated);
    assert_eq!(save(&rig, 2, 9), WriteOutcome::Unchanged);
    assert_eq!(save(&rig, 3, 7), WriteOutcome::Stale, "the newer version of an unchanged record counts");
    if S::REOPENS {
        rig.reopen();
        assert_eq!(save(&rig, 3, 8), WriteOutcome::Stale);
    }
    let stale = rig.write(|batch| batch.delete("a").at_version(SourceVersion::Number(1)));
    assert_eq!(stale.outcomes, [WriteOutcome::Stale]);
    let gone = rig.write(|batch| batch.delete("a").at_version(SourceVersion::Number(10)));
    assert_eq!(gone.outcomes, [WriteOutcome::Deleted]);
    assert_eq!(save(&rig, 4, 9), WriteOutcome::Stale, "a page fetched before the delete brings nothing back");
    let again = rig.write(|batch| batch.delete("a").at_version(SourceVersion::Number(12)));
    assert_eq!(again.outcomes, [WriteOutcome::Missing]);
    if S::REOPENS {
        rig.reopen();
    }
    assert_eq!(save(&rig, 4, 11), WriteOutcome::Stale, "nor does one from before a second delete");
    assert_eq!(save(&rig, 4, 13), WriteOutcome::Added);
    let text = |rig: &Rig<S>, version: &str| {
        let version = SourceVersion::Text(version.into());
        rig.write(|batch| batch.upsert(note("t", version_number(&version))).at_version(version)).outcomes[0]
    };
    assert_eq!(text(&rig, "2026-01-02T00:00:00Z"), WriteOutcome::Added);
    assert_eq!(text(&rig, "2026-01-01T00:00:00Z"), WriteOutcome::Stale);
    if S::REOPENS {
        rig.reopen();
    }
    assert_eq!(text(&rig, "2026-01-01T23:59:59Z"), WriteOutcome::Stale, "texts compare byte by byte");
    assert_eq!(text(&rig, "2026-01-03T00:00:00Z"), WriteOutcome::Updated);
    // Versions of different kinds have no order; the latest arrival wins, and its kind counts from then on.
    let number = rig.write(|batch| batch.upsert(note("t", 7)).at_version(SourceVersion::Number(1))).outcomes[0];
    assert_eq!(number, WriteOutcome::Updated);
    assert_eq!(text(&rig, "2026-01-01T00:00:00Z"), WriteOutcome::Updated);
    rig.verify(&notes());
}

fn version_number(version: &SourceVersion) -> u64 {
    match version {
        SourceVersion::Number(_) => 0,
        SourceVersion::Text(text) => text.len() as u64 + u64::from(text.as_bytes()[9]),
    }
}

/// Changes of a source in any order, each with its version: a deleted record stays deleted until a version newer than the
/// delete arrives, even if the delete arrives first, and on every path into the store.
pub fn p28_a_delete_outranks_all_that_is_not_newer<S: Subject>() {
    // In the order of the source: opened, edited, deleted; and after that perhaps created anew.
    let news: [(i64, Option<u64>); 4] = [(10, Some(1)), (11, Some(2)), (12, None), (13, Some(4))];
    for texts in [false, true] {
        let mut rig = Rig::<S>::new();
        let version = |version: i64| match texts {
            true => SourceVersion::Text(format!("2026-11-23T10:00:{version}Z").into()),
            false => SourceVersion::Number(version),
        };
        let tell = |rig: &Rig<S>, id: &str, (at, n): (i64, Option<u64>)| {
            let outcome = rig.write(|batch| match n {
                Some(n) => batch.origin("webhook").upsert(note(id, n)).at_version(version(at)),
                None => batch.origin("webhook").delete(id).at_version(version(at)),
            });
            outcome.outcomes[0]
        };
        for created_anew in [false, true] {
            for order in orders(if created_anew { 4 } else { 3 }) {
                let id = format!("{created_anew} {order:?}");
                for (place, which) in order.iter().enumerate() {
                    tell(&rig, &id, news[*which]);
                    if S::REOPENS && place == 1 && *which == 2 {
                        rig.reopen();
                    }
                }
                let found = rig.get(&id).expect("the delete is remembered at least");
                let live = found.metadata.deleted_at.is_none();
                assert_eq!(live, created_anew, "p28: told in the order {order:?}");
                let latest = order.iter().max().copied();
                if live && latest == Some(3) {
                    assert_eq!(found.payload.expect("it is there").to_string(), note(&id, 4));
                }
                // The same again, in the source's order, changes nothing.
                for which in order.iter().copied().filter(|which| *which < 3) {
                    let outcome = tell(&rig, &id, news[which]);
                    assert!(
                        matches!(outcome, WriteOutcome::Stale | WriteOutcome::Missing),
                        "p28: {order:?}: {outcome:?}"
                    );
                }
            }
        }
        // Where an event is a picture of the record, its delete has the version of the last edit.
        tell(&rig, "tie", (10, Some(1)));
        tell(&rig, "tie", (11, None));
        assert_eq!(tell(&rig, "tie", (11, Some(2))), WriteOutcome::Stale, "p28: the edit that the delete overtook");
        let seen = |rig: &Rig<S>, at| {
            let id = RunId::new(Timestamp::from_unix_ms(at), 1);
            rig.write(|batch| batch.begin_run(id).upsert(note("tie", 2)).at_version(version(at as i64))).outcomes[0]
        };
        assert_eq!(seen(&rig, 10), WriteOutcome::Stale);
        assert_eq!(seen(&rig, 11), WriteOutcome::Added, "p28: a list of everything that still has it");
        rig.verify(&notes());
    }
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let longer = |order: Vec<usize>| {
        (0..count).map(move |place| {
            let mut longer = order.clone();
            longer.insert(place, last);
            longer
        })
    };
    orders(last).into_iter().flat_map(longer).collect()
}

/// The delete of a record that never arrived is invisible to readers, whenever they read.
pub fn p28_a_delete_that_came_first_is_invisible_to_readers<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save("known", 1);
    let before = rig.head().high_water;
    let outcome = rig.write(|batch| batch.delete("unknown").at_version(SourceVersion::Number(5))).outcomes[0];
    assert_eq!(outcome, WriteOutcome::Missing);
    if S::REOPENS {
        rig.reopen();
    }
    for since in [Cursor::START, before] {
        let page = rig.page(|request| request.since(since));
        let told: Vec<_> = page.changes.iter().filter(|change| &*change.record.id == "unknown").collect();
        assert!(told.iter().all(|change| change.net == NetAction::Void), "p28: {told:?}");
        assert!(page.caught_up);
    }
    // It is pruned with the other tombstones.
    let end = rig.head().high_water;
    rig.prune(PruneWhat::Tombstones, end);
    assert_eq!((rig.head().live, rig.head().deleted), (1, 0));
    // Without a version the delete need not be stored.
    assert_eq!(rig.write(|batch| batch.delete("nobody")).outcomes, [WriteOutcome::Missing]);
    assert!(rig.get("nobody").is_none());
    rig.verify(&notes());
}

/// A holder that lost its lease writes nothing, not even documents.
pub fn p28_a_superseded_lease_writes_nothing<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let old = wait(rig.store().lease("sync/demo")).unwrap();
    if S::REOPENS {
        rig.reopen();
    }
    let other = wait(rig.store().lease("sync/other")).unwrap();
    let new = wait(rig.store().lease("sync/demo")).unwrap();
    assert!(new.token() > old.token());
    let write = |fence: &highwater_core::Fence| {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note("a", fence.token()));
        batch.put_document("by", &fence.token()).unwrap();
        batch.fence(other.clone()).fence(fence.clone());
        rig.commit(batch)
    };
    assert_eq!(write(&old).unwrap_err().kind(), ErrorKind::Fenced);
    assert!(rig.get("a").is_none() && wait(rig.store().document("by")).unwrap().is_none());
    write(&new).unwrap();
    assert_eq!(write(&old).unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(wait(rig.store().document("by")).unwrap().unwrap().to_string(), new.token().to_string());
}

/// `ignore_if_modified_after` keeps what another writer wrote since; an override does not.
pub fn p28_merging_keeps_fresher_writes<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let asked_at = rig.end();
    rig.save("1", 7);
    rig.delete("2");
    let page = rig.write(|batch| {
        batch.merging(Merging::IgnoreIfModifiedAfter(asked_at));
        (0..4).for_each(|n| {
            batch.upsert(note(&n.to_string(), 2));
        });
        batch
    });
    assert_eq!(page.outcomes, [WriteOutcome::Updated, WriteOutcome::Kept, WriteOutcome::Kept, WriteOutcome::Added]);
    assert_eq!(rig.get("1").unwrap().payload.unwrap().as_str(), note("1", 7));
    assert!(rig.get("2").unwrap().metadata.deleted_at.is_some());
    let deletes = rig.write(|batch| {
        batch.merging(Merging::IgnoreIfModifiedAfter(asked_at));
        batch.delete("1").delete("3");
        batch
    });
    assert_eq!(deletes.outcomes, [WriteOutcome::Kept, WriteOutcome::Kept]);
    assert_eq!(rig.save("1", 2), WriteOutcome::Updated);
    // What a webhook wrote while a page was in flight stays; what the sync itself wrote does not.
    let asked_at = rig.end();
    rig.write(|batch| batch.origin("webhook").upsert(note("0", 8)).upsert(note("4", 8)));
    rig.save("3", 8);
    let page = rig.write(|batch| {
        batch.merging(Merging::KeepOthersAfter(asked_at));
        batch.upsert(note("0", 9)).upsert(note("3", 9)).upsert(note("4", 9)).upsert(note("5", 9))
    });
    assert_eq!(page.outcomes, [WriteOutcome::Kept, WriteOutcome::Updated, WriteOutcome::Kept, WriteOutcome::Added]);
    // Once tombstones are pruned, it is unknown whether a missing record was deleted after the position.
    let asked_at = rig.end();
    rig.write(|batch| batch.origin("webhook").delete("4"));
    rig.prune(PruneWhat::Tombstones, rig.end());
    let page = |id: &'static str, n: u64, asked_at: Cursor| {
        rig.try_write(|batch| batch.merging(Merging::KeepOthersAfter(asked_at)).upsert(note(id, n)))
    };
    assert_eq!(page("4", 8, asked_at).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(page("3", 10, asked_at).unwrap().outcomes, [WriteOutcome::Updated], "of what is known it can be told");
    assert_eq!(page("4", 8, rig.end()).unwrap().outcomes, [WriteOutcome::Added]);
    assert_eq!(page("6", 8, Cursor::START).unwrap().outcomes, [WriteOutcome::Added]);
    let foreign = Rig::<S>::new();
    foreign.environment.set_randomness(crate::Randomness::Seeded(99));
    let stranger = Merging::IgnoreIfModifiedAfter(Cursor::START);
    assert_eq!(foreign.write(|batch| batch.merging(stranger).upsert(note("a", 1))).outcomes, [WriteOutcome::Added]);
    assert_eq!(foreign.write(|batch| batch.merging(stranger).upsert(note("a", 2))).outcomes, [WriteOutcome::Kept]);
}

/// A document that another writer changed in the meantime is not overwritten, and nothing else in the batch is written.
pub fn p28_a_changed_document_is_not_overwritten<S: Subject>() {
    let rig = Rig::<S>::new();
    let write = |expected: Option<&highwater_core::Json>, n: u64| {
        let mut batch = WriteBatch::new();
        batch.expect_document("state", expected).put_document("state", &n).unwrap();
        batch.on(&notes()).upsert(note("a", n));
        rig.commit(batch).map(drop)
    };
    let read = || wait(rig.store().document("state")).unwrap();
    write(None, 1).unwrap();
    let mine = read();
    write(mine.as_ref(), 2).unwrap();
    for expected in [None, mine.as_ref()] {
        assert_eq!(write(expected, 3).unwrap_err().kind(), ErrorKind::Conflict);
    }
    assert_eq!(read().unwrap().to_string(), "2");
    assert_eq!(rig.get("a").unwrap().payload.unwrap().as_str(), note("a", 2));
}

/// A record that the host wrote to the API and saved is one change; when a page brings it again, that is not a change.
pub fn p38_an_own_write_is_no_change_when_it_returns<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let before = rig.end();
    // The API's answer to an action, saved by the host.
    rig.write(|batch| batch.origin("action").upsert(note("0", 2)).upsert(note("new", 2)));
    let told = rig.page(|request| request.since(before));
    assert_eq!((ids(&told.changes), told.caught_up), (vec!["0", "new"], true));
    let (head, asked_at) = (rig.head(), rig.end());
    for merging in [Merging::Override, Merging::KeepOthersAfter(before), Merging::KeepOthersAfter(asked_at)] {
        let page = rig.write(|batch| {
            batch.begin_run(RUN).merging(merging);
            batch.upsert(r#"{ "n": 2.0, "id": "new" }"#).upsert(r#"{"n":2,"id":"0"}"#);
            batch.upsert(note("1", 1)).upsert(note("2", 1)).complete_run(RUN, DeleteGuard::default())
        });
        assert_eq!((page.outcomes, page.deleted), (vec![WriteOutcome::Unchanged; 4], 0), "{merging:?}");
        assert_eq!(rig.head(), head, "{merging:?}");
        assert!(rig.page(|request| request.since(told.next_cursor)).changes.is_empty());
    }
    // Another writer's change to the same record is a change.
    rig.write(|batch| batch.merging(Merging::KeepOthersAfter(asked_at)).upsert(note("0", 3)));
    assert_eq!(ids(&rig.page(|request| request.since(told.next_cursor)).changes), ["0"]);
    rig.verify(&notes());
}

/// A page that was requested before the host's write neither undoes it nor deletes the new record.
pub fn p39_a_page_from_before_an_own_write_does_not_undo_it<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..4, 1);
    rig.write(|batch| batch.begin_run(RUN));
    let asked_at = rig.end();
    rig.write(|batch| batch.origin("action").upsert(note("0", 2)).upsert(note("new", 2)).delete("1"));
    if S::REOPENS {
        rig.reopen();
    }
    let page = rig.write(|batch| {
        batch.in_run(RUN).merging(Merging::KeepOthersAfter(asked_at));
        (0..3).for_each(|n| {
            batch.upsert(note(&n.to_string(), 1));
        });
        batch.delete("new").complete_run(RUN, DeleteGuard::default())
    });
    assert_eq!(page.outcomes, [WriteOutcome::Kept, WriteOutcome::Kept, WriteOutcome::Unchanged, WriteOutcome::Kept]);
    assert_eq!(page.deleted, 1, "only what neither the page nor the host had: 3");
    let payload = |id: &str| rig.get(id).unwrap().payload.unwrap().to_string();
    assert_eq!((payload("0"), payload("new")), (note("0", 2), note("new", 2)));
    assert!(rig.get("1").unwrap().metadata.deleted_at.is_some() && rig.get("3").unwrap().metadata.deleted_at.is_some());
    // A page that was requested afterwards is more recent.
    let asked_at = rig.end();
    let later = rig.write(|batch| batch.merging(Merging::KeepOthersAfter(asked_at)).upsert(note("0", 5)).delete("new"));
    assert_eq!(later.outcomes, [WriteOutcome::Updated, WriteOutcome::Deleted]);
    rig.verify(&notes());
}
