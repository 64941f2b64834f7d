//! Faults of an API, in an order that the test decides.

use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use highwater_template::HttpResponse;

use crate::fake::{FakeApi, FakeRequest, NO_ANSWER, json, with_header};

/// What happens to a response, or in place of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: the response stays as it is.
    None,
    /// A status without a body.
    Status(u16),
    /// A status with a body.
    Body(u16, String),
    /// `429` with `Retry-After` in seconds.
    RetryAfter(u64),
    /// `429` with `Retry-After` as an HTTP date, for this Unix time in seconds.
    RetryAfterDate(u64),
    /// `403` with no requests left until this `X-RateLimit-Reset`, in whatever unit.
    UsedUp(String),
    /// The body is cut in half.
    Truncated,
    /// The request has its effect, and no response comes.
    Lost,
    /// The request has no effect, and no response comes.
    Refused,
    /// The previous response comes again.
    Repeated,
    /// `401`: the token has expired.
    TokenEnded,
    /// `410`: the API no longer knows the checkpoint.
    Gone,
}

/// A fake API with faults: each request takes the next one, until there are no more.
///
/// ```
/// use highwater_testkit::{FakeRequest, FakeTransport, Fault, Hostile, json};
/// let api = |_: &FakeRequest| json(200, "[]");
/// // The first request is told to wait, the second one is answered.
/// let transport = FakeTransport::new(Hostile::new(api).faults([Fault::RetryAfter(7)]));
/// # assert_eq!(transport.with(|hostile| hostile.left()), 1);
/// ```
#[derive(Debug)]
pub struct Hostile<A> {
    /// The API.
    pub api: A,
    faults: VecDeque<Fault>,
    last: Option<HttpResponse>,
}

impl<A: FakeApi> Hostile<A> {
    /// Makes `api` without faults yet.
    pub fn new(api: A) -> Self {
        Hostile { api, faults: VecDeque::new(), last: None }
    }

    /// Adds faults for the next requests, when the API is made.
    #[must_use]
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.add(faults);
        self
    }

    /// Adds faults for the next requests.
    pub fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// Drops the faults that have not happened yet.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// Returns how many faults have not happened yet.
    pub fn left(&self) -> usize {
        self.faults.len()
    }

    fn through(&mut self, request: &FakeRequest) -> HttpResponse {
        let response = self.api.answer(request);
        self.last = Some(response.clone());
        response
    }
}

impl<A: FakeApi> FakeApi for Hostile<A> {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        match self.faults.pop_front().unwrap_or(Fault::None) {
            Fault::None => self.through(request),
            Fault::Status(status) => json(status, ""),
            Fault::Body(status, body) => json(status, body),
            Fault::RetryAfter(seconds) => with_header(json(429, ""), "retry-after", seconds.to_string()),
            Fault::RetryAfterDate(at) => {
                let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
                with_header(json(429, ""), "retry-after", date)
            }
            Fault::UsedUp(reset) => {
                let left = with_header(json(403, ""), "x-ratelimit-remaining", "0");
                with_header(left, "x-ratelimit-reset", reset)
            }
            Fault::Truncated => {
                let mut response = self.through(request);
                response.body.truncate(response.body.len() / 2);
                response
            }
            Fault::Lost => {
                self.through(request);
                HttpResponse::new(NO_ANSWER, Vec::new(), "")
            }
            Fault::Refused => HttpResponse::new(NO_ANSWER, Vec::new(), ""),
            Fault::Repeated => match self.last.clone() {
                Some(last) => last,
                None => self.through(request),
            },
            Fault::TokenEnded => json(401, r#"{"error":"token expired"}"#),
            Fault::Gone => json(410, r#"{"error":"gone"}"#),
        }
    }
}
