//! Retries, backoff and rate limits.

use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater_template::HttpResponse;
use highwater_template::limits::RateLimits;

/// Limits for an API that is slow, busy or failing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestLimits {
    /// Attempts at a request whose failure may be temporary. Defaults to 5.
    pub attempts: u32,
    /// The first pause between attempts; it doubles each time. Defaults to 500 ms.
    pub backoff: Duration,
    /// The longest wait for a rate limit. A longer one ends the run with `RateLimited`, which says when to retry. Defaults to 15
    /// minutes.
    pub max_wait: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits { attempts: 5, backoff: Duration::from_millis(500), max_wait: Duration::from_secs(15 * 60) }
    }
}

impl RequestLimits {
    /// Sets the number of attempts at a request.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the first pause between attempts.
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

    /// The pause before attempt number `attempt` (from 1): doubled each time, up to a minute, and half of it random, so that
    /// many clients do not retry together.
    pub(crate) fn pause(&self, attempt: u32, random: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (attempt - 1).min(7)).min(Duration::from_secs(60));
        doubled.mul_f64(0.5 + f64::from(random % 1000) / 2000.0)
    }
}

/// A response's verdict about limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing about limits.
    Pass,
    /// Retry, but not at once.
    Wait(Wait),
}

/// How long to wait before a request is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The wait that the response asks for.
    told: Option<Duration>,
    /// The wait after the first refusal, if the response names none; it doubles with each further one in a row.
    growing: Option<Duration>,
}

impl Wait {
    /// The wait after this many refusals in a row. It is never shorter than the pause between attempts, so that an API that
    /// always says "at once" causes no busy loop.
    pub(crate) fn time(&self, refusals: u32, limits: &RequestLimits, random: u32) -> Duration {
        let grown = match self.growing {
            Some(first) => first.saturating_mul(1 << refusals.saturating_sub(1).min(7)),
            None => limits.pause(refusals, random),
        };
        grown.max(self.told.unwrap_or_default())
    }
}

/// The shortest wait for a limit that is not the quota: the quota's reset says nothing about it.
const SECONDARY: Duration = Duration::from_secs(60);

/// Reads status, headers and, for providers with such limits, the body. `now_ms` is our Unix time in milliseconds; the
/// response's own clock takes precedence.
pub(crate) fn verdict(response: &HttpResponse, limits: &RateLimits, now_ms: u64) -> Verdict {
    let told = retry_after(response, now_ms);
    let left = remaining(response, limits);
    let by_habit = limits.statuses.iter().any(|limit| {
        limit.status == response.status && limit.body.as_ref().is_none_or(|text| contains(&response.body, text))
    });
    let in_words =
        || limits.texts.iter().any(|text| response.text_at(&text.pointer).ok().flatten().as_ref() == Some(&text.value));
    let limited = match response.status {
        429 => true,
        403 => left == Some(0) || told.is_some(),
        503 => told.is_some(),
        _ => false,
    };
    if !limited && !by_habit && !in_words() {
        return Verdict::Pass;
    }
    let wait = match (told, left) {
        (Some(_), _) => Wait { told, growing: None },
        (None, Some(1..)) => Wait { told: None, growing: Some(limits.first_backoff.unwrap_or(SECONDARY)) },
        (None, _) => match until_reset(response, limits, now_ms) {
            told @ Some(_) => Wait { told, growing: None },
            None => Wait { told: None, growing: limits.first_backoff },
        },
    };
    Verdict::Wait(wait)
}

/// The shortest wait before a temporary failure is retried; `None` if a retry is of no use.
pub(crate) fn passing(response: &HttpResponse, now_ms: u64) -> Option<Duration> {
    let told = retry_after(response, now_ms);
    match response.status {
        // The request came too slowly, too early, or while the resource was locked.
        408 | 423 | 425 | 500..=599 => Some(told.unwrap_or_default()),
        // A conflict is an answer, unless the API says when it will be resolved.
        409 => told,
        _ => None,
    }
}

/// How long to pause before the next request, after a response that used up the budget.
pub(crate) fn rest(response: &HttpResponse, limits: &RateLimits, now_ms: u64) -> Option<Duration> {
    (remaining(response, limits) == Some(0)).then(|| until_reset(response, limits, now_ms)).flatten()
}

