//! The store under test, driven by the machine's steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{
    AckToken, Action, Actions, ConsumerCommand, ConsumerReply, ContentFilter, Cursor, DeleteGuard, Error, History,
    Maintenance, MaintenanceReport, Merging, NetAction, Page, PageRequest, PollOptions, PruneWhat, Result, RunId, Seek,
    SourceVersion, Store, StreamKey, StreamOptions, WriteBatch,
};

use super::content::Content;
use super::model::{Expected, Item, MAX_ATTEMPTS, Model, Refusal, Token, consumer_name, id_of, plain};
use super::steps::{Batch, Guard, IDS, Kind, Look, RunUse, Step, To};
use crate::environment::TestEnvironment;
use crate::rig::{Rig, wait};
use crate::subject::Subject;

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
    backups: Vec<(S, usize)>,
    /// Cursors of histories that went their own way.
    pub(crate) lost: Vec<Cursor>,
    step: usize,
}

pub(crate) fn stream(place: usize) -> StreamKey {
    // Apart in the variant only.
    if place == 0 { StreamKey::new("c", "M") } else { StreamKey::new("c", "M").variant("v") }
}

pub(crate) fn open_only() -> ContentFilter {
    ContentFilter::new().equals("/open", true)
}

impl<S: Subject> System<S> {
    pub(crate) fn new() -> Self {
        let start = || Given { cursor: Cursor::START, copy: Some(Copy::new()), caught_up: true, at: 0 };
        System {
            rig: Rig::at(S::new(), Arc::new(TestEnvironment::new(42)), 64 << 20),
            second: None,
            given: vec![start(), start(), start()],
            leases: Vec::new(),
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
            (Step::Poll { stream, name, limit }, Expected::Delivery(expected)) => {
                self.poll(*stream, *name, *limit, expected);
            }
            (Step::Ack { token }, Expected::Removed(expected)) => self.acknowledge(model, *token, true, expected),
            (Step::Nack { token }, Expected::Removed(expected)) => self.acknowledge(model, *token, false, expected),
            (Step::Seek { stream, name, to }, Expected::Removed(expected)) => {
                let to = match to {
                    To::Start => Seek::Start,
                    To::End => Seek::End,
                    To::Token(selector) => Seek::Cursor(self.given[model.token(*selector).0].cursor),
                };
                p25_consumer_answer(self.say(*stream, *name, ConsumerCommand::Seek(to)).map(drop), expected);
            }
            (Step::Evict { stream, name }, Expected::Removed(expected)) => {
                p25_consumer_answer(self.say(*stream, *name, ConsumerCommand::Evict).map(drop), expected);
            }
            (Step::Prune { stream: place, payloads, token }, Expected::Removed(expected)) => {
                let up_to = self.given[model.token(*token).0].cursor;
                let what = if *payloads { PruneWhat::Payloads } else { PruneWhat::Tombstones };
                self.care(Maintenance::Prune { stream: stream(*place), what, up_to }, expected);
            }
            (Step::Clear { stream: place }, Expected::Removed(expected)) => {
                self.care(Maintenance::Clear(stream(*place)), expected);
            }
            (Step::History { stream: place, keep }, Expected::Removed(expected)) => {
                let history = if *keep { History::Versions(1000) } else { History::Off };
                self.care(Maintenance::Configure(stream(*place), StreamOptions::default().history(history)), expected);
            }
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
                self.replace(Rig::at(copy, environment, 64 << 20));
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

    fn commit(
        &mut self,
        model: &Model,
        batch: &Batch,
        expected: &std::result::Result<(Vec<highwater_core::Outcome>, u64), Refusal>,
    ) {
        let mut writes = WriteBatch::new();
        let target = writes.on(&stream(batch.stream));
        let run = RunId::from_parts(model.run, 7);
        match batch.run {
            RunUse::None => {}
            RunUse::Begin => drop_ref(target.begin_run(run)),
            RunUse::Page => drop_ref(target.in_run(run)),
            RunUse::Stranger => drop_ref(target.in_run(RunId::from_parts(0, 7))),
            RunUse::Abort => drop_ref(target.abort_run(run)),
            RunUse::Complete(guard) => drop_ref(target.complete_run(
                run,
                match guard {
                    Guard::Default => DeleteGuard::default(),
                    Guard::Tight => DeleteGuard { count: 1, fraction: 0.3, confirm_empty: false },
                    Guard::Approved => DeleteGuard::APPROVED,
                },
            )),
        }
        for write in &batch.writes {
            let id = IDS[write.id];
            match write.kind {
                Kind::Upsert(content, spelling) => target.upsert_as(id, content.text(spelling)),
                Kind::Patch(content) => target.patch(id, content.text(0)),
                Kind::Delete => target.delete(id),
            };
            if let Some(version) = write.version {
                target.at_version(SourceVersion::Number(version));
            }
        }
        if batch.poison {
            target.upsert_as("poison", "[]");
        }
        if let Some(selector) = batch.merging {
            let cursor = self.given[selector % self.given.len()].cursor;
            target.merging(Merging::IgnoreIfModifiedAfter(cursor));
        }
        if batch.allow_leap {
            writes.allow_clock_jump();
        }
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
                assert_eq!(&commit.streams[0].outcomes, outcomes, "p07: what each operation was");
                let of_operations =
                    outcomes.iter().filter(|outcome| **outcome == highwater_core::Outcome::Deleted).count() as u64;
                assert_eq!(commit.streams[0].deleted - of_operations, *deleted, "p26: what the run deleted");
            }
            (outcome, Err(refusal)) => p32_refused(outcome.map(drop), refusal),
            (Err(error), Ok(_)) => panic!("the commit should have succeeded: {error}"),
        }
    }

