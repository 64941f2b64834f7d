//! Further abilities of a batch: clearing the stream first, summarising itself (P24, P28, P29).

use highwater_core::{ChangeSummary, DeleteGuard, ErrorKind, RunId, Timestamp, WriteBatch, WriteOutcome};

use crate::rig::{Rig, ids, note, notes, wait};
use crate::subject::Subject;

const RUN: RunId = RunId::new(Timestamp::from_unix_ms(1), 1);
const NEXT_RUN: RunId = RunId::new(Timestamp::from_unix_ms(2), 2);

/// A batch that clears its stream leaves only its own records; a refused batch clears nothing.
pub fn p24_a_batch_can_clear_first<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..30, 1);
    rig.write(|batch| batch.begin_run(RUN).upsert(note("0", 1)));
    let before = rig.end();
    let stale = wait(rig.store().lease("sync")).unwrap();
    wait(rig.store().lease("sync")).unwrap();
    let mut refused = WriteBatch::new();
    refused.fence(stale).on(&notes()).clear();
    assert_eq!(rig.commit(refused).unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!((rig.head().live, rig.refusal(before)), (30, None));
    // The same bytes as before are new: nothing of the former life is remembered.
    let commit =
        rig.write(|batch| batch.upsert(note("0", 1)).upsert(note("new", 1)).delete("7").begin_run(NEXT_RUN).clear());
    assert_eq!(commit.outcomes, [WriteOutcome::Added, WriteOutcome::Added, WriteOutcome::Missing]);
    assert_eq!((commit.cleared, commit.deleted), (30, 0));
    for _ in 0..2 {
        assert_eq!(rig.refusal(before), Some(ErrorKind::CursorExpired));
        let head = rig.head();
        assert_eq!((head.live, head.deleted, head.incarnation), (2, 0, 1));
        assert_eq!(head.open_run, Some(NEXT_RUN));
        assert_eq!(ids(&rig.page(|request| request).changes), ["0", "new"]);
        assert!(rig.get("0").is_some() && rig.get("7").is_none());
        assert_eq!(rig.save("0", 1), WriteOutcome::Unchanged);
        rig.verify(&notes());
        if S::REOPENS {
            rig.reopen();
        }
    }
    assert_eq!(rig.write(|batch| batch.complete_run(NEXT_RUN, DeleteGuard::APPROVED)).deleted, 0);
}

/// A summary is written together with the changes that it summarises, or not at all.
pub fn p29_a_summary_equals_the_log<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save("old", 1);
    let from = rig.end();
    rig.write(|batch| {
        batch.summarize_in("summary/a").summarize_in("summary/b").upsert(note("a", 1)).upsert(note("b", 1))
    });
    rig.save("by others", 1);
    rig.write(|batch| batch.summarize_in("summary/a").upsert(note("a", 2)).upsert(note("b", 1)).delete("old"));
    let to = rig.end();
    let torn = rig.try_write(|batch| batch.summarize_in("summary/a").upsert(note("c", 1)).upsert("no object"));
    assert_eq!(torn.unwrap_err().kind(), ErrorKind::Invalid);
    let summary = |rig: &Rig<S>, key| {
        let found = wait(rig.store().document(key)).unwrap();
        found.map(|document| document.to::<ChangeSummary>().unwrap())
    };
    let counts = |summary: ChangeSummary| [summary.added, summary.updated, summary.unchanged, summary.deleted];
    for image in [rig.image(), None] {
        let rig = image.as_ref().unwrap_or(&rig);
        let kept = summary(rig, "summary/a").unwrap();
        assert_eq!((kept.from, kept.to, counts(kept)), (from, to, [2, 1, 1, 1]));
        assert_eq!(counts(summary(rig, "summary/b").unwrap()), [2, 0, 0, 0]);
    }
    if S::REOPENS {
        rig.reopen();
    }
    // The deletes of a completed run are in it: those of the very batch that ends the run.
    rig.write(|batch| batch.begin_run(RUN).upsert(note("a", 2)));
    let end = rig.write(|batch| batch.summarize_in("summary/a").complete_run(RUN, DeleteGuard::APPROVED));
    let kept = summary(&rig, "summary/a").unwrap();
    assert_eq!((end.deleted, kept.deleted, kept.to), (2, 3, rig.end()));
    assert_eq!(rig.page(|request| request.since(kept.from)).next_cursor, kept.to);
    // Closed and opened anew in one batch.
    let before = rig.end();
    let mut batch = WriteBatch::new();
    batch.remove_document("summary/a").put_document("summary/other", &1).unwrap();
    batch.on(&notes()).summarize_in("summary/a").upsert(note("d", 1));
    rig.commit(batch).unwrap();
    let kept = summary(&rig, "summary/a").unwrap();
    assert_eq!((kept.from, counts(kept)), (before, [1, 0, 0, 0]));
    let error = rig.try_write(|batch| batch.summarize_in("summary/other").upsert(note("e", 1))).unwrap_err();
    assert_eq!((error.kind(), error.context("key")), (ErrorKind::Invalid, Some("summary/other")));
    assert!(rig.get("e").is_none());
    let live = rig.head().live;
    let cleared = rig.write(|batch| batch.summarize_in("summary/c").clear());
    let kept = summary(&rig, "summary/c").unwrap();
    assert_eq!((cleared.cleared, kept.cleared, counts(kept), kept.to), (live, live, [0; 4], rig.end()));
    rig.verify(&notes());
}
