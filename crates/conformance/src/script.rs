//! One script of random operations, for comparing stores with each other (P36).

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{
    AckToken, Action, Actions, BadRecords, ConsumerCommand, ConsumerReply, ContentFilter, ContentRules, Cursor,
    DeleteGuard, Environment, History, Maintenance, MaintenanceReport, Merging, PageRequest, PollOptions, PruneWhat,
    RunId, Seek, SourceVersion, StreamKey, StreamOptions, Timestamp, WriteBatch,
};

use crate::environment::TestEnvironment;
use crate::rig::{Rig, note, wait};
use crate::subject::Subject;

/// Runs `steps` random operations from `seed`, and returns everything observable: each
/// result and each error, one line per call.
pub fn transcript<S: Subject>(seed: u64, steps: usize) -> Vec<String> {
    let environment = Arc::new(TestEnvironment::new(seed ^ 0x5eed));
    let rig = Rig::<S>::at(S::new(), environment, 64 << 20);
    let dice = TestEnvironment::new(seed);
    let mut script = Script { rig, dice, cursors: vec![Cursor::START], tokens: Vec::new(), lines: Vec::new(), runs: 1 };
    for _ in 0..steps {
        script.step();
    }
    script.look_around();
    script.lines
}

struct Script<S> {
    rig: Rig<S>,
    dice: TestEnvironment,
    cursors: Vec<Cursor>,
    tokens: Vec<AckToken>,
    lines: Vec<String>,
    runs: u64,
}

impl<S: Subject> Script<S> {
    fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.dice.fill_random(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap_or(0)
    }

    fn pick<T: Clone>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn stream(&self) -> StreamKey {
        self.pick(&[StreamKey::new("c", "A"), StreamKey::new("c", "A"), StreamKey::new("c", "A").with_variant("v")])
    }

    fn id(&self) -> String {
        self.pick(&["a", "b", "c", "d", "e", "f", "g", "an id that is longer than any key of the index can be, so"])
            .into()
    }

    fn tell(&mut self, what: impl std::fmt::Debug) {
        self.lines.push(format!("{what:?}"));
    }

    fn step(&mut self) {
        match self.below(16) {
            0..=5 => self.commit(),
            6..=9 => self.page(),
            10 | 11 => self.consumer(),
            12 => self.maintain(),
            13 => {
                let step = self.pick(&[0, 1, 1000, 61_000, -5, -100_000, 400 * 24 * 3600 * 1000]);
                self.rig.environment.step_ms(step);
            }
            14 => {
                let (stream, id) = (self.stream(), self.id());
                let cursor = self.pick(&self.cursors);
                let store = Arc::clone(self.rig.store());
                self.tell(wait(store.get(&stream, &[&id, "nobody"])));
                self.tell(wait(store.versions(&stream, &id)));
                self.tell(wait(store.as_of(&stream, cursor, "", 3)));
            }
            _ if S::REOPENS => self.rig.reopen(),
            _ => self.rig.store = Some(self.rig.handle()),
        }
    }

