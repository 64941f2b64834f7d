//! Pages: P10 to P16.

use std::time::Duration;

use highwater_core::{
    Action, ConsumerCommand, ContentFilter, Cursor, ErrorKind, NetAction, PageRequest, PollOptions, Seek, Timestamp,
    WriteBatch, WriteOutcome,
};

use crate::rig::{Rig, ids, nets, note, notes, wait};
use crate::subject::Subject;

/// A page holds the first entries after its cursor, in order, and says whether more follow.
pub fn p10_page_is_a_prefix<S: Subject>() {
    let rig = Rig::<S>::new();
    let empty = rig.page(|request| request);
    assert!(empty.changes.is_empty() && empty.caught_up && !empty.has_more && empty.next_cursor.is_start());
    rig.save_all(0..10, 1);
    let all = rig.page(|request| request.limit(1000));
    assert_eq!(all.next_cursor, all.high_water);
    for (place, change) in all.changes.iter().enumerate() {
        let page = rig.page(|request| request.since(change.record.metadata.cursor).limit(3));
        let rest = &all.changes[place + 1..];
        assert_eq!(ids(&page.changes), ids(&rest[..rest.len().min(3)]), "behind entry {place}");
        assert_eq!((page.has_more, page.caught_up), (rest.len() > 3, rest.len() <= 3));
        let last = page.changes.last().map_or(change.record.metadata.cursor, |change| change.record.metadata.cursor);
        assert_eq!(page.next_cursor, last);
    }
}

/// Pages of any size, by rows and by bytes, concatenate to the whole.
pub fn p11_pages_concatenate<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.write(|batch| {
        for n in 0..50_u64 {
            let text = "x".repeat((n as usize * 37) % 400);
            batch.upsert(format!(r#"{{"id":"{n}","text":"{text}"}}"#));
        }
        batch
    });
    for n in (0..50).step_by(7) {
        rig.delete(&n.to_string());
    }
    let whole = rig.page(|request| request.limit(1000)).changes;
    assert_eq!(whole.len(), 50);
    for (limit, bytes) in [(1, 1 << 20), (3, 1 << 20), (50, 1 << 20), (51, 1 << 20), (50, 1), (50, 700), (7, 900)] {
        let (mut cursor, mut together, mut calls) = (Cursor::START, Vec::new(), 0);
        loop {
            let page = rig.page(|request| request.since(cursor).limit(limit).max_bytes(bytes));
            let size: usize = page
                .changes
                .iter()
                .map(|change| change.record.payload.as_ref().map_or(0, |payload| payload.as_bytes().len()))
                .sum();
            assert!(page.changes.len() <= limit && (size <= bytes || page.changes.len() == 1));
            together.extend(page.changes);
            cursor = page.next_cursor;
            calls += 1;
            assert!(calls <= 51, "a drain of {bytes} bytes a page ends");
            if !page.has_more {
                break;
            }
        }
        // A cursor in between is a reader's state: net actions differ from those at START.
        let strip = |changes: &[highwater_core::Change]| -> Vec<_> {
            changes.iter().map(|change| change.record.clone()).collect()
        };
        assert_eq!(strip(&together), strip(&whole), "limits {limit} rows, {bytes} bytes");
    }
}

/// A page ends before the record that would make it too large; one record always fits.
pub fn p11_bytes_end_a_page<S: Subject>() {
    let rig = Rig::<S>::new();
    let sized = |id: &str, bytes: usize| {
        let empty = format!(r#"{{"id":"{id}","text":""}}"#);
        format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(bytes - empty.len()))
    };
    let sizes = [("a", 40), ("b", 40), ("c", 40), ("huge", 5000), ("d", 40), ("e", 60)];
    rig.write(|batch| {
        sizes.iter().for_each(|(id, bytes)| {
            batch.upsert(sized(id, *bytes));
        });
        batch
    });
    for (most, expected) in [
        (0, vec!["a", "b", "c", "huge", "d", "e"]),
        (79, vec!["a", "b", "c", "huge", "d", "e"]),
        (80, vec!["a b", "c", "huge", "d", "e"]),
        (100, vec!["a b", "c", "huge", "d e"]),
        (120, vec!["a b c", "huge", "d e"]),
        (5099, vec!["a b c", "huge d", "e"]),
        (5119, vec!["a b c", "huge d e"]),
        (5120, vec!["a b c huge", "d e"]),
        (10_000, vec!["a b c huge d e"]),
    ] {
        let (mut pages, mut cursor) = (Vec::new(), Cursor::START);
        loop {
            let page = rig.page(|request| request.since(cursor).limit(100).max_bytes(most));
            pages.push(ids(&page.changes).join(" "));
            cursor = page.next_cursor;
            assert_eq!((page.caught_up, pages.len() > 10), (!page.has_more, false), "{most}");
            if !page.has_more {
                break;
            }
        }
        assert_eq!(pages, expected, "{most} bytes");
    }
    let without = rig.page(|request| request.max_bytes(1).metadata_only());
    assert_eq!((without.changes.len(), without.has_more), (6, false), "payloads that are not read do not count");
}

/// The same call on the same stream returns the same result; later writes only remove entries from the range read.
pub fn p12_same_call_same_answer<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    let first = rig.page(|request| request.limit(6));
    assert_eq!(rig.page(|request| request.limit(6)), first);
    if S::REOPENS {
        rig.reopen();
        assert_eq!(rig.page(|request| request.limit(6)), first);
    }
    rig.save("2", 9);
    rig.delete("4");
    rig.save("new", 1);
    let again = rig.page(|request| request.limit(100));
    let in_range: Vec<_> = again
        .changes
        .iter()
        .filter(|change| change.record.metadata.cursor.position() <= first.next_cursor.position())
        .cloned()
        .collect();
    let expected: Vec<_> =
        first.changes.into_iter().filter(|change| !["2", "4"].contains(&&*change.record.id)).collect();
    assert_eq!(in_range, expected);
}

