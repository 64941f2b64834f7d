//! Named consumers and wake-ups: P21, P22, P25.

use std::time::Duration;

use highwater_core::{
    ConsumerCommand, ConsumerReply, ContentFilter, Cursor, ErrorKind, Maintenance, NetAction, PollOptions, PruneWhat,
    Seek, StreamKey, Timestamp, WriteBatch,
};

use crate::rig::{Rig, ids, nets, note, notes, wait};
use crate::subject::Subject;

/// Unacknowledged records are delivered again: after a failure, a lost lease, a restart.
pub fn p21_unacknowledged_is_delivered_again<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let first = rig.poll("copy", 2).unwrap();
    assert_eq!((ids(&first.page.changes), first.attempt), (vec!["0", "1"], 1));
    assert_eq!(rig.poll("copy", 2).unwrap_err().kind(), ErrorKind::LeaseLost);
    rig.nack("copy", first.token);
    rig.environment.step_ms(1000);
    let second = rig.poll("copy", 2).unwrap();
    assert_eq!((ids(&second.page.changes), second.attempt), (vec!["0"], 2));
    rig.environment.step_ms(61_000);
    if S::REOPENS {
        rig.reopen();
    }
    let third = rig.poll("copy", 3).unwrap();
    assert_eq!((ids(&third.page.changes), third.attempt), (vec!["0"], 3));
    rig.ack("copy", third.token).unwrap();
    if S::REOPENS {
        rig.reopen();
    }
    // Twice as many with each success.
    for expected in [vec!["1", "2"], vec!["3", "4", "5"]] {
        let delivery = rig.poll("copy", 10).unwrap();
        assert_eq!((ids(&delivery.page.changes), delivery.attempt), (expected, 1));
        rig.ack("copy", delivery.token).unwrap();
        rig.ack("copy", delivery.token).ok();
    }
    assert_eq!(rig.status("copy").acknowledged.position(), rig.end().position(), "an acknowledgement never goes back");
    assert!(rig.poll("copy", 10).unwrap().page.changes.is_empty());
}

/// A named reader that stored records and died, or moved back, is notified if these are deleted or leave its filter before it
/// reads again.
pub fn p21_unacknowledged_records_are_reported_when_they_end<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let (all, ones) = (PollOptions::default(), PollOptions::default().matching(ContentFilter::new().equals("/n", 1)));
    let poll = |rig: &Rig<S>, name: &str, options: &PollOptions| match rig
        .consumer(name, ConsumerCommand::Poll(options.clone().lease(Duration::from_secs(1))))
        .unwrap()
    {
        ConsumerReply::Delivery(delivery) => delivery,
        other => panic!("{other:?}"),
    };
    rig.save_all(0..2, 1);
    rig.save("never", 2);
    for (name, options) in [("all", &all), ("ones", &ones)] {
        assert_eq!(
            nets(&poll(&rig, name, options).page.changes)[..2],
            [("0", NetAction::Added), ("1", NetAction::Added)]
        );
    }
    // Both stored that, and died before acknowledging.
    rig.environment.step_ms(2000);
    rig.save("0", 2);
    rig.delete("1");
    rig.save("new", 1);
    rig.delete("new");
    if S::REOPENS {
        rig.reopen();
    }
    let expected = [("0", NetAction::Left), ("1", NetAction::Deleted), ("new", NetAction::Void)];
    // One record at first: the reader died with several.
    let rest = |rig: &Rig<S>, name: &str, options: &PollOptions| {
        let mut told = Vec::new();
        loop {
            let delivery = poll(rig, name, options);
            if delivery.page.changes.is_empty() {
                return told;
            }
            told.extend(nets(&delivery.page.changes).into_iter().map(|(id, net)| (id.to_owned(), net)));
            rig.ack(name, delivery.token).unwrap();
        }
    };
    assert_eq!(rest(&rig, "ones", &ones), expected.map(|(id, net)| (id.to_owned(), net)));
    // Updated: in the middle of a drain a record may have moved ahead of its reader.
    let expected =
        [("never", NetAction::Added), ("0", NetAction::Updated), ("1", NetAction::Deleted), ("new", NetAction::Void)];
    assert_eq!(rest(&rig, "all", &all), expected.map(|(id, net)| (id.to_owned(), net)));
    // The same for a reader that is moved back: it has what it read since.
    let before = rig.page(|request| request.matching(ContentFilter::new().equals("/n", 1))).next_cursor;
    rig.save("later", 1);
    let delivery = poll(&rig, "ones", &ones);
    rig.ack("ones", delivery.token).unwrap();
    rig.save("later", 2);
    let back = ConsumerCommand::SeekMatching(Seek::Cursor(before), ContentFilter::new().equals("/n", 1));
    rig.consumer("ones", back).unwrap();
    assert_eq!(nets(&poll(&rig, "ones", &ones).page.changes), [("later", NetAction::Left)]);
    // From START it begins with an empty copy.
    rig.consumer("ones", ConsumerCommand::Seek(Seek::Start)).unwrap();
    let delivery = poll(&rig, "ones", &ones);
    assert_eq!(nets(&delivery.page.changes), [("1", NetAction::Void), ("new", NetAction::Void)]);
    // A reader that never acknowledged anything is at START, but has records when the stream is cleared.
    rig.seek("first", Seek::Start);
    assert_eq!(poll(&rig, "first", &all).page.changes[0].net, NetAction::Added);
    rig.environment.step_ms(2000);
    rig.maintain(Maintenance::Clear(notes()));
    rig.save("anew", 1);
    let options = ConsumerCommand::Poll(PollOptions::default());
    assert_eq!(rig.consumer("first", options).unwrap_err().kind(), ErrorKind::CursorExpired);
    rig.seek("first", Seek::Start);
    assert_eq!(nets(&poll(&rig, "first", &all).page.changes), [("anew", NetAction::Added)]);
}

