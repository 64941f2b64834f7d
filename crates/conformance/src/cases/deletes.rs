//! Runs and patches: P26, P27, P34.

use highwater_core::{
    BadRecords, DeleteGuard, ErrorKind, Maintenance, RunId, StreamBatch, Timestamp, WriteBatch, WriteOutcome,
};

use crate::rig::{Rig, ids, note, notes, wait};
use crate::subject::Subject;

const RUN: RunId = RunId::new(Timestamp::from_unix_ms(1), 1);
const NEXT_RUN: RunId = RunId::new(Timestamp::from_unix_ms(2), 2);

/// A completed run deletes the records that it did not see, but not those that another writer wrote in the meantime.
pub fn p26_a_run_spares_what_it_saw_and_what_is_new<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    rig.write(|batch| batch.begin_run(RUN).upsert(note("0", 1)).upsert(note("1", 2)));
    rig.save("9", 5);
    rig.save("meanwhile", 1);
    rig.delete("8");
    rig.save("8", 1);
    rig.write(|batch| batch.in_run(RUN).upsert(note("2", 1)).upsert(note("late", 1)).delete("3"));
    let end = rig.write(|batch| batch.complete_run(RUN, DeleteGuard::APPROVED));
    assert_eq!(end.deleted, 4);
    let mut alive: Vec<String> = rig
        .page(|request| request)
        .changes
        .iter()
        .filter(|change| change.record.metadata.deleted_at.is_none())
        .map(|change| change.record.id.to_string())
        .collect();
    alive.sort();
    assert_eq!(alive, ["0", "1", "2", "8", "9", "late", "meanwhile"]);
    rig.verify(&notes());
}

/// A run that was aborted, superseded or never completed deletes nothing.
pub fn p26_an_incomplete_run_deletes_nothing<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    rig.write(|batch| batch.begin_run(RUN).upsert(note("0", 1)));
    rig.write(|batch| batch.abort_run(RUN));
    assert_eq!(rig.head().live, 10);
    let error = rig.try_write(|batch| batch.complete_run(RUN, DeleteGuard::APPROVED)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    rig.write(|batch| batch.begin_run(RUN).upsert(note("0", 1)));
    rig.write(|batch| batch.begin_run(NEXT_RUN).upsert(note("1", 1)));
    assert_eq!(rig.head().live, 10, "an overtaken run deletes nothing");
    let error = rig.try_write(|batch| batch.in_run(RUN).upsert(note("7", 7))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    if S::REOPENS {
        rig.reopen();
    }
    assert_eq!((rig.head().live, rig.head().deleted), (10, 0));
    assert_eq!(rig.head().open_run, Some(NEXT_RUN));
}

/// A run that was aborted and begins again under the same id has seen nothing yet, whichever handle cached the first one.
pub fn p26_a_restarted_run_has_seen_nothing<S: Subject>() {
    if !S::SHARES {
        return;
    }
    let rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    let other = rig.handle();
    rig.write(|batch| batch.begin_run(RUN).upsert(note("0", 1)).upsert(note("1", 1)));
    for again in [false, true] {
        let mut batch = WriteBatch::new();
        match again {
            false => batch.on(&notes()).abort_run(RUN),
            true => batch.on(&notes()).begin_run(RUN).upsert(note("7", 1)),
        };
        wait(other.commit(batch)).unwrap();
    }
    let unseen = rig.write(|batch| batch.in_run(RUN).upsert(note("8", 1)).list_unseen(RUN, 100)).unseen.unwrap();
    let unseen: Vec<&str> = unseen.ids.iter().map(|id| &**id).collect();
    assert_eq!(unseen, ["0", "1", "2", "3", "4", "5", "6", "9"]);
    assert_eq!(rig.write(|batch| batch.complete_run(RUN, DeleteGuard::APPROVED)).deleted, 8);
    rig.verify(&notes());
    wait(other.close()).unwrap();
}

/// A run that continues after a restart still knows what it saw before.
pub fn p26_a_resumed_run_remembers_what_it_saw<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..100, 1);
    rig.write(|batch| {
        batch.begin_run(RUN);
        (0..40).for_each(|n| {
            batch.upsert(note(&n.to_string(), 1));
        });
        batch
    });
    if S::REOPENS {
        rig.reopen();
    }
    rig.write(|batch| {
        batch.begin_run(RUN);
        (40..70).for_each(|n| {
            batch.upsert(note(&n.to_string(), 1));
        });
        batch
    });
    rig.save("5", 2);
    if S::REOPENS {
        rig.reopen();
    }
    rig.write(|batch| {
        batch.in_run(RUN);
        (70..95).for_each(|n| {
            batch.upsert(note(&n.to_string(), 2));
        });
        batch
    });
    let end = rig.write(|batch| batch.complete_run(RUN, DeleteGuard::default()));
    assert_eq!(end.deleted, 5);
    let tombstones = rig.page(|request| request.filter([highwater_core::Action::Deleted])).changes;
    assert_eq!(ids(&tombstones), ["95", "96", "97", "98", "99"]);
    rig.verify(&notes());
}

