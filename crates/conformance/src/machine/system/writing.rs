//! Batches, as the store takes them.

use highwater_core::{
    BadRecords, ChangeSummary, Cursor, DeleteGuard, Merging, RunId, SourceVersion, Store, StreamBatch, Timestamp,
    WriteBatch, WriteOutcome,
};

use super::super::model::{Model, Refusal};
use super::super::steps::{Bad, Batch, Guard, IDS, Kind, Merge, ORIGINS, RunUse, VERSIONS, Version, Write};
use super::compare::p32_refused;
use super::{System, stream, summary};
use crate::rig::wait;
use crate::subject::Subject;

impl<S: Subject> System<S> {
    pub(super) fn commit(
        &mut self,
        model: &Model,
        batch: &Batch,
        expected: &Result<(Vec<WriteOutcome>, u64), Refusal>,
    ) {
        let mut writes = WriteBatch::new();
        let target = writes.on(&stream(batch.stream));
        use_run(target, model.run, batch.run);
        batch.writes.iter().for_each(|write| put(target, write));
        if batch.quarantine {
            target.bad_records(BadRecords::Quarantine);
        }
        if batch.clear {
            target.clear();
        }
        if batch.summary {
            target.summarize_in(summary(batch.stream));
        }
        if let Some(origin) = batch.origin {
            target.origin(ORIGINS[usize::from(origin)]);
        }
        if let Some((selector, merge)) = batch.merging {
            let cursor = self.given[selector % self.given.len()].cursor;
            target.merging(match merge {
                Merge::KeepAll => Merging::IgnoreIfModifiedAfter(cursor),
                Merge::KeepOthers => Merging::KeepOthersAfter(cursor),
            });
        }
        if batch.allow_leap {
            writes.allow_clock_jump();
        }
        if let (Some(selector), false) = (batch.fence, self.fences.is_empty()) {
            writes.fence(self.fences[selector % self.fences.len()].clone());
        }
        let before = wait(self.rig.store().document("checkpoint")).expect("documents read");
        match (batch.expects_another, &before) {
            (true, Some(_)) => writes.expect_document("checkpoint", None),
            _ => writes.expect_document("checkpoint", before.as_ref()),
        };
        // The document goes with the batch, or not at all.
        if let (Ok(_), Some(checkpoint)) = (expected, model.world.checkpoint) {
            writes.put_document("checkpoint", &checkpoint).expect("a number is JSON");
        } else {
            writes.put_document("checkpoint", "not to be kept").expect("a text is JSON");
        }
        if S::SHARES && batch.other_handle && self.second.is_none() {
            self.second = Some(self.rig.handle());
        }
        let store = match &self.second {
            Some(second) if batch.other_handle => second,
            _ => self.rig.store(),
        };
        match (wait(store.commit(writes)), expected) {
            (Ok(commit), Ok((outcomes, deleted))) => {
                let found = &commit.streams[0];
                assert_eq!(&found.outcomes, outcomes, "p07: what each operation was");
                let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
                assert_eq!(found.deleted - count(WriteOutcome::Deleted), *deleted, "p26: what the run deleted");
                self.p29_summary(batch, found.cursor);
                assert_eq!(found.rejected.len() as u64, count(WriteOutcome::Rejected), "p26: each is told");
            }
            (outcome, Err(refusal)) => p32_refused(outcome.map(drop), refusal),
            (Err(error), Ok(_)) => panic!("the commit should have succeeded: {error}"),
        }
    }

    /// It reaches to the end of what it summarises.
    fn p29_summary(&self, batch: &Batch, end: Cursor) {
        if !batch.summary {
            return;
        }
        let kept = wait(self.rig.store().document(&summary(batch.stream))).expect("documents read");
        let kept: ChangeSummary = kept.expect("the summary is kept").to().expect("it is one");
        assert_eq!(kept.to, end, "p29: a summary is of the same commit");
    }

    pub(super) fn take_lease(&mut self, number: u64) {
        let fence = wait(self.rig.store().lease("machine")).expect("a lease is given");
        assert_eq!(fence.token(), number, "p28: greater than every earlier holder's");
        self.fences.push(fence);
    }
}

fn use_run(target: &mut StreamBatch, number: u64, run: RunUse) {
    let id = RunId::new(Timestamp::from_unix_ms(number), 7);
    match run {
        RunUse::None => target,
        RunUse::Begin => target.begin_run(id),
        RunUse::Page => target.in_run(id),
        RunUse::Stranger => target.in_run(RunId::new(Timestamp::from_unix_ms(0), 7)),
        RunUse::Abort => target.abort_run(id),
        RunUse::Complete(Guard::Default) => target.complete_run(id, DeleteGuard::default()),
        RunUse::Complete(Guard::Tight) => target.complete_run(id, DeleteGuard::new().count(1).fraction(0.3)),
        RunUse::Complete(Guard::Approved) => target.complete_run(id, DeleteGuard::APPROVED),
    };
}

fn put(target: &mut StreamBatch, write: &Write) {
    let id = IDS[write.id];
    match write.kind {
        Kind::Upsert(content, spelling) => target.upsert_as(id, content.spelled(spelling).text),
        Kind::Patch(content) => target.patch(id, content.spelled(0).text),
        Kind::Delete => target.delete(id),
        Kind::Seen => target.seen(id),
        Kind::Bad(bad @ Bad::Told) => target.set_aside_as(id, bad.payload(), "its writer says so"),
        Kind::Bad(bad @ Bad::ToldNameless) => target.set_aside(bad.payload(), "its writer says so"),
        Kind::Bad(bad @ Bad::NoObject) => target.patch(id, bad.payload()),
        Kind::Bad(bad) if bad.is_named() => target.upsert_as(id, bad.payload()),
        Kind::Bad(bad) => target.upsert(bad.payload()),
    };
    match write.version {
        Some(Version::Number(number)) => target.at_version(SourceVersion::Number(number)),
        Some(Version::Text(place)) => target.at_version(SourceVersion::Text(VERSIONS[place].into())),
        None => target,
    };
}
