//! A fake with a stock of records that a matrix can change.

use std::sync::Arc;

use highwater_template::{HttpResponse, Template};

use crate::fake::{FakeApi, FakeRequest};
use crate::matrix::subject::{Live, Subject, TrialApi};

/// Records that a stock begins with: several pages of a fake.
const RECORDS: u64 = 10;

/// Unix seconds of the beginning of 2026, from which fakes count.
const EPOCH_S: u64 = 1_767_225_600;

/// Changes a fake by the record's number.
pub(super) struct Hands<A, M = fn() -> A> {
    pub(super) make: M,
    /// Adds or changes a record with a text; returns its id in the store, and a text that its payload holds.
    pub(super) put: fn(&mut A, u64, &str) -> (String, String),
    /// Deletes a record, where the API can.
    pub(super) delete: Option<fn(&mut A, u64)>,
    /// The fake's clock: seconds since the beginning of 2026.
    pub(super) now: Option<fn(&A) -> u64>,
    /// Sets the fake's clock.
    pub(super) set_now: fn(&mut A, u64),
}

impl<A, M: Copy> Clone for Hands<A, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, M: Copy> Copy for Hands<A, M> {}

pub(super) struct Stock<A> {
    api: A,
    hands: Hands<A, ()>,
    model: String,
    live: Live,
    ids: Vec<(u64, String)>,
    tied: bool,
}

impl<A: FakeApi> Stock<A> {
    fn new(model: &str, api: A, hands: Hands<A, ()>, tied: bool) -> Self {
        let mut stock = Stock { api, hands, model: model.to_owned(), live: Live::new(), ids: Vec::new(), tied };
        (1..=RECORDS).for_each(|n| stock.put(n, "Größe 0"));
        stock
    }

    fn put(&mut self, n: u64, text: &str) {
        let now = self.hands.now.map(|now| now(&self.api));
        let (id, text) = (self.hands.put)(&mut self.api, n, text);
        if let (true, Some(now)) = (self.tied, now) {
            (self.hands.set_now)(&mut self.api, now);
        }
        self.ids.push((n, id.clone()));
        self.live.insert((self.model.clone(), id), text);
    }
}

impl<A: FakeApi> FakeApi for Stock<A> {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        self.api.answer(request)
    }
}

impl<A: FakeApi> TrialApi for Stock<A> {
    fn live(&self) -> Live {
        self.live.clone()
    }

    fn change(&mut self, round: u32) {
        let round = u64::from(round);
        self.put(3, &format!("Größe {round}"));
        self.put(20 + round, &format!("Neu {round}"));
    }

    fn delete(&mut self, round: u32) {
        let gone = 5 + u64::from(round);
        if let Some(delete) = self.hands.delete {
            delete(&mut self.api, gone);
            if let Some((_, id)) = self.ids.iter().find(|(n, _)| *n == gone) {
                self.live.remove(&(self.model.clone(), id.clone()));
            }
        }
    }

    fn now_s(&self) -> Option<u64> {
        self.hands.now.map(|now| EPOCH_S + now(&self.api))
    }

    fn set_now_s(&mut self, now_s: u64) {
        if let Some(now) = self.hands.now {
            let since = now_s.saturating_sub(EPOCH_S).max(now(&self.api));
            (self.hands.set_now)(&mut self.api, since);
        }
    }
}

/// A subject of a stock.
pub(super) fn stocked<A: FakeApi, M>(template: Arc<dyn Template>, hands: Hands<A, M>) -> Subject
where
    M: Fn() -> A + Copy + Send + Sync + 'static,
{
    let model = template.info().models.first().map_or_else(String::new, |model| model.name.clone());
    let Hands { make, put, delete, now, set_now } = hands;
    let hands = Hands { make: (), put, delete, now, set_now };
    let tied_model = model.clone();
    let subject = Subject::new(template, move || Stock::new(&model, make(), hands, false));
    if now.is_none() {
        return subject;
    }
    subject.with_ties(move || Stock::new(&tied_model, make(), hands, true))
}
