//! Convergence of readers: P17 to P20, P37.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{
    Action, Actions, Change, ContentFilter, Cursor, ErrorKind, Maintenance, NetAction, PollOptions, PruneWhat,
    StoreExt, StreamKey, StreamOptions, WriteBatch, content, content::ContentRules,
};

use crate::rig::{Rig, ids, nets, note, notes, wait};
use crate::subject::Subject;

/// A reader's copy: id to payload text.
pub(crate) type Copy = BTreeMap<String, String>;

/// Brings a copy up to date with a page. A copy that was caught up at the page's cursor holds
/// exactly what each change says (P19); in the middle of a drain, when records may have
/// moved ahead of the reader, only put and remove apply.
pub(crate) fn apply(copy: &mut Copy, changes: &[Change], caught_up: bool) {
    for change in changes {
        let id = change.record.id.to_string();
        let held = match change.net {
            NetAction::Added | NetAction::Updated => {
                let payload = change.record.payload.as_ref().map(|payload| payload.as_str().to_owned());
                copy.insert(id, payload.unwrap_or_default()).is_some()
            }
            NetAction::Deleted | NetAction::Left => copy.remove(&id).is_some(),
            NetAction::Void => copy.contains_key(&id),
            other => panic!("an unknown net action: {other:?}"),
        };
        let expected = !matches!(change.net, NetAction::Added | NetAction::Void);
        // A record that was deleted more than once may be reported as deleted to a reader that knows the first delete: the
        // cursor does not show whether it does.
        let told_again = change.net == NetAction::Deleted;
        assert!(!caught_up || held == expected || told_again, "{:?} of {}", change.net, change.record.id);
    }
}

fn live<S: Subject>(rig: &Rig<S>) -> Copy {
    let mut copy = Copy::new();
    apply(&mut copy, &rig.drain(Cursor::START, 1000).0, true);
    copy
}

/// A small history with every kind of change, one step at a time.
fn step<S: Subject>(rig: &Rig<S>, n: u64) {
    let id = (n * 7 % 13).to_string();
    rig.environment.step_ms([0, 1, -2, 400][n as usize % 4]);
    match n % 5 {
        0 => drop(rig.delete(&id)),
        3 => drop(rig.delete(&((n + 1) % 13).to_string())),
        _ => drop(rig.save(&id, n % 3)),
    }
}

/// From every cursor ever issued, with the copy from that time, a drain ends with the correct copy.
pub fn p17_every_cursor_converges<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let (mut kept, mut cursor, mut copy) = (vec![(Cursor::START, Copy::new(), true)], Cursor::START, Copy::new());
    let mut exact = true;
    for n in 0..60 {
        step(&rig, n);
        if n % 2 == 1 {
            let page = rig.page(|request| request.since(cursor).limit(1 + n as usize % 3));
            apply(&mut copy, &page.changes, exact);
            cursor = page.next_cursor;
            exact = page.caught_up;
            kept.push((cursor, copy.clone(), exact));
            if page.caught_up {
                assert_eq!(copy, live(&rig), "p20: caught up, but the copy differs");
            }
        }
    }
    let pruned_to = kept[20].0;
    rig.prune(PruneWhat::Tombstones, pruned_to);
    if S::REOPENS {
        rig.reopen();
    }
    let (truth, horizon) = (live(&rig), rig.head().horizon);
    let mut expired = 0;
    for (cursor, mut copy, mut exact) in kept {
        if !cursor.is_start() && cursor.position() < horizon.position() {
            assert_eq!(rig.refusal(cursor), Some(ErrorKind::CursorExpired));
            expired += 1;
            continue;
        }
        let mut at = cursor;
        loop {
            let page = rig.page(|request| request.since(at).limit(2));
            apply(&mut copy, &page.changes, exact);
            (at, exact) = (page.next_cursor, false);
            if page.caught_up {
                break;
            }
        }
        assert_eq!(copy, truth, "from {cursor}");
    }
    assert!(expired > 0, "the history reaches behind the horizon");
}