    fn commit(&mut self) {
        let mut batch = WriteBatch::new();
        for _ in 0..=self.below(2) {
            let stream = self.stream();
            let (current, operations) = (RunId::new(Timestamp::from_unix_ms(self.runs), 1), self.below(6));
            let writes: Vec<_> = (0..operations).map(|_| (self.id(), self.below(8), self.below(4) as u64)).collect();
            let target = batch.on(&stream);
            for (id, kind, n) in writes {
                match kind {
                    0 | 1 => target.delete(id),
                    2 => target.patch(id, format!(r#"{{"m":{{"k":{n}}}}}"#)),
                    3 => target.upsert(note(&id, n)).at_version(SourceVersion::Number(n as i64)),
                    4 => target.upsert(note(&id, n).replace(',', " ,\n")),
                    _ => target.upsert(note(&id, n)),
                };
            }
            match self.below(12) {
                0 => {
                    self.runs += 1;
                    batch.on(&stream).begin_run(RunId::new(Timestamp::from_unix_ms(self.runs), 1));
                }
                1 => {
                    batch.on(&stream).in_run(current);
                }
                2 => {
                    batch
                        .on(&stream)
                        .complete_run(current, self.pick(&[DeleteGuard::default(), DeleteGuard::APPROVED]));
                }
                3 => {
                    batch.on(&stream).abort_run(current);
                }
                4 => {
                    batch.on(&stream).bad_records(BadRecords::Quarantine).upsert("{\"id\":}");
                }
                5 => {
                    batch.on(&stream).upsert("nonsense");
                }
                6 => {
                    batch.on(&stream).merging(Merging::IgnoreIfModifiedAfter(self.pick(&self.cursors)));
                }
                _ => {}
            }
        }
        if self.below(4) == 0 {
            batch.allow_clock_jump();
        }
        let _ = batch.put_document("checkpoint", &self.runs);
        let outcome = self.rig.commit(batch);
        self.tell(outcome);
    }

    fn page(&mut self) {
        let cursor = self.pick(&self.cursors);
        let actions: Actions =
            (0..self.below(3)).map(|_| self.pick(&[Action::Added, Action::Updated, Action::Deleted])).collect();
        let mut request = PageRequest::new(self.stream())
            .since(self.pick(&[cursor, Cursor::START]))
            .limit(1 + self.below(6))
            .max_bytes(self.pick(&[1, 40, 1 << 20]))
            .filter(actions);
        match self.below(6) {
            0 => request = request.ids([self.id(), self.id(), self.id()]),
            1 => request = request.matching(ContentFilter::new().equals("/n", self.below(4) as u64)),
            2 => request = request.modified_after(cursor.time()),
            3 => request = request.metadata_only(),
            _ => {}
        }
        let page = wait(self.rig.store().page(request));
        if let Ok(page) = &page {
            self.cursors.push(page.next_cursor);
        }
        self.tell(page);
    }

    fn consumer(&mut self) {
        let command = match (self.below(9), self.tokens.is_empty()) {
            (0..=3, _) => ConsumerCommand::Poll(
                PollOptions::default().limit(1 + self.below(3)).lease(Duration::from_secs(30)).max_attempts(2),
            ),
            (4 | 5, false) => ConsumerCommand::Ack(self.pick(&self.tokens)),
            (6, false) => ConsumerCommand::Nack(self.pick(&self.tokens)),
            (7, _) => {
                ConsumerCommand::Seek(self.pick(&[Seek::Start, Seek::End, Seek::Cursor(self.pick(&self.cursors))]))
            }
            (8, _) => self.pick(&[ConsumerCommand::Evict, ConsumerCommand::Remove, ConsumerCommand::Unpark]),
            _ => ConsumerCommand::Status,
        };
        let (stream, name) = (self.stream(), self.pick(&["one", "two"]));
        let reply = wait(self.rig.store().consumer_command(&stream, name, command));
        if let Ok(ConsumerReply::Delivery(delivery)) = &reply {
            self.tokens.push(delivery.token);
        }
        self.tell(reply);
    }

    fn maintain(&mut self) {
        let stream = self.stream();
        let up_to = self.pick(&self.cursors);
        let task = match self.below(12) {
            0..=3 => Maintenance::Prune { stream, what: PruneWhat::Tombstones, up_to },
            4 | 5 => Maintenance::Prune { stream, what: PruneWhat::Payloads, up_to },
            6 => Maintenance::Clear(stream),
            7 => Maintenance::RebaseClock,
            8 => Maintenance::Compact,
            _ => {
                let rules = ContentRules::new().ignoring(self.pick(&["/m", "/x"])).unwrap_or_default();
                let history = self.pick(&[History::Off, History::Versions(2), History::Milliseconds(2000)]);
                Maintenance::Configure(stream, StreamOptions::default().rules(rules).history(history))
            }
        };
        let report = match wait(self.rig.store().maintain(task)) {
            // How much space there is to give back differs from store to store.
            Ok(MaintenanceReport::Compacted(_)) => Ok(MaintenanceReport::Done),
            report => report,
        };
        self.tell(report);
    }

    fn look_around(&mut self) {
        let store = Arc::clone(self.rig.store());
        for head in wait(store.streams()).unwrap_or_default() {
            let stream = head.stream.clone();
            self.tell(wait(store.page(PageRequest::new(stream.clone()).limit(1000))));
            self.tell(wait(store.maintain(Maintenance::Verify(stream))));
            self.tell(head);
        }
        self.tell(wait(store.documents("", "", 100)));
    }
}
