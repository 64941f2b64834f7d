//! Crashes, backups, clones: P29 to P31, and cursors of every origin: P32 to P34, P36.

use std::sync::Arc;

use highwater_core::{
    ContentFilter, ContentRules, Cursor, CursorFault, ErrorKind, Maintenance, PageRequest, PruneWhat, StreamKey,
    StreamOptions, WriteBatch, WriteOutcome,
};

use crate::environment::{Randomness, TestEnvironment};
use crate::rig::{Rig, ids, note, notes, wait};
use crate::script::transcript;
use crate::subject::{MemorySubject, Subject};

/// A failed batch leaves nothing behind: no record, no document, no stream, no position, and
/// nothing in caches.
pub fn p29_a_failed_batch_leaves_nothing<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save("a", 1);
    if S::REOPENS {
        rig.reopen();
    }
    rig.try_write(|batch| batch.upsert(note("b", 1)).upsert(note("a", 1)).upsert("not json")).unwrap_err();
    assert!(rig.get("a").is_some() && rig.get("b").is_none());
    let before = (rig.page(|request| request), rig.head(), wait(rig.store().streams()).unwrap());
    let mut batch = WriteBatch::new();
    batch.put_document("checkpoint", &1).unwrap();
    batch.on(&StreamKey::new("demo", "Other")).upsert(note("b", 1));
    batch.on(&notes()).upsert(note("a", 2)).upsert(note("c", 1)).delete("a").upsert("not json");
    let error = rig.commit(batch).unwrap_err();
    assert_eq!((error.kind(), error.context("record")), (ErrorKind::Invalid, Some("3")));
    assert_eq!((rig.page(|request| request), rig.head(), wait(rig.store().streams()).unwrap()), before);
    assert!(wait(rig.store().document("checkpoint")).unwrap().is_none());
    rig.verify(&notes());
}

/// After a crash at any moment between commits the store holds exactly what was acknowledged.
pub fn p29_a_crash_keeps_what_was_acknowledged<S: Subject>() {
    let rig = Rig::<S>::new();
    for n in 0..12_u64 {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note(&n.to_string(), n)).upsert(note("moving", n));
        batch.put_document("checkpoint", &n).unwrap();
        rig.commit(batch).unwrap();
        if n == 5 {
            rig.delete("2");
            rig.prune(PruneWhat::Tombstones, rig.end());
        }
        let Some(after) = rig.image() else { return };
        assert_eq!(after.page(|request| request.limit(1000)).changes, rig.page(|request| request.limit(1000)).changes);
        assert_eq!(after.head(), rig.head());
        assert_eq!(wait(after.store().document("checkpoint")).unwrap().unwrap().to_string(), n.to_string());
        after.verify(&notes());
    }
}

/// Everything delivered to a reader survives every later crash.
pub fn p30_nothing_delivered_is_taken_back<S: Subject>() {
    let rig = Rig::<S>::new();
    let mut delivered = Vec::new();
    let mut cursor = Cursor::START;
    for n in 0..10_u64 {
        rig.save(&n.to_string(), n);
        let page = rig.page(|request| request.since(cursor));
        delivered.extend(page.changes.iter().map(|change| change.record.clone()));
        cursor = page.next_cursor;
        let Some(crashed) = rig.image() else { return };
        for record in &delivered {
            assert_eq!(crashed.get(&record.id).as_ref(), Some(record));
        }
        assert_eq!(crashed.refusal(cursor), None, "the reader's cursor is still good");
    }
}

/// A store whose files were removed while it is open acknowledges nothing more, and reports it from then on: its writes
/// would be lost.
pub fn p30_a_moved_file_is_noticed<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..5, 1);
    let end = rig.end();
    if !rig.subject.remove_files() {
        return;
    }
    let errors = [
        rig.try_write(|batch| batch.upsert(note("lost", 1))).map(drop),
        rig.try_write(|batch| batch.upsert(note("lost", 2))).map(drop),
        rig.try_page(|request| request).map(drop),
        rig.try_page(|request| request.since(end)).map(drop),
        wait(rig.store().get(&notes(), &["1"])).map(drop),
        wait(rig.store().head(&notes())).map(drop),
        wait(rig.store().lease("a")).map(drop),
    ];
    for (place, outcome) in errors.into_iter().enumerate() {
        let error = outcome.expect_err(&format!("call {place}"));
        assert_eq!(error.kind(), ErrorKind::Poisoned, "call {place}: {error}");
        assert!(error.message().contains("while it was open"), "call {place}: {error}");
    }
}

