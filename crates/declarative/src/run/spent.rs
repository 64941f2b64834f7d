//! Counts the calls made under an `api_budget`.

use std::collections::VecDeque;
use std::sync::Mutex;

use highwater_core::locks::lock;

/// Clocks of reads differ by what one of them does between two requests; by more, the clock went back.
const MAX_LAG_MS: u64 = 10 * 60_000;

/// The calls that were made, by policy: shared by all reads that share a budget.
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// The latest time that any read has seen.
    now_ms: u64,
    windows: Vec<Window>,
}

/// Calls of one policy. A call that must wait is booked at the time at which it will be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// A fixed window: its calls, when it begins (where it is yet to come), and when it ends.
    calls: u64,
    from_ms: u64,
    until_ms: Option<u64>,
    /// Times and weights of the calls in a moving window.
    booked: VecDeque<(u64, u64)>,
}

/// A policy's rule under a config.
#[derive(Debug)]
pub(super) enum Limit {
    Fixed {
        calls: u64,
        period_ms: u64,
    },
    /// Numbers of calls, each with the milliseconds in which at most that many are allowed.
    Moving(Vec<(u64, u64)>),
}

impl Limit {
    /// The most calls at once.
    pub(super) fn lowest(&self) -> u64 {
        match self {
            Limit::Fixed { calls, .. } => *calls,
            Limit::Moving(rates) => rates.iter().map(|(calls, _)| *calls).min().unwrap_or(u64::MAX),
        }
    }
}

impl Spent {
    pub(super) fn with<T>(&self, place: usize, now_ms: u64, change: impl FnOnce(&mut Window, u64) -> T) -> Option<T> {
        let mut calls = lock(&self.0);
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
    pub(super) fn book(&mut self, limit: &Limit, weight: u64, now_ms: u64) -> u64 {
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

    pub(super) fn learn(&mut self, limit: &Limit, left: Option<u64>, reset_ms: Option<u64>, now_ms: u64) {
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