/// The remaining requests, according to the API.
pub(crate) fn remaining(response: &HttpResponse, limits: &RateLimits) -> Option<u64> {
    let usual = ["x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining"];
    match header_of(response, limits.remaining_headers.iter().map(String::as_str).chain(usual)) {
        Some(value) => value.trim().parse().ok(),
        None => policy(response).map(|(left, _)| left),
    }
}

/// The time before which the API wants no further request.
pub(crate) fn retry_after(response: &HttpResponse, now_ms: u64) -> Option<Duration> {
    let value = response.header("retry-after")?;
    time_until(value, server_ms(response).unwrap_or(now_ms))
}

fn until_reset(response: &HttpResponse, limits: &RateLimits, now_ms: u64) -> Option<Duration> {
    let usual = ["x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"];
    let named = header_of(response, limits.reset_headers.iter().map(String::as_str).chain(usual));
    let value = named.or_else(|| policy(response).and_then(|(_, reset)| reset))?;
    let wait = match server_ms(response) {
        // Both count in whole seconds, and the clock's is rounded down: the wait is never too short.
        Some(server_ms) => time_until(value, server_ms),
        // One second more if the API counts in whole seconds.
        None => time_until(value, now_ms).map(|wait| wait + Duration::from_secs(u64::from(is_unix_seconds(value)))),
    };
    wait.map(|wait| wait.clamp(Duration::from_secs(1), LONGEST_WAIT))
}

/// The `RateLimit` header's policy with the fewest remaining requests: how many, and the seconds until its reset.
/// Both forms of its draft are read: `limit=9, remaining=0, reset=5`, and `"minute";r=0;t=5, "hour";r=7;t=900`.
fn policy(response: &HttpResponse) -> Option<(u64, Option<&str>)> {
    let value = response.header("ratelimit")?;
    let (policies, within) = if value.contains(';') { (value.split(','), ';') } else { (value.split('\0'), ',') };
    let policies = policies.filter_map(|policy| {
        let named = |short, long| {
            let pairs = policy.split(within).filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == short || *name == long)
        };
        let left = named("r", "remaining")?.1.parse().ok()?;
        Some((left, named("t", "reset").map(|(_, reset)| reset)))
    });
    policies.min_by_key(|(left, _)| *left)
}

/// The API's clock when it answered, by which it counts resets. A cache adds the answer's age.
pub(super) fn server_ms(response: &HttpResponse) -> Option<u64> {
    let date_ms = response.date()?.unix_ms();
    let age_s = response.header("age").and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(date_ms.saturating_add(age_s.saturating_mul(1000)))
}

fn is_unix_seconds(value: &str) -> bool {
    value.trim().parse::<f64>().is_ok_and(|number| (1e9..1e11).contains(&number))
}

/// The longest plausible wait in a header; a longer one is ignored.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a time in any form that APIs use: seconds from now, Unix seconds, Unix milliseconds, milliseconds from now (no API
/// means more than a day of seconds), a duration with units, an HTTP date or RFC 3339.
pub(crate) fn time_until(value: &str, now_ms: u64) -> Option<Duration> {
    let value = value.trim();
    let wait_ms = match value.parse::<f64>() {
        Ok(number) if !number.is_finite() || number < 0.0 => return None,
        Ok(number) if number >= 1e11 => (number as u64).saturating_sub(now_ms),
        Ok(number) if number >= 1e9 => (number as u64 * 1000).saturating_sub(now_ms),
        Ok(number) if number > 86_400.0 => number as u64,
        Ok(number) => (number * 1000.0).ceil() as u64,
        Err(_) => match duration_ms(value) {
            Some(wait_ms) => wait_ms,
            None => until_date(value, now_ms)?,
        },
    };
    Some(Duration::from_millis(wait_ms).min(LONGEST_WAIT))
}

fn until_date(value: &str, now_ms: u64) -> Option<u64> {
    let at_ms = match httpdate::parse_http_date(value) {
        Ok(at) => u64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()?,
        Err(_) => u64::try_from(value.parse::<DateTime<Utc>>().ok()?.timestamp_millis()).ok()?,
    };
    Some(at_ms.saturating_sub(now_ms))
}