/// A run that would delete too much, or everything, waits for approval, and deletes nothing until then.
pub fn p26_the_guard_holds_mass_deletes<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..100, 1);
    rig.write(|batch| {
        batch.begin_run(RUN);
        (0..79).for_each(|n| {
            batch.upsert(note(&n.to_string(), 1));
        });
        batch
    });
    let complete = |rig: &Rig<S>, guard| rig.try_write(|batch| batch.complete_run(RUN, guard));
    let error = complete(&rig, DeleteGuard::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval);
    assert_eq!((error.context("deletes"), error.context("live")), (Some("21"), Some("100")));
    assert_eq!(rig.head().deleted, 0);
    if S::REOPENS {
        rig.reopen();
    }
    let close = DeleteGuard::new().count(21).fraction(0.0);
    assert_eq!(complete(&rig, close).unwrap().deleted, 21);

    rig.write(|batch| batch.begin_run(NEXT_RUN));
    let all = DeleteGuard::new().count(u64::MAX).fraction(1.0);
    let error = rig.try_write(|batch| batch.complete_run(NEXT_RUN, all)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval, "an empty source needs confirmation");
    // Also if the stream is not empty, because another writer wrote in the meantime.
    rig.write(|batch| batch.origin("webhook").upsert(note("new", 1)));
    rig.write(|batch| batch.in_run(NEXT_RUN).seen("unknown").delete("unknown"));
    if S::REOPENS {
        rig.reopen();
    }
    let error = rig.try_write(|batch| batch.complete_run(NEXT_RUN, all)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval, "the run itself saw nothing");
    let unseen = rig.write(|batch| batch.list_unseen(NEXT_RUN, 1)).unseen.unwrap();
    assert_eq!((unseen.missing, unseen.live, unseen.saw_any), (79, 80, false));
    let approved = rig.write(|batch| batch.complete_run(NEXT_RUN, DeleteGuard::APPROVED));
    assert_eq!((approved.deleted, rig.head().live), (79, 1), "a source that is really empty can be approved");
    rig.verify(&notes());
}

