//! What is left of a manifest's budget of requests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::python_text;
use highwater_template::{HttpRequest, HttpResponse};

use super::context::Run;
use crate::model::{Budget, Policy, Rule};

/// Whoever must wait longer ends with what was read, and comes again.
const MAX_WAIT_MS: u64 = 15 * 60_000;
/// Clocks of reads differ by what one of them does between two requests; by more, the clock went back.
const MAX_LAG_MS: u64 = 10 * 60_000;

/// The calls that were made, by policy: shared by all reads that share a budget.
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// The latest time that anybody saw.
    now_ms: u64,
    windows: Vec<Window>,
}

/// Calls of one policy. A call that must wait is booked at the time at which it will be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Window {
    /// A fixed window: its calls, when it begins (where it is yet to come), and when it ends.
    calls: u64,
    from_ms: u64,
    until_ms: Option<u64>,
    /// Times and weights of the calls in a moving window.
    booked: VecDeque<(u64, u64)>,
}

/// A policy's rule under a config.
#[derive(Debug)]
enum Limit {
    Fixed {
        calls: u64,
        period_ms: u64,
    },
    /// Calls, and the milliseconds in which there may be so many.
    Moving(Vec<(u64, u64)>),
}

impl Budget {
    /// Waits until a request may be made.
    pub(super) async fn acquire(&self, request: &HttpRequest, run: &Run<'_>) -> Result<()> {
        let Some((place, policy)) = self.policy_of(request) else { return Ok(()) };
        let located = |error: Error| error.with("at", &policy.path);
        let Some(limit) = policy.limit(run).map_err(located)? else { return Ok(()) };
        let matcher = policy.matchers.iter().find(|matcher| matcher.fits(request));
        let weight = matcher.map_or(Ok(1), |matcher| matcher.weight(&run.scope())).map_err(located)?;
        if weight > limit.lowest() {
            let message = format!("a request weighs {weight}, but the policy never allows so many calls");
            return Err(located(Error::new(ErrorKind::Invalid, message)));
        }
        let wait_ms = run.budget.with(place, run, |window, now_ms| {
            let mut booked = window.clone();
            let wait_ms = booked.book(&limit, weight, now_ms);
            if wait_ms <= MAX_WAIT_MS {
                *window = booked;
            }
            wait_ms
        });
        let wait_ms = wait_ms.unwrap_or_default();
        let wait = Duration::from_millis(wait_ms);
        if wait_ms > MAX_WAIT_MS {
            let message = "the manifest's `api_budget` is used up: what was read stays, come again later";
            return Err(located(Error::new(ErrorKind::RateLimited, message)).retry_in(wait));
        }
        if wait_ms > 0 {
            run.exchange.sleep(wait).await;
        }
        Ok(())
    }

    /// Takes over what an answer says about the calls that are left.
    pub(super) fn learn(&self, request: &HttpRequest, response: &HttpResponse, run: &Run<'_>) {
        let Some((place, policy)) = self.policy_of(request) else { return };
        let Ok(Some(limit)) = policy.limit(run) else { return };
        let number = |header: &str| response.header(header)?.trim().parse::<u64>().ok();
        let refused = self.refused.contains(&response.status).then_some(0);
        let left = number(&self.remaining_header).or(refused);
        let reset_ms = number(&self.reset_header).map(|seconds| seconds.saturating_mul(1000));
        run.budget.with(place, run, |window, now_ms| window.learn(&limit, left, reset_ms, now_ms));
    }

    fn policy_of(&self, request: &HttpRequest) -> Option<(usize, &Policy)> {
        let fits =
            |policy: &Policy| policy.matchers.is_empty() || policy.matchers.iter().any(|matcher| matcher.fits(request));
        self.policies.iter().enumerate().find(|(_, policy)| fits(policy))
    }
}

impl Policy {
    fn limit(&self, run: &Run<'_>) -> Result<Option<Limit>> {
        Ok(match &self.rule {
            Rule::Unlimited => None,
            Rule::Fixed { calls, period_ms } => Some(Limit::Fixed { calls: *calls, period_ms: *period_ms }),
            Rule::Moving(rates) => {
                let mut limits = Vec::with_capacity(rates.len());
                for rate in rates {
                    let value = rate.limit.value(&run.scope())?;
                    let calls = python_text(&value).trim().parse().ok().filter(|calls| *calls > 0);
                    let calls = calls.ok_or_else(|| {
                        let message =
                            format!("the limit {} of a rate is no whole number from 1 on", python_text(&value));
                        Error::new(ErrorKind::Invalid, message)
                    })?;
                    limits.push((calls, rate.interval_ms));
                }
                Some(Limit::Moving(limits))
            }
        })
    }
}

impl Limit {
    /// The most calls at once.
    fn lowest(&self) -> u64 {
        match self {
            Limit::Fixed { calls, .. } => *calls,
            Limit::Moving(rates) => rates.iter().map(|(calls, _)| *calls).min().unwrap_or(u64::MAX),
        }
    }
}

impl Spent {
    fn with<T>(&self, place: usize, run: &Run<'_>, change: impl FnOnce(&mut Window, u64) -> T) -> Option<T> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = run.environment.now().unix_ms();
        if now_ms.saturating_add(MAX_LAG_MS) < calls.now_ms {
            *calls = Calls::default();
        }
        calls.now_ms = calls.now_ms.max(now_ms);
        let now_ms = calls.now_ms;
        if calls.windows.len() <= place {
            calls.windows.resize(place + 1, Window::default());
        }
        calls.windows.get_mut(place).map(|window| change(window, now_ms))
    }
}

