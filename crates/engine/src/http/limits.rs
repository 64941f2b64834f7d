//! How long to wait, and when to give up.

use std::time::Duration;

use highwater_core::template::HttpResponse;

/// How a run deals with an API that is slow, busy or broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestLimits {
    /// Tries of a request that fails for reasons that may pass. 5 unless told.
    pub attempts: u32,
    /// The first pause between tries; it doubles each time. 500 ms unless told.
    pub backoff: Duration,
    /// The longest wait for a rate limit; beyond it the run ends and says when to come again. 15 minutes unless told.
    pub max_wait: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits { attempts: 5, backoff: Duration::from_millis(500), max_wait: Duration::from_secs(15 * 60) }
    }
}

impl RequestLimits {
    /// Tries a request this often.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the first pause.
    #[must_use]
    pub fn backoff(mut self, pause: Duration) -> Self {
        self.backoff = pause;
        self
    }

    /// Sets the longest wait for a rate limit.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// The pause before try number `attempt` (from 1): doubled each time, up to a minute, and half of it by chance,
    /// so that many clients do not come back together.
    pub(crate) fn pause(&self, attempt: u32, random: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (attempt - 1).min(7)).min(Duration::from_secs(60));
        doubled.mul_f64(0.5 + f64::from(random % 1000) / 2000.0)
    }
}

/// What a response says about limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing in particular.
    Pass,
    /// Ask again, not before this much time has passed (when it says).
    Wait(Option<Duration>),
}

/// Reads status and headers. `now_ms` is Unix time in milliseconds.
pub(crate) fn verdict(response: &HttpResponse, now_ms: u64) -> Verdict {
    let retry_after = response.header("retry-after").and_then(|value| parse_retry_after(value, now_ms));
    let exhausted = remaining(response) == Some(0);
    match response.status {
        429 => Verdict::Wait(retry_after.or_else(|| until_reset(response, now_ms))),
        403 if exhausted || retry_after.is_some() => {
            Verdict::Wait(retry_after.or_else(|| until_reset(response, now_ms)))
        }
        503 if retry_after.is_some() => Verdict::Wait(retry_after),
        _ => Verdict::Pass,
    }
}

/// How long to keep still before the next request, after a response that used the budget up.
pub(crate) fn rest(response: &HttpResponse, now_ms: u64) -> Option<Duration> {
    (remaining(response) == Some(0)).then(|| until_reset(response, now_ms)).flatten()
}

fn remaining(response: &HttpResponse) -> Option<u64> {
    header_of(response, &["x-ratelimit-remaining", "ratelimit-remaining"])?.trim().parse().ok()
}

/// Providers give the reset as Unix seconds or as seconds from now.
fn until_reset(response: &HttpResponse, now_ms: u64) -> Option<Duration> {
    let reset: u64 = header_of(response, &["x-ratelimit-reset", "ratelimit-reset"])?.trim().parse().ok()?;
    let now = now_ms / 1000;
    let seconds = if reset > 1_000_000_000 { (reset + 1).saturating_sub(now) } else { reset };
    Some(Duration::from_secs(seconds.max(1)))
}

/// `Retry-After` is seconds or an HTTP date.
fn parse_retry_after(value: &str, now_ms: u64) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    let at_ms = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    Some(Duration::from_millis(u64::try_from(at_ms).ok()?.saturating_sub(now_ms)))
}

fn header_of<'r>(response: &'r HttpResponse, names: &[&str]) -> Option<&'r str> {
    names.iter().find_map(|name| response.header(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        HttpResponse::new(status, headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), "")
    }

    #[test]
    fn what_headers_say() {
        let now_ms = 1_700_000_000_000;
        let wait = |seconds| Verdict::Wait(Some(Duration::from_secs(seconds)));
        assert_eq!(verdict(&response(429, &[("Retry-After", "7")]), now_ms), wait(7));
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_030));
        assert_eq!(verdict(&response(429, &[("retry-after", &date)]), now_ms), wait(30));
        let reset = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000060")];
        assert_eq!(verdict(&response(403, &reset), now_ms), wait(61));
        assert_eq!(verdict(&response(403, &[("X-RateLimit-Remaining", "5")]), now_ms), Verdict::Pass);
        assert_eq!(verdict(&response(429, &[]), now_ms), Verdict::Wait(None));
        assert_eq!(verdict(&response(500, &[]), now_ms), Verdict::Pass);
        assert_eq!(rest(&response(200, &reset), now_ms), Some(Duration::from_secs(61)));
        assert_eq!(rest(&response(200, &[("X-RateLimit-Remaining", "1")]), now_ms), None);
    }

    #[test]
    fn pauses_grow_and_differ() {
        let limits = RequestLimits::default();
        assert!(limits.pause(1, 999) < limits.pause(3, 0));
        assert!(limits.pause(1, 0) < limits.pause(1, 900));
        assert!(limits.pause(40, 999) <= Duration::from_secs(60));
    }
}