/// Readers miss nothing and get no position twice while a writer is busy.
pub fn p13_no_skip_under_concurrency<S: Subject>() {
    let rig = Rig::<S>::new();
    let store = if S::SHARES { rig.handle() } else { std::sync::Arc::clone(rig.store()) };
    let writer = std::thread::spawn(move || {
        for n in 0..150_u64 {
            let mut batch = WriteBatch::new();
            batch.on(&notes()).upsert(note(&format!("once-{n}"), n)).upsert(note(&format!("again-{}", n % 5), n));
            wait(store.commit(batch)).unwrap();
        }
    });
    let (mut cursor, mut last) = (Cursor::START, std::collections::HashMap::new());
    loop {
        let finished = writer.is_finished();
        let page = rig.page(|request| request.since(cursor).limit(4));
        for change in &page.changes {
            let position = change.record.metadata.cursor.position();
            assert!(position > cursor.position(), "p14: a position came twice");
            let earlier = last.insert(change.record.id.clone(), (position, change.record.payload.clone()));
            assert!(earlier.is_none_or(|(earlier, _)| earlier < position), "p14: {} went back", change.record.id);
        }
        cursor = page.next_cursor;
        if finished && page.caught_up {
            break;
        }
    }
    writer.join().unwrap();
    let truth = rig.page(|request| request.limit(1000)).changes;
    assert_eq!(truth.len(), 155);
    for change in truth {
        let expected = (change.record.metadata.cursor.position(), change.record.payload);
        assert_eq!(last.get(&change.record.id), Some(&expected), "{} was skipped", change.record.id);
    }
}

/// A reader that does not seek gets each position once, and for each record only later ones.
pub fn p14_each_position_once<S: Subject>() {
    let rig = Rig::<S>::new();
    let (mut cursor, mut seen) = (Cursor::START, std::collections::HashSet::new());
    for round in 0..20_u64 {
        rig.save_all((round % 3)..(round % 3 + 4), round);
        rig.environment.step_ms(if round % 4 == 0 { -3 } else { 1 });
        let page = rig.page(|request| request.since(cursor).limit(3));
        for change in &page.changes {
            assert!(seen.insert(change.record.metadata.cursor), "a position came twice");
        }
        cursor = page.next_cursor;
    }
}