/// Reading again from any position ends with the same copy.
pub fn p21_seeking_replays<S: Subject>() {
    let rig = Rig::<S>::new();
    for n in 0..8 {
        rig.save(&n.to_string(), n);
        rig.environment.step_ms(1000);
    }
    let cursors: Vec<Cursor> =
        rig.page(|request| request).changes.iter().map(|change| change.record.metadata.cursor).collect();
    let after = |seek: Seek| {
        rig.seek("copy", seek);
        let delivery = rig.poll("copy", 100).unwrap();
        rig.ack("copy", delivery.token).unwrap();
        ids(&delivery.page.changes).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(after(Seek::Start).len(), 8);
    assert_eq!(after(Seek::End).len(), 0);
    assert_eq!(after(Seek::Cursor(cursors[4])), ["5", "6", "7"]);
    assert_eq!(after(Seek::Time(cursors[6].time())), ["6", "7"]);
    assert_eq!(after(Seek::Time(cursors[0].time())).len(), 8);
    let later = cursors[7].time() + Duration::from_secs(24 * 3600);
    assert!(after(Seek::Time(later)).is_empty());
    let no_position_has = Timestamp::from_unix_ms((1 << 48) + 5);
    for far in [no_position_has, Timestamp::from_unix_ms(u64::MAX)] {
        assert!(after(Seek::Time(far)).is_empty(), "{far}");
        assert!(rig.page(|request| request.modified_after(far)).changes.is_empty(), "{far}");
    }
    assert_eq!(after(Seek::Time(Timestamp::UNIX_EPOCH)).len(), 8);
    let error = rig.consumer("unknown", ConsumerCommand::Status).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    rig.delete("0");
    rig.consumer("copy", ConsumerCommand::Remove).unwrap();
    rig.prune(PruneWhat::Tombstones, rig.end());
    let error = rig.consumer("copy", ConsumerCommand::Seek(Seek::Cursor(cursors[4]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorExpired);
    assert_eq!(after(Seek::Time(cursors[6].time())).len(), 7, "from behind the horizon only the start is complete");
}

/// A commit wakes every waiting reader, never before it is visible; a lost hint costs time, not data.
pub fn p22_wakeups_are_hints<S: Subject>() {
    let rig = Rig::<S>::new();
    let store = std::sync::Arc::clone(rig.store());
    let mut wakeups = store.subscribe();
    let writer = std::thread::spawn({
        let store = std::sync::Arc::clone(&store);
        move || {
            for n in 0..40_u64 {
                let mut batch = WriteBatch::new();
                batch.on(&notes()).upsert(note(&n.to_string(), n));
                wait(store.commit(batch)).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    // A reader that reads only when it is woken.
    let (mut cursor, mut seen) = (Cursor::START, 0);
    while seen < 40 {
        wait(async { tokio::time::timeout(Duration::from_secs(10), wakeups.changed()).await })
            .expect("a commit wakes the reader")
            .unwrap();
        let page = rig.page(|request| request.since(cursor).limit(1000));
        seen += page.changes.len();
        cursor = page.next_cursor;
    }
    writer.join().unwrap();
    drop(wakeups);
    rig.save("unheard", 1);
    assert_eq!(ids(&rig.page(|request| request.since(cursor)).changes), ["unheard"]);
    let mut late = store.subscribe();
    wait(store.close()).unwrap();
    assert_eq!(wait(late.changed()).unwrap_err().kind(), ErrorKind::Closed);
}

/// A commit wakes the readers of other handles.
pub fn p22_other_handles_wake_too<S: Subject>() {
    if !S::SHARES {
        return;
    }
    let rig = Rig::<S>::new();
    let other = rig.handle();
    let mut wakeups = other.subscribe();
    let mut cursor = Cursor::START;
    for n in 0..5 {
        rig.save(&n.to_string(), n);
        loop {
            wait(async { tokio::time::timeout(Duration::from_secs(10), wakeups.changed()).await })
                .expect("a commit of another handle wakes the reader")
                .unwrap();
            let page = wait(other.page(highwater_core::PageRequest::new(notes()).since(cursor))).unwrap();
            cursor = page.next_cursor;
            if !page.changes.is_empty() {
                break;
            }
        }
    }
    wait(other.close()).unwrap();
}

/// Consumers do not disturb each other; a reader that lost its lease can neither read nor acknowledge.
pub fn p25_leases_fence<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let mine = rig.poll("shared", 2).unwrap();
    let theirs = rig.poll("other", 3).unwrap();
    assert_eq!(ids(&theirs.page.changes), ["0", "1", "2"]);
    let error = rig.poll("shared", 2).unwrap_err();
    assert!(error.kind() == ErrorKind::LeaseLost && error.retry_after().is_some());
    rig.environment.step_ms(60_001);
    let taken = rig.poll("shared", 4).unwrap();
    assert_eq!(ids(&taken.page.changes), ["0"]);
    assert_eq!(rig.ack("shared", mine.token).unwrap_err().kind(), ErrorKind::LeaseLost);
    assert_eq!(rig.consumer("shared", ConsumerCommand::Nack(mine.token)).unwrap_err().kind(), ErrorKind::LeaseLost);
    rig.ack("shared", taken.token).unwrap();
    assert_eq!((rig.status("shared").lag, rig.status("other").lag), (5, 6));
    rig.ack("other", theirs.token).unwrap();
    assert_eq!(rig.status("other").lag, 3);
    let held = rig.poll("other", 1).unwrap();
    rig.seek("other", Seek::Start);
    assert_eq!(rig.ack("other", held.token).unwrap_err().kind(), ErrorKind::LeaseLost, "a seek breaks the lease");
    let mut names = wait(rig.store().consumers(&notes())).unwrap();
    names.sort();
    assert_eq!(names, ["other", "shared"]);
    assert!(wait(rig.store().consumers(&StreamKey::new("demo", "Other"))).unwrap().is_empty());
    let filter = PollOptions::default().matching(ContentFilter::new().equals("/n", 1));
    let error = rig.consumer("other", ConsumerCommand::Poll(filter)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FilterMismatch);
}

/// A lease granted by a clock that was ahead does not last until that time; a recent one holds.
pub fn p25_a_wrong_clock_gives_no_lease_for_years<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let year = 365 * 24 * 3600 * 1000;
    rig.environment.step_ms(10 * year);
    rig.poll("copy", 1).unwrap();
    rig.environment.step_ms(-30_000);
    assert_eq!(rig.poll("copy", 1).unwrap_err().kind(), ErrorKind::LeaseLost, "set back by less than a lease");
    rig.environment.step_ms(30_000 - 10 * year);
    let delivery = rig.poll("copy", 1).unwrap();
    assert_eq!((ids(&delivery.page.changes), delivery.attempt), (vec!["0"], 2));
    assert_eq!(rig.poll("copy", 1).unwrap_err().kind(), ErrorKind::LeaseLost);
}

/// A late or repeated acknowledgement never moves the position back.
pub fn p21_an_acknowledgement_never_goes_back<S: Subject>() {
    let rig = Rig::<S>::new();
    let ones = PollOptions::default().matching(ContentFilter::new().equals("/n", 1)).limit(1);
    let poll = || match rig.consumer("ones", ConsumerCommand::Poll(ones.clone())).unwrap() {
        ConsumerReply::Delivery(delivery) => delivery,
        other => panic!("{other:?}"),
    };
    rig.save("a", 1);
    rig.save("b", 2);
    let delivery = poll();
    assert_eq!(ids(&delivery.page.changes), ["a"]);
    rig.ack("ones", delivery.token).unwrap();
    rig.save("c", 2);
    assert!(poll().page.changes.is_empty(), "skipped records are acknowledged implicitly");
    let before = rig.status("ones");
    assert_eq!((before.lag, before.acknowledged.position()), (0, rig.head().high_water.position()));
    rig.ack("ones", delivery.token).unwrap();
    assert_eq!(rig.status("ones"), before);
}

/// An acknowledgement after the lease ran out counts until another reader takes over, and not after that.
pub fn p25_a_late_acknowledgement_counts_while_nobody_took_over<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..4, 1);
    let slow = rig.poll("copy", 2).unwrap();
    rig.environment.step_ms(3_600_000);
    rig.ack("copy", slow.token).unwrap();
    let next = rig.poll("copy", 2).unwrap();
    assert_eq!((ids(&next.page.changes), next.attempt), (vec!["2", "3"], 1), "slowness is not counted as a failure");
    rig.environment.step_ms(3_600_000);
    let other = rig.poll("copy", 2).unwrap();
    assert_eq!(rig.ack("copy", next.token).unwrap_err().kind(), ErrorKind::LeaseLost);
    assert_eq!(ids(&other.page.changes), ["2"]);
    rig.ack("copy", other.token).unwrap();
    assert_eq!(rig.status("copy").lag, 1);
}

/// The lag of a reader below cleared or pruned entries counts existing records only.
pub fn p25_removed_records_are_no_lag<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..400, 1);
    let delivery = rig.poll("copy", 10).unwrap();
    rig.ack("copy", delivery.token).unwrap();
    let delivery = rig.poll("end", 1000).unwrap();
    rig.ack("end", delivery.token).unwrap();
    assert_eq!((rig.status("copy").lag, rig.status("end").lag), (390, 0));
    rig.maintain(Maintenance::Clear(notes()));
    for name in ["copy", "end"] {
        assert_eq!((rig.status(name).lag, rig.status(name).lag_time), (0, None), "{name} of an empty stream");
    }
    rig.save_all(0..2, 2);
    assert_eq!((rig.status("copy").lag, rig.status("end").lag), (2, 2));
    // The last row is removed: nothing is left after the reader before it.
    rig.consumer("copy", ConsumerCommand::Evict).unwrap();
    rig.seek("end", Seek::End);
    rig.delete("1");
    let delivery = rig.poll("end", 10).unwrap();
    rig.ack("end", delivery.token).unwrap();
    rig.prune(PruneWhat::Tombstones, rig.end());
    assert_eq!((rig.status("end").lag, rig.status("copy").lag), (0, 1));
}

/// The lease of a removed consumer stays invalid when the name is used again.
pub fn p25_a_removed_consumers_lease_stays_lost<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let old = rig.poll("copy", 4).unwrap();
    rig.consumer("copy", ConsumerCommand::Remove).unwrap();
    assert_eq!(rig.ack("copy", old.token).unwrap_err().kind(), ErrorKind::NotFound);
    if S::REOPENS {
        rig.reopen();
    }
    let new = rig.poll("copy", 1).unwrap();
    assert_eq!(rig.ack("copy", old.token).unwrap_err().kind(), ErrorKind::LeaseLost);
    rig.ack("copy", new.token).unwrap();
    assert_eq!(rig.status("copy").lag, 5, "the old reader's delivery was not acknowledged");
}