/// A read with a filter on actions equals the list, filtered: every combination, at every page size.
pub fn p18_filters_on_actions<S: Subject>() {
    let rig = Rig::<S>::new();
    (0..40).for_each(|n| step(&rig, n));
    let whole = rig.drain(Cursor::START, 1000).0;
    let of = |action: Action| whole.iter().filter(|change| change.record.metadata.last_action == action).count();
    assert!(of(Action::Added) > 0 && of(Action::Updated) > 0 && of(Action::Deleted) > 0);
    for set in 0..8_u8 {
        let all = [Action::Added, Action::Updated, Action::Deleted];
        let actions: Actions = all.into_iter().filter(|action| set & (1 << action.code()) != 0).collect();
        let expected: Vec<&str> = whole
            .iter()
            .filter(|change| actions.contains(change.record.metadata.last_action))
            .map(|change| &*change.record.id)
            .collect();
        for limit in [1, 2, 5, 100] {
            let (mut cursor, mut found) = (Cursor::START, Vec::new());
            loop {
                let page = rig.page(|request| request.since(cursor).filter(actions).limit(limit));
                found.extend(page.changes.iter().map(|change| change.record.id.to_string()));
                assert!(!page.has_more || page.changes.len() == limit, "a page is full while more match");
                cursor = page.next_cursor;
                if !page.has_more {
                    break;
                }
            }
            assert_eq!(found, expected, "set {set}, limit {limit}");
        }
    }
}

