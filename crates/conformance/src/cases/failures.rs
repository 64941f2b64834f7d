//! Named readers that fail: which records are parked, for how long, and how they return (P21).

use std::time::Duration;

use highwater_core::{
    ConsumerCommand, ContentFilter, ErrorKind, Maintenance, NetAction, PollOptions, PruneWhat, RecordId, Seek,
};

use crate::rig::{Rig, ids, nets, notes};
use crate::subject::Subject;

/// Options of a reader without a backoff.
fn at_once() -> PollOptions {
    PollOptions::default().backoff(Duration::ZERO, Duration::ZERO)
}

/// Polls until nothing is left, and nacks deliveries with one of the `bad` records. Returns the acknowledged ids, in order.
fn drain<S: Subject>(rig: &Rig<S>, name: &str, options: &PollOptions, bad: &[&str]) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..200 {
        let delivery = rig.poll_with(name, options).unwrap();
        let found = ids(&delivery.page.changes);
        if found.is_empty() {
            return taken;
        }
        if found.iter().any(|id| bad.contains(id)) {
            rig.nack(name, delivery.token);
        } else {
            taken.extend(found.into_iter().map(str::to_owned));
            rig.ack(name, delivery.token).unwrap();
        }
    }
    panic!("it never comes to an end: {taken:?}")
}

/// A record that cannot be handled is parked alone, and does not block the rest.
pub fn p21_poison_alone_is_parked<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let options = at_once().limit(100).max_attempts(2);
    assert_eq!(drain(&rig, "copy", &options, &["3"]), ["0", "1", "2", "4", "5"]);
    assert_eq!(rig.status("copy").parked, ["3"]);
    // Beside others that fail, and in a batch of every size.
    rig.save_all(10..30, 1);
    if S::REOPENS {
        rig.reopen();
    }
    for (name, limit) in [("copy", 100), ("by one", 1), ("by three", 3)] {
        drain(&rig, name, &at_once().limit(limit).max_attempts(2), &["11", "12", "29", "3"]);
        assert_eq!(rig.status(name).parked, ["3", "11", "12", "29"], "{name}");
        assert_eq!(rig.status(name).lag, 0, "{name}");
    }
    // A success in between resets the count: only failures in a row count.
    let options = at_once().max_attempts(2);
    rig.save("flaky", 1);
    for n in 2..5 {
        let delivery = rig.poll_with("copy", &options).unwrap();
        rig.nack("copy", delivery.token);
        let delivery = rig.poll_with("copy", &options).unwrap();
        assert_eq!((ids(&delivery.page.changes), delivery.attempt), (vec!["flaky"], 2));
        rig.ack("copy", delivery.token).unwrap();
        rig.save("flaky", n);
    }
    assert_eq!(rig.status("copy").parked.len(), 4);
}

/// A nacked delivery waits, longer each time, over restarts too; by default a sink may be unavailable for minutes.
pub fn p21_refused_deliveries_back_off<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..30, 1);
    let mut waited = Duration::ZERO;
    let (mut pauses, mut refused) = (Vec::new(), 0);
    while waited < Duration::from_secs(10 * 60) {
        match rig.poll("copy", 100) {
            Ok(delivery) => {
                refused += 1;
                assert_eq!(refused, pauses.len() + 1, "it is delivered again without a pause");
                rig.nack("copy", delivery.token);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::BackingOff);
                let pause = error.retry_after().unwrap();
                assert_eq!(rig.status("copy").backoff, Some(pause));
                assert!(rig.poll("other", 1).is_ok() || !pauses.is_empty(), "others are served");
                if S::REOPENS {
                    rig.reopen();
                }
                rig.environment.step_ms(i64::try_from(pause.as_millis()).unwrap() - 1);
                assert_eq!(rig.poll("copy", 100).unwrap_err().retry_after(), Some(Duration::from_millis(1)));
                rig.environment.step_ms(1);
                waited += pause;
                pauses.push(pause.as_secs());
            }
        }
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert!(rig.status("copy").parked.is_empty(), "nothing was set aside while the sink was away");
    let delivery = rig.poll("copy", 100).unwrap();
    rig.ack("copy", delivery.token).unwrap();
    let delivery = rig.poll("copy", 100).unwrap();
    rig.nack("copy", delivery.token);
    assert_eq!(rig.status("copy").backoff, Some(Duration::from_secs(1)), "a success begins anew");
    // A wrong clock blocks nothing for years; a seek ends the wait.
    rig.environment.step_ms(-365 * 24 * 3600 * 1000);
    assert_eq!(rig.status("copy").backoff, None);
    let delivery = rig.poll("copy", 100).unwrap();
    rig.nack("copy", delivery.token);
    rig.seek("copy", Seek::Start);
    assert_eq!(rig.poll("copy", 100).unwrap().page.changes.len(), 30);
    // Two nacks of the same delivery cause one wait.
    let delivery = rig.poll_with("twice", &PollOptions::default()).unwrap();
    rig.nack("twice", delivery.token);
    rig.nack("twice", delivery.token);
    assert_eq!(rig.status("twice").backoff, Some(Duration::from_secs(1)));
    assert_eq!(rig.poll("never", 1).unwrap().attempt, 1);
}