    fn page(&self, token: Token, place: usize, look: &Look, now_ms: u64) -> Result<Page> {
        let of = if look.elsewhere { 1 - token.stream } else { token.stream };
        let all = [Action::Added, Action::Updated, Action::Deleted];
        let actions: Actions = all.into_iter().filter(|action| look.actions & (1 << action.code()) != 0).collect();
        let mut request =
            PageRequest::new(stream(of)).since(self.given[place].cursor).limit(look.limit).filter(actions);
        if look.open_only {
            request = request.matching(open_only());
        }
        if let Some(ids) = &look.ids {
            request = request.ids(ids.iter().map(|id| IDS[*id]));
        }
        if let Some(last_ms) = look.last_ms {
            let since = i64::try_from(now_ms.saturating_sub(last_ms)).unwrap_or(i64::MAX);
            request = request.modified_after(chrono::DateTime::from_timestamp_millis(since).expect("a time"));
        }
        if look.metadata_only {
            request = request.metadata_only();
        }
        wait(self.rig.store().page(request))
    }

    fn read(&mut self, model: &Model, limit: usize, expected: &std::result::Result<super::model::Paged, Refusal>) {
        let Some(place) = model.read_from else { return };
        let token = model.tokens[place];
        let page = self.page(token, place, &plain(limit, token.filtered), model.now_ms);
        let at = self.step;
        let Some(page) = p10_page_is_the_models(page, expected, false) else { return };
        let given = &self.given[place];
        let copy = given.copy.clone().map(|mut copy| {
            p19_apply(&mut copy, &page, given.caught_up && !token.filtered);
            copy
        });
        if let (true, Some(copy)) = (page.caught_up, &copy) {
            p20_caught_up_is_true(model, token, copy);
        }
        self.given.push(Given { cursor: page.next_cursor, copy, caught_up: page.caught_up, at });
    }

    fn p17_convergence(&self, model: &Model, place: usize, token: Token, refusal: Option<Refusal>) {
        let given = &self.given[place];
        if let Some(refusal) = refusal {
            let page = self.page(token, place, &plain(1000, token.filtered), model.now_ms);
            return p32_refused(page.map(drop), refusal);
        }
        let Some(mut copy) = given.copy.clone() else { return };
        let (mut cursor, mut exact) = (given.cursor, given.caught_up && !token.filtered);
        for _ in 0..100 {
            let mut request = PageRequest::new(stream(token.stream)).since(cursor).limit(2);
            if token.filtered {
                request = request.matching(open_only());
            }
            let page = wait(self.rig.store().page(request)).expect("a good cursor stays good");
            p19_apply(&mut copy, &page, exact);
            (cursor, exact) = (page.next_cursor, false);
            if page.caught_up {
                return p20_caught_up_is_true(model, token, &copy);
            }
        }
        panic!("p15: a drain does not end");
    }

    fn poll(
        &mut self,
        place: usize,
        name: usize,
        limit: usize,
        expected: &std::result::Result<(super::model::Paged, u32), Refusal>,
    ) {
        let options = PollOptions::default().limit(limit).lease(Duration::from_secs(60)).max_attempts(MAX_ATTEMPTS);
        let reply = self.say(place, name, ConsumerCommand::Poll(options));
        match (reply, expected) {
            (Ok(ConsumerReply::Delivery(delivery)), Ok((page, attempt))) => {
                assert_eq!(delivery.attempt, *attempt, "p21: how often it was delivered");
                p10_page_is_the_models(Ok(delivery.page), &Ok(page.clone()), false);
                self.leases.push(delivery.token);
            }
            (reply, Err(refusal)) => p32_refused(reply.map(drop), refusal),
            (reply, Ok(_)) => panic!("p21: the poll should have delivered: {reply:?}"),
        }
    }

    fn acknowledge(
        &mut self,
        model: &Model,
        selector: usize,
        good: bool,
        expected: &std::result::Result<u64, Refusal>,
    ) {
        let place = selector % self.leases.len();
        let (lease, token) = (model.leases[place], self.leases[place]);
        let command = if good { ConsumerCommand::Ack(token) } else { ConsumerCommand::Nack(token) };
        p25_consumer_answer(self.say(lease.stream, lease.name, command).map(drop), expected);
    }