/// A reader with a content filter ends with the matching records: a record that stops matching is reported as LEFT.
pub fn p18_content_filter_converges<S: Subject>() {
    let rig = Rig::<S>::new();
    let filter = ContentFilter::new().equals("/n", 1);
    let (mut cursor, mut copy) = (Cursor::START, Copy::new());
    let mut left = 0;
    for n in 0..80 {
        step(&rig, n);
        if n % 3 == 0 {
            let page = rig.page(|request| request.since(cursor).matching(filter.clone()).limit(2));
            for change in &page.changes {
                let id = change.record.id.to_string();
                match change.net {
                    NetAction::Added | NetAction::Updated => {
                        copy.insert(id, change.record.payload.clone().unwrap().as_str().to_owned());
                    }
                    net => {
                        left += usize::from(net == NetAction::Left && copy.contains_key(&id));
                        copy.remove(&id);
                    }
                }
            }
            cursor = page.next_cursor;
            if page.caught_up {
                let mut truth = live(&rig);
                truth.retain(|_, payload| payload.contains(r#""n":1}"#));
                assert_eq!(copy, truth);
            }
        }
    }
    assert!(left > 0, "records left");
    let found = rig.page(|request| request.matching(filter.clone()).limit(1000));
    assert!(found.changes.iter().all(|change| match change.net {
        NetAction::Added => change.record.payload.as_ref().unwrap().as_str().contains(r#""n":1}"#),
        net => net == NetAction::Void,
    }));
    for other in [ContentFilter::new().equals("/n", 2), ContentFilter::new().equals("/m", 1)] {
        let error = rig.try_page(|request| request.since(cursor).matching(other)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FilterMismatch);
    }
    assert_eq!(rig.refusal(cursor), Some(ErrorKind::FilterMismatch));
    let plain = rig.end();
    let error = rig.try_page(|request| request.since(plain).matching(filter)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FilterMismatch);
}

/// A record that never matched a filter is not reported to its readers, and two of them end with the same copy, whatever was
/// pruned.
pub fn p18_only_matched_records_leave<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let filter = || ContentFilter::new().equals("/n", 1);
    rig.save_all(0..3, 1);
    rig.save_all(3..40, 2);
    // Before the first read with the filter, neither the record's past nor that it has one is known.
    rig.save_all(30..40, 3);
    let page = rig.page(|request| request.matching(filter()));
    let metadata = rig.page(|request| request.matching(filter()).metadata_only());
    assert_eq!(ids(&page.changes), ["0", "1", "2"]);
    rig.save_all(3..40, 4);
    rig.save("0", 2);
    rig.write(|batch| batch.delete("1").delete("39"));
    rig.save("20", 1);
    if S::REOPENS {
        rig.reopen();
    }
    let expected = [
        ("0", NetAction::Left),
        ("1", NetAction::Deleted),
        // It never matched: nothing to remove.
        ("39", NetAction::Void),
        ("20", NetAction::Added),
    ];
    for (cursor, metadata_only) in [(page.next_cursor, false), (metadata.next_cursor, true)] {
        let page = rig.page(|request| {
            let request = request.since(cursor).matching(filter());
            if metadata_only { request.metadata_only() } else { request }
        });
        assert_eq!(nets(&page.changes), expected);
        assert!(page.changes[0].record.payload.is_none(), "what left is of no use");
        assert!(page.caught_up);
    }
    let options = PollOptions::default().matching(filter());
    let delivery = rig.poll_with("named", &options).unwrap();
    assert_eq!(nets(&delivery.page.changes)[..1], [("2", NetAction::Added)]);
    rig.ack("named", delivery.token).unwrap();
    rig.save_all(3..20, 5);
    assert!(rig.poll_with("named", &options).unwrap().page.changes.is_empty(), "they were always shut");
    // The same for readers that have a record from before its payload was pruned, and for later readers.
    let mut first = Copy::new();
    let (page, end) = (rig.page(|request| request.matching(filter())), rig.end());
    apply(&mut first, &page.changes, true);
    let prune = Maintenance::Prune { stream: notes(), what: PruneWhat::Payloads, up_to: end };
    wait(rig.store().maintain(prune)).unwrap();
    let second = rig.page(|request| request.matching(filter()));
    let mut other = Copy::new();
    apply(&mut other, &second.changes, true);
    assert!(second.changes.iter().all(|change| change.record.payload.is_none()));
    assert!(other.keys().eq(first.keys()) && first.keys().eq(["2", "20"]), "{first:?} and {other:?}");
    rig.save("2", 3);
    rig.save("20", 7);
    for cursor in [page.next_cursor, second.next_cursor] {
        let page = rig.page(|request| request.since(cursor).matching(filter()));
        assert_eq!(nets(&page.changes), [("2", NetAction::Left), ("20", NetAction::Left)]);
    }
    rig.verify(&notes());
}

/// The net action is relative to the reader's own cursor.
pub fn p19_net_action<S: Subject>() {
    let rig = Rig::<S>::new();
    let names = |rig: &Rig<S>, cursor: Cursor| {
        let changes = rig.page(|request| request.since(cursor)).changes;
        nets(&changes).into_iter().map(|(id, net)| format!("{id} {net:?}")).collect::<Vec<_>>()
    };
    rig.save("stays", 1);
    rig.save("updated", 1);
    rig.save("deleted", 1);
    rig.save("returns", 1);
    let reader = rig.end();
    rig.save("updated", 2);
    rig.save("new then updated", 1);
    rig.save("new then updated", 2);
    rig.delete("deleted");
    rig.save("void", 1);
    rig.delete("void");
    rig.delete("returns");
    let without = rig.end();
    rig.save("returns", 1);
    rig.save("void again", 1);
    let between = rig.end();
    rig.delete("void again");
    rig.save("void again", 2);
    let expected = [
        "updated Updated",
        "new then updated Added",
        "deleted Deleted",
        "void Void",
        "returns Updated",
        "void again Added",
    ];
    assert_eq!(names(&rig, reader), expected);
    assert_eq!(names(&rig, without), ["returns Added", "void again Added"]);
    assert_eq!(names(&rig, between), ["void again Updated"]);
    assert_eq!(names(&rig, Cursor::START)[1], "updated Added");
    rig.delete("returns");
    // Not VOID: a reader in the middle of a drain may be here without having seen the first delete.
    assert_eq!(names(&rig, without).last().unwrap(), "returns Deleted");
    assert_eq!(names(&rig, reader).last().unwrap(), "returns Deleted");
    assert_eq!(names(&rig, between).last().unwrap(), "returns Deleted");
    rig.verify(&notes());
}

/// `caught_up` is accurate, even if records move while a reader drains.
pub fn p20_caught_up_is_true<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..20, 0);
    let (mut cursor, mut copy) = (Cursor::START, Copy::new());
    for round in 1.. {
        let page = rig.page(|request| request.since(cursor).limit(3));
        apply(&mut copy, &page.changes, cursor.is_start());
        cursor = page.next_cursor;
        assert_eq!(page.caught_up, !page.has_more);
        if page.caught_up {
            assert_eq!(copy, live(&rig));
            break;
        }
        if round < 30 {
            rig.save(&(round * 7 % 20).to_string(), round);
        }
    }
}