/// A reader's death says little about a record: it takes many more deaths than nacks to park it.
pub fn p21_deaths_weigh_less_than_refusals<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let options = at_once().max_attempts(2).max_expirations(6);
    let die = |rig: &Rig<S>| {
        let delivery = rig.poll_with("copy", &options).unwrap();
        rig.environment.step_ms(60_000);
        ids(&delivery.page.changes).len()
    };
    assert_eq!(die(&rig), 3);
    for _ in 0..5 {
        assert_eq!(die(&rig), 1);
    }
    if S::REOPENS {
        rig.reopen();
    }
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!((ids(&delivery.page.changes), delivery.attempt), (vec!["0"], 7));
    assert!(rig.status("copy").parked.is_empty());
    // A nack after the lease ran out counts as a nack.
    rig.environment.step_ms(60_000);
    rig.nack("copy", delivery.token);
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!(ids(&delivery.page.changes), ["0"]);
    rig.environment.step_ms(60_000);
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!((ids(&delivery.page.changes), rig.status("copy").parked), (vec!["1"], vec![RecordId::from("0")]));
}

/// A parked record that changes is delivered with the action it has for its reader, and is no longer parked.
pub fn p21_a_parked_record_that_changes_comes_again<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save("held", 1);
    let options = at_once().max_attempts(1);
    assert_eq!(drain(&rig, "copy", &options, &[]), ["held"]);
    rig.save("held", 2);
    rig.save("never", 1);
    rig.save("gone", 1);
    rig.save("fine", 1);
    assert_eq!(drain(&rig, "copy", &options, &["held", "never", "gone"]), ["fine"]);
    assert_eq!(rig.status("copy").parked, ["held", "never", "gone"]);
    rig.save("held", 3);
    rig.save("never", 2);
    rig.delete("gone");
    if S::REOPENS {
        rig.reopen();
    }
    let delivery = rig.poll_with("copy", &options).unwrap();
    let expected = [("held", NetAction::Updated), ("never", NetAction::Added), ("gone", NetAction::Deleted)];
    assert_eq!(nets(&delivery.page.changes), expected);
    assert_eq!(rig.status("copy").parked.len(), 3, "not yet acknowledged");
    rig.ack("copy", delivery.token).unwrap();
    assert!(rig.status("copy").parked.is_empty());
    rig.save("never", 3);
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!(nets(&delivery.page.changes), [("never", NetAction::Updated)]);
    assert!(rig.unpark("copy").is_empty());
}

/// Pruning a tombstone or clearing a stream also removes what named readers keep about its records, because ids may be
/// personal data.
pub fn p24_removed_records_are_parked_nowhere<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let options = at_once().max_attempts(1);
    let bad = ["stays", "PERSON-1", "PERSON-2"];
    let left = |rig: &Rig<S>| {
        let bytes = rig.subject.bytes();
        bytes.map_or(0, |bytes| bytes.windows(7).filter(|window| *window == b"PERSON-").count())
    };
    for id in bad {
        rig.save(id, 1);
    }
    for name in ["copy", "evicted"] {
        drain(&rig, name, &options, &bad);
        assert_eq!(rig.status(name).parked, bad, "{name}");
    }
    rig.consumer("evicted", ConsumerCommand::Evict).unwrap();
    rig.delete("PERSON-1");
    rig.delete("PERSON-2");
    // It cannot handle the deletes either.
    drain(&rig, "copy", &options, &bad);
    assert_eq!(rig.status("copy").parked, bad);
    // One is unparked and fails alone: the delivery and the failure name it too.
    rig.unpark("copy");
    let delivery = rig.poll_with("copy", &options.clone().limit(1)).unwrap();
    assert_eq!(ids(&delivery.page.changes), ["stays"]);
    rig.ack("copy", delivery.token).unwrap();
    let delivery = rig.poll_with("copy", &options.clone().limit(1)).unwrap();
    assert_eq!(ids(&delivery.page.changes), ["PERSON-1"]);
    rig.nack("copy", delivery.token);
    assert_eq!(rig.prune(PruneWhat::Tombstones, rig.end()), 2);
    if S::REOPENS {
        rig.reopen();
    }
    assert!(rig.status("copy").parked.is_empty());
    assert_eq!(rig.status("evicted").parked, ["stays"], "of what is there it stays known");
    if rig.store().capabilities().erases {
        rig.maintain(Maintenance::Compact);
        assert_eq!(left(&rig), 0);
    }
    assert!(rig.unpark("copy").is_empty());
    assert!(rig.poll_with("copy", &options).unwrap().page.changes.is_empty());
    rig.maintain(Maintenance::Clear(notes()));
    assert!(rig.status("evicted").parked.is_empty());
    assert!(rig.unpark("evicted").is_empty());
}

