//! Pruning, clearing, and views of the past: P24, P12.

use highwater_core::{
    ConsumerCommand, ContentFilter, Cursor, CursorFault, ErrorKind, History, Maintenance, MaintenanceReport, PruneWhat,
    Seek, StreamOptions, WriteOutcome,
};

use crate::rig::{Rig, ids, notes, wait};
use crate::subject::Subject;

/// Pruned tombstones raise the horizon; a cursor below it is refused with the way to recover.
pub fn p24_horizon_of_tombstones<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save("a", 1);
    rig.save("b", 1);
    let before = rig.end();
    rig.delete("a");
    let at = rig.end();
    assert_eq!(at.position(), before.position() + 1, "the clock stands: neighbours");
    rig.save("c", 1);
    let survivors = rig.page(|request| request.since(at)).changes;
    let head = rig.head();
    assert_eq!(rig.prune(PruneWhat::Tombstones, at), 1);
    assert_eq!(rig.prune(PruneWhat::Tombstones, before), 0, "the horizon only rises");
    for _ in 0..2 {
        let error = rig.try_page(|request| request.since(before)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CursorExpired);
        let Some(CursorFault::Expired { horizon }) = error.cursor_fault() else { panic!("{error:?}") };
        assert_eq!((*horizon, rig.head().horizon), (at, at));
        assert_eq!(rig.page(|request| request.since(at)).changes, survivors);
        assert_eq!(ids(&rig.page(|request| request).changes), ["b", "c"]);
        assert_eq!((rig.head().high_water, rig.head().live), (head.high_water, head.live));
        assert!(rig.get("a").is_none());
        rig.verify(&notes());
        if S::REOPENS {
            rig.reopen();
        }
    }
    assert_eq!(rig.save("a", 1), WriteOutcome::Added);
    rig.verify(&notes());
}

/// A read from START continues below the horizon, page by page, until the next prune.
pub fn p24_a_reading_from_start_passes_the_horizon<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    rig.save("x", 1);
    rig.delete("x");
    rig.save("y", 1);
    rig.prune(PruneWhat::Tombstones, rig.end());
    let first = rig.page(|request| request.limit(3));
    assert!(first.next_cursor.position() < rig.head().horizon.position());
    if S::REOPENS {
        rig.reopen();
    }
    let text = first.next_cursor.to_string();
    let (changes, end) = rig.drain(text.parse().unwrap(), 2);
    assert_eq!(ids(&changes), ["3", "4", "5", "6", "7", "8", "9", "y"]);
    assert_eq!(end, rig.head().high_water);
    let delivery = rig.poll("copy", 4).unwrap();
    rig.ack("copy", delivery.token).unwrap();
    assert_eq!(rig.poll("copy", 100).unwrap().page.changes.len(), 7);
    rig.consumer("copy", ConsumerCommand::Remove).unwrap();
    rig.delete("8");
    rig.prune(PruneWhat::Tombstones, rig.end());
    assert_eq!(rig.refusal(first.next_cursor), Some(ErrorKind::CursorExpired), "it may hold what was pruned since");
}

/// A prune that stopped at a named reader in the middle of its first read does not expire that reader or its cursors; a clear
/// does.
pub fn p24_a_named_reading_from_start_outlives_prunes<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save("y", 1);
    rig.save("x", 1);
    rig.delete("x");
    rig.save_all(0..9, 1);
    rig.prune(PruneWhat::Payloads, rig.end());
    let first = rig.poll("copy", 3).unwrap();
    assert_eq!(ids(&first.page.changes), ["y", "x", "0"]);
    rig.ack("copy", first.token).unwrap();
    let second = rig.poll("copy", 2).unwrap();
    assert_eq!(rig.prune(PruneWhat::Tombstones, rig.end()), 1, "x, which the reader has behind it");
    if S::REOPENS {
        rig.reopen();
    }
    rig.ack("copy", second.token).unwrap();
    let third = rig.poll("copy", 2).unwrap();
    assert_eq!(ids(&third.page.changes), ["3", "4"]);
    rig.maintain(Maintenance::Clear(notes()));
    rig.save("5", 7);
    rig.ack("copy", third.token).unwrap();
    assert_eq!(rig.poll("copy", 2).unwrap_err().kind(), ErrorKind::CursorExpired, "0 to 4 are in its copy");
}