/// After a crash or a restored backup the first new position comes after all that were issued there.
pub fn p31_positions_after_a_crash<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..5, 1);
    let end = rig.end();
    rig.environment.step_ms(-1_000_000);
    let Some(crashed) = rig.image() else { return };
    crashed.save("new", 1);
    let page = crashed.page(|request| request.since(end));
    assert_eq!(ids(&page.changes), ["new"]);
    assert!(page.next_cursor.position() > end.position());
    assert_ne!(epoch(page.next_cursor), epoch(end), "an opening that writes has an epoch of its own");
    crashed.verify(&notes());
}

fn epoch(cursor: Cursor) -> String {
    cursor.to_string()[27..34].to_owned()
}

/// Every text is either a cursor that this store issued for this stream, or is refused with a specific error.
pub fn p32_cursor_validation_is_total<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..5, 1);
    let variant = notes().with_variant("other");
    let mut batch = WriteBatch::new();
    batch.on(&variant).upsert(note("a", 1));
    batch.on(&StreamKey::new("demo2", "Note")).upsert(note("a", 1));
    rig.commit(batch).unwrap();
    let good = rig.page(|request| request.limit(2)).next_cursor;
    for stream in [variant.clone(), StreamKey::new("demo2", "Note"), StreamKey::new("demo", "Missing")] {
        let error = wait(rig.store().page(PageRequest::new(stream).since(good))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CursorForeign);
    }
    let stranger = Rig::<S>::at(S::new(), Arc::new(TestEnvironment::new(2)), 64 << 20);
    stranger.save_all(0..5, 1);
    assert_eq!(rig.refusal(stranger.end()), Some(ErrorKind::CursorForeign));
    let text = good.to_string();
    for place in 0..text.len() {
        for replacement in ["0", "7", "Z", "z", "U", ".", "é", ""] {
            let forged = format!("{}{replacement}{}", &text[..place], &text[place + 1..]);
            if forged == text {
                continue;
            }
            match forged.parse::<Cursor>() {
                Err(error) => assert_eq!(error.kind(), ErrorKind::CursorMalformed),
                Ok(cursor) => {
                    assert_eq!(cursor.to_string(), forged);
                    let refusal = rig.refusal(cursor);
                    let known = [ErrorKind::CursorForeign, ErrorKind::FilterMismatch];
                    assert!(refusal.is_some_and(|kind| known.contains(&kind)), "{forged}: {refusal:?}");
                }
            }
        }
    }
    for bad in ["", "0", "START", &text[..26], &text.to_lowercase(), &format!("{text} "), &"8".repeat(26)] {
        assert_eq!(bad.parse::<Cursor>().unwrap_err().kind(), ErrorKind::CursorMalformed, "{bad:?}");
    }
    assert_eq!(text.parse::<Cursor>().unwrap(), good);
    if S::REOPENS {
        rig.save("more", 1);
        let late = rig.end();
        rig.reopen();
        rig.save("even more", 1);
        rig.reopen();
        for cursor in [good, late, rig.end()] {
            assert_eq!(rig.refusal(cursor), None, "cursors of every opening stay good");
        }
    }
}