/// A record that was sent but could not be read is not deleted.
pub fn p26_quarantined_records_count_as_seen<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..10, 1);
    let commit = rig.write(|batch| {
        batch.begin_run(RUN).bad_records(BadRecords::Quarantine);
        (0..9).for_each(|n| {
            batch.upsert(note(&n.to_string(), 1));
        });
        batch.upsert(r#"{"id":"9","broken":}"#);
        batch
    });
    assert_eq!(commit.outcomes[9], WriteOutcome::Rejected);
    assert_eq!(commit.rejected.len(), 1);
    let kept = wait(rig.store().documents("quarantine/", "", 10)).unwrap();
    assert!(kept.len() == 1 && kept[0].value.as_str().contains("broken"));
    assert_eq!(rig.write(|batch| batch.complete_run(RUN, DeleteGuard::default())).deleted, 0);

    rig.write(|batch| batch.begin_run(NEXT_RUN).bad_records(BadRecords::Quarantine).upsert("{}"));
    rig.write(|batch| {
        (0..9).for_each(|n| {
            batch.in_run(NEXT_RUN).upsert(note(&n.to_string(), 1));
        });
        batch
    });
    let error = rig.try_write(|batch| batch.complete_run(NEXT_RUN, DeleteGuard::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval, "it is unknown which record that was");
}

/// A bad record with any id is set aside alone, without affecting the rest of its batch.
pub fn p26_each_bad_record_is_set_aside_by_itself<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let waves = "🌊".repeat(1024);
    let bad_ids = [
        "plain".to_owned(),
        "a\0b".to_owned(),
        "a/b".to_owned(),
        format!("{}1", &waves[4..]),
        format!("{}2", &waves[4..]),
    ];
    let write = |rig: &Rig<S>, text: &'static str| {
        rig.write(|batch| {
            batch.bad_records(BadRecords::Quarantine);
            for id in &bad_ids {
                batch.upsert_as(id.as_str(), text);
            }
            batch.upsert(note("good", 1)).upsert(r#"{"n":1}"#).upsert(r#"{"n":2}"#).upsert_as("", "{}")
        })
    };
    // The stream is still empty: set-aside records must be found under the number that it gets later.
    let outcomes = rig.write(|batch| batch.bad_records(BadRecords::Quarantine).upsert_as("first", "[")).outcomes;
    assert_eq!(outcomes, [WriteOutcome::Rejected]);
    let commit = write(&rig, "[1]");
    assert_eq!(commit.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 7, 8]);
    assert_eq!((commit.added, rig.head().live), (1, 1));
    write(&rig, "[2]");
    if S::REOPENS {
        rig.reopen();
    }
    let prefix = format!("quarantine/{}/", rig.head().number);
    let documents = wait(rig.store().documents(&prefix, "", 100)).unwrap();
    let values: Vec<serde_json::Value> = documents.iter().map(|document| document.value.to().unwrap()).collect();
    let mut told: Vec<&str> = values.iter().filter_map(|value| value["id"].as_str()).collect();
    told.sort_unstable();
    let mut expected: Vec<&str> = bad_ids.iter().map(String::as_str).chain(["first"]).collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(values.len(), expected.len() + 3, "records without an id are distinguished by their content");
    for value in values.iter().filter(|value| value["id"].is_string() && value["id"] != "first") {
        assert_eq!(value["payload"], "[2]", "the newest content");
    }
    rig.verify(&notes());
}

/// Set-aside records are bounded: the newest hundred, the beginning of each. Clearing the stream removes them.
pub fn p26_set_aside_records_are_bounded<S: Subject>() {
    let mut rig = Rig::<S>::new();
    let kept = |rig: &Rig<S>| wait(rig.store().documents("quarantine/", "", 1000)).unwrap();
    let long = format!(r#"{{"text":"{}""#, "x".repeat(100_000));
    for wave in 0..3 {
        rig.write(|batch| {
            batch.bad_records(BadRecords::Quarantine);
            for n in 0..60 {
                batch.upsert_as(format!("{wave}-{n:02}"), long.clone());
            }
            batch
        });
        rig.environment.step_ms(5);
        if S::REOPENS {
            rig.reopen();
        }
    }
    let documents = kept(&rig);
    assert_eq!(documents.len(), 100);
    assert!(documents.iter().all(|document| document.value.as_str().len() < 20_000));
    let newest = documents.iter().filter(|document| document.key.contains("/2-")).count();
    assert_eq!(newest, 60, "the oldest went first");
    assert!(!documents.iter().any(|document| document.key.contains("/0-")));
    rig.maintain(Maintenance::Clear(notes()));
    assert!(kept(&rig).is_empty());
    rig.verify(&notes());
}

/// A record that its writer set aside counts as seen if it has an id; without one, nothing is certain.
pub fn p26_a_writer_can_set_records_aside<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..3, 1);
    let commit = rig.write(|batch| {
        batch.begin_run(RUN).upsert(note("0", 1)).upsert(note("1", 1));
        batch.set_aside_as("2", "what came", "its time cannot be read")
    });
    assert_eq!((commit.outcomes[2], commit.rejected.len()), (WriteOutcome::Rejected, 1));
    let rejected = &commit.rejected[0];
    assert_eq!((rejected.index, rejected.id.as_deref()), (2, Some("2")));
    let document = wait(rig.store().document(&rejected.document)).unwrap().unwrap();
    let value: serde_json::Value = document.to().unwrap();
    assert_eq!((&value["reason"], &value["id"]), (&"its time cannot be read".into(), &"2".into()));
    assert_eq!(rig.write(|batch| batch.complete_run(RUN, DeleteGuard::default())).deleted, 0);
    assert_eq!(rig.head().live, 3);

    // The writer may identify it by something other than its member `id`.
    rig.write(|batch| batch.begin_run(NEXT_RUN).upsert(note("0", 1)).set_aside(note("1", 2), "no key"));
    let error = rig.try_write(|batch| batch.complete_run(NEXT_RUN, DeleteGuard::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval);
    assert_eq!(rig.write(|batch| batch.complete_run(NEXT_RUN, DeleteGuard::APPROVED)).deleted, 1);
    rig.verify(&notes());
}

