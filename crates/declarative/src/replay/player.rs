//! Answers requests from a list of recorded exchanges.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Value, python_text};
use highwater_template::HttpResponse;

use super::cassette::RecordedRequest;
use super::compare;
use crate::exchange::{Exchange, Page, Purpose, Request, Sink};

pub(super) struct Player<'p> {
    requests: &'p [RecordedRequest],
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    next: usize,
    /// Recorded authentications that we made.
    authentications: Vec<usize>,
    difference: Option<String>,
}

impl<'p> Player<'p> {
    pub(super) fn new(requests: &'p [RecordedRequest]) -> Self {
        Player { requests, place: Mutex::default() }
    }

    /// The first request that differed.
    pub(super) fn difference(&self) -> Option<String> {
        lock(&self.place).difference.clone()
    }

    /// The first recorded request that was not made.
    pub(super) fn missed(&self) -> Option<String> {
        let mut place = lock(&self.place);
        self.skip_repeats(&mut place);
        let recorded = self.requests.get(place.next)?;
        Some(format!("request {} was not made: {}", place.next + 1, compare::shown(recorded)))
    }

    fn skip_repeats(&self, place: &mut Place) {
        while self.requests.get(place.next).is_some_and(|recorded| {
            let made = place.authentications.iter().filter_map(|made| self.requests.get(*made));
            made.into_iter().any(|made| compare::same_recorded(made, recorded))
        }) {
            place.next += 1;
        }
    }

    fn same_follows(&self, place: usize) -> bool {
        let (this, next) = (self.requests.get(place), self.requests.get(place + 1));
        this.zip(next).is_some_and(|(this, next)| compare::same_recorded(this, next))
    }

    fn answer(&self, request: &Request) -> Result<HttpResponse> {
        let mut place = lock(&self.place);
        let authentication = request.purpose == Purpose::Authentication;
        let fits = |recorded: Option<&RecordedRequest>| {
            recorded.and_then(|recorded| compare::requests(recorded, &request.http))
        };
        if self.requests.get(place.next).is_none() || fits(self.requests.get(place.next)).is_some() {
            self.skip_repeats(&mut place);
        }
        let number = place.next + 1;
        let difference = match self.requests.get(place.next) {
            None => Some(format!("request {number} was not recorded: {} {}", request.http.method, request.http.url)),
            Some(recorded) => {
                compare::requests(recorded, &request.http).map(|what| format!("request {number}: {what}"))
            }
        };
        if let Some(difference) = difference {
            place.difference.get_or_insert(difference);
            return Err(Error::new(ErrorKind::Unavailable, "the request was not recorded"));
        }
        if authentication {
            // Of several equal ones in a row, the reference used what the last gave.
            while self.requests.get(place.next).is_some_and(|this| this.response.status < 400)
                && self.same_follows(place.next)
            {
                place.next += 1;
            }
            let next = place.next;
            place.authentications.push(next);
        }
        let recorded = self.requests.get(place.next);
        place.next += 1;
        let Some(recorded) = recorded else { return Err(Error::new(ErrorKind::Internal, "the request is gone")) };
        let body = match &recorded.response.body {
            Value::String(text) => Bytes::from(text.clone()),
            json => Bytes::from(json.to_string()),
        };
        let headers =
            recorded.response.headers.iter().map(|(name, value)| (name.clone(), python_text(value))).collect();
        let mut response = HttpResponse::new(recorded.response.status, headers, body);
        response.url.clone_from(&recorded.url);
        Ok(response)
    }
}

#[async_trait]
impl Exchange for Player<'_> {
    async fn send(&self, request: Request) -> Result<HttpResponse> {
        self.answer(&request)
    }

    async fn sleep(&self, _duration: Duration) {}
}

/// Keeps what it gets.
#[derive(Default)]
pub(super) struct Collector {
    pub records: Vec<Bytes>,
}

#[async_trait]
impl Sink for Collector {
    async fn page(&mut self, page: Page) -> Result<()> {
        self.records.extend(page.records);
        Ok(())
    }
}
