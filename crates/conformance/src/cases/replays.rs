//! Named readers that die at every moment, over random histories: P21.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{
    Change, ConsumerCommand, ConsumerReply, ContentFilter, Cursor, DeleteGuard, Delivery, Environment, ErrorKind,
    Maintenance, NetAction, PollOptions, PruneWhat, RunId, Seek, Timestamp,
};

use crate::environment::TestEnvironment;
use crate::rig::{Rig, note, notes};
use crate::subject::Subject;

/// Histories, and steps of each.
const HISTORIES: u64 = 16;
const STEPS: usize = 60;

/// Whatever a named reader stored without acknowledging it, and wherever it is moved back to: once it has read to the end, its
/// copy is correct. A reader that gets an expired error clears its copy and starts over.
pub fn p21_named_readers_converge_whatever_dies<S: Subject>() {
    for seed in 0..HISTORIES {
        let mut story = Story::<S>::new(seed);
        for _ in 0..STEPS {
            story.step();
        }
        for place in 0..story.readers.len() {
            story.converge(place);
        }
        story.rig.verify(&notes());
    }
}

struct Reader {
    name: &'static str,
    filter: Option<ContentFilter>,
    /// Id to payload; `None` where that was pruned.
    copy: BTreeMap<String, Option<String>>,
    acknowledged: Vec<Cursor>,
}

struct Story<S> {
    rig: Rig<S>,
    dice: TestEnvironment,
    readers: [Reader; 3],
    runs: u64,
    seed: u64,
}