/// Reads a duration with units, such as `1m30.5s` or `500ms`.
fn duration_ms(value: &str) -> Option<u64> {
    let (mut rest, mut sum_ms) = (value, 0.0);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let after = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |digits| unit + digits);
        let unit_ms = match &rest[unit..after] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        sum_ms += rest[..unit].parse::<f64>().ok()? * unit_ms;
        rest = &rest[after..];
    }
    (!value.is_empty()).then_some(sum_ms as u64)
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
        Verdict::Wait(Wait { told: Some(Duration::from_secs(seconds)), growing: None })
    }

    fn grows(seconds: u64) -> Verdict {
        Verdict::Wait(Wait { told: None, growing: Some(Duration::from_secs(seconds)) })
    }

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn what_headers_say() {
        let verdict = |response: &HttpResponse| super::verdict(response, &RateLimits::default(), NOW_MS);
        let rest = |response: &HttpResponse| super::rest(response, &RateLimits::default(), NOW_MS);
        assert_eq!(verdict(&response(429, &[("Retry-After", "7")])), wait(7));
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_030));
        assert_eq!(verdict(&response(429, &[("retry-after", &date)])), wait(30));
        let reset = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000060")];
        assert_eq!(verdict(&response(403, &reset)), wait(61));
        assert_eq!(verdict(&response(403, &[("X-RateLimit-Remaining", "5")])), Verdict::Pass);
        assert_eq!(verdict(&response(429, &[])), Verdict::Wait(Wait::default()));
        assert_eq!(verdict(&response(429, &[("X-RateLimit-Remaining", "5")])), grows(60));
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
        let limits = RateLimits::new()
            .status_with_text(400, "RATELIMITED")
            .headers("x-complexity-left", "x-complexity-reset")
            .first_backoff(Duration::from_secs(30));
        let limited = HttpResponse::new(400, Vec::new(), r#"{"errors":[{"code":"RateLimited"}]}"#);
        assert_eq!(verdict(&limited, &limits, NOW_MS), grows(30));
        let other = HttpResponse::new(400, Vec::new(), r#"{"errors":[{"code":"SYNTAX"}]}"#);
        assert_eq!(verdict(&other, &limits, NOW_MS), Verdict::Pass);
        let used_up = response(200, &[("X-Complexity-Left", "0"), ("X-Complexity-Reset", "1700000005000")]);
        assert_eq!(rest(&used_up, &limits, NOW_MS), Some(Duration::from_secs(5)));
    }

    #[test]
    fn limits_told_in_words() {
        let limits = RateLimits::new().text("/errors/0/extensions/code", "RATELIMITED");
        let told = |status, code: &str| {
            let body = format!(r#"{{"errors":[{{"message":"RATELIMITED","extensions":{{"code":"{code}"}}}}]}}"#);
            verdict(&HttpResponse::new(status, Vec::new(), body), &limits, NOW_MS)
        };
        assert_eq!((told(200, "RATELIMITED"), told(400, "RATELIMITED")), (told(429, ""), told(429, "")));
        assert_eq!((told(200, "OTHER"), told(400, "OTHER")), (Verdict::Pass, Verdict::Pass));
        let none = HttpResponse::new(200, Vec::new(), "no json");
        assert_eq!(verdict(&none, &limits, NOW_MS), Verdict::Pass);
    }

    #[test]
    fn times_by_the_clock_of_the_answer() {
        // An hour ahead of ours, from a cache that had it for ten seconds.
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_700_003_590));
        let headers = |reset: &'static str| [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", reset)];
        for (reset, expected) in [("1700003603", 3), ("1700003603000", 3), ("7", 7), ("2023-11-14T23:13:23Z", 3)] {
            let mut response = response(429, &headers(reset));
            response.headers.extend([("Date".to_owned(), date.clone()), ("Age".to_owned(), "10".to_owned())]);
            assert_eq!(verdict(&response, &RateLimits::default(), NOW_MS), wait(expected), "{reset}");
        }
    }

    #[test]
    fn waits_grow() {
        let limits = RequestLimits::default();
        let Verdict::Wait(minutes) = grows(60) else { unreachable!() };
        let seconds: Vec<u64> = (1..5).map(|refusals| minutes.time(refusals, &limits, 0).as_secs()).collect();
        assert_eq!(seconds, [60, 120, 240, 480]);
        let at_once = Wait { told: Some(Duration::ZERO), growing: None };
        assert!(
            at_once.time(1, &limits, 0) > Duration::ZERO && at_once.time(20, &limits, 0) >= Duration::from_secs(30)
        );
    }

    #[test]
    fn pauses_grow_and_differ() {
        let limits = RequestLimits::default();
        assert!(limits.pause(1, 999) < limits.pause(3, 0));
        assert!(limits.pause(1, 0) < limits.pause(1, 900));
        assert!(limits.pause(40, 999) <= Duration::from_secs(60));
    }
}