/// A restored backup and a clone accept their own cursors and recognise those of lost histories, even
/// if a stopped clock gives both the same ULIDs.
pub fn p32_lost_histories_are_noticed<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..5, 1);
    let common = rig.end();
    let Some(backup) = rig.image() else { return };
    rig.save("lost", 1);
    let lost = rig.end();
    let error = backup.try_page(|request| request.since(lost)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorFuture, "nothing was written since the backup");
    assert!(matches!(error.cursor_fault(), Some(CursorFault::Future { high_water }) if *high_water == common));
    backup.save("other", 1);
    let other = backup.end();
    assert_eq!(lost.position(), other.position(), "the worst case: equal positions");
    for _ in 0..2 {
        for (place, stranger) in [(&backup, lost), (&rig, other)] {
            let error = place.try_page(|request| request.since(stranger)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CursorForked, "{error}");
            if let Some(CursorFault::Forked { last_common: Some(last) }) = error.cursor_fault() {
                assert_eq!(*last, common);
                assert_eq!(place.refusal(*last), None);
            }
            assert_eq!(place.refusal(common), None);
        }
        // Once more after both have read their own ends.
        backup.page(|request| request.since(other));
        rig.page(|request| request.since(lost));
    }
    rig.environment.step_ms(1000);
    rig.save("later", 1);
    backup.save("later", 1);
    assert_eq!(backup.refusal(lost), Some(ErrorKind::CursorForked), "also when it was overtaken");
    assert_eq!(backup.refusal(rig.end()), Some(ErrorKind::CursorForked));
}

/// A change to one stream leaves every other unchanged, even if they differ in one name only.
pub fn p33_streams_are_isolated<S: Subject>() {
    let rig = Rig::<S>::new();
    let streams = [
        StreamKey::new("demo", "Note"),
        StreamKey::new("demo", "Note").with_variant("v"),
        StreamKey::new("demo", "Note2"),
        StreamKey::new("demo2", "Note"),
        StreamKey::new("demo/Note", "base"),
        StreamKey::new("demo", "Note/base"),
        StreamKey::new("demoN", "ote"),
    ];
    for stream in &streams {
        let mut batch = WriteBatch::new();
        batch.on(stream).upsert(note("a", 1)).upsert(note("b", 1)).delete("b");
        rig.commit(batch).unwrap();
    }
    let look = |stream: &StreamKey| {
        let page = wait(rig.store().page(PageRequest::new(stream.clone()))).unwrap();
        (page, wait(rig.store().head(stream)).unwrap(), wait(rig.store().get(stream, &["a", "b"])).unwrap())
    };
    for (place, stream) in streams.iter().enumerate() {
        let before: Vec<_> = streams.iter().map(look).collect();
        let mut batch = WriteBatch::new();
        batch.on(stream).upsert(note("a", 9)).upsert(note("c", place as u64));
        rig.commit(batch).unwrap();
        let end = look(stream).0.next_cursor;
        rig.maintain(Maintenance::Prune { stream: stream.clone(), what: PruneWhat::Tombstones, up_to: end });
        if place % 2 == 0 {
            rig.maintain(Maintenance::Clear(stream.clone()));
        }
        for (other, before) in streams.iter().zip(before).enumerate().filter(|(other, _)| *other != place).map(|x| x.1)
        {
            assert_eq!(look(other), before, "{other} after writes to {stream}");
            rig.verify(other);
        }
    }
    assert_eq!(wait(rig.store().streams()).unwrap().len(), streams.len());
}