/// Unparked records are delivered again, in order, and nothing else is.
pub fn p21_unparked_records_are_delivered<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..8, 1);
    let options = at_once().limit(3).max_attempts(1);
    assert_eq!(drain(&rig, "copy", &options, &["1", "4", "5", "6"]), ["0", "2", "3", "7"]);
    assert_eq!(rig.unpark("copy"), ["1", "4", "5", "6"]);
    assert!(rig.status("copy").parked.is_empty());
    rig.save("later", 1);
    rig.save("4", 2);
    rig.delete("6");
    if S::REOPENS {
        rig.reopen();
    }
    let before = rig.status("copy").acknowledged;
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!(nets(&delivery.page.changes), [("1", NetAction::Added), ("5", NetAction::Added)], "the others moved on");
    assert!(delivery.page.has_more && !delivery.page.caught_up);
    assert_eq!(delivery.page.next_cursor, before);
    // They fail again, and again alone.
    rig.nack("copy", delivery.token);
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!(ids(&delivery.page.changes), ["1"]);
    rig.nack("copy", delivery.token);
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!((ids(&delivery.page.changes), rig.status("copy").parked), (vec!["5"], vec![RecordId::from("1")]));
    rig.ack("copy", delivery.token).unwrap();
    let delivery = rig.poll_with("copy", &options).unwrap();
    let expected = [("later", NetAction::Added), ("4", NetAction::Added)];
    assert_eq!(nets(&delivery.page.changes), expected);
    rig.ack("copy", delivery.token).unwrap();
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!(nets(&delivery.page.changes), [("6", NetAction::Deleted)]);
    rig.ack("copy", delivery.token).unwrap();
    assert_eq!((rig.status("copy").parked, rig.status("copy").lag), (vec![RecordId::from("1")], 0));
    // A reader that starts over gets it with the rest; one that is moved to the end keeps it parked.
    rig.seek("copy", Seek::End);
    assert_eq!(rig.status("copy").parked, ["1"]);
    rig.seek("copy", Seek::Start);
    assert!(rig.status("copy").parked.is_empty());
    assert_eq!(ids(&rig.poll_with("copy", &at_once()).unwrap().page.changes)[1], "1");
    // With its filter: records that no longer match are irrelevant to it.
    let ones = at_once().max_attempts(1).matching(ContentFilter::new().equals("/n", 1));
    drain(&rig, "ones", &ones, &["2", "3"]);
    rig.consumer("ones", ConsumerCommand::Unpark).unwrap();
    assert_eq!(drain(&rig, "ones", &ones, &[]), ["2", "3"]);
}

/// A reader that fails at everything does not park everything: after a thousand records it stays where it is.
pub fn p21_parked_records_are_bounded<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..1002, 1);
    let options = at_once().limit(1).max_attempts(1);
    for n in 0..1001 {
        let delivery = rig.poll_with("copy", &options).unwrap();
        assert_eq!(ids(&delivery.page.changes), [n.to_string()]);
        rig.nack("copy", delivery.token);
    }
    for _ in 0..2 {
        let delivery = rig.poll_with("copy", &options).unwrap();
        assert_eq!((ids(&delivery.page.changes), rig.status("copy").parked.len()), (vec!["1000"], 1000));
        rig.nack("copy", delivery.token);
    }
    let delivery = rig.poll_with("copy", &options).unwrap();
    rig.ack("copy", delivery.token).unwrap();
    let delivery = rig.poll_with("copy", &options).unwrap();
    assert_eq!(ids(&delivery.page.changes), ["1001"]);
    rig.ack("copy", delivery.token).unwrap();
    assert_eq!(rig.unpark("copy").len(), 1000);
    let delivery = rig.poll_with("copy", &at_once().limit(2000)).unwrap();
    assert_eq!(delivery.page.changes.len(), 4, "small after the failures");
    rig.ack("copy", delivery.token).unwrap();
    assert_eq!(drain(&rig, "copy", &at_once().limit(2000), &[]).len(), 996);
    assert!(rig.status("copy").parked.is_empty());
}
