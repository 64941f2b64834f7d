//! How many requests a key may make: a bucket for each, filled evenly.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::{HeaderName, StatusCode};
use highwater_core::locks::lock;

use crate::error::ApiError;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The buckets of all keys. Only keys that exist get one, and all that do not exist share one.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_minute: u32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests that are left.
    left: f64,
    /// When that was counted.
    at: Duration,
}

impl RateLimit {
    pub(crate) fn new(per_minute: u32) -> Self {
        RateLimit { per_minute: per_minute.max(1), buckets: Mutex::default() }
    }

    /// Takes one request of the key `id` at the time `now`, by a clock that never goes back.
    pub(crate) fn take(&self, id: &str, now: Duration) -> Result<(), ApiError> {
        let full = f64::from(self.per_minute);
        let mut buckets = lock(&self.buckets);
        let bucket = buckets.get(id).copied().unwrap_or(Bucket { left: full, at: now });
        let filled = now.saturating_sub(bucket.at).as_secs_f64() * full / 60.0;
        let left = (bucket.left + filled).min(full);
        let enough = left >= 1.0;
        let bucket = Bucket { left: if enough { left - 1.0 } else { left }, at: now };
        match buckets.get_mut(id) {
            Some(known) => *known = bucket,
            None => {
                buckets.insert(id.to_owned(), bucket);
            }
        }
        if enough {
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - left) * 60.0 / full);
        let message = format!("a key may make {} requests in a minute: wait, then try again", self.per_minute);
        Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_request", message)
            .retry_in(wait)
            .with_header(LIMIT, self.per_minute.to_string())
            .with_header(REMAINING, "0")
            .with_header(RESET, wait.as_secs().max(1).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_evenly_and_each_key_has_its_own() {
        let rate = RateLimit::new(60);
        let take = |id: &str, seconds: f64| rate.take(id, Duration::from_secs_f64(seconds)).is_ok();
        assert_eq!((0..100).filter(|_| take("a", 0.0)).count(), 60);
        assert!(take("b", 0.0));
        assert!(!take("a", 0.5) && take("a", 1.01) && !take("a", 1.02));
        assert_eq!((0..100).filter(|_| take("a", 3600.0)).count(), 60);
    }
}