/// A named reader keeps its filter: records that leave it are reported, and it can begin anywhere.
pub fn p18_a_named_reader_keeps_to_its_filter<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let ones = ContentFilter::new().equals("/n", 1);
    let poll = |rig: &Rig<S>, name: &str| {
        let options = PollOptions::default().matching(ones.clone());
        match rig.consumer(name, ConsumerCommand::Poll(options)).unwrap() {
            ConsumerReply::Delivery(delivery) => {
                rig.ack(name, delivery.token).unwrap();
                nets(&delivery.page.changes).into_iter().map(|(id, net)| (id.to_owned(), net)).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let told = |changes: &[(&str, NetAction)]| -> Vec<(String, NetAction)> {
        changes.iter().map(|(id, net)| ((*id).to_owned(), *net)).collect()
    };
    rig.save_all(0..3, 1);
    rig.save("other", 2);
    let filtered = rig.page(|request| request.matching(ones.clone()).limit(1)).next_cursor;
    assert_eq!(poll(&rig, "ones"), told(&[("0", NetAction::Added), ("1", NetAction::Added), ("2", NetAction::Added)]));
    // A seek before the first poll, with the filter or without.
    rig.seek("late", Seek::End);
    rig.consumer("behind", ConsumerCommand::SeekMatching(Seek::Cursor(filtered), ones.clone())).unwrap();
    let plain = ConsumerCommand::Seek(Seek::Cursor(filtered));
    assert_eq!(rig.consumer("plain", plain).unwrap_err().kind(), ErrorKind::FilterMismatch);
    if S::REOPENS {
        rig.reopen();
    }
    assert_eq!(poll(&rig, "late"), told(&[]));
    assert_eq!(poll(&rig, "behind"), told(&[("1", NetAction::Added), ("2", NetAction::Added)]));
    rig.save("1", 2);
    rig.delete("2");
    rig.save("other", 1);
    rig.save("other", 3);
    let gone = told(&[("1", NetAction::Left), ("2", NetAction::Deleted)]);
    for name in ["ones", "behind"] {
        let mut changes = poll(&rig, name);
        // A record that never matched may be reported as LEFT: removing it again is harmless.
        changes.retain(|(id, net)| !(id == "other" && *net == NetAction::Left));
        assert_eq!(changes, gone, "{name}");
    }
    // The filter is fixed, whatever later polls request.
    assert_eq!(rig.poll("ones", 1).unwrap_err().kind(), ErrorKind::FilterMismatch);
    let another = ConsumerCommand::SeekMatching(Seek::Start, ContentFilter::new().equals("/n", 2));
    assert_eq!(rig.consumer("ones", another).unwrap_err().kind(), ErrorKind::FilterMismatch);
    rig.save("1", 1);
    assert_eq!(poll(&rig, "ones"), told(&[("1", NetAction::Updated)]));
}

/// An evicted reader has to clear its copy, even after a seek to a time before the first record.
pub fn p25_an_evicted_reader_gets_an_error<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..2, 1);
    let known = rig.end();
    let delivery = rig.poll("copy", 10).unwrap();
    rig.ack("copy", delivery.token).unwrap();
    rig.consumer("copy", ConsumerCommand::Evict).unwrap();
    rig.delete("0");
    rig.prune(PruneWhat::Tombstones, rig.end());
    rig.seek("copy", Seek::Time(known.time()));
    let error = rig.poll("copy", 10).unwrap_err();
    assert_eq!((error.kind(), rig.status("copy").evicted), (ErrorKind::CursorExpired, true), "it holds 0");
    rig.seek("copy", Seek::Cursor(Cursor::START));
    assert_eq!(ids(&rig.poll("copy", 10).unwrap().page.changes), ["1"]);
}