/// A filtered page without matches still advances, and a drain ends.
pub fn p15_a_filtered_page_advances<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..20, 1);
    for filter in [[Action::Deleted], [Action::Updated]] {
        let page = rig.page(|request| request.filter(filter).limit(5));
        assert!(page.changes.is_empty() && !page.has_more);
        assert_eq!(page.next_cursor, page.high_water, "an empty page reaches the end too");
        assert!(rig.page(|request| request.since(page.next_cursor)).changes.is_empty());
    }
    rig.delete("3");
    rig.save_all(30..40, 1);
    let page = rig.page(|request| request.filter([Action::Deleted]).limit(1));
    assert_eq!(ids(&page.changes), ["3"]);
    assert!(!page.has_more && page.caught_up, "no further match: no more");
    let left = highwater_core::ContentFilter::new().equals("/n", 7);
    let page = rig.page(|request| request.matching(left.clone()).limit(5));
    assert_eq!(nets(&page.changes), [("3", NetAction::Void)]);
    assert_eq!(page.next_cursor.position(), rig.end().position());
    let (mut cursor, mut calls, mut found) = (Cursor::START, 0, 0);
    loop {
        let page = rig.page(|request| request.since(cursor).filter([Action::Added]).limit(4));
        found += page.changes.len();
        calls += 1;
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!((found, calls), (29, 8));
}

/// `modified_after` is an inclusive bound by time, and can be combined with a cursor.
pub fn p16_time_window<S: Subject>() {
    let rig = Rig::<S>::new();
    let mut cursors = Vec::new();
    for n in 0..6 {
        rig.save(&n.to_string(), n);
        cursors.push(rig.get(&n.to_string()).unwrap().metadata.cursor);
        rig.environment.step_ms(if n == 2 { 0 } else { 1000 });
    }
    for cursor in &cursors {
        let expected: Vec<String> =
            (0..6).filter(|n| cursors[*n].time() >= cursor.time()).map(|n| n.to_string()).collect();
        let page = rig.page(|request| request.modified_after(cursor.time()));
        assert_eq!(ids(&page.changes), expected, "from {}", cursor.time());
        let both = rig.page(|request| request.since(cursors[3]).modified_after(cursor.time()));
        let expected: Vec<&String> = expected.iter().filter(|n| n.parse::<usize>().unwrap() > 3).collect();
        assert_eq!(ids(&both.changes), expected);
    }
    let future = cursors[5].time() + Duration::from_secs(24 * 3600);
    let page = rig.page(|request| request.modified_after(future));
    assert!(page.changes.is_empty() && page.caught_up);
    assert_eq!(rig.page(|request| request.modified_after(Timestamp::UNIX_EPOCH)).changes.len(), 6);
}

