//! Positions and writes: P1 to P9.

use std::collections::HashSet;

use highwater_core::{Action, Cursor, Maintenance, WriteBatch, WriteOutcome};

use crate::environment::{MOMENT_MS, Randomness};
use crate::rig::{Rig, ids, note, notes, wait};
use crate::subject::Subject;

/// One entry per record, however often it is written; counters equal a recount.
pub fn p01_one_entry_per_record<S: Subject>() {
    let rig = Rig::<S>::new();
    for round in 0..5 {
        rig.save_all(0..20, round);
        rig.delete(&round.to_string());
        rig.verify(&notes());
    }
    let (changes, _) = rig.drain(Cursor::START, 7);
    let distinct: HashSet<_> = ids(&changes).into_iter().collect();
    assert_eq!((changes.len(), distinct.len()), (20, 20));
    let head = rig.head();
    assert_eq!((head.live, head.deleted), (19, 1));
}

/// No two entries share a position, and texts sort as positions do.
pub fn p02_unique_total_order<S: Subject>() {
    let rig = Rig::<S>::new();
    let other = highwater_core::StreamKey::new("demo", "Other");
    for n in 0..20 {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note(&n.to_string(), 0)).upsert(note(&(n + 100).to_string(), 0));
        batch.on(&other).upsert(note(&n.to_string(), 0));
        rig.commit(batch).unwrap();
    }
    let mut cursors = Vec::new();
    for stream in [notes(), other] {
        let request = highwater_core::PageRequest::new(stream).limit(1000);
        let page = wait(rig.store().page(request)).unwrap();
        let of_stream: Vec<Cursor> = page.changes.iter().map(|change| change.record.metadata.cursor).collect();
        assert!(of_stream.is_sorted_by_key(Cursor::position) && of_stream.is_sorted_by_key(Cursor::to_string));
        cursors.extend(of_stream);
    }
    let distinct: HashSet<_> = cursors.iter().map(Cursor::position).collect();
    assert_eq!((cursors.len(), distinct.len()), (60, 60));
    cursors.sort_by_key(Cursor::position);
    assert!(cursors.is_sorted_by_key(Cursor::to_string), "text order is position order");
}

/// Every commit's positions come after all earlier ones: frozen clock, clock set back, exhausted randomness,
/// a jump, restarts.
pub fn p03_positions_ascend_whatever_the_clock_does<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let mut last = Cursor::START;
    let mut step = 0;
    let mut write = |rig: &Rig<S>| {
        let (first, second) = (format!("{step}a"), format!("{step}b"));
        step += 1;
        rig.write(|batch| batch.upsert(note(&first, 0)).upsert(note(&second, 0)));
        let page = rig.page(|request| request.since(last));
        assert_eq!(ids(&page.changes), [first, second], "input order is cursor order, and nothing lies behind");
        assert!(page.changes.iter().all(|change| change.record.metadata.cursor.position() > last.position()));
        last = page.next_cursor;
        rig.verify(&notes());
    };
    let year = 365 * 24 * 3600 * 1000;
    let moves: [i64; 8] = [0, 0, -1, -10 * year, 5 * year, 1, 0, -3_600_000];
    for milliseconds in moves {
        rig.environment.step_ms(milliseconds);
        write(&rig);
        rig.environment.set_randomness(Randomness::Ones);
        write(&rig);
        rig.environment.set_randomness(Randomness::Zeros);
        write(&rig);
        rig.environment.set_randomness(Randomness::Seeded(3));
        if S::REOPENS {
            rig.reopen();
            write(&rig);
        }
    }
    rig.environment.set_ms(0);
    write(&rig);
    rig.environment.set_ms(u64::MAX);
    let error = rig.try_write(|batch| batch.upsert(note("never", 0))).unwrap_err();
    assert_eq!(error.kind(), highwater_core::ErrorKind::ClockImplausible);
    rig.environment.set_ms(MOMENT_MS + 1);
    write(&rig);
}

