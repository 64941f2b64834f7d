//! How an API limits the rate of requests.

use std::time::Duration;

use serde::Serialize;

/// How an API limits the rate of requests, where that differs from a 429 with `Retry-After`.
///
/// ```
/// use std::time::Duration;
/// use highwater_template::limits::RateLimits;
/// // At most 3 requests in a second, and a 403 that mentions abuse means "slow down".
/// let limits = RateLimits::new().rate(3, Duration::from_secs(1)).status_with_text(403, "abuse");
/// # assert_eq!(limits.statuses.len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RateLimits {
    /// The rate that all syncs of a connection keep to together. Unlimited by default.
    pub rate: Option<Rate>,
    /// Statuses that mean "slow down" although they usually mean something else.
    pub statuses: Vec<LimitStatus>,
    /// Texts in a body that mean "slow down", whatever the status.
    pub texts: Vec<LimitText>,
    /// Headers with the number of requests left, beside the usual ones.
    pub remaining_headers: Vec<String>,
    /// Headers with the time of the reset, beside the usual ones.
    pub reset_headers: Vec<String>,
    /// How long to wait after a refusal that does not say how long. Doubles with each further one.
    #[serde(rename = "first_backoff_ms", serialize_with = "crate::milliseconds::serialize_option")]
    pub first_backoff: Option<Duration>,
}

/// A rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// How many requests, at least one.
    pub requests: u32,
    /// In which time.
    #[serde(rename = "period_ms", serialize_with = "crate::milliseconds::serialize")]
    pub period: Duration,
}

/// A status that means "slow down".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitStatus {
    /// The status.
    pub status: u16,
    /// Only where the body contains this text.
    pub body: Option<String>,
}

/// A text in a body that means "slow down".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitText {
    /// Where the text is in the body, as a JSON pointer.
    pub pointer: String,
    /// The text; a number as it is written.
    pub value: String,
}

impl RateLimits {
    /// The usual limits: a 429, `Retry-After`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    pub fn new() -> Self {
        RateLimits::default()
    }

    /// Limits all syncs of a connection together to `requests` in `period`. Zero requests count as one.
    #[must_use]
    pub fn rate(mut self, requests: u32, period: Duration) -> Self {
        self.rate = Some(Rate { requests: requests.max(1), period });
        self
    }

    /// Takes a response with `status` for "slow down".
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.statuses.push(LimitStatus { status, body: None });
        self
    }

    /// Takes a response with `status` and `text` anywhere in its body for "slow down".
    #[must_use]
    pub fn status_with_text(mut self, status: u16, text: impl Into<String>) -> Self {
        self.statuses.push(LimitStatus { status, body: Some(text.into()) });
        self
    }

    /// Treats a response whose text at the JSON pointer is `value` as "slow down", whatever its status.
    ///
    /// ```
    /// # use highwater_template::limits::RateLimits;
    /// // {"errors": [{"extensions": {"code": "RATELIMITED"}}]}
    /// let limits = RateLimits::new().text("/errors/0/extensions/code", "RATELIMITED");
    /// # assert_eq!(limits.texts[0].value, "RATELIMITED");
    /// ```
    #[must_use]
    pub fn text(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.texts.push(LimitText { pointer: pointer.into(), value: value.into() });
        self
    }

    /// Adds a header with the number of requests left, and one with the time of the reset.
    #[must_use]
    pub fn headers(mut self, remaining: impl Into<String>, reset: impl Into<String>) -> Self {
        self.remaining_headers.push(remaining.into());
        self.reset_headers.push(reset.into());
        self
    }

    /// Sets how long to wait after a refusal that does not say how long. Doubles with each further one.
    #[must_use]
    pub fn first_backoff(mut self, time: Duration) -> Self {
        self.first_backoff = Some(time);
        self
    }
}