/// Pruned payloads expire readers of payloads, not of metadata; the record stays what it was.
pub fn p24_horizon_of_payloads<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let early = rig.page(|request| request.limit(2)).next_cursor;
    let up_to = rig.page(|request| request.limit(4)).next_cursor;
    let ones = ContentFilter::new().equals("/n", 1);
    let filtered = rig.page(|request| request.matching(ones.clone()).limit(2)).next_cursor;
    let checksum = rig.head().checksum;
    assert_eq!(rig.prune(PruneWhat::Payloads, up_to), 4);
    assert_eq!(rig.refusal(early), Some(ErrorKind::CursorExpired));
    assert_eq!(rig.refusal(up_to), None);
    assert_eq!(rig.page(|request| request.since(early).metadata_only()).changes.len(), 4);
    let error = rig.try_page(|request| request.since(filtered).matching(ones).metadata_only()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorExpired, "it is unknown whether pruned payloads match");
    let record = rig.get("0").unwrap();
    assert!(record.payload.is_none() && record.metadata.pruned_at.is_some() && record.metadata.deleted_at.is_none());
    assert_eq!(rig.head().checksum, checksum);
    assert_eq!(rig.save("0", 1), WriteOutcome::Updated, "what was pruned is stored when it comes again");
    let error = rig.try_write(|batch| batch.patch("1", r#"{"m":1}"#)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(rig.save("1", 2), WriteOutcome::Updated);
    assert!(rig.get("1").unwrap().metadata.pruned_at.is_none());
    assert_eq!(rig.delete("2"), WriteOutcome::Deleted);
    rig.verify(&notes());
}

/// A cleared stream is empty, and every earlier cursor has expired.
pub fn p24_clear_begins_anew<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..30, 1);
    let (early, end) = (rig.page(|request| request.limit(3)).next_cursor, rig.end());
    rig.maintain(Maintenance::Clear(notes()));
    for _ in 0..2 {
        assert_eq!(rig.refusal(early), Some(ErrorKind::CursorExpired));
        assert_eq!(rig.refusal(end), Some(ErrorKind::CursorExpired));
        if S::REOPENS {
            rig.reopen();
        }
    }
    let head = rig.head();
    assert_eq!((head.live, head.deleted, head.bytes, head.incarnation), (0, 0, 0, 1));
    assert!(rig.page(|request| request).changes.is_empty() && rig.get("1").is_none());
    assert_eq!(rig.save_all(0..5, 1).added, 5);
    assert_eq!(rig.page(|request| request).changes.len(), 5);
    rig.verify(&notes());
}

/// Pruning never passes a consumer, unless it was evicted.
pub fn p24_prune_stops_at_consumers<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..4, 1);
    rig.delete("0");
    let first = rig.poll("slow", 1).unwrap();
    rig.ack("slow", first.token).unwrap();
    rig.seek("quick", Seek::End);
    let end = rig.end();
    let prune = |up_to| match rig.maintain(Maintenance::Prune { stream: notes(), what: PruneWhat::Tombstones, up_to }) {
        MaintenanceReport::Pruned { removed, held_by, .. } => (removed, held_by),
        other => panic!("{other:?}"),
    };
    assert_eq!(prune(end), (0, Some("slow".to_owned())));
    let second = rig.poll("slow", 100).unwrap();
    assert_eq!(second.page.changes.len(), 3, "nothing was taken from it");
    rig.consumer("slow", ConsumerCommand::Evict).unwrap();
    assert_eq!(prune(end), (1, None));
    assert_eq!(rig.poll("slow", 1).unwrap_err().kind(), ErrorKind::CursorExpired);
    assert!(rig.status("slow").evicted);
    rig.seek("slow", Seek::Start);
    assert_eq!(rig.poll("slow", 100).unwrap().page.changes.len(), 3);
}

/// Streams with history return every version of a record, and their own past state.
pub fn p12_the_past_stays_as_it_was<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default().history(History::Versions(100))));
    let mut moments = Vec::new();
    for n in 0..30_u64 {
        let id = (n % 7).to_string();
        if n % 6 == 5 {
            rig.delete(&id);
        } else {
            rig.save(&id, n / 3);
        }
        let mut alive: Vec<(String, String)> = rig
            .drain(Cursor::START, 100)
            .0
            .into_iter()
            .filter(|change| change.record.metadata.deleted_at.is_none())
            .map(|change| (change.record.id.to_string(), change.record.payload.unwrap().to_string()))
            .collect();
        alive.sort();
        moments.push((rig.end(), alive));
    }
    if S::REOPENS {
        rig.reopen();
    }
    for (cursor, alive) in &moments {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let part = wait(rig.store().as_of(&notes(), *cursor, &after, 2)).unwrap();
            let Some(last) = part.last() else { break };
            after = last.id.to_string();
            found.extend(part.into_iter().map(|record| (record.id.to_string(), record.payload.unwrap().to_string())));
        }
        assert_eq!(&found, alive, "as of {cursor}");
    }
    let versions = wait(rig.store().versions(&notes(), "0")).unwrap();
    assert!(versions.len() > 2 && versions[0].superseded_at.is_none());
    assert!(versions[1..].iter().all(|version| version.superseded_at.is_some()));
    let cursors: Vec<_> = versions.iter().map(|version| version.record.metadata.cursor.position()).collect();
    assert!(cursors.is_sorted_by(|newer, older| newer > older));
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default().history(History::Versions(1))));
    rig.save("0", 70);
    rig.save("0", 71);
    assert_eq!(wait(rig.store().versions(&notes(), "0")).unwrap().len(), 2);
    rig.verify(&notes());
}

/// A view of the past that is no longer complete is refused, never returned incomplete.
pub fn p24_the_past_behind_its_horizon_is_refused<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let early = rig.end();
    assert_eq!(wait(rig.store().as_of(&notes(), early, "", 10)).unwrap().len(), 3);
    rig.save("0", 2);
    let error = wait(rig.store().as_of(&notes(), early, "", 10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorExpired, "no history was kept");
    rig.maintain(Maintenance::Configure(notes(), StreamOptions::default().history(History::Versions(1))));
    let kept = rig.end();
    rig.save("0", 3);
    assert_eq!(wait(rig.store().as_of(&notes(), kept, "", 10)).unwrap().len(), 3);
    rig.save("0", 4);
    let error = wait(rig.store().as_of(&notes(), kept, "", 10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorExpired, "only one version is kept");
    assert_eq!(wait(rig.store().as_of(&notes(), rig.end(), "", 10)).unwrap().len(), 3);
}
