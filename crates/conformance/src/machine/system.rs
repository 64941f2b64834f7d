//! The store under test, driven by the machine's steps.

mod compare;
mod consuming;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::{
    AckToken, ConsumerCommand, ContentFilter, ContentRules, Cursor, Fence, History, Maintenance, MaintenanceReport,
    PageRequest, PruneWhat, Store, StreamKey, StreamOptions, WriteBatch,
};

use super::content::Content;
use super::model::{Expected, Model, Refusal};
use super::steps::{IDS, Step};
use crate::environment::TestEnvironment;
use crate::rig::{Rig, wait};
use crate::subject::Subject;
use compare::p25_consumer_answer;
pub(crate) use compare::{p10_page_is_the_models, p32_refused};

/// A reader's copy.
pub(crate) type Copy = BTreeMap<usize, Option<Content>>;

/// A cursor that was given out, with what a reader had by then.
pub(crate) struct Given {
    pub(crate) cursor: Cursor,
    /// `None` where nobody kept a copy, or where the copy is of a history that was lost since.
    copy: Option<Copy>,
    caught_up: bool,
    /// The step at which it was read.
    at: usize,
}

pub(crate) struct System<S> {
    pub(crate) rig: Rig<S>,
    second: Option<Arc<dyn Store>>,
    pub(crate) given: Vec<Given>,
    leases: Vec<AckToken>,
    fences: Vec<Fence>,
    backups: Vec<(S, usize)>,
    /// Cursors of histories that went their own way.
    pub(crate) lost: Vec<Cursor>,
    step: usize,
}

pub(crate) fn stream(place: usize) -> StreamKey {
    // Apart in the variant only.
    if place == 0 { StreamKey::new("c", "M") } else { StreamKey::new("c", "M").with_variant("v") }
}

/// Where a stream's summary is kept.
pub(crate) fn summary(place: usize) -> String {
    format!("summary/{place}")
}

pub(crate) fn open_only() -> ContentFilter {
    ContentFilter::new().equals("/open", true)
}

pub(crate) fn rules(without_n: bool) -> ContentRules {
    let everything = ContentRules::new();
    if without_n { everything.ignoring("/n").expect("a pointer") } else { everything }
}

impl<S: Subject> System<S> {
    pub(crate) fn new(remembers: bool) -> Self {
        let start = || Given { cursor: Cursor::START, copy: Some(Copy::new()), caught_up: true, at: 0 };
        System {
            rig: Rig::at(S::new(), Arc::new(TestEnvironment::new(42)), if remembers { 64 << 20 } else { 0 }),
            second: None,
            given: vec![start(), start(), start()],
            leases: Vec::new(),
            fences: Vec::new(),
            backups: Vec::new(),
            lost: Vec::new(),
            step: 0,
        }
    }