/// Two handles that take turns see each other's positions, even while the clock stands still.
pub fn p03_two_handles_take_turns<S: Subject>() {
    if !S::SHARES {
        return;
    }
    let rig = Rig::<S>::new();
    let (one, two) = (std::sync::Arc::clone(rig.store()), rig.handle());
    let mut cursor = Cursor::START;
    for turn in 0..30_u64 {
        let writer = if turn % 3 == 1 { &two } else { &one };
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note(&(turn % 11).to_string(), turn));
        wait(writer.commit(batch)).unwrap();
        for reader in [&one, &two] {
            let request = highwater_core::PageRequest::new(notes()).since(cursor);
            let page = wait(reader.page(request)).unwrap();
            assert_eq!(ids(&page.changes), [(turn % 11).to_string()], "turn {turn}");
        }
        cursor = rig.page(|request| request.since(cursor)).next_cursor;
        rig.environment.step_ms(if turn % 7 == 0 { -5 } else { 0 });
    }
    rig.verify(&notes());
    wait(two.close()).unwrap();
}

/// While others write, nothing ever appears at or below a high water that a reader has seen.
pub fn p04_nothing_arrives_late<S: Subject>() {
    let rig = Rig::<S>::new();
    let writers: Vec<_> = if S::SHARES {
        vec![std::sync::Arc::clone(rig.store()), rig.handle()]
    } else {
        vec![std::sync::Arc::clone(rig.store())]
    };
    let threads: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            std::thread::spawn(move || {
                for n in 0..60_u64 {
                    let mut batch = WriteBatch::new();
                    batch.on(&notes()).upsert(note(&format!("{writer}-{n}"), n)).upsert(note("moving", n));
                    wait(store.commit(batch)).unwrap();
                }
            })
        })
        .collect();
    let mut seen: Vec<(Cursor, HashSet<Cursor>)> = Vec::new();
    loop {
        let done = threads.iter().all(std::thread::JoinHandle::is_finished);
        let page = rig.page(|request| request.limit(100_000));
        assert!(page.caught_up);
        let present: HashSet<Cursor> = page.changes.iter().map(|change| change.record.metadata.cursor).collect();
        assert!(present.iter().all(|cursor| cursor.position() <= page.high_water.position()));
        for (high_water, earlier) in seen.iter().rev().take(20) {
            let late =
                present.iter().find(|cursor| cursor.position() <= high_water.position() && !earlier.contains(cursor));
            assert_eq!(late, None, "an entry appeared below the high water {high_water}");
        }
        seen.push((page.high_water, present));
        if done {
            break;
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    rig.verify(&notes());
}

/// A record's position moves forward when the record changes, and at no other time.
pub fn p05_cursors_only_move_forward<S: Subject>() {
    let rig = Rig::<S>::new();
    let mut last = Cursor::START;
    for (step, n) in [1, 1, 2, 2, 1, 1, 3].into_iter().enumerate() {
        rig.environment.step_ms(if step % 2 == 0 { -7 } else { 3 });
        let outcome = rig.save("a", n);
        let cursor = rig.get("a").unwrap().metadata.cursor;
        match outcome {
            WriteOutcome::Unchanged => assert_eq!(cursor, last),
            _ => assert!(cursor.position() > last.position()),
        }
        last = cursor;
    }
    assert_eq!(rig.delete("a"), WriteOutcome::Deleted);
    assert!(rig.get("a").unwrap().metadata.cursor.position() > last.position());
}

/// A record that comes again unchanged, in any spelling, changes nothing visible and wakes no reader.
pub fn p06_resync_is_silent<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let mut wakeups = rig.store().subscribe();
    rig.save_all(0..30, 1);
    rig.write(|batch| batch.upsert(r#"{"id":"x","list":[1,2.50],"text":"é","deep":{"a":1,"b":null}}"#));
    wait(wakeups.changed()).unwrap();
    wait(async { tokio::time::timeout(std::time::Duration::from_millis(50), wakeups.changed()).await }).ok();
    let before = (rig.page(|request| request.limit(1000)), rig.head());
    for round in 0..2 {
        rig.environment.step_ms(1000);
        let commit = rig.save_all(0..30, 1);
        assert_eq!((commit.unchanged, commit.added + commit.updated), (30, 0));
        let respelled = r#" { "deep" : {"b":null, "a":1.0}, "text":"\u00e9" , "list":[1e0,25E-1] , "id":"x" }"#;
        assert_eq!(rig.write(|batch| batch.upsert(respelled)).outcomes, [WriteOutcome::Unchanged]);
        let patched = rig.write(|batch| batch.patch("x", r#"{"deep":{"a":1}}"#));
        assert_eq!(patched.outcomes, [WriteOutcome::Unchanged]);
        assert_eq!((rig.page(|request| request.limit(1000)), rig.head()), before);
        if round == 0 && S::REOPENS {
            assert!(!wakeups.has_changed(), "a reader was woken without a change");
            rig.reopen();
        }
    }
    rig.verify(&notes());
}

/// Each row of the table of actions.
pub fn p07_action_truth_table<S: Subject>() {
    let rig = Rig::<S>::new();
    let state = |rig: &Rig<S>| rig.get("a").map(|record| record.metadata.last_action);
    let rows: [(Option<u64>, WriteOutcome, Option<Action>); 10] = [
        (None, WriteOutcome::Missing, None),
        (Some(1), WriteOutcome::Added, Some(Action::Added)),
        (Some(1), WriteOutcome::Unchanged, Some(Action::Added)),
        (Some(2), WriteOutcome::Updated, Some(Action::Updated)),
        (Some(1), WriteOutcome::Updated, Some(Action::Updated)),
        (None, WriteOutcome::Deleted, Some(Action::Deleted)),
        (None, WriteOutcome::Missing, Some(Action::Deleted)),
        (Some(1), WriteOutcome::Added, Some(Action::Added)),
        (Some(1), WriteOutcome::Unchanged, Some(Action::Added)),
        (Some(3), WriteOutcome::Updated, Some(Action::Updated)),
    ];
    for (row, (write, outcome, action)) in rows.into_iter().enumerate() {
        let was = match write {
            Some(n) => rig.save("a", n),
            None => rig.delete("a"),
        };
        assert_eq!((was, state(&rig)), (outcome, action), "row {row}");
    }
    assert_eq!(rig.page(|request| request).changes.len(), 1, "no phantom tombstones");
    rig.verify(&notes());
}

/// Times, actions and positions of a record are consistent; a new life begins when it returns.
pub fn p08_metadata_is_coherent<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save("a", 1);
    let added = rig.get("a").unwrap().metadata;
    assert_eq!(added.last_modified_at, added.cursor.time());
    assert_eq!(added.first_seen_at, added.last_modified_at);
    rig.environment.step_ms(5000);
    rig.save("a", 2);
    let updated = rig.get("a").unwrap().metadata;
    assert_eq!(updated.first_seen_at, added.first_seen_at);
    assert_eq!(updated.last_modified_at.duration_since(added.last_modified_at).as_millis(), 5000);
    assert_eq!((updated.deleted_at, updated.pruned_at), (None, None));
    rig.environment.step_ms(-60_000);
    rig.delete("a");
    let deleted = rig.get("a").unwrap();
    assert_eq!(deleted.metadata.deleted_at, Some(deleted.metadata.cursor.time()));
    assert!(deleted.metadata.last_modified_at >= updated.last_modified_at, "times never go back");
    assert!(deleted.payload.is_some(), "a tombstone keeps the last payload");
    rig.save("a", 2);
    let again = rig.get("a").unwrap().metadata;
    assert_eq!((again.last_action, again.deleted_at), (Action::Added, None));
    rig.verify(&notes());
}

/// A batch is a sequence: the last write of an id wins, repeats are reported, and it makes no difference how writes are
/// split into batches.
pub fn p09_batch_is_a_sequence<S: Subject>() {
    let operations: [(&str, Option<u64>); 9] = [
        ("a", Some(1)),
        ("b", Some(1)),
        ("a", Some(2)),
        ("c", Some(1)),
        ("b", None),
        ("b", Some(2)),
        ("a", None),
        ("c", Some(1)),
        ("d", Some(1)),
    ];
    let mut results = Vec::new();
    for size in [1, 2, 4, 9] {
        let rig = Rig::<S>::new();
        let mut outcomes = Vec::new();
        for part in operations.chunks(size) {
            let commit = rig.write(|batch| {
                for (id, n) in part {
                    match n {
                        Some(n) => batch.upsert(note(id, *n)),
                        None => batch.delete(*id),
                    };
                }
                batch
            });
            let repeated: Vec<_> = commit.repeated.iter().map(|id| id.to_string()).collect();
            match size {
                1 => assert!(repeated.is_empty()),
                9 => assert_eq!(repeated, ["a", "b", "c"]),
                _ => {}
            }
            outcomes.extend(commit.outcomes);
        }
        let told: Vec<_> = rig
            .drain(Cursor::START, 100)
            .0
            .into_iter()
            .map(|change| (change.record.id, change.net, change.record.metadata.last_action, change.record.payload))
            .collect();
        results.push((outcomes, told, rig.head().checksum));
        rig.verify(&notes());
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:#?}");
}

/// Positions from a clock that ran ahead can be rebased: every position is new, every old cursor expired.
pub fn p31_rebase_of_the_clock<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    rig.delete("3");
    let early = rig.page(|request| request.limit(4)).next_cursor;
    rig.environment.step_ms(50 * 365 * 24 * 3600 * 1000);
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(note("leap", 0));
    assert!(rig.commit(batch.clone()).is_err());
    batch.allow_clock_jump();
    rig.commit(batch).unwrap();
    rig.environment.set_ms(MOMENT_MS + 1000);
    let ahead = rig.end();
    let health = |rig: &Rig<S>| match rig.maintain(Maintenance::CheckClock) {
        highwater_core::MaintenanceReport::Clock(health) => health,
        other => panic!("a look at the clock was answered with {other:?}"),
    };
    assert_eq!(health(&rig).lead.as_millis(), 50 * 365 * 24 * 3600 * 1000 - 1000);
    assert_eq!(health(&rig).last_position_at, Some(rig.end().time()));
    let other = if S::SHARES { Some(rig.handle()) } else { None };
    let write = |store: &dyn highwater_core::Store, n| {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note("leap", n));
        wait(store.commit(batch)).unwrap();
    };
    if let Some(other) = &other {
        wait(other.page(highwater_core::PageRequest::new(notes()).since(ahead))).unwrap();
        write(&**other, 1);
    }
    let ahead = rig.end();
    rig.maintain(Maintenance::RebaseClock);
    if let Some(other) = &other {
        write(&**other, 2);
    }
    assert!(rig.end().time() < ahead.time());
    assert!(health(&rig).lead.is_zero() && !health(&rig).implausible);
    for cursor in [early, ahead] {
        assert_eq!(rig.refusal(cursor), Some(highwater_core::ErrorKind::CursorExpired), "{cursor}");
        if let Some(other) = &other {
            let error = wait(other.page(highwater_core::PageRequest::new(notes()).since(cursor))).unwrap_err();
            assert_eq!(error.kind(), highwater_core::ErrorKind::CursorExpired, "in another handle");
        }
    }
    let (changes, end) = rig.drain(Cursor::START, 3);
    assert_eq!(changes.len(), 11);
    rig.save("new", 1);
    assert_eq!(ids(&rig.page(|request| request.since(end)).changes), ["new"]);
    rig.verify(&notes());
    if let Some(other) = other {
        wait(other.close()).unwrap();
    }
    if S::REOPENS {
        rig.reopen();
        assert_eq!(rig.refusal(ahead), Some(highwater_core::ErrorKind::CursorExpired));
        rig.verify(&notes());
    }
}