/// A consumer's lag is counted in records and in time.
pub fn p25_lag<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.seek("copy", Seek::End);
    rig.seek("never", Seek::Start);
    assert_eq!((rig.status("copy").lag, rig.status("copy").lag_time), (0, None));
    rig.save_all(0..5, 1);
    rig.environment.step_ms(3000);
    rig.save("6", 1);
    let status = rig.status("copy");
    assert_eq!((status.lag, status.lag_time), (6, Some(Duration::from_millis(3000))));
    rig.seek("half", Seek::Cursor(rig.page(|request| request.limit(3)).next_cursor));
    assert_eq!((rig.status("half").lag, rig.status("never").lag), (3, 6));
    rig.save("6", 2);
    rig.save("0", 2);
    assert_eq!(rig.status("half").lag, 4, "each record once");
    // A large lag is not counted one by one: it is the number of modifications, at most the number of records.
    rig.save_all(1000..1400, 1);
    rig.seek("half", Seek::Cursor(rig.page(|request| request.limit(100)).next_cursor));
    assert_eq!((rig.status("half").lag, rig.status("never").lag), (306, 406));
    rig.save_all(1390..1400, 2);
    assert_eq!((rig.status("half").lag, rig.status("never").lag), (316, 406));
    let delivery = rig.poll("half", 10).unwrap();
    rig.ack("half", delivery.token).unwrap();
    assert_eq!(rig.status("half").lag, 306);
    rig.save_all(1000..1400, 3);
    assert_eq!(rig.status("half").lag, 406);
    let delivery = rig.poll("half", 1000).unwrap();
    rig.ack("half", delivery.token).unwrap();
    assert_eq!((rig.status("half").lag, rig.status("half").lag_time), (0, None));
}