/// The checksum of a stream equals the one that a reader computes over its own copy.
pub fn p37_checksum_is_the_readers<S: Subject>() {
    let mut rig = Rig::<S>::new();
    for n in 0..30 {
        step(&rig, n);
        let sum = live(&rig).iter().fold(0_u128, |sum, (id, payload)| {
            let canonical = content::canonical(&ContentRules::new(), payload.as_bytes()).unwrap();
            sum.wrapping_add(content::record_checksum(id, &canonical.hash))
        });
        assert_eq!(rig.head().checksum, format!("{sum:032x}"), "after step {n}");
        rig.verify(&notes());
    }
    let head = rig.head();
    let other = Rig::<S>::new();
    for (id, payload) in live(&rig) {
        other.write(|batch| batch.upsert_as(id, payload));
    }
    assert_eq!((other.head().checksum, other.head().live), (head.checksum.clone(), head.live), "order does not matter");
    other.save("0", 77);
    assert_ne!(other.head().checksum, head.checksum);
    if S::REOPENS {
        rig.reopen();
        assert_eq!(rig.head(), head);
    }
}

/// Fetching with overlap any number of times gives the same result as fetching once.
pub fn p35_boundary_refetch<S: Subject>() {
    let versions: Vec<(u64, u64)> = (0..30).map(|n| (n % 9, n / 9)).collect();
    let (once, overlapping) = (Rig::<S>::new(), Rig::<S>::new());
    for (id, n) in &versions {
        once.save(&id.to_string(), *n);
    }
    for window in 0..30_usize {
        for (id, n) in &versions[window.saturating_sub(3)..=window] {
            overlapping.save(&id.to_string(), *n);
        }
        // The boundary row again, and all rows with the same time.
        let (id, n) = versions[window];
        for _ in 0..window % 3 {
            let outcome = overlapping.write(|batch| batch.upsert(note(&id.to_string(), n))).outcomes[0];
            assert_eq!(outcome, highwater_core::WriteOutcome::Unchanged);
        }
    }
    let list = |rig: &Rig<S>| {
        let changes = rig.drain(Cursor::START, 100).0;
        (ids(&changes).into_iter().map(str::to_owned).collect::<Vec<_>>(), rig.head().checksum)
    };
    assert_eq!(list(&once), list(&overlapping));
}

/// A stream that was never written to is distinguished from one that is empty or cleared, so that a waiting reader can say so.
pub fn p20_a_stream_never_written_to_says_so<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let never = |rig: &Rig<S>| {
        let head = rig.head();
        let page = rig.page(|request| request);
        assert!(page.caught_up && page.changes.is_empty());
        assert_eq!(page.never_written(), head.never_written());
        head.never_written()
    };
    let check = |rig: &Rig<S>, stream: &StreamKey| wait(rig.store().check_written(stream));
    assert!(never(&rig));
    assert_eq!(check(&rig, &notes()).unwrap_err().context("streams"), None);
    // A consumer that began before the first sync, a setting and a write to another stream do not count.
    let first = rig.poll("early", 10).unwrap();
    assert!(first.page.never_written());
    rig.ack("early", first.token).unwrap();
    wait(rig.store().maintain(Maintenance::Configure(notes(), StreamOptions::default()))).unwrap();
    let mut batch = WriteBatch::new();
    batch.on(&StreamKey::new("demo", "Other")).upsert(note("a", 1));
    batch.on(&StreamKey::new("else", "Note")).upsert(note("a", 1));
    rig.commit(batch).unwrap();
    assert!(never(&rig));
    let error = check(&rig, &notes()).unwrap_err();
    assert_eq!((error.kind(), error.context("streams")), (ErrorKind::NotFound, Some("demo/Other, else/Note")));

    // A waiting reader gets the first record nevertheless.
    let store = std::sync::Arc::clone(rig.store());
    let mut following = store.records(&notes()).follow();
    let looked = wait(async { tokio::time::timeout(Duration::from_millis(50), following.next()).await });
    assert!(looked.is_err() && following.never_written());
    rig.save("a", 1);
    assert_eq!(ids(&wait(following.next()).unwrap().changes), ["a"]);
    assert!(!following.never_written());
    assert_eq!(ids(&rig.poll("early", 10).unwrap().page.changes), ["a"]);
    assert_eq!(check(&rig, &notes()).unwrap().live, 1);

    // Cleared records count as written.
    drop(following);
    drop(store);
    wait(rig.store().maintain(Maintenance::Clear(notes()))).unwrap();
    for _ in 0..2 {
        assert!(!never(&rig));
        check(&rig, &notes()).unwrap();
        if S::REOPENS {
            rig.reopen();
        }
    }
}