/// Reading by ids returns exactly these records, in log order, with the same cursors.
pub fn p18_reading_by_ids<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..20, 1);
    rig.save("5", 2);
    let wanted = ["5", "7", "nobody", "7", "3", ""];
    let whole = rig.page(|request| request.ids(wanted));
    assert_eq!(ids(&whole.changes), ["3", "7", "5"]);
    let (mut cursor, mut together) = (Cursor::START, Vec::new());
    loop {
        let page = rig.page(|request| request.since(cursor).ids(wanted).limit(1));
        together.extend(page.changes.iter().map(|change| change.record.clone()));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(together, whole.changes.into_iter().map(|change| change.record).collect::<Vec<_>>());
    let none = rig.page(|request| request.ids(Vec::<String>::new()));
    assert!(none.changes.is_empty() && none.caught_up);
    let bare = rig.page(|request| request.metadata_only().limit(1000));
    assert!(bare.changes.iter().all(|change| change.record.payload.is_none()));
    assert_eq!(bare.changes.len(), 20);
    let records = wait(rig.store().get(&notes(), &["7", "nobody", "5"])).unwrap();
    assert_eq!(records.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
}

/// Ids of every kind are returned unchanged; invalid ones are refused by name.
pub fn p33_no_two_ids_are_confused<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let long = "long".repeat(1024);
    let nearly = format!("{}x", &long[..4095]);
    let odd = [
        "a",
        "A",
        " a",
        "a ",
        "0",
        "00",
        "1",
        "é",
        "e\u{301}",
        "💧",
        "a/b",
        "a\0b",
        "\u{10ffff}",
        "'; DROP",
        "null",
        &long,
        &nearly,
    ];
    rig.write(|batch| {
        odd.iter().enumerate().for_each(|(n, id)| {
            batch.upsert(note(id, n as u64));
        });
        batch
    });
    if S::REOPENS {
        rig.reopen();
    }
    for (n, id) in odd.iter().enumerate() {
        let record = rig.get(id).unwrap_or_else(|| panic!("{id:?} is found"));
        assert_eq!(record.payload.unwrap().as_str(), note(id, n as u64));
    }
    assert_eq!(rig.head().live, odd.len() as u64);
    let integer = rig.write(|batch| batch.upsert(r#"{"id":18446744073709551616}"#));
    assert_eq!(integer.outcomes, [WriteOutcome::Added]);
    assert!(rig.get("18446744073709551616").is_some());
    for bad in [r#"{"id":""}"#, r#"{"id":null}"#, r#"{"id":1.5}"#, r#"{"name":1}"#, "[]", "{", "", "{\"id\":\"a\"} x"] {
        let error = rig.try_write(|batch| batch.upsert(bad)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        assert!(error.context("record").is_some());
    }
    let too_long = "x".repeat(4097);
    assert!(rig.try_write(|batch| batch.upsert(note(&too_long, 1))).is_err());
    assert!(rig.try_write(|batch| batch.upsert(b"{\"id\":\"\xff\"}".to_vec())).is_err());
    let huge = format!(r#"{{"id":"huge","text":"{}"}}"#, "x".repeat(16 << 20));
    rig.write(|batch| batch.upsert(huge.clone()));
    assert_eq!(rig.get("huge").unwrap().payload.unwrap().as_bytes().len(), huge.len());
    let page = wait(rig.store().page(PageRequest::new(notes()).limit(1000))).unwrap();
    assert_eq!(page.changes.len(), odd.len() + 1, "the byte limit ends a page before the huge one");
    rig.verify(&notes());
}

/// A filter that nothing can match is refused, with the correct spelling, wherever it is used.
pub fn p18_filters_that_nothing_matches_are_refused<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let refused = |error: highwater_core::Error, wanted: &str| {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    };
    let filters = [
        (ContentFilter::new().equals("n", 1), "\"/n\""),
        (ContentFilter::new().equals("/m~2", 1), "\"/m~02\""),
        (ContentFilter::new().equals("", "a"), "whole record"),
        (ContentFilter::new().equals("/n", 1).equals("/n", 2), "both"),
    ];
    for (filter, wanted) in &filters {
        refused(rig.try_page(|request| request.matching(filter.clone())).unwrap_err(), wanted);
        refused(rig.try_page(|request| request.matching(filter.clone()).since(rig.end())).unwrap_err(), wanted);
        let options = PollOptions::default().matching(filter.clone());
        refused(rig.poll_with("copy", &options).unwrap_err(), wanted);
        let seek = ConsumerCommand::SeekMatching(Seek::Start, filter.clone());
        refused(rig.consumer("copy", seek).unwrap_err(), wanted);
    }
    assert!(wait(rig.store().consumers(&notes())).unwrap().is_empty(), "a refused poll makes no consumer");
    assert_eq!(rig.page(|request| request.matching(ContentFilter::new())).changes.len(), 3);
}