/// The end of a run is atomic: deletes, checkpoint and state, or none of them.
pub fn p27_a_runs_end_is_one<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..30, 1);
    let end = |fill: &dyn for<'b> Fn(&'b mut StreamBatch) -> &'b mut StreamBatch| {
        let mut batch = WriteBatch::new();
        fill(batch.on(&notes()));
        batch.put_document("checkpoint", "second").unwrap();
        batch
    };
    let mut first = WriteBatch::new();
    first.on(&notes()).begin_run(RUN).upsert(note("0", 1));
    first.put_document("checkpoint", "first").unwrap();
    rig.commit(first).unwrap();
    let held = end(&|batch| batch.in_run(RUN).upsert(note("new", 1)).complete_run(RUN, DeleteGuard::default()));
    assert_eq!(rig.commit(held).unwrap_err().kind(), ErrorKind::AwaitingApproval);
    let checkpoint = |rig: &Rig<S>| wait(rig.store().document("checkpoint")).unwrap().unwrap().to_string();
    if S::REOPENS {
        rig.reopen();
    }
    assert_eq!((checkpoint(&rig).as_str(), rig.head().live), ("\"first\"", 30));
    assert!(rig.get("new").is_none() && rig.head().open_run.is_some());
    let done = end(&|batch| batch.in_run(RUN).upsert(note("new", 1)).complete_run(RUN, DeleteGuard::APPROVED));
    assert_eq!(rig.commit(done).unwrap().streams[0].deleted, 29);
    assert_eq!((checkpoint(&rig).as_str(), rig.head().live), ("\"second\"", 2));
    assert!(rig.head().open_run.is_none());
}

/// A patch is a deep merge: objects member by member, arrays whole; compared after merging.
pub fn p34_patches_merge_deeply<S: Subject>() {
    let rig = Rig::<S>::new();
    let patch = |id: &str, text: &str| rig.write(|batch| batch.patch(id, text.to_owned())).outcomes[0];
    let value = |id: &str| -> serde_json::Value { rig.get(id).unwrap().payload.unwrap().to().unwrap() };
    assert_eq!(patch("a", r#"{"id":"a","deep":{"x":1,"list":[1,2]},"n":18446744073709551617}"#), WriteOutcome::Added);
    assert_eq!(patch("a", r#"{"deep":{"y":2,"list":[3]}}"#), WriteOutcome::Updated);
    assert_eq!(value("a")["deep"], serde_json::json!({"x": 1, "y": 2, "list": [3]}));
    assert!(rig.get("a").unwrap().payload.unwrap().as_str().contains("18446744073709551617"), "numbers stay exact");
    assert_eq!(patch("a", r#"{"deep":{"x":1.0}}"#), WriteOutcome::Unchanged);
    assert_eq!(patch("a", r#"{"deep":null}"#), WriteOutcome::Updated);
    assert_eq!(value("a")["deep"], serde_json::Value::Null);
    assert_eq!(rig.delete("a"), WriteOutcome::Deleted);
    assert_eq!(patch("a", r#"{"only":1}"#), WriteOutcome::Added);
    assert_eq!(value("a"), serde_json::json!({"only": 1}), "a deleted record is not merged into");
    assert!(rig.try_write(|batch| batch.patch("a", "[1]")).is_err());
    rig.verify(&notes());
}

/// The records that a run has not seen can be listed before it ends, and records can be marked as seen by id.
pub fn p26_unseen_records_can_be_looked_up_first<S: Subject>() {
    let rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let listed = rig.write(|batch| batch.begin_run(RUN).upsert(note("0", 1)).upsert(note("1", 2)).list_unseen(RUN, 10));
    let mut unseen: Vec<_> = listed.unseen.unwrap().ids.iter().map(|id| id.to_string()).collect();
    unseen.sort();
    assert_eq!(unseen, ["2", "3", "4", "5"]);
    rig.write(|batch| batch.in_run(RUN).seen("3"));
    assert_eq!(rig.write(|batch| batch.complete_run(RUN, DeleteGuard::default())).deleted, 3);
    assert!(rig.get("3").unwrap().metadata.deleted_at.is_none());
    rig.verify(&notes());
}