    fn say(&self, place: usize, name: usize, command: ConsumerCommand) -> Result<ConsumerReply> {
        wait(self.rig.store().consumer(&stream(place), consumer_name(name), command))
    }

    fn care(&self, task: Maintenance, expected: &std::result::Result<u64, Refusal>) {
        match (wait(self.rig.store().maintain(task)), expected) {
            (Ok(MaintenanceReport::Pruned { removed, .. }), Ok(expected)) => {
                assert_eq!(removed, *expected, "p24: what was pruned");
            }
            (Ok(_), Ok(_)) => {}
            (outcome, Err(refusal)) => p32_refused(outcome.map(drop), refusal),
            (Err(error), Ok(_)) => panic!("the task should have succeeded: {error}"),
        }
    }

    fn past(&self, place: usize, cursor: Cursor) -> Result<Copy> {
        let (mut found, mut after) = (Copy::new(), String::new());
        loop {
            let part = wait(self.rig.store().as_of(&stream(place), cursor, &after, 2))?;
            let Some(last) = part.last() else { return Ok(found) };
            after = last.id.to_string();
            found.extend(part.iter().map(|record| {
                let content = record.payload.as_ref().map(|payload| Content::read(payload.as_str()));
                (id_of(&record.id), content)
            }));
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

fn drop_ref<T>(_: &mut T) {}

/// The refusal is one of those that the specification allows.
pub(crate) fn p32_refused(outcome: Result<()>, refusal: Refusal) {
    match outcome {
        Ok(()) => panic!("p32: accepted, where the specification says {refusal:?}"),
        Err(error) => assert!(refusal.contains(&error.kind()), "p32: {refusal:?} expected: {error:?}"),
    }
}

fn p25_consumer_answer(outcome: Result<(), Error>, expected: &std::result::Result<u64, Refusal>) {
    match expected {
        Ok(_) => outcome.expect("p25: the consumer is served"),
        Err(refusal) => p32_refused(outcome, refusal),
    }
}

/// A page holds exactly what the model says, in its order, and ends where the model ends.
pub(crate) fn p10_page_is_the_models(
    page: Result<Page>,
    expected: &std::result::Result<super::model::Paged, Refusal>,
    metadata_only: bool,
) -> Option<Page> {
    let expected = match expected {
        Ok(expected) => expected,
        Err(refusal) => {
            p32_refused(page.map(drop), refusal);
            return None;
        }
    };
    let page = page.expect("p32: a good cursor is accepted");
    let found: Vec<_> = page
        .changes
        .iter()
        .map(|change| {
            let content = change.record.payload.as_ref().map(|payload| Content::read(payload.as_str()));
            (id_of(&change.record.id), change.net, change.record.metadata.last_action, content)
        })
        .collect();
    let items: Vec<_> = expected
        .items
        .iter()
        .map(|Item { id, net, entry }| {
            let content = (!entry.pruned && !metadata_only).then_some(entry.content);
            (*id, *net, entry.action, content)
        })
        .collect();
    assert_eq!(found, items, "p10: the page");
    assert_eq!((page.has_more, page.caught_up), (expected.has_more, !expected.has_more), "p15: the end of the page");
    let cursors: Vec<_> = page.changes.iter().map(|change| change.record.metadata.cursor.ulid()).collect();
    assert!(cursors.is_sorted_by(|a, b| a < b), "p02: strictly ascending");
    assert!(cursors.last().is_none_or(|last| *last <= page.next_cursor.ulid()));
    Some(page)
}

/// Puts and removes; told exactly to whom held everything.
fn p19_apply(copy: &mut Copy, page: &Page, exact: bool) {
    for change in &page.changes {
        let id = id_of(&change.record.id);
        let held = match change.net {
            NetAction::Added | NetAction::Updated => {
                let content = change.record.payload.as_ref().map(|payload| Content::read(payload.as_str()));
                copy.insert(id, content).is_some()
            }
            _ => copy.remove(&id).is_some(),
        };
        let expected = !matches!(change.net, NetAction::Added | NetAction::Void);
        assert!(!exact || held == expected, "p19: {:?} of {:?}", change.net, change.record.id);
    }
}

fn p20_caught_up_is_true(model: &Model, token: Token, copy: &Copy) {
    let mut truth: Copy = model.world.streams[token.stream]
        .entries
        .iter()
        .filter(|(_, entry)| entry.is_live())
        .map(|(id, entry)| (*id, (!entry.pruned).then_some(entry.content)))
        .collect();
    let mut copy = copy.clone();
    if token.filtered {
        truth.retain(|_, content| content.is_some_and(|content| content.open == Some(true)));
    }
    // What was pruned after it was read is still in the reader's copy.
    for (id, content) in &truth {
        if content.is_none()
            && let Some(held) = copy.get_mut(id)
        {
            *held = None;
        }
    }
    if token.filtered {
        let pruned = |id: &usize| model.world.streams[token.stream].entries.get(id).is_some_and(|entry| entry.pruned);
        copy.retain(|id, _| !pruned(id));
    }
    assert_eq!(copy, truth, "p20: caught up, and not the truth");
}
