//! How long to wait, and when to give up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater_core::template::{HttpResponse, LimitHabits};

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

/// Reads status, headers and, where the provider has such habits, the body. `now_ms` is Unix time in milliseconds.
pub(crate) fn verdict(response: &HttpResponse, habits: &LimitHabits, now_ms: u64) -> Verdict {
    let retry_after = response.header("retry-after").and_then(|value| time_until(value, now_ms));
    let exhausted = remaining(response, habits) == Some(0);
    let by_habit = habits.statuses.iter().any(|limit| {
        limit.status == response.status && limit.body.as_ref().is_none_or(|text| contains(&response.body, text))
    });
    let limited = match response.status {
        429 => true,
        403 => exhausted || retry_after.is_some(),
        503 => retry_after.is_some(),
        _ => false,
    };
    if !limited && !by_habit {
        return Verdict::Pass;
    }
    Verdict::Wait(retry_after.or_else(|| until_reset(response, habits, now_ms)).or(habits.lock_out))
}

/// How long to keep still before the next request, after a response that used the budget up.
pub(crate) fn rest(response: &HttpResponse, habits: &LimitHabits, now_ms: u64) -> Option<Duration> {
    (remaining(response, habits) == Some(0)).then(|| until_reset(response, habits, now_ms)).flatten()
}

/// How many requests the API says are left.
pub(crate) fn remaining(response: &HttpResponse, habits: &LimitHabits) -> Option<u64> {
    let usual = ["x-ratelimit-remaining", "ratelimit-remaining"];
    let value = header_of(response, habits.remaining_headers.iter().map(String::as_str).chain(usual))?;
    value.trim().parse().ok()
}

fn until_reset(response: &HttpResponse, habits: &LimitHabits, now_ms: u64) -> Option<Duration> {
    let usual = ["x-ratelimit-reset", "ratelimit-reset"];
    let value = header_of(response, habits.reset_headers.iter().map(String::as_str).chain(usual))?;
    // One second more where the API counts in whole ones.
    time_until(value, now_ms).map(|wait| wait.max(Duration::from_secs(1)))
}

/// The longest wait that any header can ask for; what is longer was not meant.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a time as APIs give it: seconds from now, Unix seconds, Unix milliseconds, milliseconds from now (nobody asks
/// for more than a day of seconds), an HTTP date or RFC 3339.
pub(crate) fn time_until(value: &str, now_ms: u64) -> Option<Duration> {
    let value = value.trim();
    let wait_ms = match value.parse::<f64>() {
        Ok(number) if !number.is_finite() || number < 0.0 => return None,
        Ok(number) if number >= 1e11 => (number as u64).saturating_sub(now_ms),
        Ok(number) if number >= 1e9 => ((number as u64 + 1) * 1000).saturating_sub(now_ms),
        Ok(number) if number > 86_400.0 => number as u64,
        Ok(number) => (number * 1000.0).ceil() as u64,
        Err(_) => {
            let at_ms = match httpdate::parse_http_date(value) {
                Ok(at) => u64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()?,
                Err(_) => u64::try_from(value.parse::<DateTime<Utc>>().ok()?.timestamp_millis()).ok()?,
            };
            at_ms.saturating_sub(now_ms)
        }
    };
    Some(Duration::from_millis(wait_ms).min(LONGEST_WAIT))
}

fn header_of<'r, 'n>(response: &'r HttpResponse, mut names: impl Iterator<Item = &'n str>) -> Option<&'r str> {
    names.find_map(|name| response.header(name))
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len().max(1)).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        HttpResponse::new(status, headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), "")
    }

    fn wait(seconds: u64) -> Verdict {
        Verdict::Wait(Some(Duration::from_secs(seconds)))
    }

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn what_headers_say() {
        let verdict = |response: &HttpResponse| super::verdict(response, &LimitHabits::default(), NOW_MS);
        let rest = |response: &HttpResponse| super::rest(response, &LimitHabits::default(), NOW_MS);
        assert_eq!(verdict(&response(429, &[("Retry-After", "7")])), wait(7));
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_030));
        assert_eq!(verdict(&response(429, &[("retry-after", &date)])), wait(30));
        let reset = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000060")];
        assert_eq!(verdict(&response(403, &reset)), wait(61));
        assert_eq!(verdict(&response(403, &[("X-RateLimit-Remaining", "5")])), Verdict::Pass);
        assert_eq!(verdict(&response(429, &[])), Verdict::Wait(None));
        assert_eq!(verdict(&response(500, &[])), Verdict::Pass);
        assert_eq!(rest(&response(200, &reset)), Some(Duration::from_secs(61)));
        assert_eq!(rest(&response(200, &[("X-RateLimit-Remaining", "1")])), None);
    }

    #[test]
    fn times_that_were_not_meant_stall_nobody() {
        let until = |value: &str| time_until(value, NOW_MS);
        assert_eq!(until("1700000060000"), Some(Duration::from_secs(60)), "Unix milliseconds");
        assert_eq!(until("90000"), Some(Duration::from_secs(90)), "milliseconds where seconds were meant");
        assert_eq!(until("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(until("2023-11-14T22:13:30Z"), Some(Duration::from_secs(10)));
        assert_eq!(until("1600000000"), Some(Duration::ZERO), "a reset that is past");
        for bogus in ["99999999999999999999", "9999999999", "9e300", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert!(until(bogus).is_some_and(|wait| wait <= LONGEST_WAIT), "{bogus}");
        }
        for nothing in ["soon", "-5", "NaN", "inf", ""] {
            assert_eq!(until(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_provider_has_habits_of_its_own() {
        let habits = LimitHabits::new()
            .status_with(400, "RATELIMITED")
            .headers("x-complexity-left", "x-complexity-reset")
            .lock_out(Duration::from_secs(30));
        let limited = HttpResponse::new(400, Vec::new(), r#"{"errors":[{"code":"RateLimited"}]}"#);
        assert_eq!(verdict(&limited, &habits, NOW_MS), wait(30));
        let other = HttpResponse::new(400, Vec::new(), r#"{"errors":[{"code":"SYNTAX"}]}"#);
        assert_eq!(verdict(&other, &habits, NOW_MS), Verdict::Pass);
        let used_up = response(200, &[("X-Complexity-Left", "0"), ("X-Complexity-Reset", "1700000005000")]);
        assert_eq!(rest(&used_up, &habits, NOW_MS), Some(Duration::from_secs(5)));
    }

    #[test]
    fn pauses_grow_and_differ() {
        let limits = RequestLimits::default();
        assert!(limits.pause(1, 999) < limits.pause(3, 0));
        assert!(limits.pause(1, 0) < limits.pause(1, 900));
        assert!(limits.pause(40, 999) <= Duration::from_secs(60));
    }
}