    pub(crate) fn apply(&mut self, model: &Model, step: &Step) {
        self.step += 1;
        self.rig.environment.set_ms(model.now_ms);
        match (step, &model.expected) {
            (Step::Commit(batch), Expected::Commit(expected)) => self.commit(model, batch, expected),
            (Step::Look(look), Expected::Page(expected)) => {
                let place = look.token % (model.tokens.len() - usize::from(expected.is_ok()));
                let page = self.page(model.tokens[place], place, look, model.now_ms);
                let at = self.step;
                if let Some(page) = p10_page_is_the_models(page, expected, look.metadata_only) {
                    self.given.push(Given { cursor: page.next_cursor, copy: None, caught_up: false, at });
                }
            }
            (Step::Read { limit, .. }, Expected::Page(expected)) => self.read(model, *limit, expected),
            (Step::Converge { token }, Expected::Page(expected)) => {
                let (place, token) = model.token(*token);
                self.p17_convergence(model, place, token, expected.as_ref().err().copied());
            }
            (Step::Poll(poll), Expected::Delivery(expected)) => self.poll(poll, expected),
            (Step::Ack { token }, Expected::Removed(expected)) => self.acknowledge(model, *token, true, expected),
            (Step::Nack { token }, Expected::Removed(expected)) => self.acknowledge(model, *token, false, expected),
            (Step::Seek { stream, name, to, open_only }, Expected::Removed(expected)) => {
                self.seek(model, (*stream, *name), *to, *open_only, expected);
            }
            (Step::Evict { stream, name }, Expected::Removed(expected)) => {
                p25_consumer_answer(self.say(*stream, *name, ConsumerCommand::Evict).map(drop), expected);
            }
            (Step::Remove { stream, name }, Expected::Removed(expected)) => {
                p25_consumer_answer(self.say(*stream, *name, ConsumerCommand::Remove).map(drop), expected);
            }
            (Step::Unpark { stream, name }, Expected::Parked(expected)) => self.unpark(*stream, *name, expected),
            (Step::Lease, Expected::Fence(number)) => self.take_lease(*number),
            (Step::Prune { stream: place, payloads, token }, Expected::Removed(expected)) => {
                let up_to = self.given[model.token(*token).0].cursor;
                let what = if *payloads { PruneWhat::Payloads } else { PruneWhat::Tombstones };
                self.care(Maintenance::Prune { stream: stream(*place), what, up_to }, expected);
            }
            (Step::Clear { stream: place }, Expected::Removed(expected)) => {
                self.care(Maintenance::Clear(stream(*place)), expected);
            }
            (Step::Configure { stream: place, keep, without_n }, Expected::Removed(expected)) => {
                let history = if *keep == 0 { History::Off } else { History::Versions(*keep as u32) };
                let options = StreamOptions::default().history(history).rules(rules(*without_n));
                self.care(Maintenance::Configure(stream(*place), options), expected);
            }
            (Step::AcceptClock, Expected::Removed(expected)) => self.care(Maintenance::AcceptClock, expected),
            (Step::Rebase, Expected::Removed(expected)) => self.care(Maintenance::RebaseClock, expected),
            (Step::Past { token }, Expected::Past(expected)) => {
                let (place, token) = model.token(*token);
                let found = self.past(token.stream, self.given[place].cursor);
                match expected {
                    Err(refusal) => p32_refused(found.map(drop), refusal),
                    Ok(entries) => {
                        let expected: Copy =
                            entries.iter().map(|(id, entry)| (*id, (!entry.pruned).then_some(entry.content))).collect();
                        assert_eq!(found.expect("the past is kept"), expected, "p12: the past changed");
                    }
                }
            }
            (Step::Reopen, _) if S::REOPENS => {
                self.close_second();
                self.rig.reopen();
            }
            (Step::Crash, _) => {
                if let Some(after) = self.rig.image() {
                    self.replace(after);
                }
            }
            (Step::Backup, _) => self.backups.extend(self.rig.subject.image().map(|image| (image, self.step))),
            (Step::Restore { backup }, _) if !self.backups.is_empty() => {
                let (image, at) = &self.backups[backup % self.backups.len()];
                let at = *at;
                let copy = image.image().expect("what was copied once can be copied");
                let environment = Arc::clone(&self.rig.environment);
                self.replace(Rig::at(copy, environment, self.rig.memory_budget));
                for given in self.given.iter_mut().filter(|given| given.at > at) {
                    given.copy = None;
                }
            }
            (Step::Clone { go_on_with_the_copy }, _) => self.fork(*go_on_with_the_copy),
            (Step::Clock(_) | Step::Reopen | Step::Restore { .. } | Step::Ack { .. } | Step::Nack { .. }, _) => {}
            (step, expected) => panic!("the model answers {step:?} with {expected:?}"),
        }
    }

    fn replace(&mut self, by: Rig<S>) {
        self.close_second();
        // Not closed: what a crash leaves is all there is.
        self.rig = by;
    }

    fn close_second(&mut self) {
        if let Some(second) = self.second.take() {
            wait(second.close()).expect("the second handle closes");
        }
    }

    fn care(&self, task: Maintenance, expected: &std::result::Result<u64, Refusal>) {
        match (wait(self.rig.store().maintain(task)), expected) {
            (Ok(MaintenanceReport::Pruned { removed, versions, .. }), Ok(expected)) => {
                assert_eq!(removed + versions, *expected, "p24: what was pruned");
            }
            (Ok(_), Ok(_)) => {}
            (outcome, Err(refusal)) => p32_refused(outcome.map(drop), refusal),
            (Err(error), Ok(_)) => panic!("the task should have succeeded: {error}"),
        }
    }

    /// Two futures of one place: one goes on, the other's cursors must be strange to it for ever.
    fn fork(&mut self, go_on_with_the_copy: bool) {
        let Some(mut other) = self.rig.image() else { return };
        if go_on_with_the_copy {
            self.close_second();
            std::mem::swap(&mut self.rig, &mut other);
        }
        let mut batch = WriteBatch::new();
        batch.on(&stream(0)).upsert_as(IDS[0], format!(r#"{{"n":200,"step":{}}}"#, self.step));
        batch.allow_clock_jump();
        wait(other.store().commit(batch)).expect("the other one writes");
        let page = wait(other.store().page(PageRequest::new(stream(0)).limit(1000))).expect("the other one reads");
        assert!(page.caught_up);
        self.lost.push(page.next_cursor);
    }
}