/// Content is compared by meaning: spelling never matters, every real difference does.
pub fn p34_canonical_content<S: Subject>() {
    let rig = Rig::<S>::new();
    let same = [
        r#"{"id":"a","n":100,"z":0,"t":"é\n","o":{"x":[1,{"k":null}],"y":true}}"#,
        r#"{"o":{"y":true,"x":[1,{"k":null}]},"t":"\u00e9\u000a","z":-0,"n":1e2,"id":"a"}"#,
        "\n{ \"id\" : \"\\u0061\", \"n\":100.0 ,\"z\":0.0e5,\"t\":\"é\\n\",\"o\":{\"x\":[1.0,{\"k\":null}],\"y\":true}}  ",
    ];
    assert_eq!(rig.write(|batch| batch.upsert(same[0])).outcomes, [WriteOutcome::Added]);
    for text in same {
        assert_eq!(rig.write(|batch| batch.upsert(text)).outcomes, [WriteOutcome::Unchanged], "{text}");
    }
    let different = [
        r#"{"id":"b","n":1}"#,
        r#"{"id":"b","n":"1"}"#,
        r#"{"id":"b","n":null}"#,
        r#"{"id":"b"}"#,
        r#"{"id":"b","n":[]}"#,
        r#"{"id":"b","n":{}}"#,
        r#"{"id":"b","n":[1,2]}"#,
        r#"{"id":"b","n":[2,1]}"#,
        r#"{"id":"b","n":18446744073709551616}"#,
        r#"{"id":"b","n":18446744073709551617}"#,
        r#"{"id":"b","n":9007199254740992}"#,
        r#"{"id":"b","n":9007199254740993}"#,
        r#"{"id":"b","n":0.1}"#,
        r#"{"id":"b","n":0.1000000000000000055511151231257827}"#,
        r#"{"id":"b","n":true}"#,
        r#"{"id":"b","n":"\u00e9"}"#,
        r#"{"id":"b","n":"e\u0301"}"#,
        r#"{"id":"b","n":""}"#,
        r#"{"id":"b","N":1}"#,
    ];
    for (place, text) in different.iter().enumerate() {
        let outcome = rig.write(|batch| batch.upsert(*text)).outcomes[0];
        let first = if place == 0 { WriteOutcome::Added } else { WriteOutcome::Updated };
        assert_eq!(outcome, first, "{text}");
    }
    for bad in [r#"{"id":"c","n":1,"n":2}"#, r#"{"id":"c","t":"\ud800"}"#, r#"{"id":"c","n":01}"#, r#"{"id":"c",}"#] {
        assert_eq!(rig.try_write(|batch| batch.upsert(bad)).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
    }
    let rules = ContentRules::new().ignoring("/seen").unwrap();
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default().rules(rules)));
    let seen = |n: u64| rig.write(|batch| batch.upsert(format!(r#"{{"id":"d","seen":{n},"x":1}}"#))).outcomes[0];
    assert_eq!((seen(1), seen(2)), (WriteOutcome::Added, WriteOutcome::Unchanged));
    for text in same {
        let outcome = rig.write(|batch| batch.upsert(text)).outcomes[0];
        assert_eq!(outcome, WriteOutcome::Unchanged, "new rules alone change nothing (p06)");
    }
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default()));
    let respelled = rig.write(|batch| batch.upsert(r#"{"x":1.0,"seen":1e0,"id":"d"}"#)).outcomes[0];
    assert_eq!(respelled, WriteOutcome::Unchanged, "both are compared under the current rules");
    assert_eq!(seen(1), WriteOutcome::Unchanged);
    assert_eq!(seen(2), WriteOutcome::Updated, "it was the same under the rules of then; now it counts");
    assert_eq!(seen(3), WriteOutcome::Updated);
    let rules = ContentRules::new().ignoring("/x").unwrap();
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default().rules(rules)));
    assert_eq!(seen(4), WriteOutcome::Updated, "other rules, other members");
    let other = rig.write(|batch| batch.upsert(r#"{"id":"d","seen":4,"x":2}"#)).outcomes[0];
    assert_eq!(other, WriteOutcome::Unchanged);
    rig.verify(&notes());
}

/// The same operations, clock and randomness give the same results, byte for byte, as the memory store.
pub fn p36_same_script_same_answers<S: Subject>() {
    for seed in 0..4 {
        let (expected, actual) = (transcript::<MemorySubject>(seed, 60), transcript::<S>(seed, 60));
        for (step, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            assert_eq!(actual, expected, "seed {seed}, step {step}");
        }
        assert_eq!(expected.len(), actual.len());
    }
}

/// Without a memory budget for records, everything is found on disk.
pub fn p01_without_memory<S: Subject>() {
    let environment = Arc::new(TestEnvironment::new(5));
    environment.set_randomness(Randomness::Seeded(5));
    let mut rig = Rig::<S>::at(S::new(), environment, 0);
    for round in 0..20_u64 {
        rig.save_all((0..15).map(|n| (n * 7 + round * 3) % 60), round);
        rig.delete(&(round % 60).to_string());
        if S::REOPENS && round % 6 == 5 {
            rig.reopen();
        }
    }
    rig.verify(&notes());
    let changes = rig.drain(Cursor::START, 13).0;
    for change in &changes {
        assert_eq!(rig.get(&change.record.id).as_ref(), Some(&change.record));
    }
    let filter = ContentFilter::new().equals("/n", 19);
    assert!(!rig.page(|request| request.matching(filter)).changes.is_empty());
}