impl<S: Subject> Story<S> {
    fn new(seed: u64) -> Self {
        let reader = |name, filter| Reader { name, filter, copy: BTreeMap::new(), acknowledged: Vec::new() };
        let ones = || Some(ContentFilter::new().equals("/n", 1));
        let readers = [reader("all", None), reader("ones", ones()), reader("late", ones())];
        Story { rig: Rig::new(), dice: TestEnvironment::new(seed), readers, runs: 0, seed }
    }

    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.dice.fill_random(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn step(&mut self) {
        self.rig.environment.step_ms(i64::try_from(self.below(20)).unwrap_or(0));
        let place = usize::try_from(self.below(3)).unwrap_or(0);
        match self.below(24) {
            0..=8 => self.write(),
            9..=16 => self.read(place),
            17 | 18 => {
                let what = if self.below(3) == 0 { PruneWhat::Payloads } else { PruneWhat::Tombstones };
                let up_to =
                    if self.below(2) == 0 { self.rig.end() } else { self.rig.page(|page| page.limit(3)).next_cursor };
                self.rig.prune(what, up_to);
            }
            19 => self.send_back(place),
            20 => drop(self.say(place, ConsumerCommand::Evict)),
            21 if S::REOPENS => self.rig.reopen(),
            22 if self.below(3) == 0 => drop(self.rig.maintain(Maintenance::Clear(notes()))),
            22 if self.below(3) == 0 => drop(self.rig.maintain(Maintenance::RebaseClock)),
            _ => self.converge(place),
        }
    }

    fn write(&mut self) {
        let ids: Vec<String> = (0..self.below(5)).map(|_| self.below(7).to_string()).collect();
        let numbers: Vec<u64> = ids.iter().map(|_| self.below(4)).collect();
        self.runs += 1;
        let run = (self.below(6) == 0).then(|| RunId::new(Timestamp::from_unix_ms(self.runs), 1));
        self.rig.write(|batch| {
            for (id, number) in ids.iter().zip(numbers) {
                match number {
                    0 => batch.delete(id.as_str()),
                    number => batch.upsert(note(id, number)),
                };
            }
            match run {
                Some(run) => batch.begin_run(run).complete_run(run, DeleteGuard::APPROVED),
                None => batch,
            }
        });
    }

    /// A delivery: stored and acknowledged, stored in part or whole without a word, or refused.
    fn read(&mut self, place: usize) {
        let Some(delivery) = self.poll(place, 1 + self.below(4)) else { return };
        let changes = &delivery.page.changes;
        match self.below(6) {
            0..=2 => {
                apply(&mut self.readers[place], changes);
                self.say(place, ConsumerCommand::Ack(delivery.token)).expect("the lease is good");
                self.readers[place].acknowledged.push(delivery.page.next_cursor);
            }
            3 => apply(&mut self.readers[place], &changes[..changes.len() / 2]),
            4 => apply(&mut self.readers[place], changes),
            _ => drop(self.say(place, ConsumerCommand::Nack(delivery.token)).expect("the lease is good")),
        }
    }

    fn send_back(&mut self, place: usize) {
        let known = self.readers[place].acknowledged.len() as u64;
        if known == 0 {
            return;
        }
        let cursor = self.readers[place].acknowledged[usize::try_from(self.below(known)).unwrap_or(0)];
        if cursor.is_start() {
            return; // for a reader that holds nothing
        }
        let seek = if self.below(3) == 0 { Seek::Time(cursor.time()) } else { Seek::Cursor(cursor) };
        let command = match self.readers[place].filter.clone() {
            Some(filter) => ConsumerCommand::SeekMatching(seek, filter),
            None => ConsumerCommand::Seek(seek),
        };
        if let Err(error) = self.say(place, command) {
            assert_eq!(error.kind(), ErrorKind::CursorExpired, "seed {}", self.seed);
        }
    }

    fn poll(&mut self, place: usize, limit: u64) -> Option<Delivery> {
        let limit = usize::try_from(limit).unwrap_or(1);
        let mut options = PollOptions::default()
            .limit(limit)
            .lease(Duration::from_millis(10))
            .backoff(Duration::from_millis(5), Duration::from_millis(10))
            .max_attempts(1000)
            .max_expirations(1000);
        options.matching.clone_from(&self.readers[place].filter);
        match self.say(place, ConsumerCommand::Poll(options)) {
            Ok(ConsumerReply::Delivery(delivery)) => return Some(delivery),
            Err(error) if matches!(error.kind(), ErrorKind::LeaseLost | ErrorKind::BackingOff) => {}
            Err(error) if error.kind() == ErrorKind::CursorExpired => {
                // As the error says.
                self.readers[place].copy.clear();
                self.readers[place].acknowledged.clear();
                self.say(place, ConsumerCommand::Seek(Seek::Start)).expect("START is good");
            }
            other => panic!("p21: seed {}: {other:?}", self.seed),
        }
        None
    }

    fn say(&self, place: usize, command: ConsumerCommand) -> highwater_core::Result<ConsumerReply> {
        self.rig.consumer(self.readers[place].name, command)
    }

    /// Reads to the end, and compares the copy with the log.
    fn converge(&mut self, place: usize) {
        for _ in 0..200 {
            self.rig.environment.step_ms(11);
            let Some(delivery) = self.poll(place, 3) else { continue };
            if delivery.page.changes.is_empty() && delivery.page.caught_up {
                return self.is_the_truth(place);
            }
            apply(&mut self.readers[place], &delivery.page.changes);
            self.say(place, ConsumerCommand::Ack(delivery.token)).expect("the lease is good");
            self.readers[place].acknowledged.push(delivery.page.next_cursor);
        }
        panic!("p15: seed {}: a drain does not end", self.seed);
    }

    fn is_the_truth(&self, place: usize) {
        let reader = &self.readers[place];
        let (mut copy, mut truth) = (reader.copy.clone(), BTreeMap::new());
        for change in self.rig.page(|request| request.limit(1000)).changes {
            let (id, payload) =
                (change.record.id.to_string(), change.record.payload.map(|payload| payload.to_string()));
            let live = change.record.metadata.deleted_at.is_none();
            match (&reader.filter, payload) {
                // What was pruned after it was read may still be in the copy.
                (Some(_), None) if live => drop(copy.remove(&id)),
                (None, None) if live => {
                    copy.entry(id.clone()).and_modify(|held| *held = None);
                    truth.insert(id, None);
                }
                (filter, payload) if live && (filter.is_none() || payload.as_deref() == Some(&note(&id, 1))) => {
                    truth.insert(id, payload);
                }
                _ => {}
            }
        }
        assert_eq!(copy, truth, "p21: seed {}: what {} holds", self.seed, reader.name);
    }
}

fn apply(reader: &mut Reader, changes: &[Change]) {
    for change in changes {
        let id = change.record.id.to_string();
        match change.net {
            NetAction::Added | NetAction::Updated => {
                reader.copy.insert(id, change.record.payload.as_ref().map(ToString::to_string))
            }
            _ => reader.copy.remove(&id),
        };
    }
}