impl Window {
    /// Books a call and says how many milliseconds it must wait.
    fn book(&mut self, limit: &Limit, weight: u64, now_ms: u64) -> u64 {
        match limit {
            Limit::Fixed { calls, period_ms } => {
                let mut until_ms = self.until_ms.unwrap_or_else(|| now_ms.saturating_add(*period_ms));
                if now_ms > until_ms {
                    let periods = (now_ms - until_ms).div_ceil(*period_ms);
                    until_ms = until_ms.saturating_add(periods.saturating_mul(*period_ms));
                    self.calls = 0;
                }
                if self.calls.saturating_add(weight) > *calls {
                    self.from_ms = until_ms;
                    until_ms = until_ms.saturating_add(*period_ms);
                    self.calls = 0;
                }
                self.calls += weight;
                self.until_ms = Some(until_ms);
                self.from_ms.saturating_sub(now_ms)
            }
            Limit::Moving(rates) => {
                let longest = rates.iter().map(|(_, interval_ms)| *interval_ms).max().unwrap_or_default();
                let over = |at_ms: &u64| at_ms.saturating_add(longest) < now_ms;
                while self.booked.front().is_some_and(|(at_ms, _)| over(at_ms)) {
                    self.booked.pop_front();
                }
                let last_ms = self.booked.back().map_or(0, |(at_ms, _)| *at_ms);
                let times = rates.iter().map(|(calls, interval_ms)| self.free_at(*calls, *interval_ms, weight));
                let at_ms = times.fold(now_ms.max(last_ms), u64::max);
                self.booked.push_back((at_ms, weight));
                at_ms.saturating_sub(now_ms)
            }
        }
    }

    /// When calls of this weight fit into a moving window: once enough of the latest ones left it.
    fn free_at(&self, calls: u64, interval_ms: u64, weight: u64) -> u64 {
        let mut sum = weight;
        for (at_ms, weight) in self.booked.iter().rev() {
            sum = sum.saturating_add(*weight);
            if sum > calls {
                return at_ms.saturating_add(interval_ms).saturating_add(1);
            }
        }
        0
    }

    fn learn(&mut self, limit: &Limit, left: Option<u64>, reset_ms: Option<u64>, now_ms: u64) {
        match limit {
            Limit::Fixed { calls, period_ms } => {
                // What is said of the window before does not concern the one that is already booked.
                if self.from_ms > now_ms {
                    if let Some(reset_ms) = reset_ms.filter(|reset_ms| *reset_ms > now_ms) {
                        self.from_ms = reset_ms;
                        self.until_ms = Some(reset_ms.saturating_add(*period_ms));
                    }
                    return;
                }
                if let Some(left) = left {
                    self.calls = self.calls.max(calls.saturating_sub(left));
                }
                self.until_ms = reset_ms.or(self.until_ms);
            }
            // A moving window has no reset: with one named, the API counts otherwise.
            Limit::Moving(rates) if left == Some(0) && reset_ms.is_none() => {
                let used = |interval_ms: u64| -> u64 {
                    let recent = self.booked.iter().filter(|(at_ms, _)| at_ms.saturating_add(interval_ms) >= now_ms);
                    recent.map(|(_, weight)| *weight).sum()
                };
                let free = rates.iter().map(|(calls, interval_ms)| calls.saturating_sub(used(*interval_ms))).min();
                if let Some(free) = free.filter(|free| *free > 0) {
                    let at_ms = self.booked.back().map_or(now_ms, |(at_ms, _)| now_ms.max(*at_ms));
                    self.booked.push_back((at_ms, free));
                }
            }
            Limit::Moving(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(limit: &Limit, calls: &[(u64, u64)]) -> Vec<u64> {
        let mut window = Window::default();
        calls.iter().map(|(now_ms, weight)| window.book(limit, *weight, *now_ms)).collect()
    }

    #[test]
    fn a_fixed_window_begins_with_the_first_call_and_comes_again() {
        let limit = Limit::Fixed { calls: 2, period_ms: 100 };
        assert_eq!(waits(&limit, &[(0, 1), (10, 1), (20, 1), (30, 1), (40, 1)]), [0, 0, 80, 70, 160]);
        assert_eq!(waits(&limit, &[(0, 2), (101, 2), (150, 1)]), [0, 0, 50]);
        assert_eq!(waits(&limit, &[(0, 1), (1050, 2), (1060, 1)]), [0, 0, 40]);
    }

    #[test]
    fn a_moving_window_holds_for_any_interval_and_each_rate() {
        let limit = Limit::Moving(vec![(2, 100), (3, 1000)]);
        assert_eq!(waits(&limit, &[(0, 1), (50, 1), (60, 1), (70, 1)]), [0, 0, 41, 931]);
        assert_eq!(waits(&limit, &[(0, 2), (10, 1), (2000, 2)]), [0, 91, 0]);
    }

    #[test]
    fn what_the_api_says_counts_where_it_is_less() {
        let limit = Limit::Fixed { calls: 10, period_ms: 100 };
        let mut window = Window::default();
        assert_eq!(window.book(&limit, 1, 0), 0);
        window.learn(&limit, Some(20), None, 0);
        assert_eq!(window.calls, 1);
        window.learn(&limit, Some(1), Some(500), 0);
        assert_eq!((window.book(&limit, 1, 10), window.book(&limit, 1, 20)), (0, 480));
        let limit = Limit::Moving(vec![(5, 100)]);
        let mut window = Window::default();
        assert_eq!(window.book(&limit, 1, 0), 0);
        window.learn(&limit, Some(0), None, 10);
        assert_eq!(window.book(&limit, 1, 20), 81);
    }
}
